use crate::error::CatalogError;
use crate::password::PasswordHash;
use ia_model::MemberId;
use serde::Deserialize;
use std::sync::Arc;

/// The rights of a login beyond its own member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserType {
    /// Sees and changes what belongs to its member alone.
    Member,
    /// Reads the memberships of all members.
    Bidder,
    /// Sees and changes everything.
    Admin,
}

impl UserType {
    /// Its name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            UserType::Member => "member",
            UserType::Bidder => "bidder",
            UserType::Admin => "admin",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<UserType, CatalogError> {
        [UserType::Member, UserType::Bidder, UserType::Admin]
            .into_iter()
            .find(|user_type| user_type.name() == name)
            .ok_or_else(|| CatalogError::invalid("users.user_type", format!("'{name}' is no user type")))
    }
}

/// The caller behind a valid token. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The login's id; never used again.
    pub user_id: u32,
    /// Its name as it was first written.
    pub username: Arc<str>,
    /// Its member.
    pub member: MemberId,
    /// Its rights.
    pub user_type: UserType,
    /// Whether it may change nothing.
    pub read_only: bool,
}

/// A login as it is stored, with what is needed to check a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLogin {
    /// The login itself.
    pub login: Login,
    /// Whether it may be used: the login and its member are both switched on.
    pub active: bool,
    /// The hash of its password.
    pub password_hash: PasswordHash,
}

/// The form of a login's name that makes it unique.
pub(crate) fn login_key(username: &str) -> String {
    username.to_lowercase()
}
