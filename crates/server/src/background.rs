//! What runs beside the requests: checkpoints, the warm-up, and the tasks that keep views current.

use crate::alarm::Alarm;
use crate::app::App;
use crate::privacy::erasure;
use ia_catalog::CatalogError;
use ia_model::time;
use ia_profiles::{PackedProfiles, Profiles};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the catalog is asked whether another process changed it, or made ids known: seen "within a second".
const CATALOG_POLL: Duration = Duration::from_millis(200);

/// How often usage statistics are written. Reports add what is not written yet, so this bounds only how
/// much log a start reads again.
const USAGE_FLUSH: Duration = Duration::from_secs(1);

/// How often the last use of tokens is written down, and old statistics are dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// How often it is checked whether a checkpoint is due.
const CHECKPOINT_POLL: Duration = Duration::from_millis(250);

/// How long to wait after a checkpoint that failed.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(5);

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
            let _watch = app.alarm.watch("checkpoint thread");
            let mut last = (Instant::now(), app.metrics.log_bytes_written());
            let mut wait = CHECKPOINT_POLL;
            while stopped.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
                wait = CHECKPOINT_POLL;
                if is_due(&app, rules, last) {
                    last = (Instant::now(), app.metrics.log_bytes_written());
                    if checkpoint(&app).is_err() {
                        wait = CHECKPOINT_RETRY;
                    }
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
    (has_changed || erasure::is_due(app))
        && (last.elapsed() >= rules.interval
            || app.metrics.log_bytes_written() - log_bytes_then >= rules.log_bytes
            || app.profiles.dirty_bytes() >= rules.memory_budget_bytes / DIRTY_SHARE)
}

/// Writes a checkpoint and gives up the log that no view needs any more.
///
/// A failure is logged and counted, and the next checkpoint tries again: the log keeps everything until
/// then. After [`ia_profiles::ProfilesError::HalfWritten`] none succeeds until a restart.
pub(crate) fn checkpoint(app: &App) -> anyhow::Result<()> {
    erasure::seal_log(app);
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
            // Whether a later one can succeed is for the error to say.
            tracing::error!(error = &error as &dyn std::error::Error, "the checkpoint failed");
            app.metrics.checkpoint_failed();
            return Err(error.into());
        }
    }
    // Without the notes that are in the log, nobody would know what is to be scrubbed.
    if !erasure::scrub_statistics(app) && erasure::is_due(app) {
        return Ok(());
    }
    // A backup needs the log from the positions on that its views had when it began.
    let _no_backup = match app.data_dir.hold_log() {
        Ok(Some(hold)) => hold,
        Ok(None) => {
            tracing::info!("a backup is being taken; log files stay until the next checkpoint");
            return Ok(());
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "old log files could not be removed");
            return Ok(());
        }
    };
    let covered = app.profiles.checkpointed_position().min(app.usage.covered_position());
    if let Err(error) = app.log.trim_before(covered + 1) {
        tracing::warn!(error = &error as &dyn std::error::Error, "old log files could not be removed");
    }
    Ok(())
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

    /// Stops it and waits for it.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the warm-up thread panicked");
        }
    }
}

/// Starts the tasks that keep the catalog, the statistics and the tokens current until `shutdown` turns
/// true. Each is its own: one that waits for a busy database holds up no other.
pub(crate) fn keep_current(
    app: &Arc<App>,
    shutdown: &watch::Receiver<bool>,
) -> Vec<tokio::task::JoinHandle<()>> {
    vec![
        every(
            CATALOG_POLL,
            "follow the catalog",
            app,
            shutdown,
            |app| async move { app.catalog.follow().await },
        ),
        every(
            CATALOG_POLL,
            "follow the known ids",
            app,
            shutdown,
            |app| async move { app.known.follow().await },
        ),
        every(USAGE_FLUSH, "write the usage statistics", app, shutdown, |app| async move {
            app.usage.flush().await
        }),
        every(HOUSEKEEPING, "do the housekeeping", app, shutdown, house_keeping),
    ]
}

fn every<F>(
    period: Duration,
    what: &'static str,
    app: &Arc<App>,
    shutdown: &watch::Receiver<bool>,
    task: impl Fn(Arc<App>) -> F + Send + 'static,
) -> tokio::task::JoinHandle<()>
where
    F: Future<Output = Result<(), CatalogError>> + Send,
{
    let (app, mut shutdown) = (Arc::clone(app), shutdown.clone());
    tokio::spawn(async move {
        let _watch = app.alarm.watch(what);
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = stopping(&mut shutdown) => return,
            }
            if let Err(error) = task(Arc::clone(&app)).await {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(error = cause, "could not {what}; it will be tried again");
            }
        }
    })
}

async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the server.
    let _ = shutdown.wait_for(|&stopping| stopping).await;
}

async fn house_keeping(app: Arc<App>) -> Result<(), CatalogError> {
    let now_ms = app.clock.now_ms();
    app.catalog.tokens.flush_last_use(now_ms).await?;
    app.usage.purge_before(time::days_before(now_ms, app.keep_usage_days)).await
}
