//! The composition root: the only place, with `cli`, that names concrete engines.

use crate::alarm::Alarm;
use crate::auth::{Authenticator, LoginLimits};
use crate::background::{self, CheckpointRules, Checkpointer, WarmUp};
use crate::budget::ByteBudget;
use crate::config::{Config, UnknownUsers};
use crate::data_dir::DataDir;
use crate::http::Service;
use crate::http::serve::{ConnectionLimits, serve};
use crate::identities::LinkRules;
use crate::ingest::commit::{Committer, Views};
use crate::ingest::replay::replay;
use crate::ingest::resolve::ExpirationRules;
use crate::limits::{Limits, RequestLimits, ServiceLimits};
use crate::metrics::Metrics;
use crate::pixels::Pixels;
use crate::privacy::{Erasures, Suppression, erasure};
use crate::threads::{Urgency, WorkThreads};
use crate::tls;
use crate::usage::UsageFollower;
use anyhow::Context;
use arc_swap::ArcSwap;
use ia_catalog::segments::SegmentStore;
use ia_catalog::{
    AccountChange, Accounts, Catalog, CatalogError, Changed, Delta, KnownUsers, Login, PublicKeyStore,
    Snapshot, SqliteCatalog, SqliteUsage, Tokens,
};
use ia_log::{Disk, DiskLog, Log, LogOptions};
use ia_model::Clock;
use ia_profiles::{PackedProfiles, ProfileOptions, Profiles};
use std::fmt::Write;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

/// What requests share: every part of the product, behind its trait.
pub struct App {
    pub(crate) instance: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Whose ids are taken.
    pub(crate) known: Arc<KnownUsers>,
    pub(crate) public_keys: Arc<dyn PublicKeyStore>,
    pub(crate) authenticator: Authenticator,
    pub(crate) limits: Limits,
    pub(crate) expiration: ExpirationRules,
    pub(crate) link_rules: LinkRules,
    pub(crate) suppression: Arc<Suppression>,
    pub(crate) erasures: Erasures,
    pub(crate) body_timeout: Duration,
    /// Bounds the memory of bodies, however slowly they come in.
    pub(crate) body_budget: Arc<ByteBudget>,
    /// Bounds the memory and the threads that reading large bodies takes.
    pub(crate) large_requests: Arc<Semaphore>,
    /// Where they are worked on, which async workers must not do.
    pub(crate) large_work: WorkThreads,
    /// Bounds the memory that usage reports take.
    pub(crate) reports: Semaphore,
    pub(crate) committer: Committer,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) profiles: Arc<dyn Profiles>,
    pub(crate) usage: Arc<UsageFollower>,
    pub(crate) keep_usage_days: u32,
    pub(crate) metrics: Metrics,
    pub(crate) alarm: Alarm,
    /// `None` while they are switched off.
    pub(crate) pixels: Option<Pixels>,
    pub(crate) data_dir: DataDir,
    pub(crate) segments: Arc<dyn SegmentStore>,
    catalog: Arc<dyn Catalog>,
    accounts: Arc<dyn Accounts>,
    /// Held while the catalog is changed or the snapshot replaced, so that no older one replaces a newer one.
    catalog_change: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
    request_ids: RequestIds,
}

