//! Files of memberships: jobs, uploads, and reading what was uploaded into the log.
//!
//! A job is made ([`Files::create`]), its file is received and made durable ([`Files::receive`]), and a thread reads it
//! into the log, part by part (`reading`). The log says how far a job is and what was counted: `file_jobs` adds it up, as
//! the usage statistics do. So after a crash a file goes on where the log ends, and each line counts once.

mod deletions;
mod early;

mod part;
mod queue;
pub(crate) mod read;
mod reading;
mod replace;
mod rules;
mod spool;
mod upload;

pub(crate) use deletions::Deletions;
pub(crate) use early::EarlyChecks;
pub use rules::{FileRules, Rate};
pub use spool::copy_spool;
pub(crate) use spool::{DiskSpool, Spool};

use crate::catalog_view::CatalogView;
use crate::file_jobs::Jobs;
use crate::metrics::Metrics;
use crate::nobody::Nobody;
use crate::opt_outs::OptOuts;
use crate::threads::blocking;
use crate::write::commit::Committer;
use ia_catalog::file_jobs::{FileJob, Phase};
use ia_catalog::listing::{ListQuery, Page};
use ia_catalog::{BatchFiles, CatalogError, KnownUsers};
use ia_model::{Clock, MemberId, Minute, SegmentId, time};
use ia_profiles::Profiles;

use queue::{Places, Queue};
use reading::Stopped;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use upload::{BEGIN_WITHIN_MS, END_WITHIN_MS, UPLOADING_ERROR};

/// How long a reader waits before it tries again what cannot be done now.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes files of memberships. Clones share all.
#[derive(Clone)]
pub struct Files {
    shared: Arc<Shared>,
}

/// What those who receive and those who read files have in common.
pub(crate) struct Shared {
    /// The unfinished jobs.
    pub(crate) jobs: Arc<Jobs>,
    /// Where the files wait.
    pub(crate) spool: Arc<dyn Spool>,
    /// What was found of files while they came in.
    pub(crate) early: Arc<EarlyChecks>,
    /// Segments, who may write to them, and set-ups of members.
    pub(crate) catalog: Arc<CatalogView>,
    /// Who is in a segment that a file replaces.
    pub(crate) profiles: Arc<dyn Profiles>,
    /// Users that are dropped.
    pub(crate) opt_outs: Arc<OptOuts>,
    /// Deletions that files heed.
    pub(crate) deletions: Arc<Deletions>,
    /// Users that count as valid.
    pub(crate) known: Arc<KnownUsers>,
    /// Ids that are nobody's.
    pub(crate) nobody: Arc<Nobody>,
    /// Makes parts durable and visible.
    pub(crate) committer: Arc<Committer>,
    /// Counts files.
    pub(crate) metrics: Arc<Metrics>,
    /// The source of the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The limits.
    pub(crate) rules: FileRules,
    /// For the threads that read files.
    pub(crate) runtime: Handle,
    /// The readers are to stop.
    pub(crate) stopping: AtomicBool,
    /// Tells the queue that a file has come.
    pub(crate) wake: Arc<Notify>,
}

/// The task that reads files.
pub(crate) struct FileReading {
    shared: Arc<Shared>,
    queue: Queue,
}

/// Kinds of failures of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileErrorKind {
    /// The request makes no sense.
    Syntax,
    /// There is no such job, or its time is over.
    NotFound,
    /// The job has another file.
    Conflict,
    /// The file is too large.
    TooLarge,
    /// The member's limits are used up.
    OverLimit,
    /// The upload took too long.
    TooSlow,
    /// The server cannot take it now.
    Unavailable,
}

/// Why a file is not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct FileError {
    /// Its kind.
    pub kind: FileErrorKind,
    /// A sentence for the caller.
    pub message: Cow<'static, str>,
    /// Seconds after which to try again.
    pub retry_after_seconds: Option<u64>,
}

impl FileError {
    fn new(kind: FileErrorKind, message: impl Into<Cow<'static, str>>) -> FileError {
        FileError { kind, message: message.into(), retry_after_seconds: None }
    }

    /// There is no such job.
    pub fn not_found() -> FileError {
        let message = "There is no such upload, or its time is over; make a new job";
        FileError::new(FileErrorKind::NotFound, message)
    }

    fn syntax(message: &'static str) -> FileError {
        FileError::new(FileErrorKind::Syntax, message)
    }

    fn conflict(message: &'static str) -> FileError {
        FileError::new(FileErrorKind::Conflict, message)
    }

