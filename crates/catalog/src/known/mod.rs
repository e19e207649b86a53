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

/// In the list of a [`KnownUserStore`], the place of a hash that was removed. No id has this hash.
pub(crate) const VACANT: u64 = 0;

/// Keeps the ids that strict mode knows across restarts: a list of their hashes. It never gets shorter, so that a
/// position in it stays what it is: a hash that is removed leaves its place vacant.
#[async_trait]
pub trait KnownUserStore: Send + Sync {
    /// What ids are hashed with. Made at the first call, the same at all others.
    async fn known_user_key(&self) -> Result<[u8; 32], CatalogError>;

    /// Some of the hashes that come after the first `position` of the list, in its order; none at its end. The place
    /// of a hash that was removed is 0. Fails with `Damaged` when a hash is not what was written.
    async fn known_users_after(&self, position: u64) -> Result<Vec<u64>, CatalogError>;

    /// Appends hashes: all of them, durable on return, or on an error none.
    async fn add_known_users(&self, hashes: &[u64]) -> Result<(), CatalogError>;

    /// Removes the hashes at these positions, counted from 0, and leaves their places vacant: all of them, durable on
    /// return, or on an error none.
    async fn vacate_known_users(&self, positions: &[u64]) -> Result<(), CatalogError>;
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
        let hash = u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
        if hash == VACANT { 1 } else { hash }
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
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// Everybody is known. An id that is forgotten still leaves the store, if there is one.
    Everybody(Option<List>),
    /// Only those in the store are known.
    Strict(Box<Strict>),
}

/// The stored list, and how ids are hashed in it.
struct List {
    store: Arc<dyn KnownUserStore>,
    hasher: KnownUserHasher,
}

struct Strict {
    list: List,
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
        KnownUsers { mode: Mode::Everybody(None) }
    }

    /// The same, over a store that may hold ids for a later time in strict mode: what is forgotten leaves it.
    pub async fn everybody_beside(store: Arc<dyn KnownUserStore>) -> Result<KnownUsers, CatalogError> {
        Ok(KnownUsers { mode: Mode::Everybody(Some(List::open(store).await?)) })
    }

    /// Knows the ids in `store`, and reads all of them.
    pub async fn load(store: Arc<dyn KnownUserStore>) -> Result<KnownUsers, CatalogError> {
        let strict = Strict {
            list: List::open(store).await?,
            shards: std::array::from_fn(|_| RwLock::default()),
            waiting: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            read_position: tokio::sync::Mutex::default(),
        };
        strict.follow().await?;
        Ok(KnownUsers { mode: Mode::Strict(Box::new(strict)) })
    }

    fn strict(&self) -> Option<&Strict> {
        match &self.mode {
            Mode::Everybody(_) => None,
            Mode::Strict(strict) => Some(strict),
        }
    }

    /// Whether the id was seen before.
    pub fn contains(&self, user: &UserKey) -> bool {
        self.strict().is_none_or(|strict| strict.contains(strict.list.hasher.hash(user)))
    }

    /// Makes ids known, durably on return. Calls that come while one is being written share the next write.
    pub async fn remember(&self, users: &[UserKey]) -> Result<(), CatalogError> {
        match self.strict() {
            Some(strict) => strict.remember(users).await,
            None => Ok(()),
        }
    }

    /// Makes ids unknown, durably on return, whatever the mode. Returns whether any of them was known in strict mode:
    /// then requests that were resolved earlier may still take them for known.
    pub async fn forget(&self, users: &[UserKey]) -> Result<bool, CatalogError> {
        match &self.mode {
            Mode::Everybody(_) if users.is_empty() => Ok(false),
            Mode::Everybody(None) => Ok(false),
            Mode::Everybody(Some(list)) => {
                let (positions, _) = list.find(&list.hashes(users), 0).await?;
                list.vacate(&positions).await?;
                Ok(false)
            }
            Mode::Strict(strict) => strict.forget(users).await,
        }
    }

    /// Takes over what another process has added. To be called a few times a second.
    pub async fn follow(&self) -> Result<(), CatalogError> {
        match self.strict() {
            Some(strict) => strict.follow().await,
            None => Ok(()),
        }
    }

    /// How many ids are known; `None` where everybody is.
    pub fn count(&self) -> Option<usize> {
        let strict = self.strict()?;
        let count = |shard: &RwLock<Hashes>| shard.read().unwrap_or_else(PoisonError::into_inner).len();
        Some(strict.shards.iter().map(count).sum())
    }
}

