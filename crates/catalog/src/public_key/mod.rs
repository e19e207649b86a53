//! Public keys of logins, with which signed tokens are checked.

mod rsa;

pub use rsa::{RsaKey, RsaKeyError};

use crate::CatalogError;
use crate::listing::{Field, Kind, Resource, Value};

/// How many keys a login may have.
pub const MAX_PUBLIC_KEYS: usize = 10;

/// The fields of a public key on the wire.
pub static PUBLIC_KEY: Resource = Resource {
    singular: "public-key",
    plural: "public-keys",
    fields: &[
        Field::new("id", Kind::Integer).by("id").read_only(),
        Field::new("active", Kind::Flag).by("active"),
        Field::new("name", Kind::Word).by("name").searched().on_create().required(),
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
    /// Whose key it is.
    pub user_id: u32,
    /// What signed tokens call it.
    pub name: String,
    /// Whether it lets anybody in.
    pub active: bool,
    /// The key itself.
    pub key: RsaKey,
    /// When it was stored, in milliseconds since 1970.
    pub created_at_ms: u64,
}

impl PublicKey {
    /// A field to filter or sort by.
    pub(crate) fn value(&self, field: &'static Field) -> Value {
        match field.name {
            "id" => self.id.into(),
            "active" => self.active.into(),
            "name" => self.name.as_str().into(),
            "user_id" => self.user_id.into(),
            "created_on" => Value::Integer(i64::try_from(self.created_at_ms).unwrap_or(i64::MAX)),
            _ => Value::Null,
        }
    }
}

/// A key to store.
#[derive(Debug, Clone)]
pub struct NewPublicKey {
    /// Whose key it is.
    pub user_id: u32,
    /// What signed tokens call it. Another key of the login must not have this name.
    pub name: String,
    /// Whether it lets anybody in.
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
