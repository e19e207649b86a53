//! The operations of a request on memberships.

use crate::{Minute, SegmentId, UserKey};

/// The end of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiry {
    /// It lives while the current minute is before this one.
    At(Minute),
    /// For ever.
    Never,
}

impl Expiry {
    /// Whether a membership with this expiry is live in the minute `now`.
    pub fn is_live(self, now: Minute) -> bool {
        match self {
            Expiry::Never => true,
            Expiry::At(minute) => now < minute,
        }
    }
}

/// The change of one user's membership of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The user is in the segment from now on, with exactly this expiry and value.
    Add {
        /// Replaces the expiry of an existing membership.
        expires: Expiry,
        /// 0 to 2^31-1; replaces the value of an existing membership.
        value: u32,
    },
    /// The user is in the segment from a later minute on. A membership that the user has by then goes on until its
    /// own end, and is this one from `begins` on.
    AddLater {
        /// The first minute of the membership. One that has come at acceptance makes this an [`Change::Add`].
        begins: Minute,
        /// Replaces the expiry of an existing membership.
        expires: Expiry,
        /// As for [`Change::Add`].
        value: u32,
    },
    /// The user is in the segment no longer.
    Remove,
}

/// A [`Change`] with its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operation {
    /// The segment.
    pub segment: SegmentId,
    /// The change of the membership.
    pub change: Change,
}

/// The operations of one request, grouped by user, in two flat allocations.
///
/// Normal form: each user is in it once, and each segment once for a user. A user may have no operations
/// (all were refused): such a user counts in the statistics and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Each user with the end of its run in `operations`.
    users: Vec<(UserKey, usize)>,
    operations: Vec<Operation>,
}

impl Batch {
    /// An empty batch with room for that many users and operations.
    pub fn with_capacity(users: usize, operations: usize) -> Batch {
        Batch { users: Vec::with_capacity(users), operations: Vec::with_capacity(operations) }
    }

    /// Adds a user that is not in the batch yet. The caller keeps the normal form.
    pub fn push(&mut self, user: UserKey, operations: impl IntoIterator<Item = Operation>) {
        self.operations.extend(operations);
        self.users.push((user, self.operations.len()));
    }

    /// Each user with its operations, in the order they were pushed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&UserKey, &[Operation])> + Clone {
        (0..self.users.len()).map(|index| {
            let start = index.checked_sub(1).map_or(0, |previous| self.users[previous].1);
            let (user, end) = &self.users[index];
            (user, &self.operations[start..*end])
        })
    }

    /// The user at `index`, in the order they were pushed. Panics when there are fewer users.
    pub fn user(&self, index: usize) -> &UserKey {
        &self.users[index].0
    }

    /// The number of users, with those without operations.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// All operations, over all users.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}
