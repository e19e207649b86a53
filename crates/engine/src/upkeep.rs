//! Background work: checkpoints, the warm-up, and the tasks that keep views current.
//!
//! A checkpoint is due after an interval, after an amount of log, or when a quarter of the memory budget is dirty. It
//! writes the changed profiles with the position that they cover, then removes the log files that neither profiles nor
//! statistics need, unless a backup holds them. The warm-up loads profiles into memory after a start, up to the
//! budget; the server answers meanwhile.

use crate::alarm::Alarm;
use crate::data_dir::DataDir;
use crate::erasures::Erasures;
use crate::metrics::{CheckpointMetrics, LogMetrics};
use crate::usage::UsageFollower;
use ia_catalog::CatalogError;
use ia_log::Log;
use ia_profiles::{PackedProfiles, Profiles};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often to check whether a checkpoint is due.
const CHECKPOINT_POLL: Duration = Duration::from_millis(250);

/// The wait after a failed checkpoint.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(5);

/// A checkpoint starts when one part in this many of the memory budget is dirty: dirty profiles cannot be evicted.
const DIRTY_SHARE: u64 = 4;

/// When a checkpoint is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckpointRules {
    /// After this time, if anything has changed.
    pub interval: Duration,
    /// After this many bytes of log.
    pub log_bytes: u64,
    /// The memory budget of the profiles.
    pub memory_budget_bytes: u64,
}

/// The steps of a checkpoint. Each is durable when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The log's newest file is ended, if it holds an erase.
    Sealed,
    /// The profiles are written.
    Written,
    /// Erased ids are out of the statistics.
    Scrubbed,
    /// Log files that no view needs are removed.
    Trimmed,
}

/// Writes checkpoints.
pub(crate) struct Checkpoints {
    /// The checkpoint holds the profiles.
    pub(crate) profiles: Arc<dyn Profiles>,
    /// Old log files are removed after a checkpoint.
    pub(crate) log: Arc<dyn Log>,
    /// The other view that needs log records.
    pub(crate) usage: Arc<UsageFollower>,
    /// Removes erased ids from the disk.
    pub(crate) erasures: Erasures,
    /// A backup locks the log files here.
    pub(crate) data_dir: DataDir,
    /// Counts checkpoints.
    pub(crate) metrics: CheckpointMetrics,
    /// Counts the log's bytes.
    pub(crate) log_metrics: LogMetrics,
    /// When a checkpoint is due.
    pub(crate) rules: CheckpointRules,
}

impl Checkpoints {
    fn is_due(&self, (last, log_bytes_then): (Instant, u64)) -> bool {
        let has_changed = self.profiles.applied_position() > self.profiles.checkpointed_position();
        (has_changed || self.erasures.is_due())
            && (last.elapsed() >= self.rules.interval
                || self.log_metrics.bytes_written() - log_bytes_then >= self.rules.log_bytes
                || self.profiles.dirty_bytes() >= self.rules.memory_budget_bytes / DIRTY_SHARE)
    }

    /// Writes a checkpoint and removes log files that no view needs any more.
    ///
    /// A failure is logged and counted, and the next checkpoint tries again; the log keeps everything until then.
    /// After [`ia_profiles::ProfilesError::HalfWritten`] every checkpoint fails until a restart.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        self.write_until(Step::Trimmed)
    }

    /// The same, but goes no further than this step: a test may stop the engine after any.
    pub(crate) fn write_until(&self, last: Step) -> anyhow::Result<()> {
        self.erasures.seal_log();
        if last == Step::Sealed {
            return Ok(());
        }
        match self.profiles.checkpoint() {
            Ok(report) => {
                self.metrics.done(report.duration);
                tracing::info!(
                    position = report.position,
                    profiles_written = report.profiles_written,
                    profiles_deleted = report.profiles_deleted,
                    bytes = report.bytes_written,
                    millis = report.duration.as_millis(),
                    "checkpoint written"
                );
            }
            Err(error) => {
                // The error says whether a later checkpoint can succeed.
                tracing::error!(error = &error as &dyn std::error::Error, "the checkpoint failed");
                self.metrics.failed();
                return Err(error.into());
            }
        }
        if last == Step::Written {
            return Ok(());
        }
        // The log keeps its erases: they say what still has to be scrubbed.
        if !self.erasures.scrub_statistics() && self.erasures.is_due() {
            return Ok(());
        }
        if last == Step::Scrubbed {
            return Ok(());
        }
        // A backup needs the log from the positions that its views had when it began.
        let _no_backup = match self.data_dir.hold_log() {
            Ok(Some(hold)) => hold,
            Ok(None) => {
                tracing::info!("a backup is being taken; log files stay until the next checkpoint");
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot remove old log files");
                return Ok(());
            }
        };
        let covered = self.profiles.checkpointed_position().min(self.usage.covered_position());
        if let Err(error) = self.log.trim_before(covered + 1) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot remove old log files");
        }
        Ok(())
    }
}

/// The thread that writes a checkpoint when one is due.
pub(crate) struct Checkpointer {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts it. A panic raises `alarm`.
    pub(crate) fn start(checkpoints: Arc<Checkpoints>, alarm: &Alarm) -> std::io::Result<Checkpointer> {
        let (stop, stopped) = mpsc::channel();
        let watch = alarm.watch("checkpoint thread");
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            let _watch = watch;
            let now = || (Instant::now(), checkpoints.log_metrics.bytes_written());
            let mut last = now();
            let mut wait = CHECKPOINT_POLL;
            while stopped.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
                wait = CHECKPOINT_POLL;
                if checkpoints.is_due(last) {
                    last = now();
                    if checkpoints.write().is_err() {
                        wait = CHECKPOINT_RETRY;
                    }
                }
            }
        })?;
        Ok(Checkpointer { stop, thread })
    }

    /// Stops the thread after the checkpoint that it is writing, if any.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

/// The thread that loads profiles into memory after a start.
pub(crate) struct WarmUp {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl WarmUp {
    /// Starts it. A panic raises `alarm`.
    pub(crate) fn start(profiles: Arc<PackedProfiles>, alarm: &Alarm) -> std::io::Result<WarmUp> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let watch = alarm.watch("warm-up thread");
        let thread = std::thread::Builder::new().name("warm-up".to_owned()).spawn(move || {
            let _watch = watch;
            let started = Instant::now();
            match profiles.warm_up(&flag) {
                Ok(()) => {
                    let resident = profiles.stats().resident_profiles;
                    tracing::info!(resident, millis = started.elapsed().as_millis(), "warm-up done");
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the warm-up failed; profiles are read on demand"
                    );
                }
            }
        })?;
        Ok(WarmUp { stop, thread })
    }

    /// Stops the thread and waits for its end.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the warm-up thread panicked");
        }
    }
}

/// Repeats `task` every `period` until `shutdown` turns true. A failure is logged and tried again the next time; a
/// panic raises `alarm`.
pub(crate) fn every<F>(
    period: Duration,
    name: &'static str,
    alarm: &Alarm,
    shutdown: &watch::Receiver<bool>,
    task: impl Fn() -> F + Send + 'static,
) -> tokio::task::JoinHandle<()>
where
    F: Future<Output = Result<(), CatalogError>> + Send,
{
    let (watch, mut shutdown) = (alarm.watch(name), shutdown.clone());
    tokio::spawn(async move {
        let _watch = watch;
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = stopping(&mut shutdown) => return,
            }
            if let Err(error) = task().await {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(error = cause, "the {name} failed; it will try again");
            }
        }
    })
}

async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped, together with the server.
    let _ = shutdown.wait_for(|&stopping| stopping).await;
}
