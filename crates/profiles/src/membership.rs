//! Memberships, and the rules by which a record changes them.
//!
//! The rules set the whole membership, with two exceptions. `added_at` stays while the membership is live. And a
//! membership that begins later leaves the one that is live until then; so it may be hidden in between. A replay over
//! a state that already holds some of the replayed records still ends in that same state (see `checkpoint`).

use crate::codec;
use ia_model::{Change, ErasedSegments, Expiry, Minute, Operation, SegmentId};
use std::num::NonZeroU32;
use std::ops::AddAssign;

/// One user's membership of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The segment.
    pub segment: SegmentId,
    /// The value of the last add.
    pub value: u32,
    /// The minute in which it began; adding again to a live membership keeps it. Of one that is hidden and has not
    /// been there before, that of the last add.
    pub added_at: Minute,
    /// The minute of the last add.
    pub last_seen: Minute,
    /// Its expiry, by the last add.
    pub expires: Expiry,
    /// The time in which it is hidden, before it begins (again). Reads leave hidden memberships out, and have none.
    pub pause: Option<Pause>,
}

/// The time in which a membership is stored and hidden. It ends before the membership expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    from: Minute,
    /// Never 0, so that memberships without a pause need no room for it.
    until: NonZeroU32,
}

impl Pause {
    /// From a minute until a later one.
    ///
    /// # Panics
    ///
    /// When it ends in minute 0.
    pub fn new(from: Minute, until: Minute) -> Pause {
        Pause { from, until: NonZeroU32::new(until.0).expect("a pause ends after it has begun") }
    }

    /// The first minute of it; `None` if the membership has not been there before.
    pub fn from(self) -> Option<Minute> {
        Some(self.from).filter(|from| from.0 > 0)
    }

    /// The minute in which the membership begins.
    pub fn until(self) -> Minute {
        Minute(self.until.get())
    }
}

impl Membership {
    /// The membership at `now`: `None` if it has expired. A pause that is over is gone, and of one that has begun it
    /// no longer matters what was before it.
    pub(crate) fn at(mut self, now: Minute) -> Option<Membership> {
        if !self.expires.is_live(now) {
            return None;
        }
        if let Some(pause) = &mut self.pause {
            if pause.until() <= now {
                self.added_at = pause.until();
                self.pause = None;
            } else if pause.from <= now {
                self.added_at = self.last_seen;
                pause.from = Minute(0);
            }
        }
        Some(self)
    }

    /// What a reader sees of it at `now`: it ends where its pause begins.
    pub(crate) fn visible(self, now: Minute) -> Option<Membership> {
        let entry = self.at(now)?;
        match entry.pause {
            None => Some(entry),
            Some(pause) => {
                pause.from().map(|from| Membership { expires: Expiry::At(from), pause: None, ..entry })
            }
        }
    }

    /// What of it begins after `now`, as a reader will see it then.
    pub(crate) fn later(self, now: Minute) -> Option<Membership> {
        let entry = self.at(now)?;
        entry.pause.map(|pause| Membership { added_at: pause.until(), pause: None, ..entry })
    }
}

/// Leaves what a reader sees at `now`.
pub(crate) fn retain_visible(entries: &mut Vec<Membership>, now: Minute) {
    entries.retain(|entry| entry.expires.is_live(now));
    // Seldom, so the loop above is all for nearly every read.
    if entries.iter().any(|entry| entry.pause.is_some()) {
        entries.retain_mut(|entry| entry.visible(now).map(|visible| *entry = visible).is_some());
    }
}

/// The number of memberships that a record changed. One that begins later counts from its acceptance on: no record
/// comes when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// New memberships.
    pub added: u64,
    /// Memberships that were there, live or hidden, and were added again.
    pub refreshed: u64,
    /// Memberships that were there, live or hidden, and were removed or erased.
    pub removed: u64,
    /// Operations that were put off, so that it is not known yet what they change, less those put off before that are
    /// counted above now.
    pub put_off: i64,
}

impl AddAssign for Applied {
    fn add_assign(&mut self, other: Applied) {
        self.added += other.added;
        self.refreshed += other.refreshed;
        self.removed += other.removed;
        self.put_off += other.put_off;
    }
}

/// The change of one user's profile.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edit<'a> {
    /// These operations, one after the other.
    Operations(&'a [Operation]),
    /// Some segments, or all, are erased.
    Erase(&'a ErasedSegments),
}

impl Edit<'_> {
    /// How many operations it is.
    pub(crate) fn operations(&self) -> usize {
        match self {
            Edit::Operations(operations) => operations.len(),
            Edit::Erase(ErasedSegments::Only(segments)) => segments.len(),
            Edit::Erase(ErasedSegments::All) => 0,
        }
    }
}

/// An operation with the minute of its record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    pub(crate) operation: Operation,
    pub(crate) seen: Minute,
    /// Whether what it changes is counted; if not, it was or will be elsewhere.
    pub(crate) is_counted: bool,
}

impl Timed {
    /// An operation of a record at the minute `seen`.
    pub(crate) fn of(operation: Operation, seen: Minute) -> Timed {
        Timed { operation, seen, is_counted: true }
    }
}

/// Merges edits into profiles; its buffers are used again from user to user.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    /// The profile before the edit, ascending by segment.
    pub(crate) before: Vec<Membership>,
    /// The profile after it.
    pub(crate) after: Vec<Membership>,
    operations: Vec<Timed>,
}

impl Merger {
    /// To change these.
    pub(crate) fn of(before: Vec<Membership>) -> Merger {
        Merger { before, ..Merger::default() }
    }

