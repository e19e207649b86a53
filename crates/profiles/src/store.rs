//! The checkpoint store: blobs by user key in a fjall database. Nothing else in the crate knows fjall.
//!
//! This crate relies on these properties of fjall 3.1 and lsm-tree 3.1:
//!
//! - *Ingestion* writes sorted entries straight into new table files and syncs them and their folder;
//!   `finish` then syncs a new version file that names them and swaps it in by a rename. All entries of
//!   one ingestion become visible, and durable, together or not at all. The position is one of these
//!   entries, so it can never be ahead of its blobs.
//! - Nothing passes through fjall's journal, which stays empty: it holds no copy of a profile.
//! - *Major compaction* rewrites all tables into one sorted run, without deleted and outdated entries.
//!   An old table file is unlinked once no version and no iterator refers to it; `maintenance` drops
//!   versions. Both are behind `#[doc(hidden)]`, so only the erase tests, which search the folder for
//!   bytes, would notice a change in fjall that breaks the promise.

mod unfinished;
mod worker;

use crate::ProfilesError;
use crate::files::{self, Depth};
use fjall::config::{
    BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy, PinningPolicy,
};
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions, Slice};
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use worker::WorkerWatch;

/// The version of the store's layout: its keyspace and its checkpoint entry.
pub const STORE_FORMAT_VERSION: u8 = 2;
/// The version without links, which is read as well.
const VERSION_WITHOUT_LINKS: u8 = 1;

const KEYSPACE: &str = "profiles";
/// The key of the checkpoint entry. A user key begins with its domain's number, which is never 0.
const CHECKPOINT_KEY: &[u8] = &[0];
const CHECKPOINT_BYTES: usize = 10;
const REWRITE_DUE: u8 = 1;
const HAS_LINKS: u8 = 1 << 1;

/// One user in 1,000 that is not in a table is still looked up in it.
const BLOOM_FALSE_POSITIVES: f32 = 0.001;
/// The size that fjall gives table files in a major compaction.
const TABLE_BYTES: u64 = 64_000_000;

/// The bytes under a key.
pub(crate) type Blob = Slice;

/// Takes a key with its blob, or with `None` to delete it.
pub(crate) type Put<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), ProfilesError> + 'a;

/// The content of the checkpoint entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    /// All records up to this position are in the blobs, and perhaps some after it.
    pub(crate) position: u64,
    /// Something was erased and the store has perhaps not been rewritten since.
    pub(crate) rewrite_due: bool,
    /// At least one user was linked, ever.
    pub(crate) has_links: bool,
}

pub(crate) struct Store {
    profiles: Keyspace,
    db: Database,
    /// Held for reading while an iterator is open. An iterator pins table files and outdated entries, so
    /// a rewrite waits until there is none.
    iterators: RwLock<()>,
    /// Whether fjall's worker still compacts.
    worker: WorkerWatch,
    lookups: AtomicU64,
}

