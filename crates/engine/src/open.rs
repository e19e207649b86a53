//! Opens a data directory and closes it in order.

mod databases;

use crate::Engine;
use crate::alarm::Alarm;
use crate::auth::{Authenticator, LoginLimits};
use crate::data_dir::{DataDir, DataDirLock};
use crate::erasures::Erasures;
use crate::files::{DiskSpool, EarlyChecks, FileReading, FileRules, Files, Shared};
use crate::ingest::{ExpirationRules, Ingester};
use crate::large_work::LargeWork;
use crate::limits::{Limits, RequestLimits, ServiceLimits};
use crate::linking::{LinkRules, Linker};
use crate::metrics::Metrics;
use crate::nobody::Nobody;
use crate::people::People;
use crate::pixels::{PixelWriteRules, PixelWriter};
use crate::reading::Reader;
use crate::services::Services;
use crate::sync::thread;
use crate::upkeep::{CheckpointRules, Checkpointer, Checkpoints, WarmUp, every};
use crate::usage::{Reports, UsageFollower};
use crate::write::commit::{Committer, Followers};
use crate::write::replay::replay;
use anyhow::Context;
use databases::Databases;
use ia_catalog::{SqliteCatalog, SqliteUsage};
use ia_log::{Disk, DiskLog, Log, LogOptions};
use ia_model::{Clock, time};
use ia_profiles::{PackedProfiles, ProfileOptions, Profiles};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often to look for catalog changes and known ids of another process. The promise is "within a second".
const CATALOG_POLL: Duration = Duration::from_millis(200);

/// How often usage statistics are written. Reports include what is not written yet; this only limits how much of the
/// log a start reads again.
const USAGE_FLUSH: Duration = Duration::from_secs(1);

/// How often the last uses of tokens are written and old statistics are deleted.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// How long closing the databases may take. Nothing is lost if it is cut short.
const CLOSING: Duration = Duration::from_secs(5);

/// The machine under the engine: the real one, or a test's replacement.
pub struct Machine {
    /// The source of the time.
    pub clock: Arc<dyn Clock>,
    /// The disk under the log.
    pub log_disk: Arc<dyn Disk>,
}

/// The settings of an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The name of this process, part of the tokens that it issues.
    pub instance: String,
    /// Size in bytes at which the log begins a new file.
    pub log_segment_bytes: u64,
    /// Bytes of records that may wait to become durable and visible.
    pub max_backlog_bytes: usize,
    /// Bytes of profiles in memory.
    pub memory_budget_bytes: u64,
    /// A checkpoint is due after this time, if anything has changed.
    pub checkpoint_interval: Duration,
    /// A checkpoint is due after this many bytes of log.
    pub checkpoint_log_bytes: u64,
    /// The most ids linked to one user.
    pub links_per_user: usize,
    /// How links are made.
    pub links: LinkRules,
    /// Ids that are no user's.
    pub nobody: Nobody,
    /// How long memberships last.
    pub expiration: ExpirationRules,
    /// Strict mode: an id that is not known counts as invalid.
    pub only_known_users: bool,
    /// Days for which usage statistics are kept.
    pub keep_usage_days: u32,
    /// Limits of members without their own.
    pub request_limits: RequestLimits,
    /// Dry runs of one member a second; 0 means no limit.
    pub dry_runs_per_second: u32,
    /// Limits of the catalog services.
    pub service_limits: ServiceLimits,
    /// Limits of logins.
    pub login_limits: LoginLimits,
    /// Large requests that are processed at once.
    pub max_large_requests: usize,
    /// What pixels may write.
    pub pixels: PixelWriteRules,
    /// The limits of files.
    pub files: FileRules,
}

/// A running engine, and its threads, tasks and stores, which must be stopped in order.
pub struct OpenEngine {
    /// The engine.
    pub engine: Arc<Engine>,
    log: Arc<DiskLog>,
    applier: thread::JoinHandle<()>,
    checkpoints: Arc<Checkpoints>,
    checkpointer: Checkpointer,
    warm_up: WarmUp,
    file_reading: FileReading,
    tasks: Vec<JoinHandle<()>>,
    stop_tasks: watch::Sender<bool>,
    catalog: Arc<SqliteCatalog>,
    usage_store: SqliteUsage,
    _lock: DataDirLock,
}

