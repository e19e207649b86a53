//! The rules for single values, with the path of the value in the error.

use crate::rules::{MAX_INT, check_at_most, check_name};
use crate::{CatalogError, Change};

pub(super) fn name(path: &str, text: &str) -> Result<(), CatalogError> {
    check_name(text).map_err(|reason| CatalogError::invalid(path, reason))
}

/// An email address has a part on either side of one `@`, and no spaces.
pub(super) fn email(path: &str, text: &str) -> Result<(), CatalogError> {
    name(path, text)?;
    let is_address = text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace)
    });
    if is_address { Ok(()) } else { Err(CatalogError::invalid(path, "this is no email address")) }
}

/// An id is 1 to 2147483647.
pub(super) fn id(path: &str, value: u32) -> Result<(), CatalogError> {
    match value {
        1..=MAX_INT => Ok(()),
        _ => Err(CatalogError::invalid(path, format!("an id is 1 to {MAX_INT}"))),
    }
}

/// A number that may not be over 2147483647.
pub(super) fn at_most_max(path: &str, value: &Change<u32>) -> Result<(), CatalogError> {
    check_at_most(value.value(), MAX_INT).map_err(|reason| CatalogError::invalid(path, reason))
}

pub(super) fn required<T>(path: &str, value: Option<T>) -> Result<T, CatalogError> {
    value.ok_or_else(|| CatalogError::invalid(path, "it is required"))
}