impl Store {
    /// Opens the store for writing, or makes a new one.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Store, ProfilesError> {
        // One worker: with two, fjall keeps the first for flushes, which never happen here.
        Store::with_workers(1, dir, cache_bytes)
    }

    /// Opens a store without a thread that compacts it: a view of another, or the store of a test.
    pub(crate) fn open_still(dir: &Path, cache_bytes: u64) -> Result<Store, ProfilesError> {
        Store::with_workers(0, dir, cache_bytes)
    }

    fn with_workers(workers: usize, dir: &Path, cache_bytes: u64) -> Result<Store, ProfilesError> {
        files::check(dir, Depth::Ends)?;
        files::complete(dir)?;
        let builder = Database::builder(dir).cache_size(cache_bytes).worker_threads_unchecked(workers);
        let db = builder.open().map_err(|error| match error {
            fjall::Error::Locked => ProfilesError::Locked { dir: dir.to_owned() },
            error => failed("opening it")(error),
        })?;
        let profiles = db.keyspace(KEYSPACE, keyspace_options).map_err(failed("opening it"))?;
        let (iterators, worker, lookups) = Default::default();
        Ok(Store { profiles, db, iterators, worker, lookups })
    }

    /// The checkpoint entry; `None` in a new store.
    pub(crate) fn checkpoint(&self) -> Result<Option<Checkpoint>, ProfilesError> {
        let entry = self.profiles.get(CHECKPOINT_KEY).map_err(failed("reading its position"))?;
        entry.map(|bytes| Checkpoint::decode(&bytes)).transpose()
    }

    /// The version of the layout of the last write; 0 in a new store.
    pub(crate) fn version(&self) -> Result<u8, ProfilesError> {
        let entry = self.profiles.get(CHECKPOINT_KEY).map_err(failed("reading its version"))?;
        Ok(entry.and_then(|bytes| bytes.first().copied()).unwrap_or_default())
    }

    /// The blob of a user.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Blob>, ProfilesError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.profiles.get(key).map_err(failed("reading a profile"))
    }

    /// Calls of [`Store::get`] since it was opened.
    pub(crate) fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::Relaxed)
    }

    /// Up to `limit` keys with their blobs, in key order, after `after`. The iterator ends with this call,
    /// because it delays a rewrite.
    pub(crate) fn scan(&self, after: &[u8], limit: usize) -> Result<Vec<(Slice, Slice)>, ProfilesError> {
        let _open = self.iterators.read().unwrap_or_else(PoisonError::into_inner);
        let after = if after.is_empty() { CHECKPOINT_KEY } else { after };
        let range = self.profiles.range::<&[u8], _>((Bound::Excluded(after), Bound::Unbounded));
        let entries = range.take(limit).map(fjall::Guard::into_inner);
        entries.collect::<fjall::Result<_>>().map_err(failed("reading the profiles"))
    }

    /// Writes blobs and the checkpoint entry: all or nothing, and on stable storage when it returns. After a
    /// failure other than [`ProfilesError::HalfWritten`] it can be tried again. `fill` passes the blobs,
    /// which ascend by key without repeats; `None` deletes one.
    pub(crate) fn write(
        &self,
        checkpoint: Checkpoint,
        fill: impl FnOnce(&mut Put<'_>) -> Result<(), ProfilesError>,
    ) -> Result<(), ProfilesError> {
        self.check_version()?;
        self.watch_worker();
        let before = self.before_write()?;
        let written = self.ingest(checkpoint, fill);
        match written {
            Ok(()) => self.worker_was_asked(&before),
            Err(_) => self.remove_leftovers(&before),
        }
        written
    }

    fn ingest(
        &self,
        checkpoint: Checkpoint,
        fill: impl FnOnce(&mut Put<'_>) -> Result<(), ProfilesError>,
    ) -> Result<(), ProfilesError> {
        let failed = failed("writing a checkpoint");
        let mut ingestion = self.profiles.start_ingestion().map_err(&failed)?;
        ingestion.write(CHECKPOINT_KEY, checkpoint.encode()).map_err(&failed)?;
        fill(&mut |key, blob| {
            match blob {
                Some(blob) => ingestion.write(key, blob),
                None => ingestion.write_tombstone(key),
            }
            .map_err(&failed)
        })?;
        ingestion.finish().map_err(&failed)
    }

    /// [`Store::write`] of one blob.
    #[cfg(test)]
    pub(crate) fn write_one(&self, checkpoint: Checkpoint, key: &[u8], blob: &[u8]) {
        self.write(checkpoint, |put| put(key, Some(blob))).unwrap();
    }

    /// Writes any bytes as the checkpoint entry.
    #[cfg(test)]
    pub(crate) fn write_checkpoint_entry(&self, bytes: &[u8]) {
        let mut ingestion = self.profiles.start_ingestion().unwrap();
        ingestion.write(CHECKPOINT_KEY, bytes).unwrap();
        ingestion.finish().unwrap();
    }

    /// Rewrites the store without deleted and outdated entries, and unlinks the old files. Reads and writes
    /// all of it.
    pub(crate) fn rewrite(&self) -> Result<(), ProfilesError> {
        self.check_version()?;
        let failed = failed("rewriting it after an erase");
        let _none_open = self.iterators.write().unwrap_or_else(PoisonError::into_inner);
        let tree = &self.profiles.tree;
        // With no iterator open, entries older than the newest have no reader.
        tree.major_compact(TABLE_BYTES, self.db.visible_seqno())
            .map_err(fjall::Error::from)
            .map_err(&failed)?;
        let last_level = tree.tree_config().level_count - 1;
        if (0..last_level).any(|level| tree.level_table_count(level.into()).is_some_and(|tables| tables > 0))
        {
            return Err(ProfilesError::DamagedStore { part: "levels: a rewrite left tables behind" });
        }
        self.forget_old_versions()
    }

    /// Drops outdated versions, which keep replaced table files on disk. An ingestion makes a version, and
    /// fjall itself clears up only when it flushes or compacts. Compacts where fjall does not.
    pub(crate) fn clear_up(&self) -> Result<(), ProfilesError> {
        match self.iterators.try_write() {
            Ok(_none_open) => {
                self.compact_in_place_of_worker()?;
                self.forget_old_versions()
            }
            // The next checkpoint does it.
            Err(_) => Ok(()),
        }
    }

    /// The caller holds `iterators`: an iterator needs its version while it is being opened.
    fn forget_old_versions(&self) -> Result<(), ProfilesError> {
        let mut versions = self.profiles.tree.get_version_history_lock();
        let result = versions.maintenance(self.profiles.path(), self.db.visible_seqno());
        result.map_err(fjall::Error::from).map_err(failed("removing outdated files"))
    }

    /// Entries, outdated ones included.
    pub(crate) fn entries(&self) -> u64 {
        self.profiles.approximate_len() as u64
    }

    /// Its size on disk, in bytes.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.profiles.disk_space()
    }
}

