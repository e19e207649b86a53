//! Writing a checkpoint while records are being applied.
//!
//! It is *fuzzy*: nothing stops while the changed profiles are written, so the blobs hold all records
//! up to the position P that was read first, and of some users also records after P. A start replays
//! all records after P over these blobs. This ends in the right state, for each membership by itself:
//!
//! - An add, a remove and an erase each set the whole membership. So the last operation after P on it
//!   decides everything but `added_at`; and if there is none, the blob holds the membership as of P.
//! - An add that begins later leaves the membership that is live, until its end E at the latest. It sets all else,
//!   also what is live if E is not before the begin B: then E becomes the new expiry X. So what matters is the end of
//!   what is live, where "not live" counts as an end long ago. Let the blob's be E' (after the last record that it
//!   holds), and compare the first run with the replay, whose ends begin with E'.
//!     - Each step of an end (such an add: X if E >= B, otherwise E; the passing of time: E, or long ago) never
//!       makes a greater end out of a smaller one's (B is before X). So two ends that are equal stay so, and an
//!       end that is not greater stays so.
//!     - Where the add's begin comes before the next change of the membership, and at each add, both ends are equal:
//!       the begun membership's. So assume that there is none in what follows.
//!     - If no add set E in the first run, it was E' all the time, or passed; and it does the same in the replay. If
//!       the last one to set it was add K, then E' is K's X, unless it has passed in both. The replay starts with E',
//!       which is after K's B. Should an earlier add set it in the replay to its own X and not in the first run, the
//!       first run's end was before that add's B, and so before that X. From there on the first run's end is not
//!       greater. So where K set it in the first run, K sets it in the replay.
//!
//!   An add that ends before it begins sets nothing but that nothing begins later, and the end stays.
//! - `added_at` is the minute of the add that began the membership, or in which it began later: then it is the same
//!   in the replay, which has the same ends from there on. If a remove, an erase, or an expiry
//!   between two operations ends the membership after P, the replay ends it at the same record, and the
//!   next add begins it anew in the replay as well. If nothing ends it, all later expiries lie after all
//!   later records, so in the replay each add finds the blob's membership live and keeps the blob's
//!   `added_at`, which is the right one. (This relies on times that rise along the log. Where a clock was
//!   set back across a restart, by more than a membership's life, its `added_at` may be the newer one.)
//!
//! While the replacement of a segment's members is not settled (see `replacing`), P is the position before it.
//!
//! First the keys of the dirty profiles are collected and sorted, then the profiles are copied in that order,
//! a thousand at a time: all blobs together would take as much memory again as the profiles themselves.
//!
//! The store commits blobs and position together (see `store`). Until then every profile of the checkpoint
//! stays in memory, marked, and is taken again if the store fails. So a crash at any line leaves either the
//! old checkpoint or the new one.

use crate::keys::SortedKeys;
use crate::packed::PackedProfiles;
use crate::pending::Form;
use crate::shard::{Hashed, Needless, Shard};
use crate::shards::lock;
use crate::store::{Checkpoint, Put};
use crate::{Applied, CheckpointReport, Profiles, ProfilesError, stored};
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How many pages are searched under one hold of a shard's lock: some dozens of microseconds.
const PAGES_PER_HOLD: usize = 128;
/// How many profiles are copied at a time, by shard. A checkpoint keeps only their blobs in memory, beside
/// the keys.
const KEYS_PER_TURN: usize = 1024;

/// The stages of a checkpoint. At each, tests apply records and copy the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is settled which records the checkpoint covers.
    PositionRead,
    /// It is settled which profiles are written.
    Collected,
    /// They are in the store.
    Written,
    /// They are marked as clean in memory.
    Clean,
    /// The store is rewritten, if that was due.
    Rewritten,
}

impl PackedProfiles {
    /// [`Profiles::checkpoint`], with a call at each stage. For tests.
    #[doc(hidden)]
    pub fn run_checkpoint(&self, mut reached: impl FnMut(Stage)) -> Result<CheckpointReport, ProfilesError> {
        let started = Instant::now();
        let mut rewrite_noted = lock(&self.checkpointing);
        // First the position, then the dirty keys, so that the blobs are never behind the position.
        let position = self.replacements.settled_position(self.applied_position());
        reached(Stage::PositionRead);
        let rewrite_due = self.rewrite_due.swap(false, Ordering::SeqCst);
        let keys = self.dirty_keys();
        reached(Stage::Collected);
        // After the keys, which may be those of the first links.
        let has_links = self.has_links.load(Ordering::SeqCst);
        let checkpoint = Checkpoint { position, rewrite_due, has_links };
        let is_news = position != self.checkpointed_position() || rewrite_due != *rewrite_noted;
        let mut report = CheckpointReport { position, rewritten: rewrite_due, ..CheckpointReport::default() };
        if is_news || !keys.is_empty() {
            let mut settled = Applied::default();
            let fill = |put: &mut Put<'_>| self.write_dirty(&keys, put, &mut settled, &mut report);
            if let Err(error) = self.store.write(checkpoint, fill) {
                self.rewrite_due.fetch_or(rewrite_due, Ordering::SeqCst);
                self.each_user(&keys, |shard, user| shard.not_written(user));
                return Err(error);
            }
            self.settle_later(settled);
            *rewrite_noted = rewrite_due;
        }
        reached(Stage::Written);
        self.finish(&keys)?;
        self.checkpointed_position.store(position, Ordering::SeqCst);
        reached(Stage::Clean);
        self.rewrite(rewrite_due)?;
        reached(Stage::Rewritten);
        report.duration = started.elapsed();
        Ok(report)
    }

