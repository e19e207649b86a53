//! Metrics, named and in the units that Prometheus asks for. No ids ever become labels.

use crate::app::App;
use crate::ingest::Dropped;
use ia_log::{LogState, Observer};
use ia_profiles::Applied;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::Ordering;
use std::time::Duration;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// What answers are counted by. No label is made from what a caller sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: &'static str,
    method: &'static str,
    status: u16,
}

/// Everything that is counted, and the registry that names it.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    request_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    applied: AppliedMetrics,
    refused: Family<Labels<1>, Counter>,
    pixels_ignored: Family<Labels<1>, Counter>,
    consumer_requests: Family<Labels<1>, Counter>,
    log: LogMetrics,
    checkpoint_seconds: Histogram,
    checkpoint_failures: Counter,
    gauges: Gauges,
}

/// What the applier thread reports. Cloned into it.
#[derive(Clone, Default)]
pub(crate) struct AppliedMetrics {
    added: Counter,
    refreshed: Counter,
    removed: Counter,
}

impl AppliedMetrics {
    /// A record became visible.
    pub(crate) fn applied(&self, applied: &Applied) {
        self.added.inc_by(applied.added);
        self.refreshed.inc_by(applied.refreshed);
        self.removed.inc_by(applied.removed);
    }
}

/// What the log's writer thread reports. Cloned into the log.
#[derive(Clone)]
pub(crate) struct LogMetrics {
    append_seconds: Histogram,
    flush_seconds: Histogram,
    records: Counter,
    bytes: Counter,
}

/// Read from their sources when someone asks.
#[derive(Default)]
struct Gauges {
    ready: Gauge,
    log_writable: Gauge,
    backlog_bytes: Gauge,
    body_bytes: Gauge,
    queued_records: Gauge,
    log_files: Gauge,
    log_bytes: Gauge,
    durable_position: Gauge,
    applied_position: Gauge,
    checkpointed_position: Gauge,
    usage_position: Gauge,
    resident_profiles: Gauge,
    resident_bytes: Gauge,
    dirty_bytes: Gauge,
    evictions: Counter,
    read_throughs: Counter,
    catalog_generation: Gauge,
}

