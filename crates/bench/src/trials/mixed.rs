//! Reads at a fixed rate, alone and beside ingest that takes all it can get.

use super::aim::Aim;
use super::open_loop::OpenLoop;
use super::plan::Plan;
use super::units::{Faults, Micros, median};
use crate::client::Target;
use crate::drive::{Driver, Measured};
use crate::error::Error;
use crate::fill::{check, fill};
use crate::progress::Progress;
use crate::script::Script;
use crate::server::Installation;
use crate::workload::{Pool, Workload};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    reads_per_second: u32,
    read_connections: u16,
    ingest_connections: usize,
    rounds: Vec<Round>,
    /// Medians over the rounds, of the figure beside ingest to the figure alone.
    p50_ratio: f64,
    p99_ratio: f64,
    p999_ratio: f64,
    /// The same of the rate of ingest beside the reads to its rate alone.
    ingest_ratio: f64,
    aims: Vec<Aim>,
    faults: Faults,
}

/// Reads from the moment that each was due; memberships a second.
#[derive(Debug, Serialize)]
struct Round {
    reads_alone: Micros,
    reads_beside: Micros,
    ingest_alone: f64,
    ingest_beside: f64,
}

struct Clients {
    reads: OpenLoop,
    ingest: Driver,
    connections: usize,
    memberships: u64,
    duration: Duration,
}

pub(super) async fn run(at: &Installation, plan: &Plan, progress: &Progress) -> Result<Report, Error> {
    let server = at.start().await?;
    let target = Target::log_in(&server).await?;
    fill(&target, plan.users, progress).await?;
    check(&target, plan.users).await?;
    progress.show("mixed: preparing");
    let prepared = |name: &str| -> (usize, Pool) {
        let workload = Workload::named(name, plan.connections.into());
        (workload.connections, Script::prepare(&workload, plan.users, plan.pool_bytes()))
    };
    let ((connections, ingest), (_, reads)) = (prepared("bulk10"), prepared("read"));
    let clients = Clients {
        reads: OpenLoop::new(&target, &reads, plan.reads_per_second.into(), plan.read_connections.into()),
        ingest: Driver::new(&target, &ingest),
        connections,
        memberships: ingest.items_per_call,
        duration: plan.seconds,
    };
    clients.ingest.run(connections, plan.seconds.mul_f64(0.1)).await?;

    let mut faults = Faults::default();
    let mut rounds = Vec::new();
    for number in 0..plan.rounds {
        progress.show(&format!("mixed: round {} of {}", number + 1, plan.rounds));
        rounds.push(clients.round(number % 2 == 1, &mut faults).await?);
    }
    at.stop(server).await?;

    let ratio = |of: fn(&Round) -> (f64, f64)| {
        median(rounds.iter().map(of).map(|(beside, alone)| beside / alone).collect())
    };
    let p99_ratio = ratio(|round| (round.reads_beside.p99 as f64, round.reads_alone.p99 as f64));
    Ok(Report {
        reads_per_second: plan.reads_per_second,
        read_connections: plan.read_connections,
        ingest_connections: connections,
        p50_ratio: ratio(|round| (round.reads_beside.p50 as f64, round.reads_alone.p50 as f64)),
        p99_ratio,
        p999_ratio: ratio(|round| (round.reads_beside.p999 as f64, round.reads_alone.p999 as f64)),
        ingest_ratio: ratio(|round| (round.ingest_beside, round.ingest_alone)),
        rounds,
        aims: vec![Aim::at_most("read p99 beside ingest / alone", Some(p99_ratio), "x", 3.0, Some(2.0))],
        faults,
    })
}

impl Clients {
    /// Reads alone, ingest alone, both; every other round backwards, so that what grows meanwhile speaks for
    /// neither.
    async fn round(&self, backwards: bool, faults: &mut Faults) -> Result<Round, Error> {
        let mut both = None;
        if backwards {
            both = Some(self.both().await?);
        }
        let reads_alone = self.reads.run_apart(self.duration).await?;
        let ingest_alone = self.ingest.run(self.connections, self.duration).await?;
        let (ingest_beside, reads_beside) = match both {
            Some(both) => both,
            None => self.both().await?,
        };
        for measured in [&reads_alone, &ingest_alone, &ingest_beside, &reads_beside] {
            faults.add(measured);
        }
        let rate = |measured: &Measured| {
            (measured.answered * self.memberships) as f64 / measured.elapsed.as_secs_f64()
        };
        Ok(Round {
            reads_alone: Micros::of(&reads_alone.latencies),
            reads_beside: Micros::of(&reads_beside.latencies),
            ingest_alone: rate(&ingest_alone),
            ingest_beside: rate(&ingest_beside),
        })
    }

    async fn both(&self) -> Result<(Measured, Measured), Error> {
        let (ingest, reads) = tokio::join!(
            self.ingest.run(self.connections, self.duration),
            self.reads.run_apart(self.duration)
        );
        Ok((ingest?, reads?))
    }
}

impl Report {
    /// Whether every answer was right.
    pub(super) fn is_good(&self) -> bool {
        self.faults.none() && self.rounds.iter().all(|round| round.reads_beside.count > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "mixed: {} reads/s over {} connections, beside bulk10 over {} in a closed loop",
            self.reads_per_second, self.read_connections, self.ingest_connections
        )?;
        writeln!(f, "  {:<22}{}{:>20}", "", Micros::HEADING, "memberships/s")?;
        for (number, round) in self.rounds.iter().enumerate() {
            let number = number + 1;
            writeln!(f, "  round {number:<3}{:<13}{}{:>20}", "reads alone", round.reads_alone, "")?;
            writeln!(f, "  {:<22}{:>47}{:>20.0}", "         ingest alone", "", round.ingest_alone)?;
            writeln!(f, "  {:<22}{}{:>20.0}", "         both", round.reads_beside, round.ingest_beside)?;
        }
        writeln!(
            f,
            "  both / alone, medians: read p50 {:.2}x, p99 {:.2}x, p99.9 {:.2}x; ingest {:.2}x",
            self.p50_ratio, self.p99_ratio, self.p999_ratio, self.ingest_ratio
        )?;
        self.aims.iter().try_for_each(|aim| writeln!(f, "{aim}"))?;
        write!(f, "{}", self.faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up() {
        let micros = |p99| Micros { p50: 100, p99, p999: 2 * p99, max: 9_000_000, count: 10_000 };
        let round = Round {
            reads_alone: micros(500),
            reads_beside: micros(1500),
            ingest_alone: 3.2e6,
            ingest_beside: 2.9e6,
        };
        let report = Report {
            reads_per_second: 2000,
            read_connections: 16,
            ingest_connections: 8,
            rounds: vec![round],
            p50_ratio: 1.0,
            p99_ratio: 3.0,
            p999_ratio: 3.0,
            ingest_ratio: 0.91,
            aims: Vec::new(),
            faults: Faults::default(),
        };
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().skip(1).take(4).collect();
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
        assert!(report.is_good());
    }
}
