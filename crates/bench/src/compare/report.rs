//! What `compare` tells: its figures, as JSON.

mod text;

use super::memory::Memory;
use super::targets::{READ_MANY_PER_READ_AT_LEAST, Targets, UNKNOWN_PER_READ_AT_LEAST};
use super::{Plan, Site};
use crate::disk;
use crate::distribution::Distribution;
use crate::drive::LatencyMicros;
use crate::statistics::Spread;
use crate::workload::Workload;
use serde::Serialize;
use std::path::PathBuf;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    server: PathBuf,
    redis_version: String,
    cores: usize,
    users: u64,
    distribution: Distribution,
    rounds: u32,
    seconds_per_measurement: f64,
    /// The data lay in memory, where a flush costs nothing.
    data_in_memory: bool,
    rows: Vec<Row>,
    between: Vec<Between>,
    memory: Option<Memory>,
}

/// The outcome of a workload.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub workload: &'static str,
    /// What an item is.
    pub unit: &'static str,
    pub ours: SideReport,
    pub redis: SideReport,
    pub ceiling: SideReport,
    /// Items a second of ours over those of Redis, of the same round.
    pub per_redis: Spread,
    pub per_ceiling: Spread,
    pub targets: Targets,
    /// Items a second of ours, round by round.
    pub ours_by_round: Vec<f64>,
}

/// One side of a workload, over all rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SideReport {
    pub connections: usize,
    /// Requests, or batches of commands for Redis.
    pub calls: u64,
    pub items_per_second: Spread,
    /// Of a call.
    pub latency_micros: LatencyMicros,
    pub server_cpu_seconds_per_million: f64,
    /// Processor seconds a second.
    pub server_cores: f64,
    pub client_cores: f64,
    /// What the rest of the machine took, the kernel's own work included.
    pub other_cores: f64,
    /// Of the memberships that were written, those that began; the others lived already.
    pub new_share: Option<f64>,
    /// Bytes that the server caused to be sent to storage.
    pub written_bytes_per_item: Option<f64>,
}

/// A workload of ours over another of ours.
#[derive(Debug, Serialize)]
pub(super) struct Between {
    pub over: &'static str,
    pub under: &'static str,
    /// Of their items a second.
    pub ratio: Spread,
    pub at_least: f64,
}

impl Row {
    pub(super) fn new(
        workload: &Workload,
        [ours, redis, ceiling]: [SideReport; 3],
        (per_redis, per_ceiling): (Spread, Spread),
        ours_by_round: Vec<f64>,
    ) -> Row {
        Row {
            workload: workload.name,
            unit: workload.unit(),
            ours,
            redis,
            ceiling,
            per_redis,
            per_ceiling,
            targets: Targets::of(workload.name),
            ours_by_round,
        }
    }
}

impl Between {
    /// Those whose two workloads were run.
    pub(super) fn all(rows: &[Row]) -> Vec<Between> {
        let rates = |name| rows.iter().find(|row| row.workload == name).map(|row| &row.ours_by_round);
        let pairs = [
            ("read-unknown", "read", UNKNOWN_PER_READ_AT_LEAST),
            ("readmany", "read", READ_MANY_PER_READ_AT_LEAST),
        ];
        let pairs = pairs.into_iter().filter_map(|(over, under, at_least)| {
            let ratio = Spread::of_quotients(rates(over)?, rates(under)?);
            Some(Between { over, under, ratio, at_least })
        });
        pairs.collect()
    }
}

impl Report {
    pub(super) fn new(
        site: &Site,
        plan: &Plan,
        redis_version: String,
        rows: Vec<Row>,
        between: Vec<Between>,
        memory: Option<Memory>,
    ) -> Report {
        Report {
            server: site.server.clone(),
            redis_version,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            users: plan.users,
            distribution: plan.distribution,
            rounds: plan.rounds,
            seconds_per_measurement: plan.duration.as_secs_f64(),
            data_in_memory: disk::is_in_memory(&site.folder),
            rows,
            between,
            memory,
        }
    }

    /// Whether every side answered in every workload. Wrong answers end a run before this.
    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().flat_map(|row| [&row.ours, &row.redis, &row.ceiling]).all(|side| side.calls > 0)
    }
}
