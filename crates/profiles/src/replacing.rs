//! Replacing the members of a segment: a record that takes up to millions of users out of it, at one moment.
//!
//! To change a million profiles takes seconds, and no read may see half of it. So the record is applied in two steps:
//!
//! 1. *In force.* The hashes of its users go into the shards, where readers do not heed them yet. Then one number is
//!    raised, and from then on every read leaves the segment out for these users. This needs no profile and no disk.
//!    Whoever reads several users compares the number before and after (see [`crate::read_at_once`]).
//! 2. *Settled.* [`Profiles::settle`](crate::Profiles::settle) takes the memberships out of the profiles, some users
//!    at a time, between other records. A later record that changes such a user does it first, so each user's changes
//!    are made in the order of the log, as if the record had been applied at once.
//!
//! Until all are settled a checkpoint covers no more than the records before this one, so a restart applies it again.
//! The checkpoint may be ahead of that position, as always (see `checkpoint`): the removal sets the whole membership,
//! as any other.

use crate::apply::{KeyEdit, UserEdit};
use crate::hidden::{Hashes, Removal};
use crate::packed::PackedProfiles;
use crate::shards::lock;
use crate::{Applied, ProfilesError};
use ia_model::{Change, Ingest, Minute, SegmentId, UserKey};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many users are settled at a time: some tenths of a millisecond when they are in memory.
const USERS_PER_CALL: usize = 128;
/// How many users are hashed before other threads get their turn: a tenth of a millisecond.
const HASHES_PER_TURN: usize = 2048;
/// The most users of all replacements that wait to be settled; with more, a record waits for those before it. Each
/// takes 8 bytes and its key.
const MAX_WAITING_USERS: usize = 8 << 20;
/// No replacement waits.
const NONE: u64 = u64::MAX;

/// What readers and checkpoints have to know of replacements.
#[derive(Debug)]
pub(crate) struct Replacements {
    /// The number of the last one that is in force.
    in_force: AtomicU64,
    /// The position of the first one that is not settled.
    first_waiting: AtomicU64,
    waiting_bytes: AtomicUsize,
}

/// A replacement that is in force and not settled, for the applier.
#[derive(Debug)]
pub(crate) struct Replacement {
    position: u64,
    removal: Removal,
    /// The keys of its users, one behind the other, in the order of the record.
    keys: Vec<u8>,
    /// How many bytes of the keys are settled.
    settled: usize,
    users_left: usize,
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

    fn waiting_are(&self, waiting: &VecDeque<Replacement>) {
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

impl PackedProfiles {
    /// Takes all users of the record out of the segment, at one moment. Reads no profile.
    pub(crate) fn put_in_force(
        &self,
        position: u64,
        ingest: &Ingest,
        segment: SegmentId,
    ) -> Result<(), ProfilesError> {
        let count = ingest.batch.users();
        while lock(&self.applier).waiting_users() + count > MAX_WAITING_USERS {
            if self.settle_some()?.is_none() {
                break;
            }
        }
        let users = || ingest.batch.iter().filter(|(_, operations)| !operations.is_empty());
        let mut keys = Vec::with_capacity(users().map(|(user, _)| user.as_bytes().len()).sum());
        let shards = self.shards.count();
        // A keyed hash spreads the users over the shards, but not in quite equal parts.
        let room = count / shards + count / shards / 8;
        let mut hashes: Vec<Vec<u64>> = (0..shards).map(|_| Vec::with_capacity(room)).collect();
        for (index, (user, _)) in users().enumerate() {
            let hash = self.shards.hashed(user.as_bytes()).hash;
            hashes[self.shards.number(hash)].push(hash);
            keys.extend_from_slice(user.as_bytes());
            if index % HASHES_PER_TURN == 0 {
                std::thread::yield_now();
            }
        }
        let seen = Minute::containing(ingest.accepted_at_ms);
        let removal = Removal { number: self.replacements.in_force() + 1, segment, seen };
        for (shard, hashes) in hashes.into_iter().enumerate().filter(|(_, hashes)| !hashes.is_empty()) {
            let hashes = Hashes::new(hashes);
            self.shards.lock(shard).hidden.add(removal, hashes);
            std::thread::yield_now();
        }
        let users_left = users().count();
        let mut applier = lock(&self.applier);
        applier.waiting.push_back(Replacement { position, removal, keys, settled: 0, users_left });
        // Before the position is applied, so that no checkpoint takes the record for settled.
        self.replacements.waiting_are(&applier.waiting);
        self.replacements.in_force.store(removal.number, Ordering::SeqCst);
        Ok(())
    }

    /// See [`crate::Profiles::settle`].
    pub(crate) fn settle_some(&self) -> Result<Option<Applied>, ProfilesError> {
        let mut applier = lock(&self.applier);
        let Some(mut first) = applier.waiting.pop_front() else {
            let of_later_records = std::mem::take(&mut applier.settled);
            return Ok((of_later_records != Applied::default()).then_some(of_later_records));
        };
        let settled = self.settle_users(&mut applier, &mut first);
        if first.users_left > 0 || settled.is_err() {
            applier.waiting.push_front(first);
        } else {
            self.shards.each().for_each(|mut shard| shard.hidden.forget(first.removal.number));
            self.replacements.waiting_are(&applier.waiting);
        }
        settled?;
        Ok(Some(std::mem::take(&mut applier.settled)))
    }

    fn settle_users(
        &self,
        applier: &mut crate::apply::Applier,
        of: &mut Replacement,
    ) -> Result<(), ProfilesError> {
        let mut rest = &of.keys[of.settled..];
        let mut edits = Vec::with_capacity(USERS_PER_CALL);
        while edits.len() < USERS_PER_CALL
            && let Some((key, behind)) = UserKey::split_encoded(rest)
        {
            let user = UserKey::from_bytes(key).expect("the bytes of a key");
            let key = self.shards.hashed(key);
            edits.push(UserEdit { key, domain: user.domain(), edit: KeyEdit::Settle });
            rest = behind;
        }
        let (settled, users_left) = (of.keys.len() - rest.len(), of.users_left - edits.len());
        applier.apply(&self.shards, &self.store, &edits, of.removal.seen)?;
        (of.settled, of.users_left) = (settled, users_left);
        Ok(())
    }
}

impl Replacement {
    /// How many users are not settled, at most.
    pub(crate) fn users_left(&self) -> usize {
        self.users_left
    }
}