/// The log, and the profiles with all of the log applied.
struct Stores {
    log: Arc<DiskLog>,
    profiles: Arc<PackedProfiles>,
}

/// Opens a data directory, replays the end of the log and starts the threads. Metrics are registered in `registry`.
///
/// # Errors
///
/// If another process uses the directory, a part of it cannot be read or started, or `stop` turns true meanwhile.
pub async fn open(
    options: EngineOptions,
    data_dir: DataDir,
    machine: Machine,
    registry: &mut Registry,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<OpenEngine> {
    let lock = data_dir.lock()?;
    let metrics = Arc::new(Metrics::new(registry));
    let databases = Databases::open(&options, &data_dir, &machine.clock).await?;
    let usage = Arc::clone(&databases.usage);
    let stores = open_stores(&options, &data_dir, machine.log_disk, &metrics, usage, stop).await?;
    data_dir.sync()?;
    let alarm = Alarm::default();
    let followers = Followers {
        profiles: Arc::clone(&stores.profiles) as _,
        usage: Arc::clone(&databases.usage),
        metrics: metrics.applied.clone(),
    };
    let log = Arc::clone(&stores.log) as Arc<dyn Log>;
    let (committer, applier) =
        Committer::start(Arc::clone(&log), followers, options.max_backlog_bytes, alarm.clone())?;
    let checkpoints = Arc::new(Checkpoints {
        profiles: Arc::clone(&stores.profiles) as _,
        log: Arc::clone(&log),
        usage: Arc::clone(&databases.usage),
        erasures: Erasures::new(
            log,
            Arc::clone(&stores.profiles) as _,
            Arc::clone(&databases.usage),
            alarm.clone(),
        ),
        data_dir: data_dir.clone(),
        metrics: metrics.checkpoints.clone(),
        log_metrics: metrics.log.clone(),
        rules: CheckpointRules {
            interval: options.checkpoint_interval,
            log_bytes: options.checkpoint_log_bytes,
            memory_budget_bytes: options.memory_budget_bytes,
        },
    });
    let keep_usage_days = options.keep_usage_days;
    let committer = Arc::new(committer);
    let (files, file_reading) = start_files(
        &options,
        &data_dir,
        &machine.clock,
        &databases,
        Arc::clone(&stores.profiles) as _,
        Arc::clone(&committer),
        Arc::clone(&metrics),
    )
    .context("cannot open the folder of uploaded files")?;
    let engine = build_engine(options, machine.clock, &databases, &stores, committer, metrics, alarm, files)?;
    let engine = Arc::new(engine);
    let (stop_tasks, stopping) = watch::channel(false);
    Ok(OpenEngine {
        checkpointer: Checkpointer::start(Arc::clone(&checkpoints), &engine.alarm)?,
        warm_up: WarmUp::start(stores.profiles, &engine.alarm)?,
        file_reading,
        tasks: keep_current(&engine, &databases, keep_usage_days, &stopping),
        engine,
        log: stores.log,
        applier,
        checkpoints,
        stop_tasks,
        catalog: databases.catalog,
        usage_store: databases.usage_store,
        _lock: lock,
    })
}

async fn open_stores(
    options: &EngineOptions,
    data_dir: &DataDir,
    log_disk: Arc<dyn Disk>,
    metrics: &Metrics,
    usage: Arc<UsageFollower>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Stores> {
    let log_options = LogOptions {
        segment_bytes: options.log_segment_bytes,
        // The committer's limit is the one in force; the log's must not be smaller.
        max_queue_bytes: options.max_backlog_bytes.max(LogOptions::default().max_queue_bytes),
        ..LogOptions::default()
    };
    let profile_options = ProfileOptions {
        memory_budget_bytes: options.memory_budget_bytes,
        links_per_user: options.links_per_user,
        ..ProfileOptions::default()
    };
    let (log_dir, profiles_dir) = (data_dir.log(), data_dir.profiles());
    let observer = Arc::new(metrics.log.clone());
    tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let (log, _) =
            DiskLog::open(log_dir, log_options, log_disk, observer).context("cannot open the log")?;
        let profiles =
            PackedProfiles::open(&profiles_dir, profile_options).context("cannot open the profiles")?;
        let records = replay(&log, &profiles, &usage, &stop).context("cannot replay the log")?;
        tracing::info!(records, millis = started.elapsed().as_millis(), "the log is replayed");
        Ok(Stores { log: Arc::new(log), profiles: Arc::new(profiles) })
    })
    .await?
}

