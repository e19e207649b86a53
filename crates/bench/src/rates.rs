//! `ia-bench rates`: how much, how fast, and at what cost.

mod report;

use crate::client::Target;
use crate::drive::{Driver, LatencyMicros, Measured};
use crate::error::Error;
use crate::fill;
use crate::meter::{Counted, Moment};
use crate::progress::Progress;
use crate::script::Script;
use crate::server::Installation;
use crate::workload::{Pool, Workload};
use report::Row;
use std::time::Duration;

pub(crate) use report::Report;

/// Which share of the time that is measured is spent before it, to warm up.
const WARM_UP_SHARE: f64 = 0.1;

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
            fill::fill(&target, plan.users, &progress).await?;
            fill::check(&target, plan.users).await?;
            is_filled = true;
        }
        progress.show(&format!("{}: preparing", workload.name));
        let pool = Script::prepare(workload, plan.users, plan.pool_bytes);
        rows.push(measure(&target, workload, &pool, plan.duration, &progress).await?);
    }
    // A run is no good when the server cannot end it in order.
    installation.stop(server).await?;
    Ok(Report::new(installation, plan, rows))
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

    let counted = Counted::now(target).await?;
    let before = Moment::now(target.pid)?;
    let measured = progress.during(driver.run(workload.connections, duration), text).await?;
    let after = Moment::now(target.pid)?;
    let counted = Counted::now(target).await?.since(counted);
    if measured.errors == 0 {
        let acknowledged = if workload.reads() { 0 } else { measured.answered * pool.items_per_call };
        counted.must_be(acknowledged, workload.name)?;
    }
    Ok(Row::new(workload, pool.items_per_call, &measured, (&before, &after), counted))
}

impl Row {
    fn new(
        workload: &Workload,
        items_per_call: u64,
        measured: &Measured,
        (before, after): (&Moment, &Moment),
        counted: Counted,
    ) -> Row {
        let seconds = measured.elapsed.as_secs_f64();
        let items = measured.answered * items_per_call;
        let spent = after.since(before);
        let written = counted.written();
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
            new_share: (written > 0).then(|| counted.added as f64 / written as f64),
            server_cpu_seconds_per_million: (items > 0)
                .then(|| spent.server_cpu_seconds * 1e6 / items as f64),
            server_cores: spent.server_cpu_seconds / seconds,
            client_cores: spent.client_cpu_seconds / seconds,
            other_cores: spent.other_cpu_seconds / seconds,
            server_resident_bytes: after.server.resident_bytes,
        }
    }
}
