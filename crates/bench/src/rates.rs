//! `ia-bench rates`: how much, how fast, and at what cost.

mod report;

use crate::calls::Bodies;
use crate::client::Target;
use crate::drive::{Driver, Measured};
use crate::error::Error;
use crate::journal::Fate;
use crate::load::Load;
use crate::population::{KNOWN, Population};
use crate::procfs;
use crate::progress::Progress;
use crate::server::Installation;
use crate::verify::verify;
use crate::workload::{KNOWN_SEGMENTS, Pool, Workload};
use report::{LatencyMicros, Row};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use report::Report;

/// Which share of the time that is measured is spent before it, to warm up.
const WARM_UP_SHARE: f64 = 0.1;

/// How many connections load the users that reads find.
const FILL_CONNECTIONS: usize = 8;

/// How many of those users are decoded and checked before reads are measured.
const CHECKED_USERS: u64 = 10_000;

/// What is measured, and how long.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How long each workload is measured.
    pub duration: Duration,
    /// How many users are drawn from.
    pub users: u64,
    /// How much memory the prepared bodies of a workload may take.
    pub pool_bytes: u64,
    /// The workloads, in order.
    pub workloads: Vec<Workload>,
}

/// Starts the server, runs the workloads one after the other, and stops it.
pub(crate) async fn run(installation: &Installation, plan: &Plan) -> Result<Report, Error> {
    let progress = Progress::new();
    let server = installation.start().await?;
    let target = Target::log_in(&server).await?;
    let mut rows = Vec::new();
    let mut is_filled = false;
    for workload in &plan.workloads {
        if workload.reads() && !is_filled {
            fill(&target, plan.users, &progress).await?;
            is_filled = true;
        }
        progress.show(&format!("{}: preparing", workload.name));
        let pool = workload.prepare(plan.users, plan.pool_bytes);
        rows.push(measure(&target, workload, &pool, plan.duration, &progress).await?);
    }
    // A run is no good when the server cannot end it in order.
    installation.stop(server).await?;
    Ok(Report::new(installation, plan, rows))
}

/// Loads the users that reads find, and makes sure that they are found.
async fn fill(target: &Target, users: u64, progress: &Progress) -> Result<(), Error> {
    let bodies = Bodies { population: Population::new(KNOWN, users), segments: KNOWN_SEGMENTS };
    let load = Load::new(bodies);
    progress.during(load.run_to_the_end(target, FILL_CONNECTIONS), || load.progress()).await?;
    let checked = Bodies { population: Population::new(KNOWN, users.min(CHECKED_USERS)), ..bodies };
    let fates = vec![Fate::Acknowledged; checked.count()];
    let findings = verify(target, checked, fates, 1, Arc::default()).await?;
    match findings.first_fault {
        None => Ok(()),
        Some(fault) => Err(Error::Broken(format!("what was just loaded cannot be read: {fault}"))),
    }
}

async fn measure(
    target: &Target,
    workload: &Workload,
    pool: &Pool,
    duration: Duration,
    progress: &Progress,
) -> Result<Row, Error> {
    let driver = Driver::new(target, pool);
    let text = || format!("{}: {} requests", workload.name, driver.sent());
    let warm_up = driver.run(workload.connections, duration.mul_f64(WARM_UP_SHARE));
    progress.during(warm_up, text).await?;

    let before = Moment::now(target).await?;
    let measured = progress.during(driver.run(workload.connections, duration), text).await?;
    let after = Moment::now(target).await?;
    let row = Row::new(workload, pool.items_per_call, &measured, &before, &after);
    check_count(workload, pool, &measured, &before, &after)?;
    Ok(row)
}

/// The server's own count of memberships must be that of the acknowledged ones: an OK for something that was
/// dropped would be the fastest answer of all.
fn check_count(
    workload: &Workload,
    pool: &Pool,
    measured: &Measured,
    before: &Moment,
    after: &Moment,
) -> Result<(), Error> {
    let counted = after.memberships() - before.memberships();
    let acknowledged = if workload.reads() { 0 } else { measured.answered * pool.items_per_call };
    if measured.errors == 0 && counted != acknowledged {
        return Err(Error::Broken(format!(
            "{}: {acknowledged} memberships were acknowledged and the server counted {counted}",
            workload.name
        )));
    }
    Ok(())
}

/// The meters, read at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    server: procfs::Usage,
    client: procfs::Usage,
    machine_cpu_seconds: f64,
    added: u64,
    refreshed: u64,
}

impl Moment {
    async fn now(target: &Target) -> Result<Moment, Error> {
        let metrics = target.metrics().await?;
        Ok(Moment {
            server: procfs::usage(target.pid)?,
            client: procfs::usage(std::process::id())?,
            machine_cpu_seconds: procfs::machine_cpu_seconds()?,
            added: metrics.get("memberships_added_total")?,
            refreshed: metrics.get("memberships_refreshed_total")?,
        })
    }

    fn memberships(&self) -> u64 {
        self.added + self.refreshed
    }
}

impl LatencyMicros {
    fn of(measured: &Measured) -> LatencyMicros {
        let latencies = &measured.latencies;
        LatencyMicros {
            p50: latencies.quantile_micros(0.5),
            p99: latencies.quantile_micros(0.99),
            p999: latencies.quantile_micros(0.999),
            max: latencies.max_micros(),
        }
    }
}

impl Row {
    fn new(
        workload: &Workload,
        items_per_call: u64,
        measured: &Measured,
        before: &Moment,
        after: &Moment,
    ) -> Row {
        let seconds = measured.elapsed.as_secs_f64();
        let items = measured.answered * items_per_call;
        let server_cpu = after.server.cpu_seconds - before.server.cpu_seconds;
        let client_cpu = after.client.cpu_seconds - before.client.cpu_seconds;
        let machine_cpu = after.machine_cpu_seconds - before.machine_cpu_seconds;
        let added = after.added - before.added;
        let written = after.memberships() - before.memberships();
        Row {
            workload: workload.name,
            connections: workload.connections,
            unit: workload.unit(),
            seconds,
            requests: measured.answered,
            requests_per_second: measured.answered as f64 / seconds,
            items_per_second: items as f64 / seconds,
            latency_micros: LatencyMicros::of(measured),
            errors: measured.errors,
            first_error: measured.first_error.as_ref().map(Error::chain),
            new_share: (written > 0).then(|| added as f64 / written as f64),
            server_cpu_seconds_per_million: (items > 0).then(|| server_cpu * 1e6 / items as f64),
            server_cores: server_cpu / seconds,
            client_cores: client_cpu / seconds,
            // Clock ticks are coarse: what is left can come out below nothing.
            other_cores: ((machine_cpu - server_cpu - client_cpu) / seconds).max(0.0),
            server_resident_bytes: after.server.resident_bytes,
        }
    }
}