    fn too_large(max_bytes: u64) -> FileError {
        FileError::new(FileErrorKind::TooLarge, format!("The file is larger than {max_bytes} bytes"))
    }

    fn too_slow() -> FileError {
        let minutes = END_WITHIN_MS / 60_000;
        FileError::new(FileErrorKind::TooSlow, format!("The upload took longer than {minutes} minutes"))
    }

    fn over_limit(what: impl std::fmt::Display, retry_after_seconds: u64) -> FileError {
        let retry_after_seconds = Some(retry_after_seconds);
        let message = format!("This member has used up its limit of {what}");
        FileError { retry_after_seconds, ..FileError::new(FileErrorKind::OverLimit, message) }
    }

    fn cut_off(error: &dyn std::error::Error) -> FileError {
        FileError::new(FileErrorKind::Syntax, format!("The upload was broken off: {error}"))
    }

    fn unavailable(message: &'static str) -> FileError {
        let retry_after_seconds = Some(5);
        FileError { retry_after_seconds, ..FileError::new(FileErrorKind::Unavailable, message) }
    }
}

impl From<CatalogError> for FileError {
    fn from(error: CatalogError) -> FileError {
        tracing::error!(error = &error as &dyn std::error::Error, "a job of a file cannot be stored");
        FileError::unavailable("The server cannot keep track of files now")
    }
}

impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> FileError {
        tracing::error!(error = &error as &dyn std::error::Error, "an uploaded file cannot be written");
        FileError::unavailable("The server has no room for the file now")
    }
}

impl Files {
    /// Starts to read files. Files that a start has found go on where the log ends.
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<(Files, FileReading)> {
        shared.end_broken_uploads();
        shared.tidy_spool()?;
        let places = Places { of_each: shared.rules.files_at_once };
        let queue = Queue::start(Arc::clone(&shared), places, Arc::clone(&shared.wake));
        Ok((Files { shared: Arc::clone(&shared) }, FileReading { shared, queue }))
    }

    /// Makes a job, for a file of `member`. With `replaced`, who is in that segment and not in the file will be out.
    pub async fn create(&self, member: MemberId, replaced: Option<SegmentId>) -> Result<FileJob, FileError> {
        let most = self.shared.rules.waiting_jobs;
        if self.shared.jobs.count(member, |job| !job.phase.is_final()) >= most {
            return Err(FileError::over_limit(format!("{most} jobs that wait"), 60));
        }
        let job_id = random_id().map_err(|error| std::io::Error::other(error.to_string()))?;
        let now_ms = self.shared.clock.now_ms();
        let job = self.shared.jobs.store().create_job(&job_id, member, replaced, now_ms).await?;
        self.shared.jobs.add(job.clone());
        Ok(job)
    }

    /// The job of that id.
    pub async fn job(&self, job_id: &str) -> Result<Option<FileJob>, FileError> {
        Ok(self.shared.jobs.find(job_id).await?)
    }

    /// How many jobs are not finished.
    pub fn unfinished(&self) -> usize {
        self.shared.jobs.unfinished()
    }

    /// A page of the jobs of a member, as they are now.
    pub async fn list(&self, member: MemberId, query: &ListQuery) -> Result<Page<FileJob>, FileError> {
        self.shared.jobs.flush().await?;
        Ok(self.shared.jobs.store().jobs(Some(member), query).await?)
    }

    /// How many lines of a job's error log its member sees.
    pub async fn error_lines(&self, member: MemberId) -> Result<usize, FileError> {
        let set_up = self.shared.catalog.accounts.batch_files(member).await?;
        Ok(self.shared.rules.error_lines(&set_up))
    }

    /// Ends jobs whose upload did not come in time, and forgets old jobs, and deletions that no file needs.
    pub(crate) async fn tidy(&self) -> Result<(), CatalogError> {
        let shared = &self.shared;
        let now_ms = shared.clock.now_ms();
        let is_older = |since_ms: u64, most_ms| now_ms.saturating_sub(since_ms) > most_ms;
        let mut oldest_ms = now_ms;
        for job in shared.jobs.all() {
            let is_late = match job.phase {
                Phase::Starting => is_older(job.created_ms, BEGIN_WITHIN_MS),
                // The upload ends itself; this is for one whose task is gone.
                Phase::Uploading => is_older(job.started_ms.unwrap_or_default(), END_WITHIN_MS + 60_000),
                _ => false,
            };
            if is_late {
                shared.jobs.fail(job.id, UPLOADING_ERROR);
                shared.settle_soon(job.id);
            }
            oldest_ms = oldest_ms.min(job.started_ms.unwrap_or(now_ms));
        }
        shared.jobs.flush().await?;
        shared.deletions.forget_before(oldest_ms).await?;
        let tidying = Arc::clone(shared);
        if let Err(error) = blocking(move || tidying.tidy_spool()).await {
            tracing::warn!(%error, "the folder of uploaded files cannot be read");
        }
        let keep_from_ms = time::days_before(now_ms, shared.rules.keep_days);
        shared.jobs.store().purge_jobs(keep_from_ms).await.map(drop)
    }
}