    /// The keys of all dirty records, without locking any shard for long.
    fn dirty_keys(&self) -> SortedKeys {
        let mut keys = SortedKeys::with_capacity(self.stats().dirty_profiles as usize);
        for number in 0..self.shards.count() {
            let mut from = 0;
            loop {
                let shard = self.shards.lock(number);
                // A record only ever moves to a new page, so none is missed; but one may be met twice.
                let to = (from + PAGES_PER_HOLD).min(shard.pages());
                for page in from..to {
                    shard.dirty_keys(page).for_each(|key| keys.push(key));
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

    /// Hands the profiles of these users to the store, in key order. A profile that has changed since the keys
    /// were collected is newer than the position, which is allowed. `settled` gets what merging with blobs has changed, which
    /// counts if the store is written.
    fn write_dirty(
        &self,
        keys: &SortedKeys,
        put: &mut Put<'_>,
        settled: &mut Applied,
        report: &mut CheckpointReport,
    ) -> Result<(), ProfilesError> {
        let mut contents = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::new();
        let (mut merged, mut entries) = (Vec::new(), Vec::new());
        for keys in keys.chunks(KEYS_PER_TURN) {
            contents.clear();
            places.clear();
            places.resize(keys.len(), 0..0);
            let (mut damage, mut merged_in_memory) = (None, Applied::default());
            self.by_shard(&keys, |shard, user, index| match shard.take_dirty(user, &mut merged_in_memory) {
                Ok(Some(content)) => {
                    let start = contents.len();
                    // The version of a blob is found without the shard's lock.
                    contents.push(0);
                    contents.extend_from_slice(content);
                    places[index] = start..contents.len();
                }
                Ok(None) => {}
                Err(error) => damage = Some(error),
            });
            self.settle_later(merged_in_memory);
            damage.map_or(Ok(()), Err)?;
            for (key, place) in keys.iter().zip(&places) {
                // The user is in memory until this is written: only a checkpoint makes it clean.
                let [_, content @ ..] = &contents[place.clone()] else {
                    return Err(ProfilesError::DamagedStore { part: "list of changes" });
                };
                let mut is_stored = true;
                let blob = match Form::of(content) {
                    Form::OverDisk { changes, taken } => {
                        let base = self.store.get(key)?;
                        is_stored = base.is_some();
                        merged.clear();
                        merged.push(0);
                        *settled += stored::merge(
                            key,
                            base.as_deref(),
                            changes,
                            taken,
                            self.links_per_user,
                            &mut entries,
                            &mut merged,
                        )?;
                        &mut merged[..]
                    }
                    Form::Whole(_) | Form::OverMemory { .. } => &mut contents[place.clone()],
                };
                if blob.len() > 1 {
                    blob[0] = stored::version(key, &blob[1..]);
                    report.profiles_written += 1;
                    report.bytes_written += (key.len() + blob.len()) as u64;
                    put(key, Some(blob))?;
                } else if is_stored {
                    report.profiles_deleted += 1;
                    report.bytes_written += key.len() as u64;
                    put(key, None)?;
                }
            }
        }
        Ok(())
    }

    /// The blobs are on disk: marks the profiles as clean that have not changed again.
    fn finish(&self, keys: &SortedKeys) -> Result<(), ProfilesError> {
        let mut result = Ok(());
        self.each_user(keys, |shard, user| {
            // Read under the shard's lock: the warm-up sets the flag, and then reads the shard's departures
            // under the lock.
            let keep = self.warming.load(Ordering::SeqCst);
            let written = shard.written(user, if keep { Needless::Keep } else { Needless::Drop });
            result = std::mem::replace(&mut result, Ok(())).and(written);
        });
        result
    }

    fn each_user(&self, keys: &SortedKeys, mut visit: impl FnMut(&mut Shard, Hashed<'_>)) {
        for keys in keys.chunks(KEYS_PER_TURN) {
            self.by_shard(&keys, |shard, user, _| visit(shard, user));
        }
    }

    /// Visits each user with its index in `keys`, all of a shard under one hold of its lock.
    fn by_shard(&self, keys: &[&[u8]], mut visit: impl FnMut(&mut Shard, Hashed<'_>, usize)) {
        let shard_of = |hash| self.shards.number(hash);
        let hashed = |(index, &key): (usize, &&'_ [u8])| (index, self.shards.hashed(key).hash);
        let mut users: Vec<(usize, u64)> = keys.iter().enumerate().map(hashed).collect();
        users.sort_unstable_by_key(|&(_, hash)| shard_of(hash));
        for users in users.chunk_by(|&(_, one), &(_, other)| shard_of(one) == shard_of(other)) {
            let mut shard = self.shards.of(users[0].1);
            black_box(users.iter().fold(0, |sum, &(_, hash)| sum ^ shard.touch_page(hash)));
            for &(index, hash) in users {
                visit(&mut shard, Hashed { key: keys[index], hash }, index);
            }
        }
    }

    /// Removes erased profiles from the disk. After a crash in between, the next checkpoint does it: the store
    /// notes that a rewrite is due.
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
