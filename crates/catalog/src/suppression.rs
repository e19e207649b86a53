//! Opt-outs in their store: hashes of ids, never the ids.

use crate::CatalogError;
use async_trait::async_trait;
use ia_model::MemberId;
use std::fmt;

/// The key that ids are hashed with. It never leaves the data directory: with the key and the hashes, anybody could
/// check whether the owner of a guessed id has opted out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SuppressionKey(pub [u8; 16]);

/// A secret.
impl fmt::Debug for SuppressionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SuppressionKey(…)")
    }
}

/// An opt-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SuppressedUser {
    /// The hash of the user's key.
    pub hash: [u8; 16],
    /// The member that may not add the user; `None` for all members.
    pub member: Option<MemberId>,
}

/// An id that was linked to a user who has opted out. It is kept out for as long as the opt-out holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SuppressedLink {
    /// The opt-out.
    pub of: SuppressedUser,
    /// The hash of the id's key.
    pub hash: [u8; 16],
}

/// Keeps opt-outs.
#[async_trait]
pub trait SuppressionStore: Send + Sync {
    /// The key of this data directory, which the first call makes.
    async fn suppression_key(&self) -> Result<SuppressionKey, CatalogError>;

    /// All opt-outs, in order.
    async fn suppressed_users(&self) -> Result<Vec<SuppressedUser>, CatalogError>;

    /// All ids that are kept out with an opt-out, in order.
    async fn suppressed_links(&self) -> Result<Vec<SuppressedLink>, CatalogError>;

    /// Adds opt-outs, and ids to opt-outs that are there then: all or none, durable on return. Those that are there
    /// already are no error.
    async fn suppress(&self, users: &[SuppressedUser], links: &[SuppressedLink]) -> Result<(), CatalogError>;

    /// Takes opt-outs back with their ids, all or none, durable on return. Those that are not there are no error.
    async fn lift_suppression(&self, users: &[SuppressedUser]) -> Result<(), CatalogError>;
}

/// A new key. [`CatalogError::Secret`] when the system gives no random bytes.
pub(crate) fn new_key() -> Result<SuppressionKey, CatalogError> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(CatalogError::secret)?;
    Ok(SuppressionKey(key))
}
