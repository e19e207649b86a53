//! `ia-bench shapes`: what a membership costs the server in every form in which clients write bodies.
//!
//! Each shape sends the same memberships of the same users. Rounds are interleaved, and every ratio is made of
//! two measurements of the same round. After a round that does not count, all memberships are there: what is
//! measured refreshes them, so that no shape finds larger profiles than another.

use crate::arguments::seconds;
use crate::body::Form;
use crate::calls::MAX_USERS;
use crate::client::Target;
use crate::distribution::Distribution;
use crate::drive::Driver;
use crate::error::Error;
use crate::meter::{Counted, Moment};
use crate::progress::Progress;
use crate::report::{Page, Report, Setup, or_dash, verdict};
use crate::script::Script;
use crate::site::Site;
use crate::statistics::Spread;
use crate::table::Table;
use crate::workload::{Kind, Pool, Workload, Written};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::time::Duration;

/// Segments of each user of a body.
const SEGMENTS: u32 = 10;

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Seconds that each shape is measured in a round.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Rounds; costs and ratios are medians of them.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Users to draw from.
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    users: u64,
    /// Different bodies of each shape, of 1,000 users with 10 segments each. They are sent again and again.
    #[arg(long, default_value = "32", value_parser = clap::value_parser!(u64).range(16..=1024))]
    bodies: u64,
    /// Connections.
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Measure only these, beside the compact form.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SHAPES")]
    only: Vec<Form>,
}

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Shapes {
    #[serde(flatten)]
    setup: Setup,
    rounds: u32,
    seconds_per_measurement: f64,
    rows: Vec<Row>,
}

/// The outcome of a shape.
#[derive(Debug, Serialize)]
struct Row {
    shape: Form,
    bytes_per_membership: f64,
    memberships: u64,
    memberships_per_second: Spread,
    server_cpu_microseconds_per_membership: Spread,
    /// Of the processor time, over that of the compact form in the same round.
    per_compact: Spread,
    per_compact_at_most: Option<f64>,
}

/// A shape on its way to the server.
struct Shape {
    form: Form,
    pool: Pool,
    driver: Driver,
    samples: Vec<Sample>,
}

/// One measurement of a shape.
#[derive(Debug, Clone, Copy)]
struct Sample {
    memberships: u64,
    seconds: f64,
    server_cpu_seconds: f64,
}

/// Starts the server, measures the shapes round by round, and stops it.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Shapes, Error> {
    let progress = Progress::new();
    let installation = site.install("shapes")?;
    progress.show("shapes: preparing");
    let server = installation.start().await?;
    let target = Target::log_in(&server).await?;
    let mut shapes = prepare(&target, plan);
    // Round 0 warms up and does not count.
    for round in 0..=plan.rounds {
        let count = shapes.len();
        shapes.rotate_left(usize::from(round > 0).min(count));
        for shape in &mut shapes {
            let text = || format!("{}: round {round} of {}", shape.form.name(), plan.rounds);
            let sample = progress.during(measure(&target, shape, plan), text).await?;
            if round > 0 {
                shape.samples.push(sample);
            }
        }
    }
    installation.stop(server).await?;
    Ok(Shapes {
        setup: Setup::of(site),
        rounds: plan.rounds,
        seconds_per_measurement: plan.seconds.as_secs_f64(),
        rows: rows(&shapes),
    })
}

/// The compact form and the others that are asked for, each with the same users and memberships.
fn prepare(target: &Target, plan: &Plan) -> Vec<Shape> {
    let form = Form::Compact;
    let kind = Kind::Write { users: MAX_USERS, segments: SEGMENTS };
    let workload = Workload { name: "bulk10", kind, form, connections: plan.connections.into() };
    let body_bytes = MAX_USERS * form.bytes_of_user(SEGMENTS.into());
    let script = Script::new(
        &workload,
        Written::NewSegments,
        plan.users,
        Distribution::Uniform,
        plan.bodies * body_bytes,
    );
    let is_wanted =
        |form: &&Form| **form == Form::Compact || plan.only.is_empty() || plan.only.contains(form);
    let shape = |&form: &Form| {
        let pool = script.http_in(form);
        let driver = Driver::new(target, &pool);
        Shape { form, pool, driver, samples: Vec::new() }
    };
    Form::value_variants().iter().filter(is_wanted).map(shape).collect()
}

async fn measure(target: &Target, shape: &Shape, plan: &Plan) -> Result<Sample, Error> {
    let counted = Counted::now(target).await?;
    let before = Moment::now(target.pid)?;
    let measured = shape.driver.run(plan.connections.into(), plan.seconds).await?;
    let spent = Moment::now(target.pid)?.since(&before);
    if let Some(error) = measured.first_error {
        return Err(error);
    }
    let memberships = measured.answered * shape.pool.items_per_call;
    Counted::now(target).await?.since(counted).must_be(memberships, &shape.form.name())?;
    let seconds = measured.elapsed.as_secs_f64();
    Ok(Sample { memberships, seconds, server_cpu_seconds: spent.server_cpu_seconds })
}

