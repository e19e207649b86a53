//! The catalog services: what they take, the rules of their fields, and what they answer.
//!
//! A kind of object has a [`ResourceKind`]: a static table for lists
//! ([`Resource`](ia_catalog::listing::Resource), which belongs to the catalog), and what requests and answers hold,
//! each defined once by `request_fields!` and `answer_fields!`: the reader, the writer and the OpenAPI document
//! all follow from there. A service works so:
//!
//! 1. `http/service.rs` has `ServiceCall`, which a handler extracts: it checks the token and the rate, refuses a change
//!    by a read-only login, and writes all answers.
//! 2. [`list_request::parse`] reads the query of a list into a [`ListQuery`](ia_catalog::listing::ListQuery) and the
//!    fields to show; [`list_request::ids`] reads `id=1,2,3`.
//! 3. [`change_body::read`] reads the wrapped body of a change: one object or many, and warns of unknown fields.
//! 4. [`RequestObject`] reads the fields by their rules, and names the field in every error.
//! 5. [`CatalogService`] asks the store, which makes the change in one transaction; [`CatalogView::change`] makes it
//!    visible before the answer.
//! 6. An [`AnswerObject`] is what is shown; [`FieldSelection`] leaves only the fields that were asked for.
//!
//! [`ALL`] has every resource: a filter by a field that another service has is a mistake, while a parameter that
//! no service knows is ignored.

pub mod accounts;
mod answer_object;
mod catalog_service;
pub mod change_body;
pub mod file_job;
pub mod list_request;
pub mod meta;
pub mod public_key;
mod request_object;
pub mod rules;
pub mod segment;
#[cfg(test)]
mod tests;

pub(crate) use answer_object::answer_fields;
pub use answer_object::{AnswerFields, AnswerObject, FieldSelection};
pub use catalog_service::{CatalogService, ResourceKind};
pub use change_body::ChangeBody;
pub(crate) use request_object::request_fields;
pub use request_object::{FieldChange, RequestFields, RequestObject};

use crate::auth::{Authenticator, LoginError};
use crate::catalog_view::CatalogView;
use crate::limits::Limits;
use crate::parameters::Repeated;
use ia_catalog::file_jobs::FILE_JOB;
use ia_catalog::listing::Resource;
use ia_catalog::segments::SEGMENT;
use ia_catalog::{BATCH_SEGMENT_CONFIG, CatalogError, MEMBER, MEMBER_DATA_SHARING, PUBLIC_KEY, USER};
use ia_model::Clock;
use std::sync::Arc;

/// What the catalog services are made of.
#[derive(Clone)]
pub struct Services {
    /// What is listed and changed.
    pub catalog: Arc<CatalogView>,
    /// Hashes passwords.
    pub authenticator: Arc<Authenticator>,
    /// Says how many segments a member may have.
    pub limits: Arc<Limits>,
    /// Dates changes.
    pub clock: Arc<dyn Clock>,
}

/// The resources of all services.
pub static ALL: &[&Resource] =
    &[&SEGMENT, &MEMBER, &USER, &MEMBER_DATA_SHARING, &BATCH_SEGMENT_CONFIG, &PUBLIC_KEY, &FILE_JOB];

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

impl From<Repeated> for ServiceError {
    fn from(error: Repeated) -> ServiceError {
        ServiceError::Syntax(error.to_string())
    }
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
