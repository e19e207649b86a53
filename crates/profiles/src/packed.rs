//! The profiles in shards over a store: apply, reads, and figures.

use crate::apply::{Applier, KeyEdit, UserEdit};
use crate::hidden::Removal;
use crate::links::{Links, LinksKey};
use crate::membership::{self, Edit};
use crate::pending::Form;
use crate::shard::{Found, Hashed, Shard};
use crate::shards::{Shards, lock};
use crate::store::Store;
use crate::stored::{self, Content};
use crate::waiting::{self, Replacements};
use crate::{Applied, CheckpointReport, Membership, ProfileStats, Profiles, ProfilesError};
use ia_model::{Domain, ErasedSegments, Minute, Record, SegmentId, UserKey};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// The options of [`PackedProfiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Memory for profiles, in bytes. Clean profiles that were not used lately leave memory when the
    /// rest does not fit; changed ones stay until a checkpoint has written them.
    pub memory_budget_bytes: u64,
    /// The number of shards, rounded up to a power of two. Each has a lock of its own, and a partly filled
    /// chunk for each size of page; a shard must stay below 4 GiB. The more users of a record share a shard, the
    /// faster they are applied.
    pub shards: usize,
    /// Memory for blocks of the store that were read lately, in bytes; on top of the budget.
    pub store_cache_bytes: u64,
    /// The most ids of members that are linked to a user: those whose links end last, and of the same end were made
    /// last.
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
/// Locks are taken in this order: `checkpointing` or `applier`, then one shard's.
pub struct PackedProfiles {
    pub(crate) store: Store,
    pub(crate) shards: Shards,
    applied_position: AtomicU64,
    pub(crate) checkpointed_position: AtomicU64,
    /// Something was erased since the last rewrite of the store.
    pub(crate) rewrite_due: AtomicBool,
    /// At least one user was linked, ever. Until then no reader looks for links.
    pub(crate) has_links: AtomicBool,
    /// One checkpoint at a time. The value: whether the store notes that a rewrite is due.
    pub(crate) checkpointing: Mutex<bool>,
    pub(crate) warming: AtomicBool,
    pub(crate) warm: AtomicBool,
    pub(crate) applier: Mutex<Applier>,
    pub(crate) links_per_user: usize,
    /// What changes did that were put off and have been merged since, not reported yet.
    settled: Mutex<Applied>,
    /// Operations that were put off and are not counted yet.
    put_off: AtomicI64,
    pub(crate) replacements: Replacements,
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

    /// [`PackedProfiles::open`] without a thread that changes files by itself, so that they can be copied while this
    /// is open. For tests.
    #[doc(hidden)]
    pub fn open_still(dir: &Path, options: ProfileOptions) -> Result<PackedProfiles, ProfilesError> {
        PackedProfiles::over(Store::open_still(dir, options.store_cache_bytes)?, options)
    }

    pub(crate) fn over(store: Store, options: ProfileOptions) -> Result<PackedProfiles, ProfilesError> {
        let checkpoint = store.checkpoint()?;
        let is_new = checkpoint.is_none();
        let checkpoint = checkpoint.unwrap_or_default();
        // Enough shards that none comes near the 4 GiB that it can hold.
        let needed = usize::try_from(options.memory_budget_bytes >> 30).unwrap_or(usize::MAX);
        let shards = options.shards.max(needed).clamp(1, 1 << 16).next_power_of_two();
        let budget_bytes = usize::try_from(options.memory_budget_bytes).unwrap_or(usize::MAX) / shards;
        Ok(PackedProfiles {
            store,
            // Nothing is on disk without a checkpoint, so an empty memory is complete.
            shards: Shards::new(shards, budget_bytes, options.links_per_user, is_new),
            applied_position: AtomicU64::new(checkpoint.position),
            checkpointed_position: AtomicU64::new(checkpoint.position),
            rewrite_due: AtomicBool::new(checkpoint.rewrite_due),
            has_links: AtomicBool::new(checkpoint.has_links),
            checkpointing: Mutex::new(checkpoint.rewrite_due),
            warming: AtomicBool::new(false),
            warm: AtomicBool::new(is_new),
            applier: Mutex::new(Applier::new(options.links_per_user)),
            links_per_user: options.links_per_user,
            settled: Mutex::default(),
            put_off: AtomicI64::new(0),
            replacements: Replacements::default(),
        })
    }