impl List {
    async fn open(store: Arc<dyn KnownUserStore>) -> Result<List, CatalogError> {
        let hasher = KnownUserHasher::new(&store.known_user_key().await?);
        Ok(List { store, hasher })
    }

    fn hashes(&self, users: &[UserKey]) -> Vec<u64> {
        users.iter().map(|user| self.hasher.hash(user)).collect()
    }

    /// The positions from `start` on at which these hashes stand, and the end of the list. Takes a second for some
    /// dozens of millions of ids.
    async fn find(&self, hashes: &[u64], start: u64) -> Result<(Vec<u64>, u64), CatalogError> {
        let (mut found, mut position) = (Vec::new(), start);
        loop {
            let some = self.store.known_users_after(position).await?;
            if some.is_empty() {
                return Ok((found, position));
            }
            let is_wanted = |(_, hash): &(u64, &u64)| hashes.contains(hash);
            found.extend((position..).zip(&some).filter(is_wanted).map(|(position, _)| position));
            position += some.len() as u64;
        }
    }

    async fn vacate(&self, positions: &[u64]) -> Result<(), CatalogError> {
        if positions.is_empty() { Ok(()) } else { self.store.vacate_known_users(positions).await }
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
        for &hash in hashes.iter().filter(|&&hash| hash != VACANT) {
            self.shard(hash).write().unwrap_or_else(PoisonError::into_inner).insert(hash);
        }
    }

    fn remove(&self, hashes: &[u64]) {
        for hash in hashes {
            self.shard(*hash).write().unwrap_or_else(PoisonError::into_inner).remove(hash);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remember(&self, users: &[UserKey]) -> Result<(), CatalogError> {
        let is_new = |&hash: &u64| !self.contains(hash);
        let mine: Vec<u64> = self.list.hashes(users).into_iter().filter(is_new).collect();
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
            self.list.store.add_known_users(&batch).await?;
            self.insert(&batch);
        }
        Ok(())
    }

    async fn follow(&self) -> Result<(), CatalogError> {
        self.follow_from(&mut *self.read_position.lock().await).await
    }

    async fn follow_from(&self, position: &mut u64) -> Result<(), CatalogError> {
        loop {
            let hashes = self.list.store.known_users_after(*position).await?;
            if hashes.is_empty() {
                return Ok(());
            }
            self.insert(&hashes);
            *position += hashes.len() as u64;
        }
    }

    async fn forget(&self, users: &[UserKey]) -> Result<bool, CatalogError> {
        // What another process has added until now is in the shards then, and what is not there needs no search.
        self.follow().await?;
        let mut known = self.list.hashes(users);
        known.retain(|&hash| self.contains(hash));
        if known.is_empty() {
            return Ok(false);
        }
        // The search takes long, so nobody waits for it.
        let (mut positions, end) = self.list.find(&known, 0).await?;
        // A call of `remember` or `follow` was done before this, or begins after it: what it makes known later stays.
        let _writing = self.writing.lock().await;
        let mut read_position = self.read_position.lock().await;
        self.follow_from(&mut read_position).await?;
        positions.extend(self.list.find(&known, end).await?.0);
        self.list.vacate(&positions).await?;
        self.remove(&known);
        Ok(true)
    }
}

/// Shows nothing of the key.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("List(…)")
    }
}

/// Shows none of the hashes.
impl fmt::Debug for Strict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strict(…)")
    }
}
