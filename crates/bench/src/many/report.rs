//! What `many` tells.

use crate::aim::Aim;
use crate::latencies::Micros;
use crate::report::{Page, Report, Setup, mib, ms};
use crate::table::Table;
use crate::verify::Findings;
use crate::writing::Writing;
use serde::Serialize;

/// What a server may take beyond the budget of its profiles.
const OVER_BUDGET_BYTES: u64 = 400 << 20;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Many {
    #[serde(flatten)]
    pub(super) setup: Setup,
    pub(super) budget_bytes: u64,
    /// With few users and with all.
    pub(super) phases: [Phase; 2],
    /// At any moment before the kill.
    pub(super) peak_resident_bytes: u64,
    /// The same, looked at every second.
    pub(super) peak_disk_bytes: u64,
    pub(super) start: Start,
    pub(super) aims: Vec<Aim>,
}

/// The outcome of a number of users.
#[derive(Debug, Serialize)]
pub(super) struct Phase {
    pub users: u64,
    pub memberships: u64,
    pub seconds_of_load: f64,
    pub writing_of_load: Writing,
    /// After the load, like the next four.
    pub profiles_in_memory: u64,
    pub profiles_bytes: u64,
    pub resident_bytes: u64,
    pub log_disk_bytes: u64,
    pub store_disk_bytes: u64,
    /// After the measurements.
    pub resident_bytes_at_the_end: u64,
    pub rates: Vec<Rate>,
}

/// The outcome of a workload.
#[derive(Debug, Serialize)]
pub(super) struct Rate {
    pub workload: &'static str,
    pub items: u64,
    pub items_per_second: f64,
    pub latency_micros: Micros,
    pub writing: Writing,
}

/// The start after the kill.
#[derive(Debug, Serialize)]
pub(super) struct Start {
    pub log_bytes: u64,
    pub seconds_to_ready: f64,
    pub seconds_to_stop: f64,
    pub found: Findings,
}

impl Phase {
    fn rate(&self, workload: &str) -> Option<&Rate> {
        self.rates.iter().find(|rate| rate.workload == workload)
    }

    /// Bytes of memory of a membership whose profile is there.
    fn bytes_per_membership(&self) -> f64 {
        let per_user = self.memberships / self.users;
        self.profiles_bytes as f64 / (self.profiles_in_memory * per_user).max(1) as f64
    }
}

/// What the project holds itself to. A miss is shown and fails nothing.
pub(super) fn aims(
    phases: &[Phase; 2],
    budget_bytes: u64,
    peak_resident_bytes: u64,
    start: &Start,
) -> Vec<Aim> {
    let [base, all] = phases;
    let ratio = |workload| Some(all.rate(workload)?.items_per_second / base.rate(workload)?.items_per_second);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let most = mib(budget_bytes + OVER_BUDGET_BYTES);
    let bulk = format!("bulk10 with {} users / with {}", all.users, base.users);
    vec![
        Aim::at_least(bulk, ratio("bulk10"), "x", 0.5, Some(0.8)),
        Aim::at_most("resident at the most", Some(mib(peak_resident_bytes)), "MiB", most, None),
        Aim::at_most("to ready after a kill", Some(start.seconds_to_ready), "s", 30.0, None),
    ]
}

impl Many {
    fn loads(&self) -> Table {
        let mut table = Table::default();
        table.row(["", "load", "profiles", "bytes /", "RSS", "RSS MiB", "log MiB", "store MiB", "store B /"]);
        table.row([
            "users",
            "/ s",
            "in memory",
            "membership",
            "MiB",
            "later",
            "on disk",
            "on disk",
            "membership",
        ]);
        for phase in &self.phases {
            table.row([
                phase.users.to_string(),
                format!("{:.0}", phase.memberships as f64 / phase.seconds_of_load),
                phase.profiles_in_memory.to_string(),
                format!("{:.2}", phase.bytes_per_membership()),
                mib(phase.resident_bytes),
                mib(phase.resident_bytes_at_the_end),
                mib(phase.log_disk_bytes),
                mib(phase.store_disk_bytes),
                format!("{:.1}", phase.store_disk_bytes as f64 / phase.memberships as f64),
            ]);
        }
        table
    }

    fn rates(&self) -> Table {
        let mut table = Table::default();
        table.row(["users", "workload", "items/s", "p50 ms", "p99 ms"]);
        for phase in &self.phases {
            for rate in &phase.rates {
                table.row([
                    phase.users.to_string(),
                    rate.workload.to_owned(),
                    format!("{:.0}", rate.items_per_second),
                    format!("{:.1}", ms(rate.latency_micros.p50)),
                    format!("{:.1}", ms(rate.latency_micros.p99)),
                ]);
            }
        }
        table
    }

