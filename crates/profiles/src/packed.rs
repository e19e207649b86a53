//! The shards together: apply, reads, and what they count.

use crate::apply::{Applying, UserEdit};
use crate::codec;
use crate::membership::Edit;
use crate::shard::{Hashed, KeyHasher, Shard};
use crate::store::Store;
use crate::{Applied, CheckpointReport, Membership, ProfileStats, Profiles, ProfilesError};
use ia_model::{Minute, Record, UserKey};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How [`PackedProfiles`] uses the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Memory for profiles, in bytes. Clean profiles that were not used lately leave memory when the
    /// rest does not fit; changed ones stay until a checkpoint has written them.
    pub memory_budget_bytes: u64,
    /// How many shards, rounded up to a power of two. Each has a lock of its own, and a partly filled
    /// chunk for each size of page; a shard must stay below 4 GiB. The more users of a record share a shard, the
    /// faster they are applied.
    pub shards: usize,
    /// Memory for blocks of the store that were read lately, in bytes; on top of the budget.
    pub store_cache_bytes: u64,
}

impl Default for ProfileOptions {
    /// 1 GiB in 32 shards, and 16 MiB for the store.
    fn default() -> ProfileOptions {
        ProfileOptions { memory_budget_bytes: 1 << 30, shards: 32, store_cache_bytes: 16 << 20 }
    }
}

/// The profiles as packed bytes in memory, over a checkpoint store.
///
/// Locks are taken in this order: `checkpointing` or `applying`, then one shard's. No two shards' locks are
/// ever held together, and no shard's during IO.
pub struct PackedProfiles {
    pub(crate) store: Store,
    pub(crate) hasher: KeyHasher,
    pub(crate) shards: Box<[Mutex<Shard>]>,
    applied_position: AtomicU64,
    pub(crate) checkpointed_position: AtomicU64,
    /// Something was erased since the last rewrite of the store.
    pub(crate) rewrite_due: AtomicBool,
    /// One checkpoint at a time. Holds whether the store says that a rewrite is due.
    pub(crate) checkpointing: Mutex<bool>,
    pub(crate) warming: AtomicBool,
    pub(crate) warm: AtomicBool,
    pub(crate) read_throughs: AtomicU64,
    pub(crate) applying: Mutex<Applying>,
}

impl PackedProfiles {
    /// Opens the store in `dir`, or makes one; the parent folder must exist. Loads nothing yet: apply the
    /// log after [`checkpointed_position`](Profiles::checkpointed_position), serve, and let a background
    /// thread run [`warm_up`](PackedProfiles::warm_up).
    ///
    /// # Errors
    ///
    /// When the store is open elsewhere (this is tried for a third of a second), damaged, or of a newer
    /// version.
    pub fn open(dir: &Path, options: ProfileOptions) -> Result<PackedProfiles, ProfilesError> {
        PackedProfiles::over(Store::open(dir, options.store_cache_bytes)?, options)
    }

    pub(crate) fn over(store: Store, options: ProfileOptions) -> Result<PackedProfiles, ProfilesError> {
        let checkpoint = store.checkpoint()?;
        let is_new = checkpoint.is_none();
        let checkpoint = checkpoint.unwrap_or_default();
        // Whatever was asked for, no shard may come near the 4 GiB that it can hold.
        let needed = usize::try_from(options.memory_budget_bytes >> 30).unwrap_or(usize::MAX);
        let shards = options.shards.max(needed).clamp(1, 1 << 16).next_power_of_two();
        let budget_bytes = usize::try_from(options.memory_budget_bytes).unwrap_or(usize::MAX) / shards;
        let hasher = KeyHasher::default();
        // Nothing is on disk without a checkpoint, so an empty memory is complete.
        let shard = |_| Mutex::new(Shard::new(hasher.clone(), budget_bytes, is_new));
        Ok(PackedProfiles {
            store,
            shards: (0..shards).map(shard).collect(),
            hasher,
            applied_position: AtomicU64::new(checkpoint.position),
            checkpointed_position: AtomicU64::new(checkpoint.position),
            rewrite_due: AtomicBool::new(checkpoint.rewrite_due),
            checkpointing: Mutex::new(checkpoint.rewrite_due),
            warming: AtomicBool::new(false),
            warm: AtomicBool::new(is_new),
            read_throughs: AtomicU64::new(0),
            applying: Mutex::default(),
        })
    }

    pub(crate) fn shard_index(&self, hash: u64) -> usize {
        // Pages take the lowest bits and their tags the highest 8, so these are left.
        (hash >> 32) as usize & (self.shards.len() - 1)
    }

