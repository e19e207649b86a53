//! The counters of the engine, with the names and units that Prometheus expects. An id is never a label.

use ia_log::Observer;
use ia_profiles::Applied;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::time::Duration;

/// A counter for each value of one label. The values are fixed in the code.
type ByLabel = Family<[(&'static str, &'static str); 1], Counter>;

/// The counters of the engine.
pub struct Metrics {
    pub(crate) applied: AppliedMetrics,
    pub(crate) log: LogMetrics,
    pub(crate) checkpoints: CheckpointMetrics,
    refused: ByLabel,
    pixels_ignored: ByLabel,
    consumer_requests: ByLabel,
    files: ByLabel,
    file_bytes: Counter,
    file_entries: Counter,
}

/// Counters of the applier thread.
#[derive(Clone, Default)]
pub(crate) struct AppliedMetrics {
    added: Counter,
    refreshed: Counter,
    removed: Counter,
}

/// Counters of the log's writer thread.
#[derive(Clone)]
pub(crate) struct LogMetrics {
    append_seconds: Histogram,
    flush_seconds: Histogram,
    records: Counter,
    bytes: Counter,
}

/// Counters of the checkpoint thread.
#[derive(Clone)]
pub(crate) struct CheckpointMetrics {
    seconds: Histogram,
    failures: Counter,
}

/// A histogram of times, with buckets from 0.1 milliseconds to 10 seconds.
pub fn seconds() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    ])
}

fn counter<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn timer(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let metric = seconds();
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

impl Metrics {
    /// Counters at 0, registered in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Metrics {
        let of = registry;
        let bytes = Counter::default();
        of.register_with_unit("log_written", "Bytes made durable", Unit::Bytes, bytes.clone());
        let file_bytes = Counter::default();
        let help = "Bytes of uploaded files, as they were sent";
        of.register_with_unit("files_received", help, Unit::Bytes, file_bytes.clone());
        Metrics {
            applied: AppliedMetrics {
                added: counter(of, "memberships_added", "Memberships that began"),
                refreshed: counter(of, "memberships_refreshed", "Live memberships that were added again"),
                removed: counter(of, "memberships_removed", "Memberships removed"),
            },
            log: LogMetrics {
                append_seconds: timer(of, "log_append", "Time to write a group of records"),
                flush_seconds: timer(of, "log_flush", "Time to flush a group of records to stable storage"),
                records: counter(of, "log_records", "Records made durable"),
                bytes,
            },
            checkpoints: CheckpointMetrics {
                seconds: timer(of, "checkpoint", "Time that a checkpoint took"),
                failures: counter(of, "checkpoint_failures", "Checkpoints that failed"),
            },
            refused: counter(of, "refusals", "Parts of accepted requests that were not applied, by cause"),
            pixels_ignored: counter(
                of,
                "pixels_ignored",
                "Calls of pixels that wrote nothing and were answered as if they had, by cause",
            ),
            consumer_requests: counter(
                of,
                "consumer_requests",
                "Requests of people about their data that were carried out, by type",
            ),
            files: counter(of, "files", "Jobs of files that have ended, by phase"),
            file_bytes,
            file_entries: counter(
                of,
                "file_entries",
                "Lines and Avro records of files that were applied or refused",
            ),
        }
    }

    /// `count` parts of a request were not applied.
    pub(crate) fn refused(&self, cause: &'static str, count: u64) {
        if count > 0 {
            self.refused.get_or_create(&[("cause", cause)]).inc_by(count);
        }
    }

    /// A pixel call was answered but wrote nothing.
    pub fn pixel_ignored(&self, cause: &'static str) {
        self.pixels_ignored.get_or_create(&[("cause", cause)]).inc();
    }

    /// A job of a file has ended in that phase.
    pub(crate) fn file_ended(&self, phase: &'static str) {
        self.files.get_or_create(&[("phase", phase)]).inc();
    }

    /// That many bytes of a file have come.
    pub(crate) fn file_received(&self, bytes: u64) {
        self.file_bytes.inc_by(bytes);
    }

    /// That many entries of a file are in the log.
    pub(crate) fn file_read(&self, entries: u64) {
        self.file_entries.inc_by(entries);
    }

    /// A person's request about their data was carried out.
    pub fn consumer_request(&self, request_type: &'static str) {
        self.consumer_requests.get_or_create(&[("type", request_type)]).inc();
    }
}

impl AppliedMetrics {
    /// Memberships removed so far.
    #[cfg(all(test, not(feature = "shuttle")))]
    pub(crate) fn removed(&self) -> u64 {
        self.removed.get()
    }

    /// A record became visible.
    pub(crate) fn applied(&self, applied: &Applied) {
        self.added.inc_by(applied.added);
        self.refreshed.inc_by(applied.refreshed);
        self.removed.inc_by(applied.removed);
    }
}

impl LogMetrics {
    /// Bytes that the log has made durable since the start.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes.get()
    }
}

impl CheckpointMetrics {
    /// A checkpoint failed.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// A checkpoint is done.
    pub(crate) fn done(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
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
