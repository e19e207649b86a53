//! What `overload` tells.

use super::super::faults::Faults;
use super::super::outcome::table_of_times;
use crate::aim::Aim;
use crate::journal::Tally;
use crate::latencies::Micros;
use crate::report::{Page, Report, mib, ms};
use crate::verify::Findings;
use serde::Serialize;

/// The outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Overload {
    pub(super) flush_delay_ms: u32,
    /// How long refused clients wait at least.
    pub(super) retry_after_ms: u32,
    pub(super) connections: usize,
    pub(super) backlog_bytes: u64,
    pub(super) backlog_bytes_peak: u64,
    pub(super) seconds: f64,
    /// Times of the answers that are OK, and of the 503s.
    pub(super) acknowledged: Micros,
    pub(super) refused: Micros,
    pub(super) refused_without_retry_after: u64,
    pub(super) first_refusal: Option<String>,
    /// Bodies by fate, before the kill.
    pub(super) tally: Tally,
    pub(super) resident_bytes_before: u64,
    pub(super) resident_bytes_peak: u64,
    /// On the slow disk too, from the moment that each was due.
    pub(super) reads_alone: Micros,
    pub(super) reads_beside: Micros,
    pub(super) after_overload: Findings,
    pub(super) after_kill: Findings,
    pub(super) seconds_to_ready_after_kill: f64,
    pub(super) aims: Vec<Aim>,
    pub(super) faults: Faults,
}

/// How soon a client must be refused.
pub(super) fn aims(refused: &Micros) -> Vec<Aim> {
    let slowest = |micros: u64| (refused.count > 0).then(|| ms(micros));
    vec![
        Aim::at_most("time to a 503, p99", slowest(refused.p99), "ms", 100.0, None),
        Aim::at_most("time to a 503, max", slowest(refused.max), "ms", 100.0, None),
    ]
}

impl Report for Overload {
    /// Whether nothing that was acknowledged is lost, and every answer was OK or a 503 that says when to try
    /// again.
    fn is_good(&self) -> bool {
        let looks = [&self.after_overload, &self.after_kill];
        looks.iter().all(|found| found.is_sound() && found.acknowledged > 0)
            && self.faults.none()
            && self.refused_without_retry_after == 0
    }

    fn write(&self, page: &mut Page) {
        page.line(format_args!(
            "overload: every flush {} ms slower, {} connections with bodies of 10,000 memberships for {:.0} s, back {} ms after a 503, backlog bound {} MiB",
            self.flush_delay_ms,
            self.connections,
            self.seconds,
            self.retry_after_ms,
            mib(self.backlog_bytes)
        ));
        page.indented(&table_of_times([
            ("OK", &self.acknowledged),
            ("503", &self.refused),
            ("reads alone", &self.reads_alone),
            ("reads in the overload", &self.reads_beside),
        ]));
        page.line(format_args!(
            "  RSS {} MiB before, {} MiB at the most; backlog {} MiB at the most; {} of the 503s without Retry-After",
            mib(self.resident_bytes_before),
            mib(self.resident_bytes_peak),
            mib(self.backlog_bytes_peak),
            self.refused_without_retry_after
        ));
        let Tally { acknowledged, refused, unknown, .. } = self.tally;
        page.line(format_args!(
            "  bodies: {acknowledged} acknowledged, {refused} refused to the end, {unknown} unanswered"
        ));
        for (when, found) in
            [("the overload", &self.after_overload), ("kill -9 and a start", &self.after_kill)]
        {
            page.line(format_args!("  read back after {when}: {} memberships acknowledged, {} lost, {} unexpected, {} bodies torn; refused bodies there / not: {} / {}",
                found.acknowledged,
                found.lost,
                found.unexpected,
                found.torn_bodies,
                found.refused_bodies_present,
                found.refused_bodies_absent
            ));
            if let Some(fault) = &found.first_fault {
                page.line(format_args!("    {fault}"));
            }
        }
        if let Some(refusal) = &self.first_refusal {
            page.line(format_args!("  the first 503: {refusal}"));
        }
        self.aims.iter().for_each(|aim| page.line(aim));
        self.faults.write(page);
    }
}
