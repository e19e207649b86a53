//! Writing a checkpoint while records are being applied.
//!
//! It is *fuzzy*: nothing stops while the changed profiles are collected, so the blobs hold all records
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
//! The store commits blobs and position together (see `store`), and until it has, every collected
//! profile stays in memory, marked, and is taken again if the store fails. So a crash at any line leaves
//! either the old checkpoint or the new one.

use crate::packed::{PackedProfiles, lock};
use crate::shard::{Hashed, Tombstones};
use crate::store::Checkpoint;
use crate::{CheckpointReport, Membership, Profiles, ProfilesError, codec};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How many profiles are collected under one hold of a shard's lock: some dozens of microseconds.
const PROFILES_PER_HOLD: usize = 256;

/// Keys and blobs that were collected, in one buffer.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    memberships: Vec<Membership>,
}

struct Entry {
    start: usize,
    /// A blob of no bytes deletes.
    blob_bytes: u32,
    key_bytes: u8,
}

impl Collected {
    fn push(&mut self, key: &[u8], packed: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        if !packed.is_empty() {
            self.bytes.push(codec::BLOB_FORMAT_VERSION);
            // Without the zero bytes that fill the slot. A profile may end in a zero byte of its own.
            let length = codec::unpack(packed, &mut self.memberships).unwrap_or(packed.len());
            self.bytes.extend_from_slice(&packed[..length]);
        }
        let blob_bytes = self.bytes.len() - start - key.len();
        self.entries.push(Entry {
            start,
            blob_bytes: u32::try_from(blob_bytes).expect("a profile is smaller than 4 GiB"),
            key_bytes: u8::try_from(key.len()).expect("a user key is shorter than 256 bytes"),
        });
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.entries.sort_unstable_by(|one, other| one.key(bytes).cmp(other.key(bytes)));
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entries.iter().map(|entry| (entry.key(&self.bytes), entry.blob(&self.bytes)))
    }
}

impl Entry {
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..][..usize::from(self.key_bytes)]
    }

    fn blob<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let start = self.start + usize::from(self.key_bytes);
        (self.blob_bytes > 0).then(|| &bytes[start..][..self.blob_bytes as usize])
    }
}

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
        let mut collected = self.collect();
        collected.sort();
        reached(Stage::Collected);
        let checkpoint = Checkpoint { position, rewrite_due };
        let is_news = position != self.checkpointed_position() || rewrite_due != *rewrite_noted;
        if is_news || !collected.entries.is_empty() {
            if let Err(error) = self.store.write(checkpoint, collected.iter()) {
                self.rewrite_due.fetch_or(rewrite_due, Ordering::SeqCst);
                self.each_user(&collected, |shard, user| shard.not_written(user));
                return Err(error);
            }
            *rewrite_noted = rewrite_due;
        }
        reached(Stage::Written);
        self.finish(&collected);
        self.checkpointed_position.store(position, Ordering::SeqCst);
        reached(Stage::Clean);
        self.rewrite(rewrite_due)?;
        reached(Stage::Rewritten);
        let profiles_written = collected.iter().filter(|(_, blob)| blob.is_some()).count() as u64;
        Ok(CheckpointReport {
            position,
            profiles_written,
            profiles_deleted: collected.entries.len() as u64 - profiles_written,
            bytes_written: collected.bytes.len() as u64,
            rewritten: rewrite_due,
            duration: started.elapsed(),
        })
    }

    /// Takes all that is dirty, without keeping any shard for long.
    fn collect(&self) -> Collected {
        let mut collected = Collected::default();
        for shard in &self.shards {
            // What becomes dirty from here on goes to a new list, so this ends.
            let hashes = lock(shard).take_dirty_hashes();
            for some in hashes.chunks(PROFILES_PER_HOLD) {
                let mut shard = lock(shard);
                for &hash in some {
                    shard.take_dirty(hash, |key, packed| collected.push(key, packed));
                }
            }
        }
        collected
    }

    /// The blobs are on disk; what has not changed again is clean.
    fn finish(&self, collected: &Collected) {
        self.each_user(collected, |shard, user| {
            // Asked under the shard's lock: the warm-up notes the shard's departures under it, after it
            // has said that it runs.
            let keep = self.warming.load(Ordering::SeqCst);
            shard.written(user, if keep { Tombstones::Keep } else { Tombstones::Drop });
        });
    }

    fn each_user(&self, collected: &Collected, mut visit: impl FnMut(&mut crate::shard::Shard, Hashed<'_>)) {
        for (key, _) in collected.iter() {
            let user = Hashed { key, hash: self.hasher.hash(key) };
            visit(&mut self.shard(user.hash), user);
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