    /// Bytes written to disk, for a membership and for a byte of it in memory.
    fn written(&self) -> Table {
        let mut table = Table::default();
        table.row(["written to disk:", "", "B / membership", "", "B / its bytes", "", "check-"]);
        table.row(["users", "", "log", "store", "log", "store", "points"]);
        for phase in &self.phases {
            let bulk = phase.rate("bulk10").map(|rate| ("bulk10", rate.items, rate.writing));
            let load = ("load", phase.memberships, phase.writing_of_load);
            for (what, items, writing) in [Some(load), bulk].into_iter().flatten() {
                let per = |bytes: u64| bytes as f64 / items.max(1) as f64;
                let size = self.phases[0].bytes_per_membership();
                let (log, store) = (per(writing.log_bytes), per(writing.store_bytes));
                table.row([
                    phase.users.to_string(),
                    what.to_owned(),
                    format!("{log:.1}"),
                    format!("{store:.1}"),
                    format!("{:.2}", log / size),
                    format!("{:.2}", store / size),
                    writing.checkpoints.to_string(),
                ]);
            }
        }
        table
    }
}

impl Report for Many {
    /// Whether what was acknowledged was there after the start. A wrong answer ends the run with an error.
    fn is_good(&self) -> bool {
        self.start.found.is_sound()
    }

    fn write(&self, page: &mut Page) {
        self.setup.write(page);
        page.line(format_args!("Users x 10; a budget of {} MiB for profiles.\n", mib(self.budget_bytes)));
        for table in [self.loads(), self.rates(), self.written()] {
            page.table(&table);
            page.gap();
        }
        page.line(format_args!(
            "at the most: {} MiB resident, {} MiB of disk",
            mib(self.peak_resident_bytes),
            mib(self.peak_disk_bytes)
        ));
        let start = &self.start;
        page.line(format_args!(
            "a kill with {} MiB of log: ready after {:.1} s; the stop took {:.1} s",
            mib(start.log_bytes),
            start.seconds_to_ready,
            start.seconds_to_stop
        ));
        if let Some(fault) = &start.found.first_fault {
            page.line(format_args!("LOST: {fault}"));
        }
        page.gap();
        self.aims.iter().for_each(|aim| page.line(aim));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(users: u64, rate: f64) -> Phase {
        let latency_micros = Micros { p50: 1000, p99: 2000, p999: 3000, max: 4000, count: 9 };
        let writing = |items: u64| Writing { log_bytes: 5 * items, store_bytes: 20 * items, checkpoints: 7 };
        let rate = |workload| Rate {
            workload,
            items: 1000,
            items_per_second: rate,
            latency_micros,
            writing: writing(1000),
        };
        Phase {
            users,
            memberships: 10 * users,
            seconds_of_load: 10.0,
            writing_of_load: writing(10 * users),
            profiles_in_memory: users / 2,
            profiles_bytes: users * 25,
            resident_bytes: 4 << 30,
            log_disk_bytes: 1 << 30,
            store_disk_bytes: 80 * users,
            resident_bytes_at_the_end: 4 << 30,
            rates: vec![rate("bulk10"), rate("read")],
        }
    }

    fn many() -> Many {
        let phases = [phase(1_000_000, 5e6), phase(100_000_000, 3e6)];
        let start = Start {
            log_bytes: 1 << 20,
            seconds_to_ready: 31.0,
            seconds_to_stop: 1.0,
            found: Findings::default(),
        };
        let peak = (4 << 30) + (300 << 20);
        let aims = aims(&phases, 4 << 30, peak, &start);
        Many {
            setup: Setup::example(),
            budget_bytes: 4 << 30,
            phases,
            peak_resident_bytes: peak,
            peak_disk_bytes: 20 << 30,
            start,
            aims,
        }
    }

    #[test]
    fn all_users_are_held_against_few() {
        let told: Vec<String> = many().aims.iter().map(Aim::to_string).collect();
        assert!(told[0].contains("0.60 x") && told[0].contains(": met; aim >= 0.8 x: missed"), "{told:?}");
        assert!(told[1].contains("4396.00 MiB") && told[1].contains("<= 4496 MiB: met"), "{told:?}");
        assert!(told[2].contains("31.00 s") && told[2].contains("MISSED"), "{told:?}");
    }

    #[test]
    fn bytes_are_those_of_a_membership_and_of_its_bytes() {
        let mut many = many();
        let text = many.text();
        // 5 bytes each in memory; 5 and 20 were written.
        let line =
            text.lines().find(|line| line.starts_with("1000000  ") && line.contains("load  ")).unwrap();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        assert_eq!(words[2..], ["5.0", "20.0", "1.00", "4.00", "7"], "{text}");
        assert!(many.is_good());
        (many.start.found.lost, many.start.found.first_fault) = (1, Some("user 7 is gone".to_owned()));
        assert!(!many.is_good() && many.text().contains("LOST: user 7 is gone"));
    }
}
