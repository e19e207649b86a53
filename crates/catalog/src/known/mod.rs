//! The ids that strict mode knows.

mod import;

pub use import::{Imported, import_known_users};

use crate::CatalogError;
use async_trait::async_trait;
use hashbrown::HashSet;
use ia_model::UserKey;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

const SHARDS: usize = 64;

/// Keeps the ids that strict mode knows across restarts: a list of their hashes that only grows.
#[async_trait]
pub trait KnownUserStore: Send + Sync {
    /// What ids are hashed with. Made at the first call, the same at all others.
    async fn known_user_key(&self) -> Result<[u8; 32], CatalogError>;

    /// Some of the hashes that come after the first `position` of the list, in its order; none at its end. Fails
    /// with `Damaged` when a hash is not what was written.
    async fn known_users_after(&self, position: u64) -> Result<Vec<u64>, CatalogError>;

    /// Appends hashes: all of them, durable on return, or on an error none.
    async fn add_known_users(&self, hashes: &[u64]) -> Result<(), CatalogError>;
}

/// Hashes ids, since only the hashes are kept. Two ids share a hash with a chance of 2^-64 for each pair.
#[derive(Clone)]
pub struct KnownUserHasher(Sha256);

impl KnownUserHasher {
    /// One that hashes with the key of a store.
    pub fn new(key: &[u8; 32]) -> KnownUserHasher {
        KnownUserHasher(Sha256::new_with_prefix(key))
    }

    /// The hash of an id.
    pub fn hash(&self, user: &UserKey) -> u64 {
        let digest = self.0.clone().chain_update(user.as_bytes()).finalize();
        u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
    }
}

/// Shows nothing of the key.
impl fmt::Debug for KnownUserHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownUserHasher(…)")
    }
}

/// A hash is as good as random already, and its key keeps callers from choosing it.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole hashes are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Hashes = HashSet<u64, BuildHasherDefault<AsItIs>>;

/// The ids that the service has seen; or everybody, where strict mode is off.
///
/// 10 to 19 bytes of memory an id. Asking takes no SQL and no lock that another question holds.
#[derive(Debug)]
pub struct KnownUsers {
    strict: Option<Strict>,
}

struct Strict {
    store: Arc<dyn KnownUserStore>,
    hasher: KnownUserHasher,
    shards: [RwLock<Hashes>; SHARDS],
    /// The hashes that callers of `remember` want to write. The next holder of `writing` writes them all.
    waiting: Mutex<Vec<u64>>,
    writing: tokio::sync::Mutex<()>,
    /// The position in the store's list up to which it is in the shards.
    read_position: tokio::sync::Mutex<u64>,
}

impl KnownUsers {
    /// Knows everybody, remembers nobody: the service accepts every well-formed id.
    pub const fn everybody() -> KnownUsers {
        KnownUsers { strict: None }
    }

    /// Knows the ids in `store`, and reads all of them.
    pub async fn load(store: Arc<dyn KnownUserStore>) -> Result<KnownUsers, CatalogError> {
        let hasher = KnownUserHasher::new(&store.known_user_key().await?);
        let strict = Strict {
            store,
            hasher,
            shards: std::array::from_fn(|_| RwLock::default()),
            waiting: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            read_position: tokio::sync::Mutex::default(),
        };
        strict.follow().await?;
        Ok(KnownUsers { strict: Some(strict) })
    }

    /// Whether the id was seen before.
    pub fn contains(&self, user: &UserKey) -> bool {
        self.strict.as_ref().is_none_or(|strict| strict.contains(strict.hasher.hash(user)))
    }

    /// Makes ids known, durably on return. Calls that come while one is being written share the next write.
    pub async fn remember(&self, users: &[UserKey]) -> Result<(), CatalogError> {
        match &self.strict {
            Some(strict) => strict.remember(users).await,
            None => Ok(()),
        }
    }

    /// Takes over what another process has added. To be called a few times a second.
    pub async fn follow(&self) -> Result<(), CatalogError> {
        match &self.strict {
            Some(strict) => strict.follow().await,
            None => Ok(()),
        }
    }

    /// How many ids are known; `None` where everybody is.
    pub fn count(&self) -> Option<usize> {
        let strict = self.strict.as_ref()?;
        let count = |shard: &RwLock<Hashes>| shard.read().unwrap_or_else(PoisonError::into_inner).len();
        Some(strict.shards.iter().map(count).sum())
    }
}

// A panic while a shard or the queue is locked cannot leave it half changed: each change is one operation.
impl Strict {
    fn shard(&self, hash: u64) -> &RwLock<Hashes> {
        // Bits that the table itself hardly looks at: it takes the lowest and the highest ones.
        &self.shards[usize::from((hash >> 40) as u8) % SHARDS]
    }

    fn contains(&self, hash: u64) -> bool {
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner).contains(&hash)
    }

    fn insert(&self, hashes: &[u64]) {
        for &hash in hashes {
            self.shard(hash).write().unwrap_or_else(PoisonError::into_inner).insert(hash);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remember(&self, users: &[UserKey]) -> Result<(), CatalogError> {
        let is_new = |&hash: &u64| !self.contains(hash);
        let mine: Vec<u64> = users.iter().map(|user| self.hasher.hash(user)).filter(is_new).collect();
        if mine.is_empty() {
            return Ok(());
        }
        self.waiting().extend_from_slice(&mine);
        let _writing = self.writing.lock().await;
        let mut batch = std::mem::take(&mut *self.waiting());
        // The task that took mine may have failed, or its caller may have given it up.
        batch.extend(mine);
        batch.retain(is_new);
        batch.sort_unstable();
        batch.dedup();
        if !batch.is_empty() {
            self.store.add_known_users(&batch).await?;
            self.insert(&batch);
        }
        Ok(())
    }

    async fn follow(&self) -> Result<(), CatalogError> {
        let mut position = self.read_position.lock().await;
        loop {
            let hashes = self.store.known_users_after(*position).await?;
            if hashes.is_empty() {
                return Ok(());
            }
            self.insert(&hashes);
            *position += hashes.len() as u64;
        }
    }
}

/// Shows none of the hashes.
impl fmt::Debug for Strict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strict(…)")
    }
}
