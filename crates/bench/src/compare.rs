//! `ia-bench compare`: the server, Redis and the ceiling, side by side.
//!
//! One run, one machine, one client. Round by round the same memberships go to each of the three, in an order
//! that rotates, and every ratio is made of two measurements of the same round: what the machine does
//! meanwhile hits both. While one is measured the others are stopped (SIGSTOP), so that what one does in the
//! background is paid in its own rounds.

mod contest;
mod ground;
mod memory;
mod report;
mod targets;

use crate::distribution::Distribution;
use crate::error::Error;
use crate::progress::Progress;
use crate::redis::Fsync;
use crate::workload::{Kind, Workload};
use ground::Ground;
use memory::Memory;
use report::{Between, Row};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use report::Report;

/// The name of the part that measures memory.
pub(crate) const MEMORY: &str = "memory";

/// What is compared, and how long.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How long each side is measured in a round.
    pub duration: Duration,
    /// How many rounds.
    pub rounds: u32,
    /// How many users are drawn from, and loaded to be read.
    pub users: u64,
    /// From which distribution they are drawn.
    pub distribution: Distribution,
    /// How much memory the prepared bodies of a workload may take; those for Redis take about half as much
    /// again.
    pub pool_bytes: u64,
    /// The workloads, in order.
    pub workloads: Vec<Workload>,
    /// Whether memory is measured also where nothing is read.
    pub memory: bool,
    /// The Redis to run.
    pub redis: PathBuf,
}

/// Where servers run.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The server's binary.
    pub server: PathBuf,
    /// The folder for all data.
    pub folder: PathBuf,
}

/// Runs the workloads: those that write against empty servers, those that read against others that hold the
/// loaded users and nothing else.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Report, Error> {
    let progress = Progress::new();
    let (reads, writes): (Vec<_>, Vec<_>) =
        plan.workloads.iter().cloned().partition(|workload| workload.reads());
    let mut rows = Vec::new();
    let mut redis_version = String::new();
    if !writes.is_empty() {
        let ground = Ground::open(site, &plan.redis, "writes", &[]).await?;
        redis_version.clone_from(&ground.redis.version);
        rows.extend(contests(&ground, plan, &writes, &progress).await?);
        ground.close().await?;
    }
    let mut memory = None;
    if plan.memory || !reads.is_empty() {
        let ground = Ground::open(site, &plan.redis, "reads", &memory::SETTINGS).await?;
        redis_version.clone_from(&ground.redis.version);
        memory = Some(Memory::measure(&ground, plan.users, &progress).await?);
        rows.extend(contests(&ground, plan, &reads, &progress).await?);
        ground.close().await?;
    }
    let between = Between::all(&rows);
    Ok(Report::new(site, plan, redis_version, rows, between, memory))
}

async fn contests(
    ground: &Ground,
    plan: &Plan,
    workloads: &[Workload],
    progress: &Progress,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for workload in workloads {
        ground.redis.set_fsync(fsync_of(workload.kind)).await?;
        rows.push(contest::run(ground, plan, workload, progress).await?);
    }
    Ok(rows)
}

/// A provider that waits for each single user gets the same promise of both: what is answered is flushed. In
/// bulk Redis may do what it does best, and flush once a second; the server never does.
fn fsync_of(kind: Kind) -> Fsync {
    match kind {
        Kind::Write { users: 1, .. } => Fsync::Always,
        _ => Fsync::EverySecond,
    }
}

/// How many connections Redis is measured over: batches of a thousand commands go over one, as pipelines do.
fn redis_connections(workload: &Workload) -> usize {
    match workload.kind {
        Kind::Write { users, .. } | Kind::ReadMany { users } if users > 1 => 1,
        _ => workload.connections,
    }
}
