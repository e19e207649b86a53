//! What `compare` tells: its figures, as JSON.

mod text;

use super::memory::Memory;
use super::targets::{READ_MANY_PER_READ_AT_LEAST, Targets, UNKNOWN_PER_READ_AT_LEAST};
use crate::distribution::Distribution;
use crate::latencies::Micros;
use crate::report::Setup;
use crate::statistics::Spread;
use serde::Serialize;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    #[serde(flatten)]
    pub(super) setup: Setup,
    pub(super) redis_version: String,
    pub(super) users: u64,
    pub(super) distribution: Distribution,
    pub(super) rounds: u32,
    pub(super) seconds_per_measurement: f64,
    pub(super) rows: Vec<Row>,
    pub(super) between: Vec<Between>,
    pub(super) memory: Option<Memory>,
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
    pub latency_micros: Micros,
    pub server_cpu_seconds_per_million: f64,
    /// Processor seconds a second.
    pub server_cores: f64,
    pub client_cores: f64,
    /// What the rest of the machine took, the kernel's own work included.
    pub other_cores: f64,
    /// The share of new ones among the memberships that were written.
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
