//! Public keys of logins, with which signed tokens are checked.

mod rsa;

pub use rsa::{RsaKey, RsaKeyError};

use crate::listing::{Field, Kind, ListQuery, Page, Resource};
use crate::{CatalogError, Changed, StoredLogin};
use async_trait::async_trait;

/// How many keys a login may have.
pub const MAX_PUBLIC_KEYS: usize = 10;

/// The fields of a public key on the wire.
pub static PUBLIC_KEY: Resource = Resource {
    singular: "public-key",
    plural: "public-keys",
    other_keys: None,
    fields: &[
        Field::new("id", Kind::Integer).by("id").read_only(),
        Field::new("active", Kind::Flag).by("active"),
        Field::new("name", Kind::Word).by_lower("name").searched().on_create().required(),
        Field::new("user_id", Kind::Integer).by("user_id").on_create(),
        Field::new("encoded_value", Kind::Text).on_create().required(),
        Field::new("created_on", Kind::Time).by("created_at").read_only(),
    ],
};

/// A stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Its id; never used again.
    pub id: u32,
    /// The login of the key.
    pub user_id: u32,
    /// Its name in signed tokens.
    pub name: String,
    /// Whether tokens signed with it are accepted.
    pub active: bool,
    /// The key itself.
    pub key: RsaKey,
    /// When it was stored, in milliseconds since 1970.
    pub created_at_ms: u64,
}

/// A key to store.
#[derive(Debug, Clone)]
pub struct NewPublicKey {
    /// The login of the key.
    pub user_id: u32,
    /// Its name in signed tokens. No other key of the login may have it.
    pub name: String,
    /// Whether tokens signed with it are accepted.
    pub active: bool,
    /// The key itself.
    pub key: RsaKey,
    /// When, in milliseconds since 1970.
    pub now_ms: u64,
}

impl NewPublicKey {
    pub(crate) fn stored(&self, id: u32) -> PublicKey {
        PublicKey {
            id,
            user_id: self.user_id,
            name: self.name.clone(),
            active: self.active,
            key: self.key.clone(),
            created_at_ms: self.now_ms,
        }
    }
}

/// Keeps the public keys of logins. A change is all or nothing: with `NotFound` for one id, nothing is changed.
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
    /// name, and with `Limit` when there are [`MAX_PUBLIC_KEYS`].
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

/// Whether a login whose keys have these names may have the new one.
pub(crate) fn check_new(new: &NewPublicKey, names: &[String]) -> Result<(), CatalogError> {
    if names.contains(&new.name) {
        return Err(CatalogError::conflict("name", "another key of this login has this name"));
    }
    if names.len() >= MAX_PUBLIC_KEYS {
        return Err(CatalogError::Limit(format!("A login may have {MAX_PUBLIC_KEYS} public keys")));
    }
    Ok(())
}
