//! Rules for single values.

use crate::{CatalogError, Change};

/// The largest number that a client with 32-bit signed integers reads.
pub(super) const MAX_INT: u32 = i32::MAX as u32;

const MAX_NAME_CHARACTERS: usize = 255;

/// A name has 1 to 255 characters, none of them a control character, and no spaces around it.
pub(super) fn name(path: &str, text: &str) -> Result<(), CatalogError> {
    if text.is_empty() || text.chars().count() > MAX_NAME_CHARACTERS {
        return Err(CatalogError::invalid(path, format!("1 to {MAX_NAME_CHARACTERS} characters are needed")));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(CatalogError::invalid(path, "no control characters and no spaces around it are allowed"));
    }
    Ok(())
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
    match value.value() {
        Some(&value) if value > MAX_INT => {
            Err(CatalogError::invalid(path, format!("{value} is over {MAX_INT}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn required<T>(path: &str, value: Option<T>) -> Result<T, CatalogError> {
    value.ok_or_else(|| CatalogError::invalid(path, "it is required"))
}