    pub(crate) fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.shard_index(hash)])
    }

    fn user_edit<'a>(&self, user: &'a UserKey, edit: Edit<'a>) -> UserEdit<'a> {
        UserEdit { user, hash: self.hasher.user(user).hash, edit }
    }

    /// Reads through to disk and keeps what was found, unless it may be outdated.
    pub(crate) fn load_stored(
        &self,
        key: &UserKey,
        departures: u64,
    ) -> Result<Vec<Membership>, ProfilesError> {
        let hashed = self.hasher.user(key);
        self.read_throughs.fetch_add(1, Ordering::Relaxed);
        let mut entries = Vec::new();
        let blob = self.store.get(key.as_bytes())?;
        if let Some(blob) = &blob {
            codec::read_blob(blob, key.domain(), &mut entries)?;
        }
        let mut shard = self.shard(hashed.hash);
        // Memory is newer than what was read, if the user has come in meanwhile.
        let resident = read_resident(&mut shard, hashed, key, &mut entries)?;
        if let Some(blob) = &blob
            && !resident
            && shard.departures() == departures
        {
            shard.put_loaded(hashed, &blob[1..]);
        }
        Ok(entries)
    }
}

impl Profiles for PackedProfiles {
    fn apply(&self, position: u64, record: &Record) -> Result<Applied, ProfilesError> {
        let applied = match record {
            Record::Ingest(ingest) => {
                let users = ingest.batch.iter().filter(|(_, operations)| !operations.is_empty());
                let edits: Vec<UserEdit<'_>> = users
                    .map(|(user, operations)| self.user_edit(user, Edit::Operations(operations)))
                    .collect();
                self.apply_edits(&edits, Minute::containing(ingest.accepted_at_ms))?
            }
            Record::Erase(erase) => {
                let edit = self.user_edit(&erase.user, Edit::Erase(&erase.segments));
                let applied = self.apply_edits(&[edit], Minute::containing(erase.accepted_at_ms))?;
                // Even when the user has nothing now: what it had may lie on disk still, outdated.
                // Before the position, so that a checkpoint of that position sees it.
                self.rewrite_due.store(true, Ordering::SeqCst);
                applied
            }
            Record::Link(_) => Applied::default(),
        };
        self.applied_position.fetch_max(position, Ordering::SeqCst);
        Ok(applied)
    }

    fn get(&self, key: &UserKey, now: Minute) -> Option<Vec<Membership>> {
        let hashed = self.hasher.user(key);
        let mut entries = Vec::new();
        let mut shard = self.shard(hashed.hash);
        // What is in memory was packed here. Were it unreadable, `load` would say so.
        if !read_resident(&mut shard, hashed, key, &mut entries).ok()? && !shard.is_complete() {
            return None;
        }
        drop(shard);
        entries.retain(|entry| entry.expires.is_live(now));
        Some(entries)
    }

    fn load(&self, key: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        let hashed = self.hasher.user(key);
        let mut entries = Vec::new();
        let mut shard = self.shard(hashed.hash);
        if !read_resident(&mut shard, hashed, key, &mut entries)? && !shard.is_complete() {
            let departures = shard.departures();
            drop(shard);
            entries = self.load_stored(key, departures)?;
        }
        entries.retain(|entry| entry.expires.is_live(now));
        Ok(entries)
    }

    fn applied_position(&self) -> u64 {
        self.applied_position.load(Ordering::SeqCst)
    }

    fn checkpointed_position(&self) -> u64 {
        self.checkpointed_position.load(Ordering::SeqCst)
    }

    fn checkpoint(&self) -> Result<CheckpointReport, ProfilesError> {
        self.run_checkpoint(|_| {})
    }

    fn dirty_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).stats().dirty_bytes as u64).sum()
    }

    fn stats(&self) -> ProfileStats {
        let mut stats = ProfileStats {
            stored_entries: self.store.entries(),
            store_bytes: self.store.disk_bytes(),
            read_throughs: self.read_throughs.load(Ordering::Relaxed),
            warm: self.warm.load(Ordering::Relaxed),
            complete: true,
            ..ProfileStats::default()
        };
        for shard in &self.shards {
            let shard = lock(shard);
            let of_shard = shard.stats();
            stats.resident_profiles += of_shard.records as u64;
            stats.resident_bytes += of_shard.bytes as u64;
            stats.dirty_profiles += of_shard.dirty_records as u64;
            stats.dirty_bytes += of_shard.dirty_bytes as u64;
            stats.evictions += of_shard.evictions;
            stats.complete &= shard.is_complete();
        }
        stats
    }
}

/// Reads a profile from memory into `entries`; false when it is not there, and `entries` stays.
fn read_resident(
    shard: &mut Shard,
    hashed: Hashed<'_>,
    user: &UserKey,
    entries: &mut Vec<Membership>,
) -> Result<bool, ProfilesError> {
    match shard.get(hashed) {
        None => return Ok(false),
        Some([]) => entries.clear(),
        Some(packed) => {
            codec::unpack(packed, entries)
                .map_err(|damage| ProfilesError::DamagedProfile { domain: user.domain(), part: damage.0 })?;
        }
    }
    Ok(true)
}

/// A shard whose holder panicked is still whole between two operations, and serving beats stopping.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
