//! What `cold` tells.

use crate::aim::Aim;
use crate::laps::Laid;
use crate::latencies::{Latencies, Micros};
use crate::report::{Page, Report, Setup, mib, ms};
use crate::statistics::Spread;
use crate::table::Table;
use crate::writing::Writing;
use serde::Serialize;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Cold {
    #[serde(flatten)]
    pub(super) setup: Setup,
    pub(super) users: u64,
    pub(super) rounds: u32,
    pub(super) seconds_per_measurement: f64,
    pub(super) checkpoint_seconds: u64,
    /// All profiles, in the server that has room for them.
    pub(super) profiles_bytes: u64,
    /// Of the cold server.
    pub(super) budget_bytes: u64,
    pub(super) rows: Vec<Row>,
    pub(super) small: Small,
    pub(super) aims: Vec<Aim>,
}

/// The outcome of a workload.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    workload: &'static str,
    unit: &'static str,
    warm: Sum,
    cold: Sum,
    cold_per_warm: Spread,
}

/// A server in a workload, while it is measured.
#[derive(Debug)]
pub(super) struct Side {
    budget_bytes: Option<u64>,
    pub(super) most_resident_bytes: u64,
    rates: Vec<f64>,
    items: u64,
    latencies: Latencies,
    writing: Writing,
}

/// A server in a workload, over all rounds.
#[derive(Debug, Serialize)]
pub(super) struct Sum {
    /// Round by round.
    items_per_second: Vec<f64>,
    latency_micros: Micros,
    checkpoints: u64,
    log_bytes_per_item: f64,
    store_bytes_per_item: f64,
    /// At the end of a lap.
    most_resident_bytes: u64,
    over_budget_bytes: Option<u64>,
}

/// The server that may have little memory.
#[derive(Debug, Serialize)]
pub(super) struct Small {
    pub budget_bytes: u64,
    pub rates: Vec<(&'static str, f64)>,
    /// As the server counts them, at the end.
    pub profiles_bytes: u64,
    pub resident_bytes: u64,
    /// At the end of a lap.
    pub most_resident_bytes: u64,
    /// At any moment since its start.
    pub peak_resident_bytes: u64,
}

impl Side {
    pub(super) fn new(budget_bytes: Option<u64>) -> Side {
        Side {
            budget_bytes,
            most_resident_bytes: 0,
            rates: Vec::new(),
            items: 0,
            latencies: Latencies::new(),
            writing: Writing::default(),
        }
    }

    pub(super) fn add(&mut self, laid: &Laid, writing: Writing) {
        self.rates.push(laid.rate());
        self.items += laid.items;
        self.latencies.add(&laid.measured.latencies);
        self.writing.add(writing);
    }

    pub(super) fn sum(self) -> Sum {
        let per_item = |bytes: u64| bytes as f64 / self.items.max(1) as f64;
        Sum {
            latency_micros: self.latencies.micros(),
            checkpoints: self.writing.checkpoints,
            log_bytes_per_item: per_item(self.writing.log_bytes),
            store_bytes_per_item: per_item(self.writing.store_bytes),
            most_resident_bytes: self.most_resident_bytes,
            over_budget_bytes: self
                .budget_bytes
                .map(|budget| self.most_resident_bytes.saturating_sub(budget)),
            items_per_second: self.rates,
        }
    }
}

impl Row {
    pub(super) fn new(workload: &'static str, unit: &'static str, warm: Sum, cold: Sum) -> Row {
        let cold_per_warm = Spread::of_quotients(&cold.items_per_second, &warm.items_per_second);
        Row { workload, unit, warm, cold, cold_per_warm }
    }
}

/// What the project holds itself to. A miss is shown and fails nothing.
pub(super) fn aims(rows: &[Row]) -> Vec<Aim> {
    let aim = |row: &Row| {
        let at_least = if row.unit == "memberships" { 0.6 } else { 0.75 };
        let what = format!("{}: cold / warm", row.workload);
        Aim::at_least(what, Some(row.cold_per_warm.median), "x", at_least, Some(0.9))
    };
    rows.iter().map(aim).collect()
}

impl Cold {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row(["", "", "", "cold / warm", "p50", "p99", "check-", "log B", "store B", "RSS", "over"]);
        table.row([
            "workload", "server", "items/s", "", "ms", "ms", "points", "/ item", "/ item", "MiB", "budget",
        ]);
        for row in &self.rows {
            for (name, sum) in [("warm", &row.warm), ("cold", &row.cold)] {
                let ratio = row.cold_per_warm;
                let ratio = format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.min, ratio.max);
                let rate = Spread::of(sum.items_per_second.iter().copied()).median;
                table.row([
                    row.workload.to_owned(),
                    name.to_owned(),
                    format!("{rate:.0}"),
                    if name == "cold" { ratio } else { String::new() },
                    format!("{:.1}", ms(sum.latency_micros.p50)),
                    format!("{:.1}", ms(sum.latency_micros.p99)),
                    sum.checkpoints.to_string(),
                    format!("{:.1}", sum.log_bytes_per_item),
                    format!("{:.1}", sum.store_bytes_per_item),
                    mib(sum.most_resident_bytes),
                    sum.over_budget_bytes.map_or_else(String::new, mib),
                ]);
            }
        }
        table
    }
}

