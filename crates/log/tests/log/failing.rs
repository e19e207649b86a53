//! A whole life of a log in which the disk fails once, or from some call on: at every call of every kind.
//!
//! Acknowledged records are there afterwards; records refused because the disk is full are not; a latch holds
//! until the log is opened anew, and opening on a healthy disk always works.

use std::collections::BTreeMap;
use std::fmt::Debug;

use ia_log::faults::{Call, Errno};
use ia_log::{AppendError, DiskLog, Log, LogState};

use crate::support::{LogExt, Testbed};

/// In the second file.
const TRIM_BEFORE: u64 = 6;

/// How the disk fails.
#[derive(Debug, Clone, Copy)]
struct Fault {
    call: Call,
    /// The number of the call among its kind, counted from the beginning of the life.
    n: usize,
    errno: Errno,
    /// All later calls fail as well.
    lasts: bool,
    /// The bytes of a failing write that reach the disk.
    torn_bytes: usize,
}

/// The answers to the appends of a life.
#[derive(Debug, Default)]
struct Journal {
    appended: u64,
    /// Positions with their payloads.
    acknowledged: BTreeMap<u64, Vec<u8>>,
    refused: Vec<Vec<u8>>,
    unknown: Vec<Vec<u8>>,
}

/// The sizes differ, so that files end at different places.
fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![number as u8; 500 + (number as usize * 331) % 900];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

impl Journal {
    fn append(&mut self, log: &DiskLog, records: u64, case: &dyn Debug) {
        let mut answers = Vec::new();
        for _ in 0..records {
            self.appended += 1;
            let payload = payload(self.appended);
            let (sender, receiver) = std::sync::mpsc::channel();
            let was_latched = matches!(log.state(), LogState::Latched { .. });
            let done = Box::new(move |result| drop(sender.send(result)));
            match log.append(payload.clone(), done) {
                Ok(()) => {
                    assert!(!was_latched, "{case:?}: a latched log takes a record");
                    answers.push((payload, receiver));
                }
                // Refused at once: nothing was queued.
                Err(AppendError::Latched { .. }) => self.refused.push(payload),
                Err(error) => panic!("{case:?}: {error}"),
            }
        }
        for (payload, answer) in answers {
            match answer.recv_timeout(crate::support::PATIENCE).expect("an answer") {
                Ok(position) => assert!(self.acknowledged.insert(position, payload).is_none(), "{case:?}"),
                Err(AppendError::DiskFull) => self.refused.push(payload),
                Err(AppendError::Latched { .. }) => self.unknown.push(payload),
                Err(error) => panic!("{case:?}: {error}"),
            }
        }
    }

    /// An open log reads as the acknowledged records, in order. A read may fail.
    fn read(&self, log: &DiskLog, case: &dyn Debug) {
        let first = log.first_position();
        let Ok(entries) = log.read_from(first) else { return };
        let mut expected = self.acknowledged.range(first..);
        for entry in entries {
            let Ok(entry) = entry else { return };
            // A record that returned after a latch is not in the journal.
            if self.unknown.contains(&entry.payload) {
                continue;
            }
            assert_eq!(expected.next(), Some((&entry.position, &entry.payload)), "{case:?}");
        }
        assert_eq!(expected.next(), None, "{case:?}: a read has ended early");
    }

    /// Checks the log after a healthy start. Returns the number of wrong records.
    fn check(&self, bed: &Testbed, case: &dyn Debug) {
        let (log, _) = bed.try_open().unwrap_or_else(|error| panic!("{case:?}: no clean restart: {error}"));
        let first = log.first_position();
        assert!(first <= TRIM_BEFORE, "{case:?}: first position {first}");
        let entries = log.entries_from(first).unwrap();
        let found: BTreeMap<u64, &Vec<u8>> =
            entries.iter().map(|entry| (entry.position, &entry.payload)).collect();
        for (position, payload) in self.acknowledged.range(first..) {
            assert_eq!(found.get(position), Some(&payload), "{case:?}: false OK for position {position}");
        }
        for (position, payload) in found {
            let is_known =
                self.acknowledged.get(&position) == Some(payload) || self.unknown.contains(payload);
            assert!(is_known, "{case:?}: position {position} was refused, or never sent");
            assert!(!self.refused.contains(payload), "{case:?}: position {position} was refused");
        }
        let next = log.next_position();
        assert_eq!(log.put("after"), Ok(next), "{case:?}: it takes records again");
    }
}

