//! The files that wait to be read: one of a member at a time, in the order of their uploads, and a few of all members.
//! Small files have places of their own, so that they do not wait behind large ones of others.

use super::Shared;
use super::reading::read_file;
use crate::file_jobs::Jobs;
use ia_catalog::file_jobs::{FileJob, Phase};
use ia_model::MemberId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// A smaller file takes a fraction of a second.
const SMALL_BYTES: u64 = 1 << 20;

/// How often it is looked whether the log takes records again.
const FAULT_POLL: Duration = Duration::from_millis(500);

/// How many files are read at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// Large ones, and as many small ones.
    pub(super) of_each: usize,
}

/// Reads files as they come, until the server stops.
pub(super) struct Queue {
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Queue {
    /// Starts the task.
    pub(super) fn start(shared: Arc<Shared>, places: Places, wake: Arc<Notify>) -> Queue {
        let task = tokio::spawn(run(shared, places, Arc::clone(&wake)));
        Queue { wake, task }
    }

    /// Waits until no file is read any more. The caller has told the readers to stop.
    pub(super) async fn stop(self) {
        self.wake.notify_one();
        if self.task.await.is_err() {
            tracing::error!("the task that reads files panicked");
        }
    }
}

#[derive(Default)]
struct Running {
    /// By member, whether the file is small.
    members: BTreeMap<MemberId, bool>,
    /// Who was served last comes last.
    turns: BTreeMap<MemberId, u64>,
    turn: u64,
}

async fn run(shared: Arc<Shared>, places: Places, wake: Arc<Notify>) {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut running = Running::default();
    loop {
        let is_stopping = shared.stopping.load(Ordering::SeqCst);
        if is_stopping && running.members.is_empty() {
            return;
        }
        let has_fault = shared.committer.fault().is_some();
        if !is_stopping && !has_fault {
            for job in running.next(places, shared.jobs.all()) {
                start(&shared, job, ended.clone());
            }
        }
        tokio::select! {
            Some((member, job)) = ends.recv() => {
                running.members.remove(&member);
                let has_ended = shared.jobs.get(job).is_none_or(|job| job.phase.is_final());
                if !has_ended && !is_stopping {
                    // What has stopped it is not over at once.
                    tokio::time::sleep(FAULT_POLL).await;
                }
            }
            () = wake.notified() => {}
            () = tokio::time::sleep(FAULT_POLL), if !is_stopping => {}
        }
    }
}

impl Running {
    /// The files to begin now, of the unfinished jobs.
    fn next(&mut self, places: Places, jobs: Vec<FileJob>) -> Vec<FileJob> {
        let mut waiting = BTreeMap::<MemberId, FileJob>::new();
        let is_waiting = |job: &FileJob| matches!(job.phase, Phase::Validating | Phase::Processing);
        for job in jobs.into_iter().filter(is_waiting) {
            // The first of each member, by the end of its upload.
            let when = |job: &FileJob| (job.uploaded_ms, job.id);
            match waiting.get(&job.member) {
                Some(first) if when(first) <= when(&job) => {}
                _ => drop(waiting.insert(job.member, job)),
            }
        }
        let known: BTreeSet<MemberId> = waiting.keys().copied().collect();
        self.turns.retain(|member, _| known.contains(member) || self.members.contains_key(member));
        let mut first: Vec<FileJob> =
            waiting.into_values().filter(|job| !self.members.contains_key(&job.member)).collect();
        first.sort_by_key(|job| (self.turns.get(&job.member).copied(), job.uploaded_ms, job.id));
        let mut begun = Vec::new();
        for job in first {
            let is_small = job.sent_bytes < SMALL_BYTES;
            let taken = self.members.values().filter(|&&small| small == is_small).count();
            if taken < places.of_each {
                self.turn += 1;
                self.turns.insert(job.member, self.turn);
                self.members.insert(job.member, is_small);
                begun.push(job);
            }
        }
        begun
    }
}

/// Reads a file on a thread of its own: its low priority is for ever, and it may take minutes.
fn start(shared: &Arc<Shared>, job: FileJob, ended: mpsc::UnboundedSender<(MemberId, u64)>) {
    let shared = Arc::clone(shared);
    let on_end = EndOf { member: job.member, job: job.id, jobs: Arc::clone(&shared.jobs), ended };
    let work = move || {
        let on_end = on_end;
        read_file(&shared, &job);
        shared.settle(job.id);
        drop(on_end);
    };
    if let Err(error) = std::thread::Builder::new().name("ia-file".to_owned()).spawn(work) {
        tracing::warn!(%error, "no thread to read a file with; it will be tried again");
    }
}

/// Tells the end of a reader. One that panics ends its job: it would panic again, also after a restart.
struct EndOf {
    member: MemberId,
    job: u64,
    jobs: Arc<Jobs>,
    ended: mpsc::UnboundedSender<(MemberId, u64)>,
}

impl Drop for EndOf {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(job = self.job, "the reader of a file panicked; its job is given up");
            self.jobs.fail(self.job, "server-error");
        }
        // Fails only when the queue has ended.
        let _ = self.ended.send((self.member, self.job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_catalog::SqliteUsage;
    use ia_catalog::file_jobs::{FileJobStore as _, FileProgress};
    use ia_model::ManualClock;

    fn job(id: u64, member: u32, bytes: u64) -> FileJob {
        FileJob {
            id,
            job_id: id.to_string(),
            member: MemberId(member),
            replaced: None,
            phase: Phase::Validating,
            error_code: None,
            percent: 30,
            created_ms: 0,
            modified_ms: 0,
            started_ms: Some(1),
            uploaded_ms: Some(100 - id),
            validated_ms: None,
            completed_ms: None,
            sent_bytes: bytes,
            sha256: None,
            progress: FileProgress::default(),
        }
    }

    #[test]
    fn members_take_turns_and_small_files_have_places_of_their_own() {
        let places = Places { of_each: 1 };
        let mut running = Running::default();
        let large = 10 << 20;
        let jobs = vec![job(1, 7, large), job(2, 7, large), job(3, 8, large), job(4, 9, 5), job(5, 10, 5)];
        let ids = |begun: Vec<FileJob>| begun.iter().map(|job| job.id).collect::<Vec<_>>();
        // By the end of the upload: the jobs with higher ids came first.
        assert_eq!(ids(running.next(places, jobs.clone())), [5, 3]);
        assert!(running.next(places, jobs).is_empty());
        running.members.remove(&MemberId(8));
        running.members.remove(&MemberId(10));
        let left = vec![job(1, 7, large), job(2, 7, large), job(3, 8, large), job(4, 9, 5)];
        assert_eq!(ids(running.next(places, left)), [4, 2], "those who were not served come first");
    }

    #[tokio::test]
    async fn a_reader_that_panics_ends_its_job_and_gives_up_its_place() {
        let directory = tempfile::TempDir::new().unwrap();
        let store = Arc::new(SqliteUsage::open(&directory.path().join("usage")).await.unwrap());
        let made = store.create_job("a", MemberId(7), None, 1).await.unwrap();
        let jobs = Arc::new(Jobs::load(store, Arc::new(ManualClock::at(2))).await.unwrap());
        jobs.change(made.id, |job| job.phase = Phase::Processing);
        for (panics, phase) in [(false, Phase::Processing), (true, Phase::Error)] {
            let (ended, mut ends) = mpsc::unbounded_channel();
            let on_end = EndOf { member: made.member, job: made.id, jobs: Arc::clone(&jobs), ended };
            let reader = std::thread::spawn(move || {
                let _on_end = on_end;
                assert!(!panics, "on purpose");
            });
            assert_eq!(reader.join().is_err(), panics);
            assert_eq!(ends.recv().await, Some((made.member, made.id)));
            assert_eq!(jobs.get(made.id).unwrap().phase, phase);
        }
    }
}
