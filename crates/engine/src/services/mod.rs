//! The catalog services: what they take, the rules of their fields, and what they answer.
//!
//! A kind of object stands in a static table, its [`Resource`](ia_catalog::listing::Resource), which belongs to
//! the catalog. A service is then made of these parts, of which only the handler knows HTTP:
//!
//! 1. `http/service.rs` has `Call`, which a handler extracts: token, rate, and that a read-only login changes
//!    nothing; and the forms of all answers.
//! 2. [`asked::parse`] reads the query of a list into a [`ListQuery`](ia_catalog::listing::ListQuery) and the
//!    fields to show; [`asked::ids`] reads `id=1,2,3`.
//! 3. [`sent::read`] reads the wrapped body of a change: one object or many, and warns of unknown fields.
//! 4. [`Given`] reads one field of an object and names it in every error.
//! 5. The store does it, in one transaction, and [`CatalogView::change`] makes it visible before the answer.
//! 6. An [`Object`] is what is shown; [`Shown`] leaves only the fields that were asked for.
//!
//! [`ALL`] has every resource: a filter by a field that another service has is a mistake, while a parameter that
//! no service knows is ignored.

pub mod accounts;
pub mod asked;
mod given;
pub mod meta;
mod object;
pub mod public_key;
pub mod segment;
pub mod sent;

pub use given::{Given, integer};
pub use object::{Object, Shown};

use crate::auth::{Authenticator, LoginError};
use crate::catalog_view::CatalogView;
use ia_catalog::listing::Resource;
use ia_catalog::segments::SEGMENT;
use ia_catalog::{BATCH_SEGMENT_CONFIG, CatalogError, MEMBER, MEMBER_DATA_SHARING, PUBLIC_KEY, USER};
use std::sync::Arc;

/// What the catalog services are made of.
#[derive(Clone)]
pub struct Services {
    /// What is listed and changed.
    pub catalog: Arc<CatalogView>,
    /// Hashes passwords.
    pub authenticator: Arc<Authenticator>,
}

/// The resources of all services.
pub static ALL: &[&Resource] =
    &[&SEGMENT, &MEMBER, &USER, &MEMBER_DATA_SHARING, &BATCH_SEGMENT_CONFIG, &PUBLIC_KEY];

/// Why a service does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A parameter or a field makes no sense; the message names it.
    #[error("{0}")]
    Syntax(String),
    /// A password could not be hashed now.
    #[error(transparent)]
    Hashing(#[from] LoginError),
    /// The catalog failed, or the change does not go with what it holds.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl ServiceError {
    /// A value that makes no sense, in a parameter or field of that name.
    pub fn bad(name: impl std::fmt::Display, reason: impl std::fmt::Display) -> ServiceError {
        ServiceError::Syntax(format!("'{name}' {reason}"))
    }
}

/// A name that a caller sent, fit for a message: what is not a plain name may be a token in the wrong place.
fn plain_name(name: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(is_plain) { name } else { "(no name)" }
}
