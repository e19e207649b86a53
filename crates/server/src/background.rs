//! What runs beside the requests: checkpoints, the warm-up, and the tasks that keep views current.

use crate::app::App;
use ia_model::time;
use ia_profiles::{PackedProfiles, Profiles};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the catalog is asked whether another process changed it: seen "within a second".
const CATALOG_POLL: Duration = Duration::from_millis(200);

/// How often usage statistics are written. Reports add what is not written yet, so this bounds only how
/// much log a start reads again.
const USAGE_FLUSH: Duration = Duration::from_secs(1);

/// How often the last use of tokens is written down, and old statistics are dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// How often it is checked whether a checkpoint is due.
const CHECKPOINT_POLL: Duration = Duration::from_millis(250);

/// Which share of the memory budget may be dirty before a checkpoint starts: dirty profiles cannot leave.
const DIRTY_SHARE: u64 = 4;

/// When a checkpoint is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckpointRules {
    /// After this time, when anything has changed.
    pub interval: Duration,
    /// After this much log.
    pub log_bytes: u64,
    /// The memory budget of the profiles.
    pub memory_budget_bytes: u64,
}

/// The thread that writes checkpoints.
pub(crate) struct Checkpointer {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts it.
    pub(crate) fn start(app: Arc<App>, rules: CheckpointRules) -> std::io::Result<Checkpointer> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            let mut last = (Instant::now(), app.metrics.log_bytes_written());
            while stopped.recv_timeout(CHECKPOINT_POLL) == Err(mpsc::RecvTimeoutError::Timeout) {
                if is_due(&app, rules, last) {
                    last = (Instant::now(), app.metrics.log_bytes_written());
                    checkpoint(&app);
                }
            }
        })?;
        Ok(Checkpointer { stop, thread })
    }

    /// Stops it and waits for a checkpoint that is under way.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

fn is_due(app: &App, rules: CheckpointRules, (last, log_bytes_then): (Instant, u64)) -> bool {
    let has_changed = app.profiles.applied_position() > app.profiles.checkpointed_position();
    has_changed
        && (last.elapsed() >= rules.interval
            || app.metrics.log_bytes_written() - log_bytes_then >= rules.log_bytes
            || app.profiles.dirty_bytes() >= rules.memory_budget_bytes / DIRTY_SHARE)
}

/// Writes a checkpoint and gives up the log that no view needs any more.
///
/// A failure is logged, and the next checkpoint tries again: the log keeps everything until then.
pub(crate) fn checkpoint(app: &App) {
    match app.profiles.checkpoint() {
        Ok(report) => {
            app.metrics.checkpointed(report.duration);
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
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the checkpoint failed; it will be tried again"
            );
            return;
        }
    }
    let covered = app.profiles.checkpointed_position().min(app.usage.covered_position());
    if let Err(error) = app.log.trim_before(covered + 1) {
        tracing::warn!(error = &error as &dyn std::error::Error, "old log files could not be removed");
    }
}

/// The thread that loads profiles into memory after a start.
pub(crate) struct WarmUp {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl WarmUp {
    /// Starts it.
    pub(crate) fn start(profiles: Arc<PackedProfiles>) -> std::io::Result<WarmUp> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("warm-up".to_owned()).spawn(move || {
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

    /// Stops it and waits for it.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the warm-up thread panicked");
        }
    }
}

/// Keeps the catalog, the statistics and the tokens current until `shutdown` turns true.
pub(crate) async fn keep_current(app: Arc<App>, mut shutdown: watch::Receiver<bool>) {
    let mut catalog = tokio::time::interval(CATALOG_POLL);
    let mut usage = tokio::time::interval(USAGE_FLUSH);
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    for interval in [&mut catalog, &mut usage, &mut housekeeping] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let (what, result) = tokio::select! {
            _ = catalog.tick() => ("follow the catalog", app.follow_catalog().await),
            _ = usage.tick() => ("write the usage statistics", app.usage.flush().await),
            _ = housekeeping.tick() => ("do the housekeeping", house_keeping(&app).await),
            () = stopping(&mut shutdown) => return,
        };
        if let Err(error) = result {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not {what}; it will be tried again"
            );
        }
    }
}

async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the server.
    let _ = shutdown.wait_for(|&stopping| stopping).await;
}

async fn house_keeping(app: &App) -> Result<(), ia_catalog::CatalogError> {
    let now_ms = app.clock.now_ms();
    app.tokens.flush_last_use(now_ms).await?;
    app.usage.purge_before(time::days_before(now_ms, app.keep_usage_days)).await
}
