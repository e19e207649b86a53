//! Writing a checkpoint while records are being applied.
//!
//! It is *fuzzy*: nothing stops while the changed profiles are written, so the blobs hold all records
//! up to the position P that was read first, and of some users also records after P. A start replays
//! everything after P over that. Why this ends in the right state, for each membership by itself:
//!
//! - An add, a remove and an erase each say what the membership is afterwards. So the last operation
//!   after P that touches it decides everything but `added_at`; and if none does, the blob holds it as
//!   of P.
//! - `added_at` is the minute of the add that began the membership. If a remove, an erase, or an expiry
//!   between two operations ends the membership after P, the replay ends it at the same record, and the
//!   next add begins it anew in the replay as well. If nothing ends it, all later expiries lie after all
//!   later records, so in the replay each add finds the blob's membership live and keeps the blob's
//!   `added_at`, which is the right one. (This leans on times that rise along the log. Where a clock was
//!   set back across a restart, by more than a membership's life, its `added_at` may be the newer one.)
//!
//! First the keys of what is dirty are collected and sorted, then the profiles are copied in that order, a
//! thousand at a time: all blobs together would take as much memory again as the profiles themselves.
//!
//! The store commits blobs and position together (see `store`), and until it has, every profile that was
//! handed to it stays in memory, marked, and is taken again if the store fails. So a crash at any line
//! leaves either the old checkpoint or the new one.

use crate::keys::SortedKeys;
use crate::packed::{PackedProfiles, lock};
use crate::shard::{Hashed, Shard, Tombstones};
use crate::store::{Checkpoint, Put};
use crate::{CheckpointReport, Profiles, ProfilesError, codec};
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How many pages are looked through under one hold of a shard's lock: some dozens of microseconds.
const PAGES_PER_HOLD: usize = 128;
/// How many profiles are copied at a time, by shard. Their blobs are all that a checkpoint keeps in
/// memory, beside the keys.
const KEYS_PER_TURN: usize = 1024;

/// How far a checkpoint has come. Tests look in, apply records and take copies of the store at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    PositionRead,
    Collected,
    Written,
    Clean,
    Rewritten,
}

impl PackedProfiles {
    pub(crate) fn run_checkpoint(
        &self,
        mut reached: impl FnMut(Stage),
    ) -> Result<CheckpointReport, ProfilesError> {
        let started = Instant::now();
        let mut rewrite_noted = lock(&self.checkpointing);
        // First the position, then what is dirty, so that the blobs are never behind the position.
        let position = self.applied_position();
        reached(Stage::PositionRead);
        let rewrite_due = self.rewrite_due.swap(false, Ordering::SeqCst);
        let keys = self.dirty_keys();
        reached(Stage::Collected);
        // After the keys: what they lead to may hold the first links.
        let has_links = self.has_links.load(Ordering::SeqCst);
        let checkpoint = Checkpoint { position, rewrite_due, has_links };
        let is_news = position != self.checkpointed_position() || rewrite_due != *rewrite_noted;
        let mut report = CheckpointReport { position, rewritten: rewrite_due, ..CheckpointReport::default() };
        if is_news || !keys.is_empty() {
            if let Err(error) = self.store.write(checkpoint, |put| self.write_dirty(&keys, put, &mut report))
            {
                self.rewrite_due.fetch_or(rewrite_due, Ordering::SeqCst);
                self.each_user(&keys, |shard, user| shard.not_written(user));
                return Err(error);
            }
            *rewrite_noted = rewrite_due;
        }
        reached(Stage::Written);
        self.finish(&keys);
        self.checkpointed_position.store(position, Ordering::SeqCst);
        reached(Stage::Clean);
        self.rewrite(rewrite_due)?;
        reached(Stage::Rewritten);
        report.duration = started.elapsed();
        Ok(report)
    }

