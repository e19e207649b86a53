//! One shard: the packed profiles of the users whose hash falls into it.
//!
//! Nothing here blocks or does IO; a shard is held under its lock for one user's work at a time.
//!
//! A record in memory is a byte of state, the length of the key, the key, and the packed profile, which
//! is empty when nothing is left of the user: a *tombstone*, which stays until a checkpoint has deleted
//! the blob, because without it a reader would find the blob and bring the user back.

use crate::slab::{Handle, Slabs};
use hashbrown::HashTable;
use ia_model::UserKey;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Changed since a checkpoint took it last. Such a record's hash is in `Shard::dirty`.
const DIRTY: u8 = 1;
/// Taken by the running checkpoint, and not yet known to be on disk.
const WRITING: u8 = 1 << 1;
/// Used since the clock hand came by last.
const RECENT: u8 = 1 << 2;

const HEADER_BYTES: usize = 2;
/// How many buckets the clock hand may pass for one arrival. It bounds the time under the lock; each
/// arrival brings the shard closer to its budget.
const HAND_STEPS: usize = 64;

/// A user with the hash of its key, which picks the shard and the bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
}

/// Keyed at random in each process: user ids come from outside, and with a known hash anyone could send
/// ids that all fall into one bucket. SipHash costs some 15 ns a user, of the 600 that a user costs.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    pub(crate) fn user<'a>(&self, user: &'a UserKey) -> Hashed<'a> {
        Hashed { key: user.as_bytes(), hash: self.hash(user.as_bytes()) }
    }
}

#[derive(Debug)]
pub(crate) struct Shard {
    hasher: KeyHasher,
    table: HashTable<Handle>,
    slabs: Slabs,
    /// The hash of each dirty record, pushed when it becomes dirty. A hash is a third of what a key
    /// would take, and a wrong match does no harm: it only takes a dirty record a little earlier.
    dirty: Vec<u64>,
    dirty_records: usize,
    dirty_record_bytes: usize,
    /// Hashes of tombstones that were kept although they are on disk, because the warm-up runs.
    kept_tombstones: Vec<u64>,
    /// Where the clock hand stands: a bucket of `table`.
    hand: usize,
    budget_bytes: usize,
    /// How often a record that is on disk has left memory. See [`Shard::departures`].
    departures: u64,
    evictions: u64,
    complete: bool,
    scratch: Vec<u8>,
}

/// What a shard is asked to do with tombstones that a checkpoint has made needless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tombstones {
    /// They leave memory.
    Drop,
    /// They stay until [`Shard::end_warm_up`].
    Keep,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShardStats {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) dirty_records: usize,
    pub(crate) dirty_bytes: usize,
    pub(crate) evictions: u64,
}

impl Shard {
    pub(crate) fn new(hasher: KeyHasher, budget_bytes: usize, complete: bool) -> Shard {
        Shard {
            hasher,
            table: HashTable::new(),
            slabs: Slabs::new(),
            dirty: Vec::new(),
            dirty_records: 0,
            dirty_record_bytes: 0,
            kept_tombstones: Vec::new(),
            hand: 0,
            budget_bytes,
            departures: 0,
            evictions: 0,
            complete,
            scratch: Vec::new(),
        }
    }

    /// Whether a user that is not here is not on disk either.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Rises whenever a record that is on disk leaves memory.
    ///
    /// Who read a blob without the lock may keep it in memory only if the user is absent and this number
    /// is the same, both before the read and after it: then the user was not in memory in between, so no
    /// checkpoint wrote its blob in between, and the blob is not outdated.
    pub(crate) fn departures(&self) -> u64 {
        self.departures
    }

    pub(crate) fn stats(&self) -> ShardStats {
        ShardStats {
            records: self.table.len(),
            bytes: self.bytes(),
            dirty_records: self.dirty_records,
            dirty_bytes: self.dirty_record_bytes,
            evictions: self.evictions,
        }
    }

