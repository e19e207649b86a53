//! The table of tokens that the hot path reads.

use crate::{CatalogError, Login, PasswordHash, StoredLogin};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How long a token lives after its last use.
const IDLE_MS: u64 = 2 * 3_600_000;
/// How long it lives after it was issued, whatever the use.
const LIFETIME_MS: u64 = 24 * 3_600_000;
const SECRET_BYTES: usize = 32;

/// Every token begins with this, so that one in the wrong place is recognised.
pub const TOKEN_PREFIX: &str = "hbapi:";

const SHARDS: usize = 16;

/// The SHA-256 of a token: all that is ever kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub(crate) [u8; 32]);

impl TokenHash {
    /// The hash of a token as a client sends it.
    pub fn of(token: &str) -> TokenHash {
        TokenHash(Sha256::digest(token.as_bytes()).into())
    }
}

/// Hashes stay out of logs, because tokens are found by them.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A token to keep.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its hash.
    pub hash: TokenHash,
    /// Its login.
    pub user_id: u32,
    /// The hash of the password that it was issued for.
    pub password_hash: PasswordHash,
    /// The public key that it was issued for, if any.
    pub public_key: Option<u32>,
    /// When, in milliseconds since 1970; also counts as its first use.
    pub issued_at_ms: u64,
}

/// A stored token.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// Its hash.
    pub hash: TokenHash,
    /// When it was issued, in milliseconds since 1970.
    pub issued_at_ms: u64,
    /// When it was last used, as far as was written down.
    pub last_use_ms: u64,
    /// Whether it was taken back.
    pub revoked: bool,
    /// Its login as it is now.
    pub login: Login,
    /// Whether the login and its member are switched on.
    pub active: bool,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was never issued, or was taken back, or is forgotten.
    #[error("the token is unknown")]
    Unknown,
    /// Not used for 2 hours, or issued 24 hours ago.
    #[error("the token has expired")]
    Expired,
    /// The login or its member is switched off.
    #[error("the login is switched off")]
    Disabled,
}

/// Keeps tokens across restarts. What a token means is decided in [`Tokens`].
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Keeps a token, durable on return, and gives the login as it is now. Fails with `Overtaken`, keeping
    /// nothing, unless the login is active and still has the password that it was checked against.
    async fn insert_token(&self, token: &NewToken) -> Result<Login, CatalogError>;

    /// All tokens, each with its login as it is now.
    async fn load_tokens(&self) -> Result<Vec<StoredToken>, CatalogError>;

    /// Notes when tokens were last used, in milliseconds since 1970. Never moves one back; skips those
    /// that are gone.
    async fn write_last_use(&self, uses: &[(TokenHash, u64)]) -> Result<(), CatalogError>;

    /// Forgets tokens; those that are gone already are no error.
    async fn delete_tokens(&self, tokens: &[TokenHash]) -> Result<(), CatalogError>;
}

/// The result of [`Tokens::flush_last_use`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenSweep {
    /// Tokens whose last use was written down.
    pub written: usize,
    /// Expired tokens that were forgotten.
    pub purged: usize,
}

/// All tokens, in memory. Checking one takes no SQL and no lock that another check holds.
///
/// When a token was last used is written down only by [`Tokens::flush_last_use`]. A crash loses what came
/// after the last call, so a token may then expire that much earlier; never later.
pub struct Tokens {
    store: Arc<dyn TokenStore>,
    instance: Box<str>,
    shards: [RwLock<HashMap<TokenHash, Entry>>; SHARDS],
    /// Held from writing a token to the store until it is in the table, and for a reload: else a reload
    /// could drop a token that was issued after it read the store.
    in_line: tokio::sync::Mutex<()>,
}

struct Entry {
    login: Login,
    active: bool,
    revoked: bool,
    issued_at_ms: u64,
    last_use_ms: AtomicU64,
    /// The last use that the store knows.
    written_ms: AtomicU64,
}

impl Entry {
    fn from_stored(token: StoredToken) -> Entry {
        Entry {
            login: token.login,
            active: token.active,
            revoked: token.revoked,
            issued_at_ms: token.issued_at_ms,
            last_use_ms: AtomicU64::new(token.last_use_ms),
            written_ms: AtomicU64::new(token.last_use_ms),
        }
    }

    fn is_expired(&self, now_ms: u64) -> bool {
        let idle_ms = now_ms.saturating_sub(self.last_use_ms.load(Ordering::Relaxed));
        idle_ms >= IDLE_MS || now_ms.saturating_sub(self.issued_at_ms) >= LIFETIME_MS
    }
}

impl Tokens {
    /// Reads all tokens of `store`. `instance` is the last part of the tokens that are issued here: it
    /// tells an operator which server gave one.
    pub async fn load(store: Arc<dyn TokenStore>, instance: &str) -> Result<Tokens, CatalogError> {
        let tokens = Tokens {
            store,
            instance: instance.into(),
            shards: std::array::from_fn(|_| RwLock::default()),
            in_line: tokio::sync::Mutex::new(()),
        };
        tokens.reload().await?;
        Ok(tokens)
    }

    /// Gives a token to a login whose password was just checked. It is durable on return.
    ///
    /// Fails with `Overtaken` when the login was switched off or got another password since it was read.
    pub async fn issue(&self, user: &StoredLogin, now_ms: u64) -> Result<String, CatalogError> {
        self.issue_for(user, None, now_ms).await
    }

