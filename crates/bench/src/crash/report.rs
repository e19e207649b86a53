//! What `crash` tells, as text and as JSON.

use crate::disk::DiskUsage;
use crate::journal::Tally;
use crate::report::{Page, Report, Setup};
use crate::table::Table;
use crate::verify::Findings;
use serde::Serialize;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Crash {
    #[serde(flatten)]
    pub(super) setup: Setup,
    pub(super) users: u64,
    pub(super) segments: u32,
    /// All that were loaded, and acknowledged, in the end.
    pub(super) memberships: u64,
    /// Bodies by fate.
    pub(super) at_the_kill: Tally,
    pub(super) disk_at_the_kill: DiskUsage,
    pub(super) after_kill: Findings,
    pub(super) after_load: Findings,
    pub(super) after_stop: Findings,
    /// With everything loaded, before it is read back.
    pub(super) loaded: Size,
    /// After the clean stop, started again and read through.
    pub(super) reopened: Size,
    pub(super) disk_after_stop: DiskUsage,
    pub(super) seconds_to_ready_empty: f64,
    pub(super) seconds_to_ready_after_kill: f64,
    pub(super) seconds_to_stop: f64,
    pub(super) seconds_to_ready_after_stop: f64,
    /// Of the whole run.
    pub(super) seconds: f64,
}

/// What a running server takes.
#[derive(Debug, Serialize)]
pub(super) struct Size {
    pub disk: DiskUsage,
    /// Of the process.
    pub resident_bytes: u64,
    /// Of the profiles, by the server's own count.
    pub profiles_resident_bytes: u64,
}

impl Crash {
    fn rounds(&self) -> [(&'static str, &Findings); 3] {
        [
            ("after the kill", &self.after_kill),
            ("after the load", &self.after_load),
            ("after the stop", &self.after_stop),
        ]
    }

    fn per_membership(&self, bytes: u64) -> String {
        format!("{:.2}", bytes as f64 / self.memberships as f64)
    }

    fn found(&self) -> Table {
        let mut table = Table::default();
        table.row(["", "acknowledged", "lost", "unexpected", "torn", "unanswered", "refused"]);
        table.row(["read back", "memberships", "", "", "bodies", "present / absent", "present / absent"]);
        for (when, found) in self.rounds() {
            let pair = |present: u64, absent: u64| format!("{present} / {absent}");
            table.row([
                when.to_owned(),
                found.acknowledged.to_string(),
                found.lost.to_string(),
                found.unexpected.to_string(),
                found.torn_bodies.to_string(),
                pair(found.unknown_bodies_present, found.unknown_bodies_absent),
                pair(found.refused_bodies_present, found.refused_bodies_absent),
            ]);
        }
        table
    }

    fn times(&self) -> Table {
        let mut table = Table::default();
        for (what, seconds) in [
            ("to ready, empty", self.seconds_to_ready_empty),
            ("to ready, after the kill", self.seconds_to_ready_after_kill),
            ("to stop, with the last checkpoint", self.seconds_to_stop),
            ("to ready, after the stop", self.seconds_to_ready_after_stop),
        ] {
            table.row([what.to_owned(), format!("{seconds:.3} s")]);
        }
        table
    }

    fn disk(&self) -> Table {
        let mut table = Table::default();
        table.row(["disk, MiB", "total", "log", "profiles", "sqlite", "B / membership"]);
        for (when, disk) in [
            ("at the kill", &self.disk_at_the_kill),
            ("loaded", &self.loaded.disk),
            ("after the stop", &self.disk_after_stop),
        ] {
            let sizes = [disk.total, disk.log, disk.profiles, disk.sqlite].map(mib);
            table.row([when.to_owned()].into_iter().chain(sizes).chain([self.per_membership(disk.total)]));
        }
        table
    }

    fn memory(&self) -> Table {
        let mut table = Table::default();
        table.row(["memory, MiB", "RSS", "B / membership", "profiles", "B / membership"]);
        for (when, size) in [("loaded", &self.loaded), ("reopened, read through", &self.reopened)] {
            let of = |bytes| [mib(bytes), self.per_membership(bytes)];
            let cells = of(size.resident_bytes).into_iter().chain(of(size.profiles_resident_bytes));
            table.row([when.to_owned()].into_iter().chain(cells));
        }
        table
    }
}

impl Report for Crash {
    /// Whether nothing is lost, torn or made up, at no time.
    fn is_good(&self) -> bool {
        self.rounds().iter().all(|(_, findings)| findings.is_sound() && findings.acknowledged > 0)
    }

    fn write(&self, page: &mut Page) {
        let Crash { users, segments, memberships, seconds, .. } = self;
        self.setup.write(page);
        page.line(format_args!(
            "{users} users x {segments} segments = {memberships} memberships, {seconds:.1} s in all"
        ));
        let Tally { acknowledged, refused, unknown, unsent } = &self.at_the_kill;
        page.line(format_args!(
            "killed with {acknowledged} bodies acknowledged, {refused} refused, {unknown} unanswered, {unsent} unsent"
        ));
        for table in [self.found(), self.times(), self.disk(), self.memory()] {
            page.gap();
            page.table(&table);
        }
        page.gap();
        page.line(if self.is_good() { "Nothing is lost." } else { "THE PROMISE IS BROKEN." });
        for (when, found) in self.rounds() {
            if let Some(fault) = &found.first_fault {
                page.line(format_args!("{when}: {fault}"));
            }
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Crash {
        let found = Findings { acknowledged: 600, ..Findings::default() };
        let disk = DiskUsage { total: 30 << 20, log: 20 << 20, profiles: 9 << 20, sqlite: 1 << 20 };
        let size = || Size { disk, resident_bytes: 64 << 20, profiles_resident_bytes: 10 << 20 };
        Crash {
            setup: Setup::example(),
            users: 100,
            segments: 10,
            memberships: 1 << 20,
            at_the_kill: Tally { acknowledged: 6, refused: 0, unknown: 1, unsent: 3 },
            disk_at_the_kill: disk,
            after_kill: Findings { unknown_bodies_present: 1, ..found.clone() },
            after_load: found.clone(),
            after_stop: found,
            loaded: size(),
            reopened: size(),
            disk_after_stop: disk,
            seconds_to_ready_empty: 0.1,
            seconds_to_ready_after_kill: 0.25,
            seconds_to_stop: 0.5,
            seconds_to_ready_after_stop: 0.125,
            seconds: 3.0,
        }
    }

    #[test]
    fn a_sound_run_is_good_and_shows_its_figures() {
        let report = report();
        assert!(report.is_good());
        let text = report.text();
        for figure in ["600", "1 / 0", "0.250 s", "30.00", "64.00", "10.00", "Nothing is lost."] {
            assert!(text.contains(figure), "{figure} in\n{text}");
        }
    }

    #[test]
    fn a_loss_at_any_time_fails_the_run_and_is_told() {
        for round in 0..3 {
            let mut report = report();
            let found = [&mut report.after_kill, &mut report.after_load, &mut report.after_stop];
            let found = found.into_iter().nth(round).unwrap();
            found.lost = 1;
            found.first_fault = Some("user 7 is not in segment 8".to_owned());
            assert!(!report.is_good());
            let text = report.text();
            assert!(text.contains("THE PROMISE IS BROKEN"), "{text}");
            assert!(text.ends_with("user 7 is not in segment 8\n"), "{text}");
        }
    }

    #[test]
    fn a_run_in_which_nothing_was_acknowledged_shows_nothing() {
        let mut report = report();
        report.after_kill.acknowledged = 0;
        assert!(!report.is_good());
    }
}