impl App {
    /// Why this server should get no requests at present; `None` when it should.
    pub(crate) fn not_ready(&self) -> Option<String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("stopping".to_owned());
        }
        self.committer.fault()
    }

    /// A new request id.
    pub(crate) fn next_request_id(&self) -> String {
        self.request_ids.next()
    }

    /// Makes a change of the catalog and shows it: every request that starts after this returns sees it.
    ///
    /// Where it fails after the change was made (the catalog could not be read again), the change shows a moment
    /// later, by `follow_catalog`.
    pub(crate) async fn change_catalog<T>(
        &self,
        change: impl Future<Output = Result<Changed<T>, CatalogError>>,
    ) -> Result<T, CatalogError> {
        let _alone = self.catalog_change.lock().await;
        let Changed { value, generation, delta } = change.await?;
        let before = self.snapshot.load_full();
        let is_about_logins = matches!(delta, Delta::Accounts(_) | Delta::Logins);
        // Off the async workers: now and then it packs all segments.
        let after = tokio::task::spawn_blocking(move || before.after(generation, &delta)).await;
        match after.ok().flatten() {
            Some(after) => {
                if is_about_logins {
                    self.tokens.reload().await?;
                }
                self.snapshot.store(Arc::new(after));
            }
            None => self.take_over().await?,
        }
        Ok(value)
    }

    /// Members, logins, sharing and batch set-ups, to be read.
    pub(crate) fn accounts(&self) -> &dyn Accounts {
        &*self.accounts
    }

    /// Changes them in the name of `by`, as [`App::change_catalog`] does, and gives their ids.
    pub(crate) async fn change_accounts(
        &self,
        change: &AccountChange,
        by: &Login,
    ) -> Result<Vec<u32>, CatalogError> {
        self.change_catalog(self.accounts.change_accounts(change, by, self.clock.now_ms())).await
    }

    /// Takes over what another process has changed in the catalog.
    pub(crate) async fn follow_catalog(&self) -> Result<(), CatalogError> {
        let _alone = self.catalog_change.lock().await;
        self.take_over().await
    }

    /// The caller holds `catalog_change`.
    async fn take_over(&self) -> Result<(), CatalogError> {
        if self.catalog.generation().await? != self.snapshot.load().generation() {
            // The snapshot first, since it carries the generation: what changes after it was read, a token
            // that is taken back for one, shows as a new generation the next time.
            let snapshot = self.catalog.snapshot().await?;
            self.tokens.reload().await?;
            tracing::info!(
                generation = snapshot.generation(),
                segments = snapshot.segment_count(),
                "the catalog changed"
            );
            self.snapshot.store(Arc::new(snapshot));
        }
        Ok(())
    }
}

/// Usage reports by the hour that are put together at once; each can take a hundred megabytes.
const REPORTS_AT_ONCE: usize = 2;

/// No machine has memory for more large requests at once: one of a megabyte takes up to 120 MiB.
const MAX_LARGE_REQUESTS: usize = 1 << 16;

/// Unique over restarts and instances: a random start, then a count.
struct RequestIds {
    prefix: Box<str>,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> anyhow::Result<RequestIds> {
        Ok(RequestIds { prefix: format!("{:016x}-", getrandom::u64()?).into(), count: AtomicU64::new(0) })
    }

    fn next(&self) -> String {
        let mut id = String::with_capacity(self.prefix.len() + 16);
        id.push_str(&self.prefix);
        write!(id, "{:x}", self.count.fetch_add(1, Ordering::Relaxed))
            .expect("writing to a String does not fail");
        id
    }
}

/// The two listeners, bound already.
pub struct Listeners {
    /// For the API.
    pub api: TcpListener,
    /// For health and metrics.
    pub ops: TcpListener,
}

impl Listeners {
    /// Binds both addresses of the configuration; port 0 takes a free one.
    pub async fn bind(config: &Config) -> anyhow::Result<Listeners> {
        let bind = async |address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
        };
        Ok(Listeners { api: bind(config.server.listen).await?, ops: bind(config.server.ops_listen).await? })
    }
}

/// What the server stands on: the real machine, or what a test puts in its place.
pub struct Machine {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// The disk under the log.
    pub log_disk: Arc<dyn Disk>,
}

/// The parts of the app that need a stop of their own.
struct Engines {
    app: Arc<App>,
    log: Arc<DiskLog>,
    applier: crate::sync::thread::JoinHandle<()>,
    checkpointer: Checkpointer,
    warm_up: WarmUp,
    catalog: Arc<SqliteCatalog>,
    usage_store: SqliteUsage,
}

/// How long the databases may take to be closed. Nothing is lost when they are not.
const CLOSING: Duration = Duration::from_secs(5);

