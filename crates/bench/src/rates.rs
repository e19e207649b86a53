//! `ia-bench rates`: how much, how fast, and at what cost.

use crate::arguments::seconds;
use crate::client::Target;
use crate::drive::{Driver, Measured};
use crate::error::Error;
use crate::fill;
use crate::latencies::Micros;
use crate::meter::{Counted, Moment};
use crate::progress::Progress;
use crate::report::{Page, Report, Setup, or_dash, percent};
use crate::script::Script;
use crate::site::Site;
use crate::table::Table;
use crate::workload::{Choice, Pool, Workload};
use clap::Args;
use serde::Serialize;
use std::time::Duration;

/// Which share of the time that is measured is spent before it, to warm up.
const WARM_UP_SHARE: f64 = 0.1;

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub choice: Choice,
    /// Seconds that each workload is measured.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Memory for the prepared bodies of a workload, in MiB. Once all are sent they are sent again, and
    /// refresh memberships that are there already.
    #[arg(long, default_value = "1024", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pool_mib: u64,
}

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Rates {
    #[serde(flatten)]
    setup: Setup,
    users: u64,
    rows: Vec<Row>,
}

/// The outcome of a workload.
#[derive(Debug, Serialize)]
struct Row {
    workload: &'static str,
    connections: usize,
    /// What an item is.
    unit: &'static str,
    seconds: f64,
    requests: u64,
    requests_per_second: f64,
    items_per_second: f64,
    latency_micros: Micros,
    errors: u64,
    first_error: Option<String>,
    /// The share of new ones among the memberships that were written.
    new_share: Option<f64>,
    /// Processor seconds of the server for a million items.
    server_cpu_seconds_per_million: Option<f64>,
    /// Processor seconds a second.
    server_cores: f64,
    client_cores: f64,
    /// What the rest of the machine took, the kernel's own work and a hypervisor's other guests included:
    /// where it is much, the figures of the row say little.
    other_cores: f64,
    server_resident_bytes: u64,
}

/// Starts the server, runs the workloads one after the other, and stops it.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Rates, Error> {
    let progress = Progress::new();
    let installation = site.install("rates")?;
    let users = plan.choice.users;
    let workloads = plan.choice.workloads()?;
    let server = installation.start().await?;
    let target = Target::log_in(&server).await?;
    let mut rows = Vec::new();
    let mut is_filled = false;
    for workload in &workloads {
        if workload.reads() && !is_filled {
            fill::fill(&target, users, &progress).await?;
            fill::check(&target, users).await?;
            is_filled = true;
        }
        progress.show(&format!("{}: preparing", workload.name));
        let pool = Script::prepare(workload, users, plan.pool_mib << 20);
        rows.push(measure(&target, workload, &pool, plan.seconds, &progress).await?);
    }
    // A run is no good when the server cannot end it in order.
    installation.stop(server).await?;
    Ok(Rates { setup: Setup::of(site), users, rows })
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
            latency_micros: measured.latencies.micros(),
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

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.workload.to_owned(),
            self.connections.to_string(),
            format!("{:.0}", self.requests_per_second),
            format!("{:.0}", self.items_per_second),
        ];
        cells.extend(self.latency_micros.cells());
        cells.push(self.errors.to_string());
        cells.push(or_dash(self.new_share.map(percent)));
        cells.push(or_dash(self.server_cpu_seconds_per_million.map(|seconds| format!("{seconds:.3}"))));
        cells.extend(
            [self.server_cores, self.client_cores, self.other_cores].map(|cores| format!("{cores:.2}")),
        );
        cells.push((self.server_resident_bytes >> 20).to_string());
        cells
    }
}

impl Report for Rates {
    fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.errors == 0 && row.requests > 0)
    }

    fn write(&self, page: &mut Page) {
        self.setup.write(page);
        page.line(format_args!("Users are drawn from {}.\n", self.users));
        let mut table = Table::default();
        let [p50, p99, p999, max] = Micros::HEADING;
        table.row([
            "", "", "", "", p50, p99, p999, max, "", "new", "CPU s", "server", "client", "other", "RSS",
        ]);
        table.row([
            "workload",
            "conn",
            "requests/s",
            "items/s",
            "ms",
            "ms",
            "ms",
            "ms",
            "errors",
            "%",
            "/M items",
            "cores",
            "cores",
            "cores",
            "MiB",
        ]);
        self.rows.iter().for_each(|row| table.row(row.cells()));
        page.table(&table);
        page.line("\nAn item is a membership in bulk10, compact, bulk1 and small, and a user in the others.");
        for row in &self.rows {
            if let Some(error) = &row.first_error {
                page.line(format_args!("{}: {} errors; the first: {error}", row.workload, row.errors));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(errors: u64) -> Rates {
        let row = Row {
            workload: "bulk10",
            connections: 8,
            unit: "memberships",
            seconds: 2.0,
            requests: 700,
            requests_per_second: 350.0,
            items_per_second: 3_500_000.0,
            latency_micros: Micros { p50: 20_000, p99: 40_000, p999: 50_000, max: 61_230, count: 700 },
            errors,
            first_error: (errors > 0).then(|| "the dog ate it".to_owned()),
            new_share: Some(0.875),
            server_cpu_seconds_per_million: Some(0.3456),
            server_cores: 1.2,
            client_cores: 0.4,
            other_cores: 0.1,
            server_resident_bytes: 300 << 20,
        };
        Rates { setup: Setup::example(), users: 1000, rows: vec![row] }
    }

    #[test]
    fn the_table_shows_the_figures() {
        let text = report(0).text();
        let line = text.lines().find(|line| line.starts_with("bulk10")).unwrap();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        for figure in ["350", "3500000", "20.00", "61.23", "88", "0.346", "300"] {
            assert!(words.contains(&figure), "{figure} in {text}");
        }
    }

    #[test]
    fn an_error_fails_the_run_and_is_told() {
        assert!(report(0).is_good());
        let report = report(1);
        assert!(!report.is_good());
        assert!(report.text().ends_with("1 errors; the first: the dog ate it\n"), "{}", report.text());
    }

    #[test]
    fn a_workload_that_did_nothing_is_no_success() {
        let mut report = report(0);
        report.rows[0].requests = 0;
        assert!(!report.is_good());
    }
}
