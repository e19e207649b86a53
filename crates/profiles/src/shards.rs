//! All shards, each under a lock of its own. No two of these locks are ever held together, and none during IO.

use crate::shard::{Hashed, KeyHasher, Shard};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct Shards {
    hasher: KeyHasher,
    shards: Box<[Mutex<Shard>]>,
}

impl Shards {
    /// `count` is a power of two. `complete`: nothing is on disk, so the empty shards hold all.
    pub(crate) fn new(count: usize, budget_bytes: usize, links_per_user: usize, complete: bool) -> Shards {
        let hasher = KeyHasher::default();
        let shard = |_| Mutex::new(Shard::new(hasher.clone(), budget_bytes, links_per_user, complete));
        Shards { shards: (0..count).map(shard).collect(), hasher }
    }

    pub(crate) fn count(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn hashed<'a>(&self, key: &'a [u8]) -> Hashed<'a> {
        Hashed { key, hash: self.hasher.hash(key) }
    }

    /// The number of the shard of a key.
    pub(crate) fn number(&self, hash: u64) -> usize {
        // Pages take the lowest bits and their tags the highest 8, so these are left.
        (hash >> 32) as usize & (self.shards.len() - 1)
    }

    pub(crate) fn lock(&self, number: usize) -> MutexGuard<'_, Shard> {
        lock(&self.shards[number])
    }

    /// Locks the shard of a key.
    pub(crate) fn of(&self, hash: u64) -> MutexGuard<'_, Shard> {
        self.lock(self.number(hash))
    }

    /// Locks one shard after the other.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(lock)
    }
}

/// A shard whose holder panicked is still whole between two operations, and serving beats stopping.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
