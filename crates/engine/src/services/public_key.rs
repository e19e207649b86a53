//! The rules of the public-key service's fields, and what it shows.

use super::sent::Sent;
use super::{Given, Object, ServiceError};
use ia_catalog::{NewPublicKey, PublicKey, RsaKey};
use ia_model::time;

const MAX_NAME_CHARACTERS: usize = 64;
/// Of 8192 bits, in PEM and with a comment.
const MAX_PEM_CHARACTERS: usize = 8192;

/// The one object of a body.
pub fn only(sent: &Sent) -> Result<&Given, ServiceError> {
    match sent.objects.as_slice() {
        [given] => Ok(given),
        _ => Err(ServiceError::bad("public-key", "must be one object")),
    }
}

/// The login that a body names.
pub fn user_id(given: &Given) -> Result<Option<u32>, ServiceError> {
    Ok(given.integer("user_id", 1, u32::MAX)?.flatten())
}

/// Whether a body switches the key on or off.
pub fn active(given: &Given) -> Result<Option<bool>, ServiceError> {
    Ok(given.flag("active")?.flatten())
}

/// The key that a body describes.
pub fn new(given: &Given, user_id: u32, now_ms: u64) -> Result<NewPublicKey, ServiceError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let name = given.line("name", MAX_NAME_CHARACTERS)?.flatten().unwrap_or_default();
    if name.is_empty() || !name.bytes().all(is_plain) {
        let expected = format!("must be 1 to {MAX_NAME_CHARACTERS} letters, digits, '_', '-' or '.'");
        return Err(given.bad("name", expected));
    }
    let pem = given.text("encoded_value", MAX_PEM_CHARACTERS, &[])?.flatten();
    let pem = pem.ok_or_else(|| given.bad("encoded_value", "is required"))?;
    let key = RsaKey::from_pem(&pem).map_err(|error| given.bad("encoded_value", error))?;
    Ok(NewPublicKey { user_id, name, active: active(given)?.unwrap_or(true), key, now_ms })
}

/// A key as answers show it.
pub fn show(key: PublicKey) -> Object {
    Object(vec![
        ("id", key.id.into()),
        ("active", key.active.into()),
        ("name", key.name.into()),
        ("user_id", key.user_id.into()),
        ("encoded_value", key.key.to_pem().into()),
        ("created_on", time::format_utc(key.created_at_ms).into()),
    ])
}