    /// Reads `before`; no bytes are no memberships.
    pub(crate) fn read(&mut self, packed: &[u8]) -> Result<(), codec::Malformed> {
        self.before.clear();
        if !packed.is_empty() {
            codec::unpack(packed, &mut self.before)?;
        }
        Ok(())
    }

    /// Makes `after` from `before`: applies `edit` at the minute `seen`, and drops memberships expired by then.
    pub(crate) fn merge(&mut self, edit: Edit<'_>, seen: Minute) -> Applied {
        match edit {
            Edit::Operations(operations) => {
                self.operations.clear();
                self.operations.extend(operations.iter().map(|&operation| Timed::of(operation, seen)));
                sort(&mut self.operations);
                self.after.clear();
                merge_sorted(&self.before, &self.operations, &mut self.after, seen)
            }
            Edit::Erase(erased) => self.erase(erased, seen),
        }
    }

    /// Makes `after` from `before` by the operations of several records, in their order, and drops memberships expired by
    /// the last of them. `before` is void then.
    pub(crate) fn merge_records(&mut self, operations: &mut [Timed]) -> Applied {
        let mut applied = Applied::default();
        // One pass for all records, except where the clock was set back between two of them.
        for records in operations.chunk_by_mut(|one, other| one.seen <= other.seen) {
            let last = records.last().map_or(Minute(0), |operation| operation.seen);
            sort(records);
            self.after.clear();
            applied += merge_sorted(&self.before, records, &mut self.after, last);
            std::mem::swap(&mut self.before, &mut self.after);
        }
        std::mem::swap(&mut self.before, &mut self.after);
        applied
    }

    /// Takes what was merged for the profile before the next edit.
    pub(crate) fn go_on(&mut self) {
        std::mem::swap(&mut self.before, &mut self.after);
    }

    fn erase(&mut self, erased: &ErasedSegments, seen: Minute) -> Applied {
        self.after.clear();
        let mut applied = Applied::default();
        for entry in self.before.iter().filter_map(|entry| entry.at(seen)) {
            let goes = match erased {
                ErasedSegments::All => true,
                ErasedSegments::Only(segments) => segments.contains(&entry.segment),
            };
            if goes {
                applied.removed += 1;
            } else {
                self.after.push(entry);
            }
        }
        applied
    }
}

/// The operations of a record, by segment.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn sorted(operations: &[Operation], seen: Minute) -> Vec<Timed> {
    let mut sorted: Vec<_> = operations.iter().map(|&operation| Timed::of(operation, seen)).collect();
    sort(&mut sorted);
    sorted
}

/// Sorts by segment, and keeps the order of operations on one segment.
pub(crate) fn sort(operations: &mut [Timed]) {
    let segment = |timed: &Timed| timed.operation.segment;
    // A record in normal form has them sorted.
    if !operations.is_sorted_by_key(segment) {
        operations.sort_by_key(segment);
    }
}

/// Merges `before` and `operations`, which both ascend by segment; the minutes of the operations on one segment ascend. What
/// has expired at `last`, the last of these minutes, is left out.
fn merge_sorted(
    before: &[Membership],
    operations: &[Timed],
    after: &mut Vec<Membership>,
    last: Minute,
) -> Applied {
    let mut applied = Applied::default();
    let mut rest = before;
    let mut operations = operations.iter().peekable();
    let at_last = |entry: &Membership| entry.at(last);
    while let Some(&&Timed { operation: Operation { segment, .. }, .. }) = operations.peek() {
        let smaller = rest.iter().position(|entry| entry.segment >= segment).unwrap_or(rest.len());
        let (untouched, others) = rest.split_at(smaller);
        after.extend(untouched.iter().filter_map(at_last));
        let mut membership = None;
        rest = others;
        if let Some((entry, others)) = others.split_first()
            && entry.segment == segment
        {
            membership = Some(*entry);
            rest = others;
        }
        while let Some(timed) = operations.next_if(|timed| timed.operation.segment == segment) {
            let before = membership.and_then(|entry| entry.at(timed.seen));
            membership = change(before, &timed.operation, timed.seen);
            let counted = u64::from(timed.is_counted);
            match (before, membership) {
                (None, None) => {}
                (None, Some(_)) => applied.added += counted,
                (Some(_), Some(_)) => applied.refreshed += counted,
                (Some(_), None) => applied.removed += counted,
            }
        }
        after.extend(membership.and_then(|entry| entry.at(last)));
    }
    after.extend(rest.iter().filter_map(at_last));
    applied
}

/// The membership after one operation; `before` is the membership before it, at `seen`.
fn change(before: Option<Membership>, operation: &Operation, seen: Minute) -> Option<Membership> {
    let (begins, expires, value) = match operation.change {
        Change::Add { expires, value } => (seen, expires, value),
        Change::AddLater { begins, expires, value } => (begins.max(seen), expires, value),
        Change::Remove => return None,
    };
    let live = before.and_then(|before| before.visible(seen));
    if !expires.is_live(begins) {
        // Nothing begins. What is live until then stays; an expiry that has passed when the record is accepted ends
        // the membership at once.
        return live.filter(|_| begins > seen);
    }
    let ends = live.map_or(Expiry::At(Minute(0)), |live| live.expires);
    let pause = match ends {
        Expiry::At(from) if begins > seen && from < begins => Some(Pause::new(from, begins)),
        _ => None,
    };
    Some(Membership {
        segment: operation.segment,
        value,
        added_at: live.map_or(seen, |live| live.added_at),
        last_seen: seen,
        expires,
        pause,
    })
}

#[cfg(test)]
mod tests;