/// Begins to read the files that wait, and takes new ones.
fn start_files(
    options: &EngineOptions,
    data_dir: &DataDir,
    clock: &Arc<dyn Clock>,
    databases: &Databases,
    profiles: Arc<dyn Profiles>,
    committer: Arc<Committer>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<(Files, FileReading)> {
    let shared = Shared {
        jobs: Arc::clone(&databases.jobs),
        spool: Arc::new(DiskSpool::open(data_dir.files())?),
        early: EarlyChecks::new(options.files.files_at_once),
        catalog: Arc::clone(&databases.view),
        profiles,
        opt_outs: Arc::clone(&databases.opt_outs),
        deletions: Arc::clone(&databases.deletions),
        known: Arc::clone(&databases.known),
        nobody: Arc::new(options.nobody.clone()),
        committer,
        metrics,
        clock: Arc::clone(clock),
        rules: options.files,
        runtime: Handle::current(),
        stopping: AtomicBool::new(false),
        wake: Arc::default(),
    };
    Ok(Files::start(Arc::new(shared))?)
}

#[expect(clippy::too_many_arguments, reason = "the parts that open has made, each used once")]
fn build_engine(
    options: EngineOptions,
    clock: Arc<dyn Clock>,
    databases: &Databases,
    stores: &Stores,
    committer: Arc<Committer>,
    metrics: Arc<Metrics>,
    alarm: Alarm,
    files: Files,
) -> anyhow::Result<Engine> {
    let catalog = &databases.view;
    let authenticator = Authenticator::new(
        Arc::clone(&databases.catalog) as _,
        Arc::clone(&databases.catalog) as _,
        Arc::clone(&catalog.tokens),
        Arc::clone(&clock),
        options.login_limits,
    );
    let authenticator = Arc::new(authenticator);
    let limits =
        Arc::new(Limits::new(options.request_limits, options.dry_runs_per_second, options.service_limits));
    let large_work = Arc::new(LargeWork::start(options.max_large_requests)?);
    let nobody = Arc::new(options.nobody);
    let ingest = Arc::new(Ingester {
        catalog: Arc::clone(catalog),
        opt_outs: Arc::clone(&databases.opt_outs),
        known: Arc::clone(&databases.known),
        nobody: Arc::clone(&nobody),
        limits: Arc::clone(&limits),
        expiration: options.expiration,
        committer: Arc::clone(&committer),
        large_work: Arc::clone(&large_work),
        metrics: Arc::clone(&metrics),
        clock: Arc::clone(&clock),
    });
    let people = People {
        catalog: Arc::clone(catalog),
        opt_outs: Arc::clone(&databases.opt_outs),
        known: Arc::clone(&databases.known),
        profiles: Arc::clone(&stores.profiles) as _,
        files: Arc::clone(&databases.deletions),
        committer: Arc::clone(&committer),
        clock: Arc::clone(&clock),
    };
    let reader = Reader {
        profiles: Arc::clone(&stores.profiles) as _,
        opt_outs: Arc::clone(&databases.opt_outs),
        nobody: Arc::clone(&nobody),
        catalog: Arc::clone(catalog),
        clock: Arc::clone(&clock),
    };
    let services = Services {
        catalog: Arc::clone(catalog),
        authenticator: Arc::clone(&authenticator),
        limits: Arc::clone(&limits),
        clock: Arc::clone(&clock),
    };
    Ok(Engine {
        clock,
        services,
        authenticator,
        limits,
        pixels: PixelWriter::new(
            Arc::clone(&ingest),
            Linker { people: people.clone(), nobody: Arc::clone(&nobody), rules: options.links },
            people.clone(),
            options.pixels,
        ),
        ingest,
        files,
        reader,
        people,
        reports: Reports::new(Arc::clone(&databases.usage)),
        large_work,
        metrics,
        log: Arc::clone(&stores.log) as _,
        profiles: Arc::clone(&stores.profiles) as _,
        usage: Arc::clone(&databases.usage),
        committer,
        alarm,
        catalog: Arc::clone(catalog),
    })
}

/// Starts the tasks that keep the catalog, the statistics and the tokens current until `stopping` turns true. They are
/// separate, so that one that waits for a busy database does not delay the others.
fn keep_current(
    engine: &Engine,
    databases: &Databases,
    keep_usage_days: u32,
    stopping: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let alarm = &engine.alarm;
    let (catalog, known) = (Arc::clone(&engine.catalog), Arc::clone(&databases.known));
    let usage = Arc::clone(&engine.usage);
    let housekeeping = {
        let (tokens, usage) = (Arc::clone(&engine.catalog.tokens), Arc::clone(&engine.usage));
        let (files, clock) = (engine.files.clone(), Arc::clone(&engine.clock));
        move || {
            let (tokens, usage, now_ms) = (Arc::clone(&tokens), Arc::clone(&usage), clock.now_ms());
            let files = files.clone();
            async move {
                tokens.flush_last_use(now_ms).await?;
                files.tidy().await?;
                usage.purge_before(time::days_before(now_ms, keep_usage_days)).await
            }
        }
    };
    vec![
        every(CATALOG_POLL, "task that follows the catalog", alarm, stopping, move || {
            let catalog = Arc::clone(&catalog);
            async move { catalog.follow().await }
        }),
        every(CATALOG_POLL, "task that follows the known ids", alarm, stopping, move || {
            let known = Arc::clone(&known);
            async move { known.follow().await }
        }),
        every(USAGE_FLUSH, "task that writes the usage statistics", alarm, stopping, move || {
            let usage = Arc::clone(&usage);
            async move { usage.flush().await }
        }),
        every(HOUSEKEEPING, "housekeeping task", alarm, stopping, housekeeping),
    ]
}

impl OpenEngine {
    /// Ends the threads and writes what is in memory. After a failure the other steps still run; the first failure is
    /// returned.
    pub async fn close(self) -> anyhow::Result<()> {
        let OpenEngine { engine, log, applier, checkpoints, checkpointer, warm_up, .. } = self;
        let mut results = Vec::new();
        self.file_reading.stop().await;
        self.stop_tasks.send_replace(true);
        for task in self.tasks {
            results.push(task.await.context("a background task panicked"));
        }
        let (committer, last) = (Arc::clone(&engine.committer), Arc::clone(&checkpoints));
        let threads = tokio::task::spawn_blocking(move || {
            checkpointer.stop();
            warm_up.stop();
            // For the last checkpoint: the log is closed by then and cannot be sealed.
            last.erasures.seal_log();
            log.close();
            committer.stop();
            applier.join().map_err(|_| anyhow::anyhow!("the applier thread panicked"))
        });
        results.push(threads.await.context("cannot end the threads").flatten());
        results.push(engine.usage.flush().await.context("cannot write the usage statistics"));
        let flushed = engine.catalog.tokens.flush_last_use(engine.clock.now_ms()).await;
        results.push(flushed.map(drop).context("cannot write the last use of tokens"));
        let checkpoint = tokio::task::spawn_blocking(move || checkpoints.write());
        results.push(checkpoint.await.context("cannot write the last checkpoint").flatten());
        // Each merges its WAL into its main file, so that a stopped server leaves complete files.
        let closed = async { tokio::join!(self.catalog.close(), self.usage_store.close()) };
        if tokio::time::timeout(CLOSING, closed).await.is_err() {
            tracing::warn!("the databases did not close in time; the next start completes it");
        }
        results.into_iter().collect()
    }
}
