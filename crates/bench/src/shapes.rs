//! `ia-bench shapes`: what a membership costs the server in every form in which clients write bodies.
//!
//! Each shape sends the same memberships of the same users. Rounds are interleaved, and every ratio is made of
//! two measurements of the same round. After a round that does not count, all memberships are there: what is
//! measured refreshes them, so that no shape finds larger profiles than another.

use crate::body::Form;
use crate::calls::MAX_USERS;
use crate::client::Target;
use crate::distribution::Distribution;
use crate::drive::Driver;
use crate::error::Error;
use crate::meter::{Counted, Moment};
use crate::progress::Progress;
use crate::script::Script;
use crate::server::Installation;
use crate::statistics::Spread;
use crate::table::Table;
use crate::workload::{Kind, Pool, Workload, Written};
use clap::ValueEnum;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Segments of each user of a body.
const SEGMENTS: u32 = 10;

/// What is measured, and how long.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How long each shape is measured in a round.
    pub duration: Duration,
    /// How many rounds.
    pub rounds: u32,
    /// How many users are drawn from.
    pub users: u64,
    /// How many different bodies a shape has.
    pub bodies: u64,
    /// How many connections are kept busy.
    pub connections: usize,
    /// The shapes beside the compact one; all when there are none.
    pub only: Vec<Form>,
}

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    server: PathBuf,
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
pub(crate) async fn run(installation: &Installation, plan: &Plan) -> Result<Report, Error> {
    let progress = Progress::new();
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
    Ok(Report {
        server: installation.binary().to_owned(),
        rounds: plan.rounds,
        seconds_per_measurement: plan.duration.as_secs_f64(),
        rows: rows(&shapes),
    })
}

/// The compact form and the others that are asked for, each with the same users and memberships.
fn prepare(target: &Target, plan: &Plan) -> Vec<Shape> {
    let form = Form::Compact;
    let kind = Kind::Write { users: MAX_USERS, segments: SEGMENTS };
    let workload = Workload { name: "bulk10", kind, form, connections: plan.connections };
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
    let measured = shape.driver.run(plan.connections, plan.duration).await?;
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

impl Report {
    /// Whether every shape was taken. A wrong answer ends a run before this.
    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.memberships > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.server.display())?;
        writeln!(
            f,
            "Medians of {} rounds of {} s each; a ratio is made of two measurements of the same round.\n",
            self.rounds, self.seconds_per_measurement
        )?;
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
                target.map_or_else(|| "-".to_owned(), |bound| format!("<= {bound}")),
                target.map_or("", |bound| if ratio.median <= bound { "met" } else { "MISSED" }).to_owned(),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(form: Form, cpu_seconds: [f64; 3]) -> Shape {
        let target = Target::open_to_all("127.0.0.1:1".parse().unwrap(), 0);
        let plan = Plan {
            duration: Duration::ZERO,
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
        let report = Report {
            server: "/x/instant-audience".into(),
            rounds: 3,
            seconds_per_measurement: 1.0,
            rows: rows(&shapes),
        };
        assert_eq!(report.rows[0].shape, Form::Compact);
        let documented = &report.rows[1];
        assert!((documented.per_compact.median - 1.25).abs() < 1e-9, "{documented:?}");
        assert!((documented.server_cpu_microseconds_per_membership.median - 0.6).abs() < 1e-9);
        assert_eq!(documented.memberships_per_second.median, 2e6);
        assert!((80.0..86.0).contains(&documented.bytes_per_membership), "{documented:?}");
        let text = report.to_string();
        let line = text.lines().find(|line| line.starts_with("documented")).unwrap();
        assert!(line.ends_with("1.25-1.50  <= 1.25  met"), "{text}");
        assert!(report.is_good());
    }
}