/// Runs the server until `shutdown` is done; then answers what was taken, writes a checkpoint and returns.
///
/// `ready` is told when requests are served. The ops listener answers from the start.
pub async fn run(
    config: Config,
    listeners: Listeners,
    machine: Machine,
    ready: oneshot::Sender<()>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let tls = config.tls_files().map(|(cert, key)| tls::acceptor(cert, key)).transpose()?;
    let (stop_api, api_stopping) = watch::channel(false);
    let (stop_ops, ops_stopping) = watch::channel(false);
    let connections = ConnectionLimits {
        max_connections: config.http.max_connections,
        header_timeout: Duration::from_secs(config.http.header_timeout_seconds),
        idle_timeout: Duration::from_secs(config.http.idle_timeout_seconds),
    };
    let started = Arc::new(OnceLock::new());
    let ops = tokio::spawn(serve(
        listeners.ops,
        None,
        Service::ops(Arc::clone(&started)),
        connections,
        ops_stopping,
    ));

    let data_dir = DataDir::create(&config.server.data_dir)?;
    let _lock = data_dir.lock()?;
    let mut shutdown = std::pin::pin!(shutdown);
    let stop_replay = Arc::new(AtomicBool::new(false));
    let engines = tokio::select! {
        engines = open(&config, &data_dir, machine, Arc::clone(&stop_replay)) => engines?,
        () = &mut shutdown => {
            stop_replay.store(true, Ordering::Relaxed);
            tracing::info!("stopped while starting");
            return Ok(());
        }
    };
    data_dir.sync()?;
    let app = Arc::clone(&engines.app);
    let _ = started.set(Arc::clone(&app));
    let keepers = background::keep_current(&app, &api_stopping);
    let api = serve(listeners.api, tls, Service::api(Arc::clone(&app)), connections, api_stopping);
    let mut api = tokio::spawn(api);
    // Nobody may be waiting for the news.
    let _ = ready.send(());

    tokio::select! {
        () = &mut shutdown => tracing::info!("stopping"),
        ended = &mut api => anyhow::bail!("the API listener ended by itself: {ended:?}"),
    }
    app.stopping.store(true, Ordering::Relaxed);
    stop_api.send_replace(true);
    api.await?;
    let result = close(engines, keepers).await;
    stop_ops.send_replace(true);
    ops.await?;
    tracing::info!("stopped");
    result
}

/// Ends the threads and writes down what is in memory. One thing that fails does not keep the others from
/// being done; the first failure is returned.
async fn close(engines: Engines, keepers: Vec<JoinHandle<()>>) -> anyhow::Result<()> {
    let Engines { app, log, applier, checkpointer, warm_up, catalog, usage_store } = engines;
    let mut results = Vec::new();
    for keeper in keepers {
        results.push(keeper.await.context("a background task panicked"));
    }
    let committer_of = Arc::clone(&app);
    let threads = tokio::task::spawn_blocking(move || {
        checkpointer.stop();
        warm_up.stop();
        // For the last checkpoint, when the log takes nothing any more.
        erasure::seal_log(&committer_of);
        log.close();
        committer_of.committer.stop();
        applier.join().map_err(|_| anyhow::anyhow!("the applier thread panicked"))
    });
    results.push(threads.await.context("cannot end the threads").flatten());
    results.push(app.usage.flush().await.context("cannot write the usage statistics"));
    let flushed = app.tokens.flush_last_use(app.clock.now_ms()).await;
    results.push(flushed.map(drop).context("cannot write the last use of tokens"));
    let checkpoint = tokio::task::spawn_blocking(move || background::checkpoint(&app));
    results.push(checkpoint.await.context("cannot write the last checkpoint").flatten());
    // Each folds its WAL into its file, so that a stopped server leaves files that are whole by themselves.
    let closed = async { tokio::join!(catalog.close(), usage_store.close()) };
    if tokio::time::timeout(CLOSING, closed).await.is_err() {
        tracing::warn!("the databases could not be closed in order; the next start does what is left");
    }
    results.into_iter().collect()
}

