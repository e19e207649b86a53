//! The seams: what the rest of the product asks of a store, by role.

use crate::change::Changed;
use crate::listing::{ListQuery, Page};
use crate::{
    ApplyReport, CatalogError, CatalogFile, Login, NewPublicKey, NewToken, PublicKey, Snapshot, StoredLogin,
    StoredToken, TokenHash,
};
use async_trait::async_trait;
use ia_model::SegmentId;

/// Members, logins, segments and who may do what with them.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// The catalog as it is now, read at one point in time.
    async fn snapshot(&self) -> Result<Snapshot, CatalogError>;

    /// A number that has risen when a snapshot, a login or the tokens may differ from before, also by
    /// another process. Cheap enough to ask a few times a second.
    async fn generation(&self) -> Result<u64, CatalogError>;

    /// Makes the catalog say what the file says: all of it or, on any error, nothing. What the file does
    /// not name stays as it is, optional fields of named objects included; null empties such a field.
    ///
    /// The tokens of a login die when its password or its member changes or when it is switched off.
    /// Fails with `Conflict` or `Invalid`, which name the place in the file, when the file does not go
    /// with what is stored.
    async fn apply(&self, file: &CatalogFile) -> Result<ApplyReport, CatalogError>;

    /// Deletes a segment: it is gone from the next snapshot, its code is free, its id is not.
    /// Fails with `NotFound` when there is none.
    async fn delete_segment(&self, id: SegmentId) -> Result<(), CatalogError>;

    /// The login of that name, without regard to case.
    async fn login_by_name(&self, username: &str) -> Result<Option<StoredLogin>, CatalogError>;
}

/// Where tokens outlive a restart. What a token means is decided in [`Tokens`](crate::Tokens).
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

/// Where the ids that strict mode knows outlive a restart: a list of their hashes that only grows.
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

/// Where the public keys of logins are. A change is all or nothing: with `NotFound` for one id, nothing is changed.
#[async_trait]
pub trait PublicKeyStore: Send + Sync {
    /// The keys of a login, or of all.
    async fn public_keys(
        &self,
        user_id: Option<u32>,
        query: &ListQuery,
    ) -> Result<Page<PublicKey>, CatalogError>;

    /// The active key of that name of the login of that name, which is found in any case, and the login.
    async fn public_key_of(
        &self,
        username: &str,
        name: &str,
    ) -> Result<Option<(StoredLogin, PublicKey)>, CatalogError>;

    /// Stores a key. Fails with `NotFound` without its login, with `Conflict` when another key of the login has its
    /// name, and with `Limit` when there are [`MAX_PUBLIC_KEYS`](crate::MAX_PUBLIC_KEYS).
    async fn create_public_key(&self, new: &NewPublicKey) -> Result<Changed<PublicKey>, CatalogError>;

    /// Switches keys on or off; off takes back the tokens that were issued through them. With an `owner`, keys of
    /// others count as absent.
    async fn switch_public_keys(
        &self,
        owner: Option<u32>,
        ids: &[u32],
        active: bool,
    ) -> Result<Changed<Vec<PublicKey>>, CatalogError>;

    /// Deletes keys, and takes back the tokens that were issued through them. With an `owner`, keys of others count
    /// as absent.
    async fn delete_public_keys(&self, owner: Option<u32>, ids: &[u32]) -> Result<Changed<()>, CatalogError>;
}