    fn bytes(&self) -> usize {
        let lists = (self.dirty.capacity() + self.kept_tombstones.capacity()) * size_of::<u64>();
        self.slabs.allocated_bytes() + self.table.allocation_size() + lists
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.budget_bytes
    }

    pub(crate) fn contains(&self, user: Hashed<'_>) -> bool {
        self.find(user).is_some()
    }

    /// The packed profile, empty for a tombstone. `None`: not in memory. Counts as a use.
    pub(crate) fn get(&mut self, user: Hashed<'_>) -> Option<&[u8]> {
        let handle = self.find(user)?;
        let record = self.slabs.get_mut(handle);
        record[0] |= RECENT;
        Some(packed_of(record))
    }

    /// Puts a changed profile in place; an empty one is a tombstone.
    pub(crate) fn put_dirty(&mut self, user: Hashed<'_>, packed: &[u8]) {
        self.put(user, packed, DIRTY | RECENT);
        self.evict();
    }

    /// Puts a profile in place that a reader found on disk; others may have to leave for it. The caller
    /// has made sure that the user is absent and the blob is not outdated.
    pub(crate) fn put_loaded(&mut self, user: Hashed<'_>, packed: &[u8]) {
        debug_assert!(!self.contains(user), "what is in memory wins over what was read");
        self.put(user, packed, RECENT);
        self.evict();
    }

    /// The same for the warm-up, for which nobody leaves.
    pub(crate) fn put_warmed(&mut self, user: Hashed<'_>, packed: &[u8]) {
        debug_assert!(!self.contains(user), "what is in memory wins over what was read");
        self.put(user, packed, 0);
    }

    fn put(&mut self, user: Hashed<'_>, packed: &[u8], state: u8) {
        let found = self.find(user);
        let before = found.map_or(0, |handle| self.slabs.get(handle)[0]);
        let state = before | state;
        if before & DIRTY != 0 {
            self.dirty_record_bytes -= found.map_or(0, |handle| self.slabs.get(handle).len());
        } else if state & DIRTY != 0 {
            self.dirty.push(user.hash);
            self.dirty_records += 1;
        }
        let key_bytes = u8::try_from(user.key.len()).expect("a user key is shorter than 256 bytes");
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        record.extend([state, key_bytes]);
        record.extend_from_slice(user.key);
        record.extend_from_slice(packed);
        let handle = self.store(user.hash, found, &record);
        self.scratch = record;
        if state & DIRTY != 0 {
            self.dirty_record_bytes += self.slabs.get(handle).len();
        }
    }

    /// Stores the record, in the place of the one at `found` if there is one.
    fn store(&mut self, hash: u64, found: Option<Handle>, record: &[u8]) -> Handle {
        if let Some(handle) = found {
            if self.slabs.replace(handle, record) {
                return handle;
            }
            self.remove(hash, handle);
        }
        let handle = self.slabs.insert(record);
        let (slabs, hasher) = (&self.slabs, &self.hasher);
        self.table.insert_unique(hash, handle, |&other| hasher.hash(key_of(slabs.get(other))));
        handle
    }