    /// Gives a token to a login that signed with the key of that id, and takes it back when the key goes.
    ///
    /// Fails with `Overtaken` also when the key was deleted or switched off since it was read.
    pub async fn issue_by_key(
        &self,
        user: &StoredLogin,
        public_key: u32,
        now_ms: u64,
    ) -> Result<String, CatalogError> {
        self.issue_for(user, Some(public_key), now_ms).await
    }

    async fn issue_for(
        &self,
        user: &StoredLogin,
        public_key: Option<u32>,
        now_ms: u64,
    ) -> Result<String, CatalogError> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(CatalogError::secret)?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let token = format!("{TOKEN_PREFIX}{}:{secret}:{}", user.login.user_id, self.instance);
        let new = NewToken {
            hash: TokenHash::of(&token),
            user_id: user.login.user_id,
            password_hash: user.password_hash.clone(),
            public_key,
            issued_at_ms: now_ms,
        };

        let _in_line = self.in_line.lock().await;
        // The login may have changed since it was read; what counts is how it was when the token was kept.
        let login = self.store.insert_token(&new).await?;
        let entry = Entry {
            login,
            active: true,
            revoked: false,
            issued_at_ms: now_ms,
            last_use_ms: AtomicU64::new(now_ms),
            written_ms: AtomicU64::new(now_ms),
        };
        self.write_shard(shard_of(&new.hash)).insert(new.hash, entry);
        Ok(token)
    }

    /// The login of a token; counts as a use of the token.
    pub fn check(&self, token: &str, now_ms: u64) -> Result<Login, TokenError> {
        let hash = TokenHash::of(token);
        let shard = self.read_shard(shard_of(&hash));
        let entry = shard.get(&hash).ok_or(TokenError::Unknown)?;
        if entry.is_expired(now_ms) {
            return Err(TokenError::Expired);
        }
        if !entry.active {
            return Err(TokenError::Disabled);
        }
        if entry.revoked {
            return Err(TokenError::Unknown);
        }
        entry.last_use_ms.fetch_max(now_ms, Ordering::Relaxed);
        Ok(entry.login.clone())
    }

    /// Reads the store again: tokens that are gone or taken back, logins that changed. Uses
    /// that are not written down yet are kept. To be called when the catalog's generation moved.
    pub async fn reload(&self) -> Result<(), CatalogError> {
        let _in_line = self.in_line.lock().await;
        let mut fresh: [HashMap<TokenHash, Entry>; SHARDS] = std::array::from_fn(|_| HashMap::new());
        for token in self.store.load_tokens().await? {
            fresh[shard_of(&token.hash)].insert(token.hash, Entry::from_stored(token));
        }
        for (index, fresh) in fresh.into_iter().enumerate() {
            let mut shard = self.write_shard(index);
            for (hash, entry) in &fresh {
                if let Some(old) = shard.get(hash) {
                    entry.last_use_ms.fetch_max(old.last_use_ms.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
            *shard = fresh;
        }
        Ok(())
    }

    /// Writes down when tokens were last used, and forgets the expired ones. To be called every some
    /// seconds and when the server stops. On an error nothing is lost: the next call tries again.
    pub async fn flush_last_use(&self, now_ms: u64) -> Result<TokenSweep, CatalogError> {
        // A reload may come between any two steps: it brings back, at worst, what the next call writes or
        // forgets again. So logins need not wait for this.
        let mut uses = Vec::new();
        let mut expired = Vec::new();
        for index in 0..SHARDS {
            let shard = self.read_shard(index);
            for (hash, entry) in shard.iter() {
                let last_use_ms = entry.last_use_ms.load(Ordering::Relaxed);
                if entry.is_expired(now_ms) {
                    expired.push(*hash);
                } else if last_use_ms > entry.written_ms.load(Ordering::Relaxed) {
                    uses.push((*hash, last_use_ms));
                }
            }
        }
        if !uses.is_empty() {
            self.store.write_last_use(&uses).await?;
        }
        for (hash, last_use_ms) in &uses {
            if let Some(entry) = self.read_shard(shard_of(hash)).get(hash) {
                entry.written_ms.fetch_max(*last_use_ms, Ordering::Relaxed);
            }
        }
        // An expired token cannot be used again, so nothing can come between.
        if !expired.is_empty() {
            self.store.delete_tokens(&expired).await?;
        }
        for hash in &expired {
            self.write_shard(shard_of(hash)).remove(hash);
        }
        Ok(TokenSweep { written: uses.len(), purged: expired.len() })
    }

    /// How many tokens are known, expired and revoked ones that were not swept yet included.
    pub fn known(&self) -> usize {
        (0..SHARDS).map(|index| self.read_shard(index).len()).sum()
    }

    // A panic while a shard is locked cannot leave it half changed: each change is one map operation.
    fn read_shard(&self, index: usize) -> RwLockReadGuard<'_, HashMap<TokenHash, Entry>> {
        self.shards[index].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_shard(&self, index: usize) -> RwLockWriteGuard<'_, HashMap<TokenHash, Entry>> {
        self.shards[index].write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shard_of(hash: &TokenHash) -> usize {
    usize::from(hash.0[0]) % SHARDS
}

/// Shows neither tokens nor their hashes.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("instance", &self.instance).finish_non_exhaustive()
    }
}
