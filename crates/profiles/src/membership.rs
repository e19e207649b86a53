//! What a profile says, and the rules by which a record changes it.
//!
//! The rules are absolute: each says what a membership is afterwards, and none counts up from what was
//! there. The one that looks back is `added_at`, which stays while the membership is live. That is what
//! makes a replay over a state which already holds some of the replayed records end in that same state
//! (see `checkpoint`).

use ia_model::{Change, ErasedSegments, Expiry, Minute, Operation, SegmentId};
use std::ops::AddAssign;

/// One user's membership of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The segment.
    pub segment: SegmentId,
    /// The value of the last add.
    pub value: u32,
    /// The minute of the add that began it; adding again to a live membership keeps it.
    pub added_at: Minute,
    /// The minute of the last add.
    pub last_seen: Minute,
    /// Until when it lasts, by the last add.
    pub expires: Expiry,
}

/// What a record changed.
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

/// What a record does to one user.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edit<'a> {
    /// These operations, one after the other.
    Operations(&'a [Operation]),
    /// These segments, or all, are erased.
    Erase(&'a ErasedSegments),
}

/// Room for merging that is used again from user to user.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    /// The profile before the edit, ascending by segment. The caller fills it.
    pub(crate) before: Vec<Membership>,
    /// The profile after it.
    pub(crate) after: Vec<Membership>,
    operations: Vec<Operation>,
}

impl Merger {
    /// Makes `after` from `before`: `edit` at the minute `seen`, and without what has expired by then.
    pub(crate) fn merge(&mut self, edit: Edit<'_>, seen: Minute) -> Applied {
        self.after.clear();
        match edit {
            Edit::Operations(operations) => {
                self.operations.clear();
                self.operations.extend_from_slice(operations);
                // Stable, so that the later of two operations on one segment comes later still.
                self.operations.sort_by_key(|operation| operation.segment);
                self.merge_sorted(seen)
            }
            Edit::Erase(erased) => self.erase(erased, seen),
        }
    }

    fn merge_sorted(&mut self, seen: Minute) -> Applied {
        let mut applied = Applied::default();
        let mut operations = self.operations.iter().peekable();
        let mut before = self.before.iter().filter(|entry| entry.expires.is_live(seen)).peekable();
        loop {
            let segment = match (before.peek(), operations.peek()) {
                (Some(entry), Some(operation)) => entry.segment.min(operation.segment),
                (Some(entry), None) => entry.segment,
                (None, Some(operation)) => operation.segment,
                (None, None) => return applied,
            };
            let mut membership = before.next_if(|entry| entry.segment == segment).copied();
            while let Some(operation) = operations.next_if(|operation| operation.segment == segment) {
                membership = change(membership, operation, seen, &mut applied);
            }
            self.after.extend(membership);
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

/// The membership after one operation; `live` is the one before it, if it is live at `seen`.
fn change(
    live: Option<Membership>,
    operation: &Operation,
    seen: Minute,
    applied: &mut Applied,
) -> Option<Membership> {
    match operation.change {
        // An expiry that is past already when the record is accepted ends the membership at once.
        Change::Add { expires, value } if expires.is_live(seen) => {
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
        Change::Add { .. } | Change::Remove => {
            applied.removed += u64::from(live.is_some());
            None
        }
    }
}
