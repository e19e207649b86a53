//! The replacements of segments' members that are in force; see `replacing`.

use crate::hidden::Removal;
use ia_model::{Change, Ingest, SegmentId};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// No replacement waits.
const NONE: u64 = u64::MAX;

/// What readers and checkpoints have to know of replacements.
#[derive(Debug)]
pub(crate) struct Replacements {
    /// The number of the last one that is in force.
    pub(crate) in_force: AtomicU64,
    /// The position of the first one that is not settled.
    first_waiting: AtomicU64,
    waiting_bytes: AtomicUsize,
}

/// A replacement that is in force and not settled, for the applier.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub(crate) position: u64,
    pub(crate) removal: Removal,
    /// The keys of its users, one behind the other, in the order of the record.
    pub(crate) keys: Vec<u8>,
    /// How many bytes of the keys are settled.
    pub(crate) settled: usize,
    /// How many users are not settled, at most.
    pub(crate) users_left: usize,
}

impl Default for Replacements {
    fn default() -> Replacements {
        Replacements {
            in_force: AtomicU64::new(0),
            first_waiting: AtomicU64::new(NONE),
            waiting_bytes: AtomicUsize::new(0),
        }
    }
}

impl Replacements {
    /// How many there were since the start, those that are not settled included.
    pub(crate) fn in_force(&self) -> u64 {
        self.in_force.load(Ordering::SeqCst)
    }

    /// The position up to which all records are in the profiles, out of those up to `applied`, which was read before.
    pub(crate) fn settled_position(&self, applied: u64) -> u64 {
        applied.min(self.first_waiting.load(Ordering::SeqCst) - 1)
    }

    /// The memory of keys that wait, in bytes.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed)
    }

    /// Notes what waits after a change.
    pub(crate) fn waiting_are(&self, waiting: &VecDeque<Replacement>) {
        let bytes = waiting.iter().map(|replacement| replacement.keys.capacity()).sum();
        self.waiting_bytes.store(bytes, Ordering::Relaxed);
        let first = waiting.front().map_or(NONE, |replacement| replacement.position);
        self.first_waiting.store(first, Ordering::SeqCst);
    }
}

/// The segment that a record replaces, if all that it does is to take users out of it.
pub(crate) fn replaced(ingest: &Ingest) -> Option<SegmentId> {
    let segment = ingest.file.as_ref()?.replaced?;
    let is_removal =
        ingest.batch.operations().iter().all(|of| of.segment == segment && of.change == Change::Remove);
    is_removal.then_some(segment)
}
