//! The rules for single values, in catalog files and in changes.

use std::fmt;

/// The largest number that a client with 32-bit signed integers reads.
pub(crate) const MAX_INT: u32 = i32::MAX as u32;

const MAX_NAME_CHARACTERS: usize = 255;

/// A name has 1 to 255 characters, none of them a control character, and no spaces around it. The error is the reason.
pub(crate) fn check_name(text: &str) -> Result<(), String> {
    if text.is_empty() || text.chars().count() > MAX_NAME_CHARACTERS {
        return Err(format!("1 to {MAX_NAME_CHARACTERS} characters are needed"));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err("no control characters and no spaces around it are allowed".to_owned());
    }
    Ok(())
}

/// A number may be at most `most`. The error is the reason.
pub(crate) fn check_at_most<T: PartialOrd + fmt::Display>(value: Option<&T>, most: T) -> Result<(), String> {
    match value {
        Some(value) if *value > most => Err(format!("{value} is over {most}")),
        _ => Ok(()),
    }
}
