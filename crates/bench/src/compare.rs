//! `ia-bench compare`: the server, Redis and the ceiling, side by side.
//!
//! One run, one machine, one client. Round by round the same memberships go to each of the three, in an order
//! that rotates, and every ratio is made of two measurements of the same round: what the machine does
//! meanwhile hits both. While one is measured the others are stopped (SIGSTOP), so that what one does in the
//! backtestbed is paid in its own rounds.

mod contest;
mod memory;
mod report;
mod targets;
mod testbed;

use crate::arguments::{exponent, seconds};
use crate::distribution::Distribution;
use crate::error::Error;
use crate::progress::Progress;
use crate::redis::{self, Fsync};
use crate::report::Setup;
use crate::site::Site;
use crate::workload::{Choice, Kind, Workload};
use clap::Args;
use memory::Memory;
use report::{Between, Comparison, Row};
use std::path::PathBuf;
use std::time::Duration;
use testbed::Testbed;

/// The name of the part that measures memory.
const MEMORY: &str = "memory";

/// What is compared, and how long.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    choice: Choice,
    /// Seconds that each side is measured in a round.
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Rounds of each workload; ratios are medians of them.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Draw users from a Zipf distribution with that exponent [default: all alike].
    #[arg(long, value_name = "EXPONENT", value_parser = exponent)]
    zipf: Option<f64>,
    /// Memory for the prepared bodies of a workload, in MiB; those for Redis come on top. Once all are sent they
    /// are sent again, and refresh memberships that are there already.
    #[arg(long, default_value = "256", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pool_mib: u64,
    /// The redis-server to run [default: that on the PATH].
    #[arg(long, value_name = "FILE")]
    redis: Option<PathBuf>,
}

impl Plan {
    /// The workloads, and whether memory is measured also where nothing is read.
    pub(crate) fn parts(&self) -> Result<(Vec<Workload>, bool), Error> {
        let (memory, only): (Vec<_>, Vec<_>) =
            self.choice.only.iter().cloned().partition(|name| name == MEMORY);
        if !memory.is_empty() && only.is_empty() {
            return Ok((Vec::new(), true));
        }
        let workloads = Choice { only, ..self.choice }.workloads()?;
        Ok((workloads, !memory.is_empty() || self.choice.only.is_empty()))
    }

    fn distribution(&self) -> Distribution {
        self.zipf.map_or(Distribution::Uniform, Distribution::Zipf)
    }
}

/// Runs the workloads: those that write against empty servers, those that read against others that hold the
/// loaded users and nothing else.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Comparison, Error> {
    let progress = Progress::new();
    let (workloads, asks_for_memory) = plan.parts()?;
    let redis = redis::find(plan.redis.clone())?;
    let (reads, writes): (Vec<_>, Vec<_>) = workloads.into_iter().partition(Workload::reads);
    let mut rows = Vec::new();
    let mut redis_version = String::new();
    if !writes.is_empty() {
        let testbed = Testbed::open(site, &redis, "writes", &[]).await?;
        redis_version.clone_from(&testbed.redis.version);
        rows.extend(contests(&testbed, plan, &writes, &progress).await?);
        testbed.close().await?;
    }
    let mut memory = None;
    if asks_for_memory || !reads.is_empty() {
        let testbed = Testbed::open(site, &redis, "reads", &memory::SETTINGS).await?;
        redis_version.clone_from(&testbed.redis.version);
        memory = Some(Memory::measure(&testbed, plan.choice.users, &progress).await?);
        rows.extend(contests(&testbed, plan, &reads, &progress).await?);
        testbed.close().await?;
    }
    Ok(Comparison {
        setup: Setup::of(site),
        redis_version,
        users: plan.choice.users,
        distribution: plan.distribution(),
        rounds: plan.rounds,
        seconds_per_measurement: plan.seconds.as_secs_f64(),
        between: Between::all(&rows),
        rows,
        memory,
    })
}

async fn contests(
    testbed: &Testbed,
    plan: &Plan,
    workloads: &[Workload],
    progress: &Progress,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for workload in workloads {
        testbed.redis.set_fsync(fsync_of(workload.kind)).await?;
        rows.push(contest::run(testbed, plan, workload, progress).await?);
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
