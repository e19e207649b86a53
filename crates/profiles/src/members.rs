//! Visiting the members of a segment while everything else goes on.
//!
//! First the memory is walked, some pages of a shard under one hold of its lock. A record only ever moves to a page
//! that is new, so no user that stays in memory is missed. A user that is in the segment and not in memory when its
//! page is walked has a blob that says so, and so has it later: only a checkpoint changes blobs, and the user stays in
//! the segment. So then the store is read, as far as it has users of shards that are not wholly in memory. A user
//! that comes into memory in between is met there. One that was met in memory before may be met again.
//!
//! Of a user with changes over the disk, the memory alone shows whether the changes put it into the segment. If they do not
//! say, its blob does, under the changes.

use crate::codec;
use crate::membership::Merger;
use crate::packed::{PackedProfiles, Seen};
use crate::pending::{self, Form};
use crate::shard::{Hashed, Shard};
use crate::stored::{self, Kind};
use crate::{Membership, ProfilesError};
use ia_model::{Minute, SegmentId, UserKey};
use std::ops::ControlFlow;

/// How many pages are searched under one hold of a shard's lock: 200 users, some dozens of microseconds.
const PAGES_PER_HOLD: usize = 16;
/// The most profiles of one iterator over the store; a rewrite after an erase waits for it.
const PROFILES_PER_SCAN: usize = 1024;
/// How many blobs are read before other threads get their turn: a tenth of a millisecond.
const BLOBS_PER_TURN: usize = 64;

/// Looks for a live membership; its buffer is used again.
struct Search {
    segment: SegmentId,
    now: Minute,
    merger: Merger,
}

impl Search {
    /// Whether the user with this content in memory is in the segment. `stored` is the packed profile that is under changes
    /// over the disk.
    fn finds(
        &mut self,
        shard: &Shard,
        user: Hashed<'_>,
        content: &[u8],
        stored: &[u8],
        in_force: u64,
    ) -> Result<bool, codec::Malformed> {
        let (base, changes) = match Form::of(content) {
            Form::Whole(packed) => (packed, &[][..]),
            Form::OverMemory { base, changes } => (base, changes),
            Form::OverDisk { changes, .. } => (stored, changes),
        };
        self.merger.read(base)?;
        let entries = if changes.is_empty() {
            &self.merger.before
        } else {
            self.merger.merge_records(&mut pending::read_operations(changes, 0)?);
            &self.merger.after
        };
        let is_live = |entry: &&Membership| entry.segment == self.segment && entry.expires.is_live(self.now);
        let Some(entry) = entries.iter().find(is_live) else { return Ok(false) };
        Ok(shard.hidden.removals(user.hash, in_force).iter().all(|removal| removal.keeps(entry)))
    }
}

impl Search {
    fn is_in(&self, seen: &Seen<Vec<Membership>>) -> bool {
        let is_live = |entry: &&Membership| entry.segment == self.segment && entry.expires.is_live(self.now);
        let entry = seen.content.iter().find(is_live);
        entry.is_some_and(|entry| seen.removals.iter().all(|removal| removal.keeps(entry)))
    }
}

impl PackedProfiles {
    /// See [`crate::Profiles::visit_members`].
    pub(crate) fn visit_all_members(
        &self,
        segment: SegmentId,
        now: Minute,
        visit: &mut dyn FnMut(UserKey) -> ControlFlow<()>,
    ) -> Result<(), ProfilesError> {
        let mut search = Search { segment, now, merger: Merger::default() };
        let mut is_on_disk = vec![false; self.shards.count()];
        for (shard, is_on_disk) in is_on_disk.iter_mut().enumerate() {
            match self.visit_resident(shard, &mut search, visit)? {
                ControlFlow::Continue(is_complete) => *is_on_disk = !is_complete,
                ControlFlow::Break(()) => return Ok(()),
            }
        }
        if is_on_disk.contains(&true) {
            self.visit_stored(&is_on_disk, &mut search, visit)?;
        }
        Ok(())
    }

    /// Visits the members in memory. Returns whether all profiles of the shard were there all the time.
    fn visit_resident(
        &self,
        number: usize,
        search: &mut Search,
        visit: &mut dyn FnMut(UserKey) -> ControlFlow<()>,
    ) -> Result<ControlFlow<(), bool>, ProfilesError> {
        let state = |shard: &Shard| (shard.is_complete(), shard.stats().evictions);
        let before = state(&self.shards.lock(number));
        let mut found = Vec::new();
        let mut from = 0;
        loop {
            let shard = self.shards.lock(number);
            let to = (from + PAGES_PER_HOLD).min(shard.pages());
            if from == to {
                return Ok(ControlFlow::Continue(before.0 && state(&shard) == before));
            }
            let in_force = self.replacements.in_force();
            for (key, content) in (from..to).flat_map(|page| shard.records(page)) {
                // Links are under keys that are none of a user.
                let Ok(user) = UserKey::from_bytes(key) else { continue };
                let is_found = search.finds(&shard, self.shards.hashed(key), content, &[], in_force);
                if is_found.map_err(|damage| damage.in_profile(user.domain()))? {
                    found.push(user);
                }
            }
            drop(shard);
            for user in found.drain(..) {
                if visit(user).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            std::thread::yield_now();
            from = to;
        }
    }

    /// Visits the members that are on disk, of these shards.
    fn visit_stored(
        &self,
        is_on_disk: &[bool],
        search: &mut Search,
        visit: &mut dyn FnMut(UserKey) -> ControlFlow<()>,
    ) -> Result<(), ProfilesError> {
        let (mut last_key, mut entries) = (Vec::new(), Vec::new());
        loop {
            let merges: Vec<u64> = self.shards.each().map(|shard| shard.merges()).collect();
            let blobs = self.store.scan(&last_key, PROFILES_PER_SCAN)?;
            let Some((key, _)) = blobs.last() else { return Ok(()) };
            last_key = key.to_vec();
            for (index, (key, blob)) in blobs.iter().enumerate() {
                if index % BLOBS_PER_TURN == 0 {
                    std::thread::yield_now();
                }
                let hashed = self.shards.hashed(key);
                if !is_on_disk[self.shards.number(hashed.hash)]
                    || stored::check(key, blob, &mut entries)? != Kind::Profile
                {
                    continue;
                }
                let user = UserKey::from_bytes(key)
                    .map_err(|_| ProfilesError::DamagedStore { part: "user keys" })?;
                let shard = self.shards.of(hashed.hash);
                let is_found = if shard.merges() == merges[self.shards.number(hashed.hash)] {
                    // A whole record in memory is as new as the blob, or newer; changes are laid over it.
                    let content = shard.find(hashed).map_or(&blob[1..], |found| shard.content(found));
                    search.finds(&shard, hashed, content, &blob[1..], self.replacements.in_force())
                } else {
                    // The blob may lack changes that have left memory since.
                    drop(shard);
                    Ok(search.is_in(&self.fetch(hashed, user.domain())?))
                };
                if is_found.map_err(|damage| damage.in_profile(user.domain()))? && visit(user).is_break() {
                    return Ok(());
                }
            }
        }
    }
}