    fn apply_edits(&self, edits: &[UserEdit<'_>], seen: Minute) -> Result<Applied, ProfilesError> {
        let mut grown = Vec::new();
        let applied = lock(&self.applier).apply(&self.shards, edits, seen, &mut grown)?;
        for index in grown {
            let UserEdit { key, domain, edit } = &edits[index as usize];
            // Where the blob cannot be read, its reader is told, and so is the checkpoint.
            let _ = match edit {
                KeyEdit::Link(_) => self.fetch::<Links>(*key, *domain).map(drop),
                _ => self.fetch::<Vec<Membership>>(*key, *domain).map(drop),
            };
        }
        Ok(applied)
    }

    /// Adds to what the next report says.
    pub(crate) fn settle_later(&self, applied: Applied) {
        if applied != Applied::default() {
            *lock(&self.settled) += applied;
        }
    }

    /// Notes what is reported.
    pub(crate) fn report(&self, applied: &Applied) {
        self.put_off.fetch_add(applied.put_off, Ordering::Relaxed);
    }

    /// What was settled since the last report.
    pub(crate) fn take_settled(&self) -> Applied {
        std::mem::take(&mut *lock(&self.settled))
    }

    fn user_edit<'a>(&self, user: &'a UserKey, edit: Edit<'a>) -> UserEdit<'a> {
        UserEdit {
            key: self.shards.hashed(user.as_bytes()),
            domain: user.domain(),
            edit: KeyEdit::Profile(edit),
        }
    }

    fn links_edit<'a>(&self, key: &'a LinksKey, edit: KeyEdit<'a>) -> UserEdit<'a> {
        UserEdit { key: self.shards.hashed(key.as_bytes()), domain: Domain::Platform, edit }
    }

    /// The content under a key from memory; `None` where it may be on disk.
    fn peek<T: Content>(&self, key: Hashed<'_>, domain: Domain) -> Result<Option<Seen<T>>, ProfilesError> {
        let mut shard = self.shards.of(key.hash);
        let content = self.in_memory(&mut shard, key, domain)?;
        Ok(content.map(|content| Seen { content, removals: self.removals(&shard, key) }))
    }

    /// The same, read through to disk where needed.
    pub(crate) fn fetch<T: Content>(
        &self,
        key: Hashed<'_>,
        domain: Domain,
    ) -> Result<Seen<T>, ProfilesError> {
        loop {
            let mut shard = self.shards.of(key.hash);
            let removals = self.removals(&shard, key);
            if let Some(content) = self.in_memory(&mut shard, key, domain)? {
                return Ok(Seen { content, removals });
            }
            let (departures, has_changes) = (shard.departures(), shard.find(key).is_some());
            drop(shard);
            // Settled while the blob was read: it may be from before, with memberships that are removed.
            if let Some(seen) = self.load_stored(key, domain, departures, has_changes)?
                && removals.iter().all(|removal| seen.removals.contains(removal))
            {
                return Ok(seen);
            }
        }
    }

    /// The content under a key; `None` where it, or what is under its changes, may be on disk.
    fn in_memory<T: Content>(
        &self,
        shard: &mut Shard,
        key: Hashed<'_>,
        domain: Domain,
    ) -> Result<Option<T>, ProfilesError> {
        if let Some(found) = shard.find(key)
            && let Form::OverMemory { .. } = Form::of(shard.content(found))
        {
            // Nearly always there are more reads than changes.
            self.settle_later(shard.make_whole(key, found, 0)?);
        }
        let is_complete = shard.is_complete();
        match shard.get(key).map(Form::of) {
            Some(Form::Whole(packed)) => stored::unpack(packed, domain).map(Some),
            Some(Form::OverDisk { changes, .. }) if is_complete => {
                // It is counted when it is merged in its place.
                let changed = T::default().changed(changes, 0, self.links_per_user);
                changed.map(|(content, _)| Some(content)).map_err(|damage| damage.in_profile(domain))
            }
            Some(Form::OverDisk { .. } | Form::OverMemory { .. }) => Ok(None),
            None => Ok(is_complete.then(T::default)),
        }
    }

    /// Reads the content from disk, lays changes in memory over it, and keeps it in memory, unless it may be outdated.
    /// `departures` were those of the shard before, when the user had changes over the disk, or nothing in memory.
    ///
    /// `None`: the blob may lack changes, of those that the user had or of what came and was written meanwhile; read again.
    pub(crate) fn load_stored<T: Content>(
        &self,
        key: Hashed<'_>,
        domain: Domain,
        departures: u64,
        has_changes: bool,
    ) -> Result<Option<Seen<T>>, ProfilesError> {
        let blob = self.store.get(key.key)?;
        let stored = blob.as_deref().map(|blob| T::read_blob(blob, domain)).transpose()?;
        let mut shard = self.shards.of(key.hash);
        let removals = self.removals(&shard, key);
        // If the user has come in meanwhile, memory is newer than the blob.
        if let Some(content) = self.in_memory(&mut shard, key, domain)? {
            return Ok(Some(Seen { content, removals }));
        }
        let is_current = shard.departures() == departures;
        let found = shard.find(key);
        if !is_current && (has_changes || found.is_some()) {
            return Ok(None);
        }
        let Some(found) = found else {
            if let Some(blob) = &blob
                && is_current
            {
                shard.put_loaded(key, None, &blob[1..]);
            }
            return Ok(Some(Seen { content: stored.unwrap_or_default(), removals }));
        };
        let Some(content) = self.lay_over(&mut shard, key, found, domain, stored.unwrap_or_default())? else {
            return Ok(None);
        };
        Ok(Some(Seen { content, removals }))
    }

    /// Lays the changes of a record over what is on disk, and keeps the result in memory; not while the checkpoint has some of
    /// them, which it counts if it does not fail.
    fn lay_over<T: Content>(
        &self,
        shard: &mut Shard,
        key: Hashed<'_>,
        found: Found,
        domain: Domain,
        base: T,
    ) -> Result<Option<T>, ProfilesError> {
        let Form::OverDisk { changes, .. } = Form::of(shard.content(found)) else { return Ok(None) };
        let changed = base.changed(changes, 0, self.links_per_user);
        let (content, applied) = changed.map_err(|damage| damage.in_profile(domain))?;
        if shard.taken(found) == 0 {
            self.settle_later(applied);
            let mut packed = Vec::new();
            content.pack(&mut packed);
            shard.put_loaded(key, Some(found), &packed);
        }
        Ok(Some(content))
    }

    fn removals(&self, shard: &Shard, key: Hashed<'_>) -> Vec<Removal> {
        shard.hidden.removals(key.hash, self.replacements.in_force())
    }
}

/// The content under a key, and the removals that have still to reach it.
pub(crate) struct Seen<T> {
    pub(crate) content: T,
    pub(crate) removals: Vec<Removal>,
}

impl Seen<Vec<Membership>> {
    /// What a reader sees of it.
    fn live(self, now: Minute) -> Vec<Membership> {
        let mut entries = self.kept();
        membership::retain_visible(&mut entries, now);
        entries
    }