/// A row a shape, in the order of the forms.
fn rows(shapes: &[Shape]) -> Vec<Row> {
    let find = |form: Form| shapes.iter().find(|shape| shape.form == form);
    let costs = |form: Form| -> Vec<f64> {
        find(form).map_or_else(Vec::new, |shape| shape.samples.iter().map(Sample::cost).collect())
    };
    let compact = costs(Form::Compact);
    let row = |shape: &Shape| {
        let cost = costs(shape.form);
        let bytes: usize = shape.pool.calls.iter().map(|prepared| prepared.call.body.len()).sum();
        let per_pool = shape.pool.calls.len() as u64 * shape.pool.items_per_call;
        Row {
            shape: shape.form,
            bytes_per_membership: bytes as f64 / per_pool as f64,
            memberships: shape.samples.iter().map(|sample| sample.memberships).sum(),
            memberships_per_second: Spread::of(shape.samples.iter().map(Sample::rate)),
            server_cpu_microseconds_per_membership: Spread::of(cost.iter().copied()),
            per_compact: Spread::of_quotients(&cost, &compact),
            per_compact_at_most: at_most(shape.form),
        }
    };
    Form::value_variants().iter().filter_map(|&form| find(form)).map(row).collect()
}

/// What the project holds itself to. A miss is shown and fails nothing.
fn at_most(form: Form) -> Option<f64> {
    match form {
        // It has 1.7 times the bytes.
        Form::Documented => Some(1.25),
        Form::Refused | Form::Twice | Form::Integers => Some(1.15),
        Form::Compact | Form::Spaced | Form::Codes => None,
    }
}

impl Sample {
    /// Microseconds of the server's processors for a membership.
    fn cost(&self) -> f64 {
        self.server_cpu_seconds * 1e6 / self.memberships as f64
    }

    fn rate(&self) -> f64 {
        self.memberships as f64 / self.seconds
    }
}

impl Report for Shapes {
    fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.memberships > 0)
    }

    fn write(&self, page: &mut Page) {
        self.setup.write(page);
        page.line(format_args!(
            "Medians of {} rounds of {} s each; a ratio is made of two measurements of the same round.\n",
            self.rounds, self.seconds_per_measurement
        ));
        let mut table = Table::default();
        table.row(["", "bytes /", "memberships", "CPU us /", "/ compact", "", "", ""]);
        table.row(["shape", "membership", "/ s", "membership", "", "min-max", "target", ""]);
        for row in &self.rows {
            let ratio = row.per_compact;
            let target = row.per_compact_at_most;
            table.row([
                row.shape.name(),
                format!("{:.1}", row.bytes_per_membership),
                format!("{:.0}", row.memberships_per_second.median),
                format!("{:.3}", row.server_cpu_microseconds_per_membership.median),
                format!("{:.2}", ratio.median),
                format!("{:.2}-{:.2}", ratio.min, ratio.max),
                or_dash(target.map(|bound| format!("<= {bound}"))),
                target.map_or("", |bound| verdict(ratio.median <= bound)).to_owned(),
            ]);
        }
        page.table(&table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(form: Form, cpu_seconds: [f64; 3]) -> Shape {
        let target = Target::open_to_all("127.0.0.1:1".parse().unwrap(), 0);
        let plan = Plan {
            seconds: Duration::ZERO,
            rounds: 3,
            users: 1000,
            bodies: 16,
            connections: 1,
            only: vec![form],
        };
        let mut shape = prepare(&target, &plan).into_iter().find(|shape| shape.form == form).unwrap();
        shape.samples = cpu_seconds
            .map(|server_cpu_seconds| Sample { memberships: 1_000_000, seconds: 0.5, server_cpu_seconds })
            .into();
        shape
    }

    #[test]
    fn a_ratio_is_the_median_of_ratios_of_the_same_round() {
        // The machine slows down by half in the second round: no ratio changes.
        let shapes = [shape(Form::Documented, [0.5, 1.0, 0.6]), shape(Form::Compact, [0.4, 0.8, 0.4])];
        let report =
            Shapes { setup: Setup::example(), rounds: 3, seconds_per_measurement: 1.0, rows: rows(&shapes) };
        assert_eq!(report.rows[0].shape, Form::Compact);
        let documented = &report.rows[1];
        assert!((documented.per_compact.median - 1.25).abs() < 1e-9, "{documented:?}");
        assert!((documented.server_cpu_microseconds_per_membership.median - 0.6).abs() < 1e-9);
        assert_eq!(documented.memberships_per_second.median, 2e6);
        assert!((80.0..86.0).contains(&documented.bytes_per_membership), "{documented:?}");
        let text = report.text();
        let line = text.lines().find(|line| line.starts_with("documented")).unwrap();
        assert!(line.ends_with("1.25-1.50  <= 1.25  met"), "{text}");
        assert!(report.is_good());
    }
}