impl Checkpoint {
    fn encode(self) -> [u8; CHECKPOINT_BYTES] {
        let mut bytes = [0; CHECKPOINT_BYTES];
        bytes[0] = STORE_FORMAT_VERSION;
        bytes[1..9].copy_from_slice(&self.position.to_le_bytes());
        bytes[9] = (u8::from(self.rewrite_due) * REWRITE_DUE) | (u8::from(self.has_links) * HAS_LINKS);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Checkpoint, ProfilesError> {
        let damaged = ProfilesError::DamagedStore { part: "checkpoint entry" };
        let known_flags = match bytes.first() {
            Some(&STORE_FORMAT_VERSION) => REWRITE_DUE | HAS_LINKS,
            Some(&VERSION_WITHOUT_LINKS) => REWRITE_DUE,
            Some(&found) => {
                let known = STORE_FORMAT_VERSION;
                return Err(ProfilesError::UnknownVersion { what: "the profile store", found, known });
            }
            None => return Err(damaged),
        };
        let Ok(bytes) = <&[u8; CHECKPOINT_BYTES]>::try_from(bytes) else { return Err(damaged) };
        let [_, position @ .., flags] = *bytes;
        if flags & !known_flags != 0 {
            return Err(damaged);
        }
        Ok(Checkpoint {
            position: u64::from_le_bytes(position),
            rewrite_due: flags & REWRITE_DUE != 0,
            has_links: flags & HAS_LINKS != 0,
        })
    }
}

fn keyspace_options() -> KeyspaceCreateOptions {
    let bloom = BloomConstructionPolicy::FalsePositiveRate(BLOOM_FALSE_POSITIVES);
    // Most lookups are for unknown users. With the filters pinned in memory (about 2 bytes a stored profile)
    // such a lookup reads no block at all.
    KeyspaceCreateOptions::default()
        .expect_point_read_hits(false)
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(bloom)))
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::all(false))
}

fn failed(doing: &'static str) -> impl Fn(fjall::Error) -> ProfilesError {
    move |source| ProfilesError::store(doing, source)
}

#[cfg(test)]
mod tests;