    /// The keys of all that is dirty, without keeping any shard for long.
    fn dirty_keys(&self) -> SortedKeys {
        let mut keys = SortedKeys::with_capacity(self.stats().dirty_profiles as usize);
        for shard in &self.shards {
            let mut from = 0;
            loop {
                let shard = lock(shard);
                // A record only ever moves to a page that is new, so none slips behind; but one may be
                // met twice.
                let to = (from + PAGES_PER_HOLD).min(shard.pages());
                for number in from..to {
                    shard.dirty_keys(number).for_each(|key| keys.push(key));
                }
                if from == to {
                    break;
                }
                from = to;
            }
        }
        keys.sort();
        keys
    }

    /// Hands the profiles of these users to the store, in key order. What has changed since the keys
    /// were collected is newer than the position that is written with it, as it may be.
    fn write_dirty(
        &self,
        keys: &SortedKeys,
        put: &mut Put<'_>,
        report: &mut CheckpointReport,
    ) -> Result<(), ProfilesError> {
        let mut blobs = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::new();
        for keys in keys.chunks(KEYS_PER_TURN) {
            blobs.clear();
            places.clear();
            places.resize(keys.len(), 0..0);
            self.by_shard(&keys, |shard, user, index| {
                let Some(packed) = shard.take_dirty(user) else { return };
                let start = blobs.len();
                blobs.push(codec::BLOB_FORMAT_VERSION);
                blobs.extend_from_slice(packed);
                places[index] = start..blobs.len();
            });
            for (key, place) in keys.iter().zip(&places) {
                let blob = &blobs[place.clone()];
                match blob.len() {
                    // The user is in memory until this is written: nobody but a checkpoint makes it clean.
                    0 => return Err(ProfilesError::DamagedStore { part: "list of changes" }),
                    1 => report.profiles_deleted += 1,
                    _ => report.profiles_written += 1,
                }
                report.bytes_written += (key.len() + if blob.len() > 1 { blob.len() } else { 0 }) as u64;
                put(key, (blob.len() > 1).then_some(blob))?;
            }
        }
        Ok(())
    }

    /// The blobs are on disk; what has not changed again is clean.
    fn finish(&self, keys: &SortedKeys) {
        self.each_user(keys, |shard, user| {
            // Asked under the shard's lock: the warm-up notes the shard's departures under it, after it
            // has said that it runs.
            let keep = self.warming.load(Ordering::SeqCst);
            shard.written(user, if keep { Tombstones::Keep } else { Tombstones::Drop });
        });
    }

    fn each_user(&self, keys: &SortedKeys, mut visit: impl FnMut(&mut Shard, Hashed<'_>)) {
        for keys in keys.chunks(KEYS_PER_TURN) {
            self.by_shard(&keys, |shard, user, _| visit(shard, user));
        }
    }

    /// Visits each user with its index in `keys`, those of a shard under one hold of its lock.
    fn by_shard(&self, keys: &[&[u8]], mut visit: impl FnMut(&mut Shard, Hashed<'_>, usize)) {
        let hashed = |(index, &key): (usize, &&'_ [u8])| (index, self.hasher.hash(key));
        let mut users: Vec<(usize, u64)> = keys.iter().enumerate().map(hashed).collect();
        users.sort_unstable_by_key(|&(_, hash)| self.shard_index(hash));
        for users in users.chunk_by(|&(_, one), &(_, other)| self.shard_index(one) == self.shard_index(other))
        {
            let mut shard = self.shard(users[0].1);
            black_box(users.iter().fold(0, |sum, &(_, hash)| sum ^ shard.touch_page(hash)));
            for &(index, hash) in users {
                visit(&mut shard, Hashed { key: keys[index], hash }, index);
            }
        }
    }

    /// Erased profiles leave the disk with this. A crash before its end is made good by the next
    /// checkpoint: the store notes that a rewrite is due.
    fn rewrite(&self, due: bool) -> Result<(), ProfilesError> {
        let result = if due { self.store.rewrite() } else { self.store.clear_up() };
        if due && result.is_err() {
            self.rewrite_due.store(true, Ordering::SeqCst);
        }
        result
    }
}

#[cfg(test)]
mod tests;
