//! The jobs that are not finished, as they are now. What the log says of a job is added up here by the applier; the
//! rest is set by those who receive and read its file.
//!
//! A job is stored before the position of the usage statistics that covers its parts, so a start finds each part in the
//! store or in the log. It may find one in both: parts are numbered, and one that is counted already is skipped.

use hashbrown::HashMap;
use ia_catalog::CatalogError;
use ia_catalog::file_jobs::{FileJob, FileJobStore, FileProgress, MAX_REFUSED, MAX_SEGMENTS, Phase};
use ia_catalog::usage::Scrubber;
use ia_model::record::FileChunk;
use ia_model::{Change, Clock, Erase, Ingest, MemberId, SegmentId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The most lines of a job's error log.
pub(crate) const MAX_ERROR_LINES: usize = 999;

/// The jobs that are not finished, over their store.
pub(crate) struct Jobs {
    store: Arc<dyn FileJobStore>,
    clock: Arc<dyn Clock>,
    live: Mutex<BTreeMap<u64, Live>>,
    /// Held while jobs are stored: an older state must not replace a newer one.
    writing: tokio::sync::Mutex<()>,
    changed: Notify,
}

struct Live {
    job: FileJob,
    /// Counts the changes of the job, and those that are stored.
    changes: u64,
    stored: u64,
}

impl Live {
    fn of(job: FileJob) -> Live {
        Live { job, changes: 0, stored: 0 }
    }
}

impl Jobs {
    /// The unfinished jobs of the store.
    pub(crate) async fn load(
        store: Arc<dyn FileJobStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Jobs, CatalogError> {
        let unfinished = store.unfinished_jobs().await?;
        let live = unfinished.into_iter().map(|job| (job.id, Live::of(job))).collect();
        let (writing, changed) = (tokio::sync::Mutex::default(), Notify::new());
        Ok(Jobs { store, clock, live: Mutex::new(live), writing, changed })
    }

    /// Where jobs are kept.
    pub(crate) fn store(&self) -> &dyn FileJobStore {
        &*self.store
    }

    /// Takes in a job that was just made.
    pub(crate) fn add(&self, job: FileJob) {
        self.live().insert(job.id, Live::of(job));
    }

    /// The unfinished jobs, the oldest first.
    pub(crate) fn all(&self) -> Vec<FileJob> {
        self.live().values().map(|live| live.job.clone()).collect()
    }

    /// How many there are.
    pub(crate) fn unfinished(&self) -> usize {
        self.live().len()
    }

    /// The unfinished job of that number.
    pub(crate) fn get(&self, id: u64) -> Option<FileJob> {
        self.live().get(&id).map(|live| live.job.clone())
    }

    /// The job of that id: as it is now, or as it ended.
    pub(crate) async fn find(&self, job_id: &str) -> Result<Option<FileJob>, CatalogError> {
        let is_it = |live: &&Live| live.job.job_id == job_id;
        let found = self.live().values().find(is_it).map(|live| live.job.clone());
        match found {
            Some(job) => Ok(Some(job)),
            None => self.store.job(job_id).await,
        }
    }

    /// How many unfinished jobs of a member `test` holds for.
    pub(crate) fn count(&self, member: MemberId, test: impl Fn(&FileJob) -> bool) -> usize {
        self.live().values().filter(|live| live.job.member == member && test(&live.job)).count()
    }

    /// Changes an unfinished job; `None` where there is none. What is returned is what `change` returns.
    pub(crate) fn change<T>(&self, id: u64, change: impl FnOnce(&mut FileJob) -> T) -> Option<T> {
        let mut all = self.live();
        let live = all.get_mut(&id).filter(|live| !live.job.phase.is_final())?;
        let result = change(&mut live.job);
        live.job.modified_ms = live.job.modified_ms.max(self.clock.now_ms());
        live.changes += 1;
        drop(all);
        self.changed.notify_waiters();
        Some(result)
    }

    /// The same, but the change is in the store before anybody sees it. `false` where the job has ended before.
    pub(crate) async fn change_durably(
        &self,
        id: u64,
        change: impl Fn(&mut FileJob),
    ) -> Result<bool, CatalogError> {
        let _alone = self.writing.lock().await;
        let Some(mut job) = self.get(id).filter(|job| !job.phase.is_final()) else { return Ok(false) };
        change(&mut job);
        self.store.put_jobs(&[job]).await?;
        // One that has ended meanwhile is stored anew as it has ended.
        Ok(self.change(id, change).is_some())
    }

    /// Ends an unfinished job in [`Phase::Error`].
    pub(crate) fn fail(&self, id: u64, error_code: &str) {
        self.change(id, |job| {
            tracing::info!(job = id, member = %job.member, error_code, "a file was given up");
            job.phase = Phase::Error;
            job.error_code = Some(error_code.to_owned());
        });
    }

    /// Waits until a job is no longer in `phase`.
    pub(crate) async fn wait_while(&self, id: u64, phase: Phase) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.live().get(&id).is_none_or(|live| live.job.phase != phase) {
                return;
            }
            changed.await;
        }
    }

    /// Counts a record of the log that is a part of a file. In log order.
    pub(crate) fn observe(&self, ingest: &Ingest) {
        let Some(chunk) = &ingest.file else { return };
        let mut all = self.live();
        // A job that ended long ago is no longer here: its parts are in the store.
        let Some(live) = all.get_mut(&chunk.job) else { return };
        if live.job.progress.parts != chunk.number {
            return;
        }
        add_chunk(&mut live.job.progress, chunk, ingest);
        live.job.modified_ms = live.job.modified_ms.max(ingest.accepted_at_ms);
        if chunk.is_last {
            live.job.phase = Phase::Completed;
            live.job.percent = 100;
            live.job.completed_ms = Some(ingest.accepted_at_ms);
        }
        live.changes += 1;
        drop(all);
        if chunk.is_last {
            self.changed.notify_waiters();
        }
    }

    /// Takes the id of an erased user out of the error logs.
    pub(crate) fn erase(&self, erase: &Erase) {
        let mut all = self.live();
        if all.is_empty() {
            return;
        }
        let scrubber = Scrubber::of(erase.user.id());
        let of_scope = |live: &&mut Live| erase.member.is_none_or(|member| member == live.job.member);
        for live in all.values_mut().filter(of_scope) {
            live.job.progress.error_lines.retain(|line| !scrubber.is_in_job_line(line));
            live.changes += 1;
        }
    }

    /// Stores what has changed, and lets go of the jobs that are finished.
    pub(crate) async fn flush(&self) -> Result<(), CatalogError> {
        let _alone = self.writing.lock().await;
        let (jobs, changes): (Vec<FileJob>, Vec<(u64, u64)>) = {
            let all = self.live();
            let changed = all.values().filter(|live| live.changes != live.stored);
            changed.map(|live| (live.job.clone(), (live.job.id, live.changes))).unzip()
        };
        if jobs.is_empty() {
            return Ok(());
        }
        self.store.put_jobs(&jobs).await?;
        let mut all = self.live();
        for (id, changes) in changes {
            let Some(live) = all.get_mut(&id) else { continue };
            live.stored = changes;
            if live.job.phase.is_final() && live.changes == changes {
                all.remove(&id);
            }
        }
        Ok(())
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u64, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add_chunk(progress: &mut FileProgress, chunk: &FileChunk, ingest: &Ingest) {
    progress.parts += 1;
    progress.entries = progress.entries.max(chunk.entries);
    progress.counts += chunk.counts;
    for &refused in &chunk.refused {
        if progress.refused.len() < MAX_REFUSED {
            progress.refused.insert(refused);
        }
    }
    // The applier does this between requests: one cheap look-up for each of thousands of operations.
    let mut part = HashMap::<SegmentId, (u64, u64)>::new();
    for operation in ingest.batch.operations() {
        let (added, removed) = part.entry(operation.segment).or_default();
        match operation.change {
            Change::Remove => *removed += 1,
            Change::Add { .. } | Change::AddLater { .. } => *added += 1,
        }
    }
    // In an order that a replay has too: which of too many are kept depends on it.
    let mut part: Vec<_> = part.into_iter().collect();
    part.sort_unstable_by_key(|&(segment, _)| segment);
    for (segment, (more_added, more_removed)) in part {
        if progress.segments.len() >= MAX_SEGMENTS && !progress.segments.contains_key(&segment) {
            continue;
        }
        let (added, removed) = progress.segments.entry(segment).or_default();
        *added += more_added;
        *removed += more_removed;
    }
    progress.error_lines.extend(chunk.error_lines.iter().cloned());
    let surplus = progress.error_lines.len().saturating_sub(MAX_ERROR_LINES);
    progress.error_lines.drain(..surplus);
}