/// From a tenth of a millisecond to ten seconds.
fn seconds() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    ])
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("instant_audience");
        let metrics = Metrics {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            applied: AppliedMetrics::default(),
            refused: Family::default(),
            pixels_ignored: Family::default(),
            consumer_requests: Family::default(),
            log: LogMetrics {
                append_seconds: seconds(),
                flush_seconds: seconds(),
                records: Counter::default(),
                bytes: Counter::default(),
            },
            checkpoint_seconds: seconds(),
            checkpoint_failures: Counter::default(),
            gauges: Gauges::default(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        Metrics { registry, ..metrics }
    }
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Answered requests", self.requests.clone());
        registry.register_with_unit(
            "request",
            "Time from the headers of a request to its answer",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register("memberships_added", "Memberships that began", self.applied.added.clone());
        registry.register(
            "memberships_refreshed",
            "Live memberships that were added again",
            self.applied.refreshed.clone(),
        );
        registry.register("memberships_removed", "Memberships removed", self.applied.removed.clone());
        registry.register(
            "refusals",
            "Parts of accepted requests that were not applied, by cause",
            self.refused.clone(),
        );
        registry.register(
            "pixels_ignored",
            "Calls of pixels that wrote nothing and were answered as if they had, by cause",
            self.pixels_ignored.clone(),
        );
        registry.register(
            "consumer_requests",
            "Requests of people about their data that were carried out, by type",
            self.consumer_requests.clone(),
        );
        let log = &self.log;
        registry.register_with_unit(
            "log_append",
            "Time to write a group of records",
            Unit::Seconds,
            log.append_seconds.clone(),
        );
        registry.register_with_unit(
            "log_flush",
            "Time to flush a group of records to stable storage",
            Unit::Seconds,
            log.flush_seconds.clone(),
        );
        registry.register("log_records", "Records made durable", log.records.clone());
        registry.register_with_unit("log_written", "Bytes made durable", Unit::Bytes, log.bytes.clone());
        registry.register_with_unit(
            "checkpoint",
            "Time that a checkpoint took",
            Unit::Seconds,
            self.checkpoint_seconds.clone(),
        );
        registry.register("checkpoint_failures", "Checkpoints that failed", self.checkpoint_failures.clone());
        let g = &self.gauges;
        for (name, help, gauge) in [
            ("ready", "1 while the server takes writes", &g.ready),
            ("log_writable", "1 while the log can make records durable", &g.log_writable),
            ("backlog_bytes", "Bytes of records that wait to become durable and visible", &g.backlog_bytes),
            ("body_bytes", "Memory of request bodies that are being received or read", &g.body_bytes),
            ("log_queued_records", "Records that wait for the log", &g.queued_records),
            ("log_files", "Segment files of the log", &g.log_files),
            ("log_size_bytes", "Size of the log on disk", &g.log_bytes),
            ("log_durable_position", "Position of the last durable record", &g.durable_position),
            ("applied_position", "Position of the last record that reads can see", &g.applied_position),
            ("checkpointed_position", "Position that the last checkpoint covers", &g.checkpointed_position),
            ("usage_position", "Position that the usage statistics cover", &g.usage_position),
            ("profiles_resident", "Profiles in memory", &g.resident_profiles),
            ("profiles_resident_bytes", "Memory of the profiles", &g.resident_bytes),
            ("profiles_dirty_bytes", "Memory of profiles that wait for a checkpoint", &g.dirty_bytes),
            ("catalog_generation", "Generation of the catalog in force", &g.catalog_generation),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register("profiles_evictions", "Profiles that left memory", g.evictions.clone());
        registry.register(
            "profiles_read_throughs",
            "Profiles that were looked for on disk",
            g.read_throughs.clone(),
        );
    }

    /// The part for the applier thread.
    pub(crate) fn applied_observer(&self) -> AppliedMetrics {
        self.applied.clone()
    }

    /// The part for the log's writer thread.
    pub(crate) fn log_observer(&self) -> LogMetrics {
        self.log.clone()
    }

    /// Bytes that the log made durable since the start.
    pub(crate) fn log_bytes_written(&self) -> u64 {
        self.log.bytes.get()
    }

    /// An answer went out.
    pub(crate) fn answered(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Answer { route, method, status }).inc();
        self.request_seconds.get_or_create(&[("route", route)]).observe(took.as_secs_f64());
    }

    /// Parts of a request were not accepted.
    pub(crate) fn dropped(&self, dropped: &Dropped) {
        for (cause, count) in [
            ("malformed", dropped.malformed as u64),
            ("invalid_user", u64::from(dropped.invalid_users)),
            ("unauthorized_segment", u64::from(dropped.unauthorized)),
            ("inactive_segment", u64::from(dropped.inactive)),
            ("invalid_segment", u64::from(dropped.invalid_segments)),
        ] {
            if count > 0 {
                self.refused.get_or_create(&[("cause", cause)]).inc_by(count);
            }
        }
    }

    /// A call of a pixel was answered and wrote nothing.
    pub(crate) fn pixel_ignored(&self, cause: &'static str) {
        self.pixels_ignored.get_or_create(&[("cause", cause)]).inc();
    }

    /// A request of a person about its data was carried out.
    pub(crate) fn consumer_request(&self, request_type: &'static str) {
        self.consumer_requests.get_or_create(&[("type", request_type)]).inc();
    }

    /// A checkpoint failed.
    pub(crate) fn checkpoint_failed(&self) {
        self.checkpoint_failures.inc();
    }

    /// A checkpoint is done.
    pub(crate) fn checkpointed(&self, took: Duration) {
        self.checkpoint_seconds.observe(took.as_secs_f64());
    }

    /// The text that Prometheus reads.
    pub(crate) fn encode(&self, app: &App) -> String {
        self.gauges.read(app);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}

impl Gauges {
    fn read(&self, app: &App) {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let log = app.log.stats();
        let profiles = app.profiles.stats();
        set(&self.ready, app.not_ready().is_none().into());
        set(&self.log_writable, (app.log.state() == LogState::Writable).into());
        set(&self.backlog_bytes, app.committer.backlog_bytes() as u64);
        set(&self.body_bytes, app.body_budget.held_bytes() as u64);
        set(&self.queued_records, log.queued_records as u64);
        set(&self.log_files, log.files as u64);
        set(&self.log_bytes, log.bytes_on_disk);
        set(&self.durable_position, log.next_position - 1);
        set(&self.applied_position, app.profiles.applied_position());
        set(&self.checkpointed_position, app.profiles.checkpointed_position());
        set(&self.usage_position, app.usage.covered_position());
        set(&self.resident_profiles, profiles.resident_profiles);
        set(&self.resident_bytes, profiles.resident_bytes);
        set(&self.dirty_bytes, profiles.dirty_bytes);
        self.evictions.inner().store(profiles.evictions, Ordering::Relaxed);
        self.read_throughs.inner().store(profiles.read_throughs, Ordering::Relaxed);
        set(&self.catalog_generation, app.catalog.snapshot().generation());
    }
}

impl Observer for LogMetrics {
    fn flushed(&self, records: usize, bytes: usize, write: Duration, flush: Duration) {
        self.append_seconds.observe(write.as_secs_f64());
        self.flush_seconds.observe(flush.as_secs_f64());
        self.records.inc_by(records as u64);
        self.bytes.inc_by(bytes as u64);
    }
}