    fn remove(&mut self, hash: u64, handle: Handle) {
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == handle) {
            entry.remove();
        }
        if let Some(moved) = self.slabs.remove(handle) {
            let hash = self.hasher.hash(key_of(self.slabs.get(handle)));
            if let Some(entry) = self.table.find_mut(hash, |&other| other == moved) {
                *entry = handle;
            }
        }
    }

    fn find(&self, user: Hashed<'_>) -> Option<Handle> {
        let same = |&handle: &Handle| key_of(self.slabs.get(handle)) == user.key;
        self.table.find(user.hash, same).copied()
    }

    /// Lets clean records go that were not used lately, while the shard is over its budget.
    fn evict(&mut self) {
        if !self.is_full() {
            return;
        }
        for _ in 0..HAND_STEPS.min(self.table.num_buckets()) {
            self.hand = (self.hand + 1) % self.table.num_buckets();
            let Some(&handle) = self.table.get_bucket(self.hand) else { continue };
            let record = self.slabs.get_mut(handle);
            let state = record[0];
            record[0] &= !RECENT;
            let is_tombstone = packed_of(record).is_empty();
            if state & (DIRTY | WRITING | RECENT) == 0 && !is_tombstone {
                let hash = self.hasher.hash(key_of(record));
                self.remove(hash, handle);
                self.departures += 1;
                self.evictions += 1;
                self.complete = false;
                if !self.is_full() {
                    break;
                }
            }
        }
        if self.table.len() * 4 < self.table.capacity() {
            let (slabs, hasher) = (&self.slabs, &self.hasher);
            self.table.shrink_to(self.table.len() * 2, |&other| hasher.hash(key_of(slabs.get(other))));
        }
    }

    /// The hashes of what is dirty, for [`Shard::take_dirty`].
    pub(crate) fn take_dirty_hashes(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.dirty)
    }

    /// Hands the dirty records of that hash to the checkpoint: key and packed profile of each.
    pub(crate) fn take_dirty(&mut self, hash: u64, mut take: impl FnMut(&[u8], &[u8])) {
        let (table, slabs) = (&self.table, &mut self.slabs);
        for &handle in table.iter_hash(hash) {
            let record = slabs.get_mut(handle);
            // One that is both was changed again after this checkpoint took it; its hash is in the new
            // list, for the next checkpoint.
            if record[0] & (DIRTY | WRITING) == DIRTY {
                record[0] ^= DIRTY | WRITING;
                self.dirty_records -= 1;
                self.dirty_record_bytes -= record.len();
                take(key_of(record), packed_of(record));
            }
        }
    }

    /// The checkpoint has this user on disk.
    pub(crate) fn written(&mut self, user: Hashed<'_>, tombstones: Tombstones) {
        let Some(handle) = self.find(user) else { return };
        let record = self.slabs.get_mut(handle);
        record[0] &= !WRITING;
        if record[0] & DIRTY == 0 && packed_of(record).is_empty() {
            match tombstones {
                Tombstones::Keep => self.kept_tombstones.push(user.hash),
                Tombstones::Drop => {
                    self.remove(user.hash, handle);
                    self.departures += 1;
                }
            }
        }
    }

    /// The checkpoint failed: this user is to be taken again.
    pub(crate) fn not_written(&mut self, user: Hashed<'_>) {
        let Some(handle) = self.find(user) else { return };
        let record = self.slabs.get_mut(handle);
        record[0] &= !WRITING;
        if record[0] & DIRTY == 0 {
            record[0] |= DIRTY;
            self.dirty_records += 1;
            self.dirty_record_bytes += record.len();
            self.dirty.push(user.hash);
        }
    }

    /// The warm-up is over. `all_loaded`: it has put in place all that is on disk. Lets the kept
    /// tombstones go.
    pub(crate) fn end_warm_up(&mut self, all_loaded: bool) {
        for hash in std::mem::take(&mut self.kept_tombstones) {
            while let Some(handle) = self.needless_tombstone(hash) {
                let hash = self.hasher.hash(key_of(self.slabs.get(handle)));
                self.remove(hash, handle);
                self.departures += 1;
            }
        }
        self.complete |= all_loaded;
    }

    fn needless_tombstone(&self, hash: u64) -> Option<Handle> {
        let is_needless = |handle: &Handle| {
            let record = self.slabs.get(*handle);
            record[0] & (DIRTY | WRITING) == 0 && packed_of(record).is_empty()
        };
        self.table.iter_hash(hash).copied().find(is_needless)
    }
}

fn key_of(record: &[u8]) -> &[u8] {
    &record[HEADER_BYTES..HEADER_BYTES + usize::from(record[1])]
}

/// With the zero bytes that fill the slot; empty for a tombstone.
fn packed_of(record: &[u8]) -> &[u8] {
    let packed = &record[HEADER_BYTES + usize::from(record[1])..];
    // The first entry of a profile has a byte that is not 0, whatever its base minute is.
    if packed.iter().all(|&byte| byte == 0) { &[] } else { packed }
}
