//! The shards together: apply, reads, and what they count.

use crate::apply::{Applying, KeyEdit, UserEdit};
use crate::links::{Links, LinksKey};
use crate::membership::Edit;
use crate::shard::{Hashed, KeyHasher, Shard};
use crate::store::Store;
use crate::stored::Content;
use crate::{Applied, CheckpointReport, Membership, ProfileStats, Profiles, ProfilesError};
use ia_model::{Domain, ErasedSegments, Minute, Record, UserKey};
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
    /// How many ids of members are linked to a user at the most: those whose links end last.
    pub links_per_user: usize,
}

impl Default for ProfileOptions {
    /// 1 GiB in 32 shards, 16 MiB for the store, and 100 links.
    fn default() -> ProfileOptions {
        ProfileOptions {
            memory_budget_bytes: 1 << 30,
            shards: 32,
            store_cache_bytes: 16 << 20,
            links_per_user: 100,
        }
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
    /// Somebody was linked, ever. Until then nobody looks for links.
    pub(crate) has_links: AtomicBool,
    pub(crate) links_per_user: usize,
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
            has_links: AtomicBool::new(checkpoint.has_links),
            links_per_user: options.links_per_user,
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
        UserEdit { key: self.hasher.user(user), domain: user.domain(), edit: KeyEdit::Profile(edit) }
    }

    fn links_edit<'a>(&self, key: &'a LinksKey, edit: KeyEdit<'a>) -> UserEdit<'a> {
        UserEdit { key: self.hasher.key(key.as_bytes()), domain: Domain::Platform, edit }
    }

    /// What is in memory under a key; `None` where it may be on disk.
    fn peek<T: Content>(&self, key: Hashed<'_>, domain: Domain) -> Result<Option<T>, ProfilesError> {
        let mut shard = self.shard(key.hash);
        match read_resident(&mut shard, key, domain)? {
            None if shard.is_complete() => Ok(Some(T::default())),
            found => Ok(found),
        }
    }

    /// The same, read through to disk where needed.
    fn fetch<T: Content>(&self, key: Hashed<'_>, domain: Domain) -> Result<T, ProfilesError> {
        let mut shard = self.shard(key.hash);
        match read_resident(&mut shard, key, domain)? {
            Some(found) => Ok(found),
            None if shard.is_complete() => Ok(T::default()),
            None => {
                let departures = shard.departures();
                drop(shard);
                self.load_stored(key, domain, departures)
            }
        }
    }

    /// Reads through to disk and keeps what was found, unless it may be outdated.
    pub(crate) fn load_stored<T: Content>(
        &self,
        key: Hashed<'_>,
        domain: Domain,
        departures: u64,
    ) -> Result<T, ProfilesError> {
        self.read_throughs.fetch_add(1, Ordering::Relaxed);
        let blob = self.store.get(key.key)?;
        let stored = blob.as_deref().map(|blob| T::read_blob(blob, domain)).transpose()?;
        let mut shard = self.shard(key.hash);
        // Memory is newer than what was read, if the user has come in meanwhile.
        if let Some(resident) = read_resident(&mut shard, key, domain)? {
            return Ok(resident);
        }
        if let Some(blob) = &blob
            && shard.departures() == departures
        {
            shard.put_loaded(key, &blob[1..]);
        }
        Ok(stored.unwrap_or_default())
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
                let links_key = LinksKey::of(&erase.user);
                let mut edits = vec![self.user_edit(&erase.user, Edit::Erase(&erase.segments))];
                if let Some(key) = &links_key
                    && erase.segments == ErasedSegments::All
                    && self.has_links()
                {
                    edits.push(self.links_edit(key, KeyEdit::Unlink));
                }
                let applied = self.apply_edits(&edits, Minute::containing(erase.accepted_at_ms))?;
                // Even when the user has nothing now: what it had may lie on disk still, outdated.
                // Before the position, so that a checkpoint of that position sees it.
                self.rewrite_due.store(true, Ordering::SeqCst);
                applied
            }
            Record::Link(link) => match LinksKey::of(&link.user) {
                Some(key) => {
                    // First, so that a checkpoint that finds the links says that there are some.
                    self.has_links.store(true, Ordering::SeqCst);
                    let edit = self.links_edit(&key, KeyEdit::Link(&link.links));
                    self.apply_edits(&[edit], Minute::containing(link.accepted_at_ms))?
                }
                None => Applied::default(),
            },
        };
        self.applied_position.fetch_max(position, Ordering::SeqCst);
        Ok(applied)
    }

    fn get(&self, user: &UserKey, now: Minute) -> Option<Vec<Membership>> {
        // What is in memory was packed here. Were it unreadable, `load` would say so.
        let mut entries: Vec<Membership> = self.peek(self.hasher.user(user), user.domain()).ok()??;
        entries.retain(|entry| entry.expires.is_live(now));
        Some(entries)
    }

    fn load(&self, user: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        let mut entries: Vec<Membership> = self.fetch(self.hasher.user(user), user.domain())?;
        entries.retain(|entry| entry.expires.is_live(now));
        Ok(entries)
    }

    fn has_links(&self) -> bool {
        // Whoever was told of a link reads what the applier stored before.
        self.has_links.load(Ordering::SeqCst)
    }

    fn links(&self, user: &UserKey, now: Minute) -> Option<Vec<UserKey>> {
        match LinksKey::of(user).filter(|_| self.has_links()) {
            None => Some(Vec::new()),
            Some(key) => {
                let links = self.peek(self.hasher.key(key.as_bytes()), user.domain()).ok()??;
                Some(live_links(links, now))
            }
        }
    }

    fn load_links(&self, user: &UserKey, now: Minute) -> Result<Vec<UserKey>, ProfilesError> {
        match LinksKey::of(user).filter(|_| self.has_links()) {
            None => Ok(Vec::new()),
            Some(key) => {
                let links = self.fetch(self.hasher.key(key.as_bytes()), user.domain())?;
                Ok(live_links(links, now))
            }
        }
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

/// Reads what is in memory under a key; `None` when nothing is.
fn read_resident<T: Content>(
    shard: &mut Shard,
    key: Hashed<'_>,
    domain: Domain,
) -> Result<Option<T>, ProfilesError> {
    match shard.get(key) {
        None => Ok(None),
        Some([]) => Ok(Some(T::default())),
        Some(packed) => T::unpack(packed)
            .map(Some)
            .map_err(|damage| ProfilesError::DamagedProfile { domain, part: damage.0 }),
    }
}

fn live_links(links: Links, now: Minute) -> Vec<UserKey> {
    links.into_iter().filter(|(_, end)| now < *end).map(|(id, _)| id).collect()
}

/// A shard whose holder panicked is still whole between two operations, and serving beats stopping.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
