//! The counters of HTTP, and gauges that are read from the engine for each scrape. A label never holds a value that a
//! caller sent.

use ia_engine::metrics::seconds;
use ia_engine::{LogState, Status};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The labels of counted answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

/// The route of a request.
type RouteLabel = [(&'static str, &'static str); 1];

/// What is wrong with what a proxy sends.
type CauseLabel = [(&'static str, &'static str); 1];

/// The metrics of the process, with the registry that names them.
pub(crate) struct HttpMetrics {
    registry: Registry,
    requests: Family<AnswerLabels, Counter>,
    request_seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    proxy_faults: Family<CauseLabel, Counter>,
    gauges: Vec<(Gauge, ReadGauge)>,
    evictions: Counter,
    read_throughs: Counter,
}

/// The state from which gauges are read.
struct GaugeSource<'s> {
    is_ready: bool,
    body_bytes: usize,
    engine: &'s Status,
}

type ReadGauge = fn(&GaugeSource<'_>) -> u64;

/// Name, help text and value of each gauge.
const GAUGES: [(&str, &str, ReadGauge); 17] = [
    ("ready", "1 while the server takes writes", |now| now.is_ready.into()),
    ("log_writable", "1 while the log can make records durable", |now| {
        (now.engine.log_state == LogState::Writable).into()
    }),
    ("backlog_bytes", "Bytes of records that wait to become durable and visible", |now| {
        now.engine.backlog_bytes as u64
    }),
    ("body_bytes", "Memory of request bodies that are being received or read", |now| now.body_bytes as u64),
    ("log_queued_records", "Records that wait for the log", |now| now.engine.log.queued_records as u64),
    ("log_files", "Segment files of the log", |now| now.engine.log.files as u64),
    ("log_size_bytes", "Size of the log on disk", |now| now.engine.log.bytes_on_disk),
    ("log_durable_position", "Position of the last durable record", |now| now.engine.log.next_position - 1),
    ("applied_position", "Position of the last record that reads can see", |now| now.engine.applied_position),
    ("checkpointed_position", "Position that the last checkpoint covers", |now| {
        now.engine.checkpointed_position
    }),
    ("usage_position", "Position that the usage statistics cover", |now| now.engine.usage_position),
    ("profiles_resident", "Profiles in memory", |now| now.engine.profiles.resident_profiles),
    ("profiles_resident_bytes", "Memory of the profiles", |now| now.engine.profiles.resident_bytes),
    ("profiles_dirty_bytes", "Memory of profiles that wait for a checkpoint", |now| {
        now.engine.profiles.dirty_bytes
    }),
    ("memberships_put_off", "Changes that are kept as they came and are not counted yet", |now| {
        now.engine.profiles.put_off
    }),
    ("catalog_generation", "Generation of the catalog in force", |now| now.engine.catalog_generation),
    ("files_unfinished", "Jobs of files that are not finished", |now| now.engine.unfinished_files as u64),
];

impl HttpMetrics {
    /// Metrics at 0, registered in `registry` after those it has.
    pub(crate) fn new(mut registry: Registry) -> HttpMetrics {
        let requests = Family::<AnswerLabels, Counter>::default();
        registry.register("requests", "Answered requests", requests.clone());
        let request_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        registry.register_with_unit(
            "request",
            "Time from the headers of a request to its answer",
            Unit::Seconds,
            request_seconds.clone(),
        );
        let proxy_faults = Family::<CauseLabel, Counter>::default();
        registry.register(
            "proxy_faults",
            "Connections and headers of proxies that were not believed",
            proxy_faults.clone(),
        );
        let gauges = GAUGES.map(|(name, help, read)| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            (gauge, read)
        });
        let mut counter = |name, help| {
            let counter = Counter::<u64>::default();
            registry.register(name, help, counter.clone());
            counter
        };
        HttpMetrics {
            evictions: counter("profiles_evictions", "Profiles that left memory"),
            read_throughs: counter("profiles_read_throughs", "Profiles that were looked for on disk"),
            registry,
            requests,
            request_seconds,
            proxy_faults,
            gauges: gauges.into(),
        }
    }

    /// Counts an answer that was sent.
    pub(crate) fn answered(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&AnswerLabels { route, method, status }).inc();
        self.request_seconds.get_or_create(&[("route", route)]).observe(took.as_secs_f64());
    }

    /// Counts what was not believed of a proxy.
    pub(super) fn proxy_fault(&self, cause: &'static str) {
        self.proxy_faults.get_or_create(&[("cause", cause)]).inc();
    }

    /// The text that Prometheus reads.
    pub(super) fn encode(&self, is_ready: bool, body_bytes: usize, engine: &Status) -> String {
        let now = GaugeSource { is_ready, body_bytes, engine };
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(&now)).unwrap_or(i64::MAX));
        }
        self.evictions.inner().store(engine.profiles.evictions, Ordering::Relaxed);
        self.read_throughs.inner().store(engine.profiles.read_throughs, Ordering::Relaxed);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }
}
