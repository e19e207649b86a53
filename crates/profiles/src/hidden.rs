//! Users of one shard whose membership of a segment is removed, and not yet taken out of their profiles.

use crate::Membership;
use ia_model::{Minute, SegmentId};

/// A fixed set of 64-bit hashes, from which each can be taken once: 8 bytes and a bit for each.
///
/// Two keys with one hash count as one. With a keyed hash and a million keys this happens once in 30 million sets.
#[derive(Debug, Clone, Default)]
pub struct Hashes {
    sorted: Vec<u64>,
    /// A bit for each hash: whether it was taken.
    taken: Vec<u64>,
    left: usize,
}

impl Hashes {
    /// A set of these.
    pub fn new(mut hashes: Vec<u64>) -> Hashes {
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        Hashes { taken: vec![0; hashes.len().div_ceil(64)], left: hashes.len(), sorted: hashes }
    }

    /// How many were not taken yet.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Whether this one is in the set and was not taken.
    pub fn contains(&self, hash: u64) -> bool {
        self.place(hash).is_some()
    }

    /// Takes a hash out; false where it is not there.
    pub fn take(&mut self, hash: u64) -> bool {
        let Some(place) = self.place(hash) else { return false };
        self.taken[place / 64] |= 1 << (place % 64);
        self.left -= 1;
        true
    }

    /// All, ascending, with those that were taken.
    pub fn all(&self) -> &[u64] {
        &self.sorted
    }

    fn place(&self, hash: u64) -> Option<usize> {
        let place = self.sorted.binary_search(&hash).ok()?;
        (self.taken[place / 64] >> (place % 64) & 1 == 0).then_some(place)
    }

    fn bytes(&self) -> usize {
        (self.sorted.capacity() + self.taken.capacity()) * size_of::<u64>()
    }
}

/// A removal of many users' memberships of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removal {
    /// Counts the replacements from 1, in the order of the log.
    pub(crate) number: u64,
    pub(crate) segment: SegmentId,
    /// The minute of the record.
    pub(crate) seen: Minute,
}

impl Removal {
    /// Whether a membership of a user that it has to reach is still there afterwards. As any record, it also takes what
    /// had ended by its minute; that shows when the clock is set back.
    pub(crate) fn keeps(&self, membership: &Membership) -> bool {
        membership.segment != self.segment && membership.expires.is_live(self.seen)
    }

    /// What it leaves of a membership. As any record, it ends a pause that was over by its minute.
    pub(crate) fn leaves(&self, membership: Membership) -> Option<Membership> {
        (membership.segment != self.segment).then_some(membership)?.at(self.seen)
    }
}

/// The users of one shard that removals have still to reach, by the hashes of their keys.
#[derive(Debug, Default)]
pub(crate) struct HiddenUsers(Vec<(Removal, Hashes)>);

impl HiddenUsers {
    /// Adds a removal that comes after all others.
    pub(crate) fn add(&mut self, removal: Removal, users: Hashes) {
        self.0.push((removal, users));
    }

    /// The removals up to the number `in_force` that have to reach the user.
    pub(crate) fn removals(&self, hash: u64, in_force: u64) -> Vec<Removal> {
        let of_user = self.0.iter().filter(|(removal, users)| {
            // The number first: it is one compare.
            removal.number <= in_force && users.contains(hash)
        });
        of_user.map(|(removal, _)| *removal).collect()
    }

    /// Takes the first removal that has to reach the user.
    pub(crate) fn take(&mut self, hash: u64) -> Option<Removal> {
        self.0.iter_mut().find_map(|(removal, users)| users.take(hash).then_some(*removal))
    }

    /// A removal has reached all its users.
    pub(crate) fn forget(&mut self, number: u64) {
        self.0.retain(|(removal, users)| {
            debug_assert!(removal.number != number || users.left() == 0, "each user was reached");
            removal.number != number
        });
    }

    /// Their memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, users)| users.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hash_is_taken_once() {
        let mut hashes = Hashes::new((0..200).map(|n| n * 7 % 199).collect());
        assert_eq!((hashes.left(), hashes.contains(198), hashes.contains(199)), (199, true, false));
        assert!(hashes.take(64) && !hashes.take(64) && !hashes.take(500));
        assert_eq!((hashes.left(), hashes.contains(64), hashes.contains(63)), (198, false, true));
        assert!(hashes.all().iter().copied().eq(0..199));
    }

    #[test]
    fn a_removal_hides_once_it_is_in_force_and_until_it_is_taken() {
        let mut hidden = HiddenUsers::default();
        let removal = |number, segment| Removal { number, segment: SegmentId(segment), seen: Minute(1) };
        hidden.add(removal(1, 10), Hashes::new(vec![1, 2]));
        hidden.add(removal(2, 20), Hashes::new(vec![2, 3]));
        assert_eq!(hidden.removals(2, 0), []);
        assert_eq!(hidden.removals(2, 1), [removal(1, 10)]);
        assert_eq!(hidden.removals(2, 2), [removal(1, 10), removal(2, 20)]);
        assert_eq!(hidden.take(2), Some(removal(1, 10)), "in the order of the log");
        assert_eq!(hidden.removals(2, 2), vec![removal(2, 20)]);
        assert_eq!((hidden.take(2), hidden.take(2)), (Some(removal(2, 20)), None));
        assert_eq!(hidden.removals(2, 2), vec![]);
        assert_eq!((hidden.take(1), hidden.take(3)), (Some(removal(1, 10)), Some(removal(2, 20))));
        hidden.forget(1);
        hidden.forget(2);
        assert_eq!(hidden.bytes(), 0);
    }
}