impl FileReading {
    /// Stops reading, within some milliseconds. The next start goes on.
    pub(crate) async fn stop(self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.queue.stop().await;
    }
}

impl Shared {
    /// Fails where the server stops.
    fn go_on(&self) -> Result<(), Stopped> {
        if self.stopping.load(Ordering::SeqCst) { Err(Stopped::Later) } else { Ok(()) }
    }

    /// The current minute, which decides which memberships are live.
    fn now(&self) -> Minute {
        Minute::containing(self.clock.now_ms())
    }

    /// Waits a little, unless the server stops.
    fn pause(&self) -> Result<(), Stopped> {
        self.go_on()?;
        std::thread::sleep(PAUSE);
        self.go_on()
    }

    /// Fails with the job's `error_code` where the lines of its file are over the limits of its member.
    fn check_lines(&self, job: &FileJob, set_up: &BatchFiles, lines: u64) -> Result<(), &'static str> {
        const HOUR_MS: u64 = 3_600_000;
        let [_, rate] = self.rules.rates(set_up);
        for (limit, window_ms) in [(rate.an_hour, HOUR_MS), (rate.a_day, 24 * HOUR_MS)] {
            let Some(limit) = limit else { continue };
            let since_ms = self.clock.now_ms().saturating_sub(window_ms);
            let used = match self.runtime.block_on(self.jobs.store().use_since(job.member, since_ms)) {
                Ok(used) => used.entries,
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(error = cause, "the lines of a member's files cannot be added up");
                    continue;
                }
            };
            if used.saturating_add(lines) > limit {
                return Err("RATE_LIMIT_EXCEEDED");
            }
        }
        Ok(())
    }

    /// Lets go of a job that is in a final phase: first that is stored, then its file goes. Blocks.
    fn settle(&self, job: u64) {
        let ended = match self.jobs.get(job) {
            Some(job) if !job.phase.is_final() => return,
            ended => ended,
        };
        self.early.forget(job);
        if let Err(error) = self.runtime.block_on(self.jobs.flush()) {
            // The file is kept: without it the next start could not tell how the job has ended.
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(job, error = cause, "the end of a job cannot be stored yet");
            return;
        }
        if let Some(ended) = ended {
            self.metrics.file_ended(ended.phase.name());
        }
        if let Err(error) = self.spool.remove(job) {
            tracing::warn!(job, %error, "the file of a job cannot be removed");
        }
    }

    /// The same on another thread.
    fn settle_soon(self: &Arc<Self>, job: u64) {
        let shared = Arc::clone(self);
        self.runtime.spawn_blocking(move || shared.settle(job));
    }

    /// Ends the uploads that a crash has broken off.
    fn end_broken_uploads(&self) {
        for job in self.jobs.all() {
            if job.phase == Phase::Uploading {
                self.jobs.fail(job.id, UPLOADING_ERROR);
            }
        }
    }

    /// Removes the files of jobs that are over.
    fn tidy_spool(self: &Arc<Self>) -> std::io::Result<()> {
        for job in self.spool.list()? {
            if self.jobs.get(job).is_none_or(|job| job.phase.is_final()) {
                self.settle_soon(job);
            }
        }
        Ok(())
    }
}

/// 40 letters and digits.
fn random_id() -> Result<String, getrandom::Error> {
    const CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = String::with_capacity(40);
    let mut random = [0; 64];
    while id.len() < 40 {
        getrandom::fill(&mut random)?;
        // What is left of a byte above a multiple of 62 would make some characters more frequent.
        let fair = random.iter().filter(|&&byte| byte < 248);
        id.extend(fair.map(|byte| char::from(CHARACTERS[usize::from(byte % 62)])).take(40 - id.len()));
    }
    Ok(id)
}