impl Report for Cold {
    /// A wrong answer ends the run with an error.
    fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.warm.latency_micros.count > 0 && row.cold.latency_micros.count > 0)
    }

    fn write(&self, page: &mut Page) {
        self.setup.write(page);
        page.line(format_args!(
            "{} users x 10, {} MiB of profiles; the cold server may have {} MiB. Checkpoints every {} s.",
            self.users,
            mib(self.profiles_bytes),
            mib(self.budget_bytes),
            self.checkpoint_seconds
        ));
        page.line(format_args!(
            "Medians of {} rounds of {} s, a third of that for reads; an item is a membership or a user read.\n",
            self.rounds, self.seconds_per_measurement
        ));
        page.table(&self.table());
        let small = &self.small;
        page.gap();
        for (workload, rate) in &small.rates {
            page.line(format_args!("{workload} with {} MiB: {rate:.0} items/s", mib(small.budget_bytes)));
        }
        page.line(format_args!(
            "with a budget of {} MiB: profiles {} MiB; resident {} MiB at the end, {} at the most after a lap, {} ever",
            mib(small.budget_bytes),
            mib(small.profiles_bytes),
            mib(small.resident_bytes),
            mib(small.most_resident_bytes),
            mib(small.peak_resident_bytes)
        ));
        page.gap();
        self.aims.iter().for_each(|aim| page.line(aim));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Measured;
    use std::time::Duration;

    fn side(budget_bytes: Option<u64>, items: [u64; 2]) -> Sum {
        let mut side = Side::new(budget_bytes);
        side.most_resident_bytes = 100 << 20;
        for items in items {
            let mut measured = Measured::nothing();
            measured.elapsed = Duration::from_secs(2);
            measured.latencies.record(Duration::from_millis(2));
            let writing = Writing { log_bytes: 6 * items, store_bytes: 3 * items, checkpoints: 2 };
            side.add(&Laid { items, measured }, writing);
        }
        side.sum()
    }

    fn cold() -> Cold {
        let row = |workload, unit, cold| {
            Row::new(workload, unit, side(None, [4000, 2000]), side(Some(40 << 20), cold))
        };
        let rows = vec![row("bulk10", "memberships", [2800, 1400]), row("read", "users read", [2800, 1400])];
        Cold {
            setup: Setup::example(),
            users: 3_000_000,
            rounds: 2,
            seconds_per_measurement: 2.0,
            checkpoint_seconds: 10,
            profiles_bytes: 160 << 20,
            budget_bytes: 40 << 20,
            aims: aims(&rows),
            rows,
            small: Small {
                budget_bytes: 64 << 20,
                rates: vec![("read", 50_000.0)],
                profiles_bytes: 63 << 20,
                resident_bytes: 200 << 20,
                most_resident_bytes: 210 << 20,
                peak_resident_bytes: 253 << 20,
            },
        }
    }

    #[test]
    fn ratios_are_of_the_same_round_and_bytes_of_an_item() {
        let cold = cold();
        let row = &cold.rows[0];
        assert_eq!(row.cold_per_warm, Spread { median: 0.7, min: 0.7, max: 0.7 });
        assert_eq!((row.cold.checkpoints, row.cold.log_bytes_per_item), (4, 6.0));
        assert_eq!(row.cold.over_budget_bytes, Some(60 << 20));
        let told: Vec<String> = cold.aims.iter().map(Aim::to_string).collect();
        assert!(told[0].contains(">= 0.6 x: met; aim >= 0.9 x: missed"), "{told:?}");
        assert!(told[1].contains(">= 0.75 x: MISSED"), "{told:?}");
    }

    #[test]
    fn memory_is_told_with_what_it_is_over_the_budget() {
        let cold = cold();
        assert!(cold.is_good());
        let text = cold.text();
        let words = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let line =
            text.lines().map(words).find(|words| words.starts_with(&["read".into(), "cold".into()])).unwrap();
        assert_eq!(line[line.len() - 5..], ["4", "6.0", "3.0", "100", "60"], "{text}");
        assert!(text.contains("253 ever"), "{text}");
    }
}
