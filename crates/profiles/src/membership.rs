//! Memberships, and the rules by which a record changes them.
//!
//! The rules are absolute: each sets the whole membership, and none depends on the one before. The only
//! exception is `added_at`, which stays while the membership is live. So a replay over a state that already
//! holds some of the replayed records ends in that same state (see `checkpoint`).

use crate::codec;
use ia_model::{Change, ErasedSegments, Expiry, Minute, Operation, SegmentId};
use std::ops::AddAssign;

/// One user's membership of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The segment.
    pub segment: SegmentId,
    /// The value of the last add.
    pub value: u32,
    /// The minute of the first add; adding again to a live membership keeps it.
    pub added_at: Minute,
    /// The minute of the last add.
    pub last_seen: Minute,
    /// Its expiry, by the last add.
    pub expires: Expiry,
}

/// The number of memberships that a record changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Memberships that began.
    pub added: u64,
    /// Live memberships that were added again.
    pub refreshed: u64,
    /// Live memberships that were removed or erased.
    pub removed: u64,
}

impl AddAssign for Applied {
    fn add_assign(&mut self, other: Applied) {
        self.added += other.added;
        self.refreshed += other.refreshed;
        self.removed += other.removed;
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

/// Merges edits into profiles; its buffers are used again from user to user.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    /// The profile before the edit, ascending by segment.
    pub(crate) before: Vec<Membership>,
    /// The profile after it.
    pub(crate) after: Vec<Membership>,
}

impl Merger {
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
        self.after.clear();
        match edit {
            // A record in normal form has them sorted.
            Edit::Operations(operations) if operations.is_sorted_by_key(|operation| operation.segment) => {
                merge_sorted(&self.before, operations, &mut self.after, seen)
            }
            Edit::Operations(operations) => {
                let mut sorted = operations.to_vec();
                // A stable sort keeps the order of two operations on one segment.
                sorted.sort_by_key(|operation| operation.segment);
                merge_sorted(&self.before, &sorted, &mut self.after, seen)
            }
            Edit::Erase(erased) => self.erase(erased, seen),
        }
    }

    fn erase(&mut self, erased: &ErasedSegments, seen: Minute) -> Applied {
        let live = self.before.iter().filter(|entry| entry.expires.is_live(seen));
        let mut applied = Applied::default();
        for entry in live {
            let goes = match erased {
                ErasedSegments::All => true,
                ErasedSegments::Only(segments) => segments.contains(&entry.segment),
            };
            if goes {
                applied.removed += 1;
            } else {
                self.after.push(*entry);
            }
        }
        applied
    }
}

/// Merges `before` and `operations`, which both ascend by segment.
fn merge_sorted(
    before: &[Membership],
    operations: &[Operation],
    after: &mut Vec<Membership>,
    seen: Minute,
) -> Applied {
    let mut applied = Applied::default();
    let mut rest = before;
    let mut operations = operations.iter().peekable();
    let is_live = |entry: &&Membership| entry.expires.is_live(seen);
    while let Some(&&Operation { segment, .. }) = operations.peek() {
        let smaller = rest.iter().position(|entry| entry.segment >= segment).unwrap_or(rest.len());
        let (untouched, others) = rest.split_at(smaller);
        after.extend(untouched.iter().filter(is_live));
        let mut membership = None;
        rest = others;
        if let Some((entry, others)) = others.split_first()
            && entry.segment == segment
        {
            membership = Some(entry).filter(is_live).copied();
            rest = others;
        }
        while let Some(operation) = operations.next_if(|operation| operation.segment == segment) {
            membership = change(membership, operation, seen, &mut applied);
        }
        after.extend(membership);
    }
    after.extend(rest.iter().filter(is_live));
    applied
}

/// The membership after one operation; `live` is the membership before it, if it was live at `seen`.
fn change(
    live: Option<Membership>,
    operation: &Operation,
    seen: Minute,
    applied: &mut Applied,
) -> Option<Membership> {
    match operation.change {
        // An expiry that has passed when the record is accepted ends the membership at once.
        Change::Add { expires, value } | Change::AddLater { expires, value, .. } if expires.is_live(seen) => {
            match live {
                Some(_) => applied.refreshed += 1,
                None => applied.added += 1,
            }
            Some(Membership {
                segment: operation.segment,
                value,
                added_at: live.map_or(seen, |live| live.added_at),
                last_seen: seen,
                expires,
            })
        }
        Change::Add { .. } | Change::AddLater { .. } | Change::Remove => {
            applied.removed += u64::from(live.is_some());
            None
        }
    }
}
