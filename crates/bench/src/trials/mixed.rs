//! Reads at a fixed rate, alone and beside ingest that takes all it can get.

use super::faults::Faults;
use super::plan::Plan;
use crate::aim::Aim;
use crate::client::Target;
use crate::drive::{Driver, Measured};
use crate::error::Error;
use crate::fill::{check, fill};
use crate::latencies::Micros;
use crate::open_loop::OpenLoop;
use crate::progress::Progress;
use crate::report::{Page, Report};
use crate::script::Script;
use crate::statistics::Spread;
use crate::table::Table;
use crate::workload::{Pool, Workload};
use ia_testkit::Installation;
use serde::Serialize;
use std::time::Duration;

/// The outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Mixed {
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

pub(super) async fn run(at: &Installation, plan: &Plan, progress: &Progress) -> Result<Mixed, Error> {
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
        Spread::of(rounds.iter().map(of).map(|(beside, alone)| beside / alone)).median
    };
    let p99_ratio = ratio(|round| (round.reads_beside.p99 as f64, round.reads_alone.p99 as f64));
    Ok(Mixed {
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
            reads_alone: reads_alone.latencies.micros(),
            reads_beside: reads_beside.latencies.micros(),
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

impl Report for Mixed {
    fn is_good(&self) -> bool {
        self.faults.none() && self.rounds.iter().all(|round| round.reads_beside.count > 0)
    }

    fn write(&self, page: &mut Page) {
        page.line(format_args!(
            "mixed: {} reads/s over {} connections, beside bulk10 over {} in a closed loop",
            self.reads_per_second, self.read_connections, self.ingest_connections
        ));
        let mut table = Table::default();
        table.row(["reads, ms"].into_iter().chain(Micros::HEADING).chain(["count", "memberships/s"]));
        for (number, round) in (1..).zip(&self.rounds) {
            let mut row = |what: &str, reads: Option<&Micros>, ingest: Option<f64>| {
                let mut cells = vec![format!("round {number} {what}")];
                cells.extend(reads.map_or_else(Default::default, Micros::cells));
                cells.push(reads.map_or_else(String::new, |reads| reads.count.to_string()));
                cells.extend(ingest.map(|rate| format!("{rate:.0}")));
                table.row(cells);
            };
            row("reads alone", Some(&round.reads_alone), None);
            row("ingest alone", None, Some(round.ingest_alone));
            row("both", Some(&round.reads_beside), Some(round.ingest_beside));
        }
        page.indented(&table);
        page.line(format_args!(
            "  both / alone, medians: read p50 {:.2}x, p99 {:.2}x, p99.9 {:.2}x; ingest {:.2}x",
            self.p50_ratio, self.p99_ratio, self.p999_ratio, self.ingest_ratio
        ));
        self.aims.iter().for_each(|aim| page.line(aim));
        self.faults.write(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_told_apart() {
        let micros = |p99| Micros { p50: 100, p99, p999: 2 * p99, max: 9_000_000, count: 10_000 };
        let round = Round {
            reads_alone: micros(500),
            reads_beside: micros(1500),
            ingest_alone: 3.2e6,
            ingest_beside: 2.9e6,
        };
        let report = Mixed {
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
        let text = report.text();
        let line = text.lines().find(|line| line.contains("round 1 both")).unwrap();
        assert!(line.contains("1.50") && line.ends_with("2900000"), "{text}");
        assert!(report.is_good());
    }
}