    /// What the removals leave of it.
    fn kept(self) -> Vec<Membership> {
        let Seen { mut content, removals } = self;
        // Seldom there are any.
        if !removals.is_empty() {
            let left = |entry| removals.iter().try_fold(entry, |entry, removal| removal.leaves(entry));
            content.retain_mut(|entry| left(*entry).map(|left| *entry = left).is_some());
        }
        content
    }
}

impl Profiles for PackedProfiles {
    fn apply(&self, position: u64, record: &Record) -> Result<Applied, ProfilesError> {
        let applied = match record {
            Record::Ingest(ingest) if let Some(segment) = waiting::replaced(ingest) => {
                self.put_in_force(position, ingest, segment)?;
                Applied::default()
            }
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
                // Even when the user has nothing now: outdated bytes may still be on disk. Before the
                // position, so that a checkpoint of that position sees it.
                self.rewrite_due.store(true, Ordering::SeqCst);
                applied
            }
            Record::Link(link) => match LinksKey::of(&link.user) {
                Some(key) => {
                    // First, so that a checkpoint with the links notes that there are some.
                    self.has_links.store(true, Ordering::SeqCst);
                    let edit = self.links_edit(&key, KeyEdit::Link(&link.links));
                    self.apply_edits(&[edit], Minute::containing(link.accepted_at_ms))?
                }
                None => Applied::default(),
            },
        };
        self.applied_position.fetch_max(position, Ordering::SeqCst);
        let mut reported = self.take_settled();
        reported += applied;
        self.report(&reported);
        Ok(reported)
    }

