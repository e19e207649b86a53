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

use crate::apply::{Applier, KeyEdit, UserEdit};
use crate::hidden::{Hashes, Removal};
use crate::packed::PackedProfiles;
use crate::shards::lock;
use crate::waiting::Replacement;
use crate::{Applied, ProfilesError};
use ia_model::{Ingest, Minute, SegmentId, UserKey};
use std::sync::atomic::Ordering;

/// How many users are settled at a time: some tenths of a millisecond.
const USERS_PER_CALL: usize = 128;
/// How many users are hashed before other threads get their turn: a tenth of a millisecond.
const HASHES_PER_TURN: usize = 2048;
/// The most users of all replacements that wait to be settled; with more, a record waits for those before it. Each
/// takes 8 bytes and its key.
const MAX_WAITING_USERS: usize = 8 << 20;
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
            let Some(settled) = self.settle_some()? else { break };
            // It is reported by the next call of `settle`.
            lock(&self.applier).settled += settled;
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
            let mut of_later_records = std::mem::take(&mut applier.settled);
            of_later_records += self.take_settled();
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

    fn settle_users(&self, applier: &mut Applier, of: &mut Replacement) -> Result<(), ProfilesError> {
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
        applier.apply(&self.shards, &edits, of.removal.seen, &mut Vec::new())?;
        (of.settled, of.users_left) = (settled, users_left);
        Ok(())
    }
}
