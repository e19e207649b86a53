//! What `crash` tells, as text and as JSON.

use crate::disk::DiskUsage;
use crate::journal::Tally;
use crate::verify::Findings;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) server: PathBuf,
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

impl Report {
    /// Whether nothing is lost, torn or made up, at no time.
    pub(crate) fn is_good(&self) -> bool {
        self.rounds().iter().all(|(_, findings)| findings.is_sound() && findings.acknowledged > 0)
    }

    fn rounds(&self) -> [(&'static str, &Findings); 3] {
        [
            ("after the kill", &self.after_kill),
            ("after the load", &self.after_load),
            ("after the stop", &self.after_stop),
        ]
    }

    fn per_membership(&self, bytes: u64) -> f64 {
        bytes as f64 / self.memberships as f64
    }

    fn disk(&self, f: &mut fmt::Formatter<'_>, when: &str, disk: &DiskUsage) -> fmt::Result {
        writeln!(
            f,
            "{when:<22}{:>9} {:>9} {:>9} {:>9} {:>15.2}",
            mib(disk.total),
            mib(disk.log),
            mib(disk.profiles),
            mib(disk.sqlite),
            self.per_membership(disk.total),
        )
    }

    fn memory(&self, f: &mut fmt::Formatter<'_>, when: &str, size: &Size) -> fmt::Result {
        writeln!(
            f,
            "{when:<22}{:>9} {:>15.2} {:>13} {:>15.2}",
            mib(size.resident_bytes),
            self.per_membership(size.resident_bytes),
            mib(size.profiles_resident_bytes),
            self.per_membership(size.profiles_resident_bytes),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { users, segments, memberships, at_the_kill, .. } = self;
        writeln!(f, "{}", self.server.display())?;
        writeln!(
            f,
            "{users} users x {segments} segments = {memberships} memberships, {:.1} s in all",
            self.seconds
        )?;
        let Tally { acknowledged, refused, unknown, unsent } = at_the_kill;
        writeln!(
            f,
            "killed with {acknowledged} bodies acknowledged, {refused} refused, {unknown} unanswered, {unsent} unsent"
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:<22}{:>13} {:>9} {:>11} {:>6} {:>17} {:>17}",
            "", "acknowledged", "lost", "unexpected", "torn", "unanswered", "refused"
        )?;
        writeln!(
            f,
            "{:<22}{:>13} {:>9} {:>11} {:>6} {:>17} {:>17}",
            "read back", "memberships", "", "", "bodies", "present / absent", "present / absent"
        )?;
        for (when, found) in self.rounds() {
            let pair = |present: u64, absent: u64| format!("{present} / {absent}");
            writeln!(
                f,
                "{when:<22}{:>13} {:>9} {:>11} {:>6} {:>17} {:>17}",
                found.acknowledged,
                found.lost,
                found.unexpected,
                found.torn_bodies,
                pair(found.unknown_bodies_present, found.unknown_bodies_absent),
                pair(found.refused_bodies_present, found.refused_bodies_absent),
            )?;
        }
        writeln!(f)?;
        for (what, seconds) in [
            ("to ready, empty", self.seconds_to_ready_empty),
            ("to ready, after the kill", self.seconds_to_ready_after_kill),
            ("to stop, with the last checkpoint", self.seconds_to_stop),
            ("to ready, after the stop", self.seconds_to_ready_after_stop),
        ] {
            writeln!(f, "{what:<40}{seconds:>9.3} s")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<22}{:>9} {:>9} {:>9} {:>9} {:>15}",
            "disk, MiB", "total", "log", "profiles", "sqlite", "B / membership"
        )?;
        self.disk(f, "at the kill", &self.disk_at_the_kill)?;
        self.disk(f, "loaded", &self.loaded.disk)?;
        self.disk(f, "after the stop", &self.disk_after_stop)?;
        writeln!(f)?;
        writeln!(
            f,
            "{:<22}{:>9} {:>15} {:>13} {:>15}",
            "memory, MiB", "RSS", "B / membership", "profiles", "B / membership"
        )?;
        self.memory(f, "loaded", &self.loaded)?;
        self.memory(f, "reopened, read through", &self.reopened)?;
        writeln!(f)?;
        write!(f, "{}", if self.is_good() { "Nothing is lost." } else { "THE PROMISE IS BROKEN." })?;
        for (when, found) in self.rounds() {
            if let Some(fault) = &found.first_fault {
                write!(f, "\n{when}: {fault}")?;
            }
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let found = Findings { acknowledged: 600, ..Findings::default() };
        let disk = DiskUsage { total: 30 << 20, log: 20 << 20, profiles: 9 << 20, sqlite: 1 << 20 };
        let size = || Size { disk, resident_bytes: 64 << 20, profiles_resident_bytes: 10 << 20 };
        Report {
            server: "/x/instant-audience".into(),
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
        let text = report.to_string();
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
            let text = report.to_string();
            assert!(text.contains("THE PROMISE IS BROKEN"), "{text}");
            assert!(text.ends_with("user 7 is not in segment 8"), "{text}");
        }
    }

    #[test]
    fn a_run_in_which_nothing_was_acknowledged_shows_nothing() {
        let mut report = report();
        report.after_kill.acknowledged = 0;
        assert!(!report.is_good());
    }
}
