//! What `overload` tells.

use super::super::aim::Aim;
use super::super::units::{Faults, Micros, mib, ms};
use super::offer::Offered;
use crate::journal::Tally;
use crate::verify::Findings;
use serde::Serialize;
use std::fmt;

/// The outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    flush_delay_ms: u32,
    /// How long refused clients wait at least.
    retry_after_ms: u32,
    connections: usize,
    backlog_bytes: u64,
    backlog_bytes_peak: u64,
    seconds: f64,
    /// Times of the answers that are OK, and of the 503s.
    acknowledged: Micros,
    refused: Micros,
    refused_without_retry_after: u64,
    first_refusal: Option<String>,
    /// Bodies by fate, before the kill.
    tally: Tally,
    resident_bytes_before: u64,
    resident_bytes_peak: u64,
    /// On the slow disk too, from the moment that each was due.
    reads_alone: Micros,
    reads_beside: Micros,
    after_overload: Findings,
    after_kill: Findings,
    seconds_to_ready_after_kill: f64,
    aims: Vec<Aim>,
    faults: Faults,
}

/// What a report is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub flush_delay_ms: u32,
    pub retry_after_ms: u32,
    pub connections: usize,
    pub backlog_bytes: u64,
    pub backlog_bytes_peak: u64,
    pub seconds: f64,
    pub offered: Offered,
    pub tally: Tally,
    pub resident_bytes_before: u64,
    pub resident_bytes_peak: u64,
    pub reads_alone: Micros,
    pub reads_beside: Micros,
    pub after_overload: Findings,
    pub after_kill: Findings,
    pub seconds_to_ready: f64,
    pub faults: Faults,
}

impl Report {
    pub(super) fn new(parts: Parts) -> Report {
        let Parts { offered, mut faults, .. } = parts;
        faults.errors += offered.errors;
        faults.first_error = faults.first_error.or(offered.first_error);
        let refused = Micros::of(&offered.refused);
        let slowest = |micros: u64| (refused.count > 0).then(|| ms(micros));
        let aims = vec![
            Aim::at_most("time to a 503, p99", slowest(refused.p99), "ms", 100.0, None),
            Aim::at_most("time to a 503, max", slowest(refused.max), "ms", 100.0, None),
        ];
        Report {
            flush_delay_ms: parts.flush_delay_ms,
            retry_after_ms: parts.retry_after_ms,
            connections: parts.connections,
            backlog_bytes: parts.backlog_bytes,
            backlog_bytes_peak: parts.backlog_bytes_peak,
            seconds: parts.seconds,
            acknowledged: Micros::of(&offered.acknowledged),
            refused,
            refused_without_retry_after: offered.without_retry_after,
            first_refusal: offered.first_refusal,
            tally: parts.tally,
            resident_bytes_before: parts.resident_bytes_before,
            resident_bytes_peak: parts.resident_bytes_peak,
            reads_alone: parts.reads_alone,
            reads_beside: parts.reads_beside,
            after_overload: parts.after_overload,
            after_kill: parts.after_kill,
            seconds_to_ready_after_kill: parts.seconds_to_ready,
            aims,
            faults,
        }
    }

    /// Whether nothing that was acknowledged is lost, and every answer was OK or a 503 that says when to try
    /// again.
    pub(crate) fn is_good(&self) -> bool {
        let looks = [&self.after_overload, &self.after_kill];
        looks.iter().all(|found| found.is_sound() && found.acknowledged > 0)
            && self.faults.none()
            && self.refused_without_retry_after == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "overload: every flush {} ms slower, {} connections with bodies of 10,000 memberships for {:.0} s, back {} ms after a 503, backlog bound {} MiB",
            self.flush_delay_ms,
            self.connections,
            self.seconds,
            self.retry_after_ms,
            mib(self.backlog_bytes)
        )?;
        writeln!(f, "  {:<22}{}", "", Micros::HEADING)?;
        for (what, micros) in [
            ("OK", &self.acknowledged),
            ("503", &self.refused),
            ("reads alone", &self.reads_alone),
            ("reads in the overload", &self.reads_beside),
        ] {
            writeln!(f, "  {what:<22}{micros}")?;
        }
        writeln!(
            f,
            "  RSS {} MiB before, {} MiB at the most; backlog {} MiB at the most; {} of the 503s without Retry-After",
            mib(self.resident_bytes_before),
            mib(self.resident_bytes_peak),
            mib(self.backlog_bytes_peak),
            self.refused_without_retry_after
        )?;
        let Tally { acknowledged, refused, unknown, .. } = self.tally;
        writeln!(
            f,
            "  bodies: {acknowledged} acknowledged, {refused} refused to the end, {unknown} unanswered"
        )?;
        for (when, found) in
            [("the overload", &self.after_overload), ("kill -9 and a start", &self.after_kill)]
        {
            writeln!(
                f,
                "  read back after {when}: {} memberships acknowledged, {} lost, {} unexpected, {} bodies torn; refused bodies there / not: {} / {}",
                found.acknowledged,
                found.lost,
                found.unexpected,
                found.torn_bodies,
                found.refused_bodies_present,
                found.refused_bodies_absent
            )?;
            if let Some(fault) = &found.first_fault {
                writeln!(f, "    {fault}")?;
            }
        }
        if let Some(refusal) = &self.first_refusal {
            writeln!(f, "  the first 503: {refusal}")?;
        }
        self.aims.iter().try_for_each(|aim| writeln!(f, "{aim}"))?;
        write!(f, "{}", self.faults)
    }
}