    fn get(&self, user: &UserKey, now: Minute) -> Option<Vec<Membership>> {
        // Bytes in memory were packed here. If they were unreadable, `load` would say so.
        let seen: Seen<Vec<Membership>> =
            self.peek(self.shards.hashed(user.as_bytes()), user.domain()).ok()??;
        Some(seen.live(now))
    }

    fn load(&self, user: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        let seen: Seen<Vec<Membership>> = self.fetch(self.shards.hashed(user.as_bytes()), user.domain())?;
        Ok(seen.live(now))
    }

    fn load_many(&self, users: &[&UserKey], now: Minute) -> Vec<Result<Vec<Membership>, ProfilesError>> {
        self.load_in_one_pass(users, now)
    }

    fn load_later(&self, user: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        let seen: Seen<Vec<Membership>> = self.fetch(self.shards.hashed(user.as_bytes()), user.domain())?;
        Ok(seen.kept().into_iter().filter_map(|entry| entry.later(now)).collect())
    }

    fn has_links(&self) -> bool {
        // A caller that knows of a link reads the value that the applier stored before.
        self.has_links.load(Ordering::SeqCst)
    }

    fn links(&self, user: &UserKey, now: Minute) -> Option<Vec<UserKey>> {
        match LinksKey::of(user).filter(|_| self.has_links()) {
            None => Some(Vec::new()),
            Some(key) => {
                let links = self.peek(self.shards.hashed(key.as_bytes()), user.domain()).ok()??;
                Some(live_links(links.content, now))
            }
        }
    }

    fn load_links(&self, user: &UserKey, now: Minute) -> Result<Vec<UserKey>, ProfilesError> {
        match LinksKey::of(user).filter(|_| self.has_links()) {
            None => Ok(Vec::new()),
            Some(key) => {
                let links = self.fetch(self.shards.hashed(key.as_bytes()), user.domain())?;
                Ok(live_links(links.content, now))
            }
        }
    }

    fn visit_members(
        &self,
        segment: SegmentId,
        now: Minute,
        visit: &mut dyn FnMut(UserKey) -> ControlFlow<()>,
    ) -> Result<(), ProfilesError> {
        self.visit_all_members(segment, now, visit)
    }

    fn replacements(&self) -> u64 {
        self.replacements.in_force()
    }

    fn settle(&self) -> Result<Option<Applied>, ProfilesError> {
        let settled = self.settle_some()?;
        settled.iter().for_each(|applied| self.report(applied));
        Ok(settled)
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
        self.shards.each().map(|shard| shard.stats().dirty_bytes as u64).sum()
    }

    fn stats(&self) -> ProfileStats {
        let mut stats = ProfileStats {
            stored_entries: self.store.entries(),
            store_bytes: self.store.disk_bytes(),
            read_throughs: self.store.lookups(),
            warm: self.warm.load(Ordering::Relaxed),
            complete: true,
            put_off: self.put_off.load(Ordering::Relaxed).max(0).cast_unsigned(),
            resident_bytes: self.replacements.waiting_bytes() as u64,
            ..ProfileStats::default()
        };
        for shard in self.shards.each() {
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

fn live_links(links: Links, now: Minute) -> Vec<UserKey> {
    links.into_iter().filter(|(_, end)| now < *end).map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests;