/// Returns the journal, the log after a kill in the middle, and whether the fault occurred.
fn live(bed: &Testbed, fault: Fault) -> (Journal, Option<Testbed>, bool) {
    let mut journal = Journal::default();
    let mut killed = None;
    let calls = bed.disk.calls(fault.call);
    let came_about = |bed: &Testbed| bed.disk.calls(fault.call) >= calls + fault.n;
    bed.disk.tear_failing_writes_after(fault.torn_bytes);
    if fault.lasts {
        bed.disk.fail_from(fault.call, fault.n, fault.errno);
    } else {
        bed.disk.fail_nth(fault.call, fault.n, fault.errno);
    }
    for opening in 0..2 {
        let Ok((log, _)) = bed.try_open() else { break };
        journal.append(&log, 1, &fault);
        journal.append(&log, 4, &fault);
        journal.read(&log, &fault);
        // With any result, it loses no record, and gets an answer.
        let (sender, receiver) = std::sync::mpsc::channel();
        if log.seal(Box::new(move |sealed| drop(sender.send(sealed)))).is_ok() {
            let sealed = receiver.recv_timeout(crate::support::PATIENCE).expect("an answer");
            assert!(sealed.is_err() || came_about(bed) || sealed == Ok(log.next_position()), "{fault:?}");
        }
        if opening == 0 {
            // Removed or not.
            let _ = log.trim_before(TRIM_BEFORE);
        }
        for _ in 0..4 {
            let (failed_before, acknowledged) = (came_about(bed), journal.acknowledged.len());
            journal.append(&log, 1, &fault);
            // The bytes may still be there, as here, but that is unknown.
            let flush_failed = fault.call == Call::Flush && came_about(bed) && !failed_before;
            assert!(
                !flush_failed || journal.acknowledged.len() == acknowledged,
                "{fault:?}: OK without a flush"
            );
        }
        if let LogState::Latched { .. } = log.state() {
            let next = log.next_position();
            journal.append(&log, 2, &fault);
            assert_eq!(log.next_position(), next, "{fault:?}: the latch holds");
            assert!(matches!(log.state(), LogState::Latched { .. }), "{fault:?}: the latch holds");
        }
        journal.read(&log, &fault);
        if opening == 1 {
            killed = Some(bed.after_a_kill());
        }
    }
    let came_about = came_about(bed);
    bed.disk.heal();
    (journal, killed, came_about)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure of the run")]
fn no_failing_call_makes_a_false_ok() {
    let (mut cases, mut acknowledged, mut refused, mut unknown) = (0, 0, 0, 0);
    for call in Call::ALL {
        let torn: &[usize] = if call == Call::Write { &[0, 1, 24, 700, usize::MAX] } else { &[0] };
        for &torn_bytes in torn {
            for (errno, lasts) in
                [(Errno::IO, false), (Errno::NOSPC, false), (Errno::IO, true), (Errno::NOSPC, true)]
            {
                for n in 1.. {
                    let fault = Fault { call, n, errno, lasts, torn_bytes };
                    let bed = Testbed::in_memory();
                    let (journal, killed, came_about) = live(&bed, fault);
                    for bed in killed.iter().chain([&bed]) {
                        journal.check(bed, &fault);
                    }
                    acknowledged += journal.acknowledged.len();
                    refused += journal.refused.len();
                    unknown += journal.unknown.len();
                    if !came_about {
                        assert!(n > 1, "{call:?} is never called");
                        break;
                    }
                    cases += 1;
                }
            }
        }
    }
    println!(
        "figure: failing-seam: cases={cases} acknowledged={acknowledged} refused={refused} unknown={unknown} false_ok=0 ghosts=0 latch_broken=0 refused_starts=0"
    );
}