/// What to do about a damaged catalog.
const CATALOG_WAY_OUT: &str = "restore the data directory from a backup; or move this file and its -wal and -shm away, apply your catalog file again, and have users log in again";
/// What to do about damaged statistics.
const USAGE_WAY_OUT: &str = "restore the data directory from a backup; or move this file and its -wal and -shm away: statistics are then counted from the log's first position on";

fn with_way_out(error: CatalogError, way_out: &'static str) -> anyhow::Error {
    let is_damage = matches!(error, CatalogError::Damaged { .. });
    let error = anyhow::Error::from(error);
    if is_damage { error.context(way_out) } else { error }
}

/// Opens everything that is kept, replays the log's tail and starts the threads.
async fn open(
    config: &Config,
    data_dir: &DataDir,
    machine: Machine,
    stop_replay: Arc<AtomicBool>,
) -> anyhow::Result<Engines> {
    let Machine { clock, log_disk } = machine;
    let metrics = Metrics::default();
    if data_dir.has_lost_its_catalog() {
        anyhow::bail!(
            "{} is gone or empty, but the log holds what providers sent: restore the data directory from a backup, or apply your catalog file again, and have users log in again",
            data_dir.catalog().display()
        );
    }
    let catalog = SqliteCatalog::open(&data_dir.catalog(), Arc::clone(&clock))
        .await
        .map_err(|error| with_way_out(error, CATALOG_WAY_OUT))
        .context("cannot open the catalog")?;
    let catalog = Arc::new(catalog);
    // In this order, as in `follow_catalog`.
    let snapshot = catalog.snapshot().await.context("cannot read the catalog")?;
    let tokens = Tokens::load(Arc::clone(&catalog) as _, &config.server.instance).await?;
    let tokens = Arc::new(tokens);
    let suppression =
        Suppression::load(Arc::clone(&catalog) as _).await.context("cannot read the opt-outs")?;
    let known = open_known_users(config, &catalog).await.context("cannot read the known ids")?;
    let usage_store = SqliteUsage::open(&data_dir.usage())
        .await
        .map_err(|error| with_way_out(error, USAGE_WAY_OUT))
        .context("cannot open the usage statistics")?;
    let usage = Arc::new(UsageFollower::open(Arc::new(usage_store.clone())).await?);

    let log_options = LogOptions {
        segment_bytes: config.log.segment_bytes.0,
        // The committer's bound is the one that holds; the log's own must only not be smaller.
        max_queue_bytes: config.log.max_backlog_bytes.as_usize().max(LogOptions::default().max_queue_bytes),
        ..LogOptions::default()
    };
    let profile_options = ProfileOptions {
        memory_budget_bytes: config.profiles.memory_budget.0,
        links_per_user: config.identities.links_per_user,
        ..ProfileOptions::default()
    };
    let (log_dir, profiles_dir) = (data_dir.log(), data_dir.profiles());
    let observer = Arc::new(metrics.log_observer());
    let follower = Arc::clone(&usage);
    let (log, profiles) = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let started = Instant::now();
        let (log, _) =
            DiskLog::open(log_dir, log_options, log_disk, observer).context("cannot open the log")?;
        let profiles =
            PackedProfiles::open(&profiles_dir, profile_options).context("cannot open the profiles")?;
        let records = replay(&log, &profiles, &follower, &stop_replay).context("cannot replay the log")?;
        tracing::info!(records, millis = started.elapsed().as_millis(), "the log is replayed");
        Ok((Arc::new(log), Arc::new(profiles)))
    })
    .await??;

    let alarm = Alarm::default();
    let views = Views {
        profiles: Arc::clone(&profiles) as _,
        usage: Arc::clone(&usage),
        metrics: metrics.applied_observer(),
    };
    let max_backlog_bytes = config.log.max_backlog_bytes.as_usize();
    let (committer, applier) =
        Committer::start(Arc::clone(&log) as _, views, max_backlog_bytes, alarm.clone())?;
    let login_limits = LoginLimits {
        successes_per_user: config.limits.logins_per_five_minutes,
        failures_per_user: config.limits.failed_logins_per_user_per_five_minutes,
        failures_per_address: config.limits.failed_logins_per_address_per_five_minutes,
    };
    let authenticator = Authenticator::new(
        Arc::clone(&catalog) as _,
        Arc::clone(&catalog) as _,
        Arc::clone(&tokens),
        Arc::clone(&clock),
        login_limits,
    );
    let max_large_requests = config.http.max_large_requests.min(MAX_LARGE_REQUESTS);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let app = Arc::new(App {
        instance: config.server.instance.clone(),
        clock,
        tokens,
        snapshot: ArcSwap::from_pointee(snapshot),
        known: Arc::new(known),
        public_keys: Arc::clone(&catalog) as _,
        authenticator,
        limits: Limits::new(request_limits(config), service_limits(config)),
        suppression: Arc::new(suppression),
        erasures: Erasures::new(),
        expiration: ExpirationRules {
            default_minutes: config.memberships.default_expiration,
            max_minutes: Some(config.memberships.max_expiration).filter(|&minutes| minutes > 0),
        },
        link_rules: LinkRules { ttl_minutes: config.identities.mapping_ttl_minutes },
        body_timeout: Duration::from_secs(config.http.body_timeout_seconds),
        body_budget: ByteBudget::new(config.http.max_body_memory.as_usize()),
        large_requests: Arc::new(Semaphore::new(max_large_requests)),
        large_work: WorkThreads::start(
            "ia-large",
            max_large_requests.min(2 * cores),
            max_large_requests,
            Urgency::Low,
        )?,
        reports: Semaphore::new(REPORTS_AT_ONCE),
        committer,
        log: Arc::clone(&log) as _,
        profiles: Arc::clone(&profiles) as _,
        usage,
        keep_usage_days: config.usage.keep_days,
        metrics,
        alarm,
        pixels: config.pixels.options()?.map(Pixels::new),
        data_dir: data_dir.clone(),
        segments: Arc::clone(&catalog) as _,
        catalog: Arc::clone(&catalog) as _,
        accounts: Arc::clone(&catalog) as _,
        catalog_change: tokio::sync::Mutex::default(),
        stopping: AtomicBool::new(false),
        request_ids: RequestIds::new()?,
    });
    let rules = CheckpointRules {
        interval: Duration::from_secs(config.profiles.checkpoint_interval_seconds),
        log_bytes: config.profiles.checkpoint_log_bytes.0,
        memory_budget_bytes: config.profiles.memory_budget.0,
    };
    let checkpointer = Checkpointer::start(Arc::clone(&app), rules)?;
    let warm_up = WarmUp::start(profiles, &app.alarm)?;
    Ok(Engines { app, log, applier, checkpointer, warm_up, catalog, usage_store })
}

async fn open_known_users(config: &Config, catalog: &Arc<SqliteCatalog>) -> anyhow::Result<KnownUsers> {
    if config.memberships.unknown_users == UnknownUsers::Accept {
        return Ok(KnownUsers::everybody());
    }
    let started = Instant::now();
    let known = KnownUsers::load(Arc::clone(catalog) as _)
        .await
        .map_err(|error| with_way_out(error, CATALOG_WAY_OUT))?;
    tracing::info!(ids = known.count(), millis = started.elapsed().as_millis(), "the known ids are read");
    Ok(known)
}

fn service_limits(config: &Config) -> ServiceLimits {
    ServiceLimits {
        reads_per_minute: config.limits.api_reads_per_minute,
        writes_per_minute: config.limits.api_writes_per_minute,
        segments_per_member: config.limits.segments_per_member,
    }
}

fn request_limits(config: &Config) -> RequestLimits {
    let limits = &config.limits;
    RequestLimits {
        posts_per_second: limits.posts_per_second,
        gets_per_second: limits.gets_per_second,
        users_per_request: limits.users_per_request,
        users_per_second: limits.users_per_second,
        segments_per_user: limits.segments_per_user,
        payload_bytes: limits.payload_bytes,
    }
}
