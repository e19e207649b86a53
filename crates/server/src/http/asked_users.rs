//! The users in a request to read memberships.

use super::body;
use super::error::ApiError;
use ia_engine::json::Object;
use ia_engine::reading::ReadScope;
use ia_engine::user_ids;
use ia_model::UserKey;
use serde::de::{Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;

/// The most users of one POST.
const MAX_USERS: usize = 1000;

#[derive(serde::Deserialize)]
struct Users<'b> {
    #[serde(borrow)]
    users: Vec<Object<User<'b>>>,
}

#[derive(serde::Deserialize)]
struct User<'b> {
    #[serde(borrow)]
    user_id: UserId<'b>,
    #[serde(borrow, default)]
    domain: Option<Cow<'b, str>>,
}

/// An id: a JSON string, or an integer, which is read as its digits. `None` for another value, such as a number with a
/// point, whose last digits may be lost.
struct UserId<'b>(Option<Cow<'b, str>>);

impl<'de: 'b, 'b> Deserialize<'de> for UserId<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UserId<'b>, D::Error> {
        struct AnyId;
        impl<'b> Visitor<'b> for AnyId {
            type Value = UserId<'b>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user id")
            }

            fn visit_u64<E>(self, id: u64) -> Result<UserId<'b>, E> {
                Ok(UserId(Some(id.to_string().into())))
            }

            fn visit_i64<E>(self, id: i64) -> Result<UserId<'b>, E> {
                Ok(UserId(Some(id.to_string().into())))
            }

            fn visit_borrowed_str<E>(self, id: &'b str) -> Result<UserId<'b>, E> {
                Ok(UserId(Some(id.into())))
            }

            fn visit_str<E>(self, id: &str) -> Result<UserId<'b>, E> {
                Ok(UserId(Some(id.to_owned().into())))
            }

            fn visit_f64<E>(self, _: f64) -> Result<UserId<'b>, E> {
                Ok(UserId(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<UserId<'b>, E> {
                Ok(UserId(None))
            }

            fn visit_unit<E>(self) -> Result<UserId<'b>, E> {
                Ok(UserId(None))
            }
        }
        deserializer.deserialize_any(AnyId)
    }
}

/// The users of a POST, in the order of the request.
pub(super) fn user_keys(scope: ReadScope, body: &[u8]) -> Result<Vec<UserKey>, ApiError> {
    let form = "{\"users\": [{\"user_id\": \"...\", \"domain\": null}, ...]}";
    let owned;
    let direct = std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str(text).ok());
    let Object(Users { users }) = match direct {
        Some(users) => users,
        // The slow way, which takes more forms and gives a reason for a refusal.
        None => {
            owned = body::parse::<serde_json::Value>(body, form)?;
            Object::deserialize(&owned)
                .map_err(|_| ApiError::syntax(format!("The request body must be {form}")))?
        }
    };
    if users.len() > MAX_USERS {
        return Err(ApiError::syntax(format!("At most {MAX_USERS} users can be asked for at once")));
    }
    let keys = users.iter().enumerate().map(|(index, Object(user))| {
        let key = match &user.user_id.0 {
            Some(id) => user_key(scope, user.domain.as_deref(), id),
            None => {
                let rule = "'user_id' must be a string, or an integer without point and exponent";
                Err(ApiError::syntax(rule))
            }
        };
        key.map_err(|mut error| {
            error.message = format!("users[{index}]: {}", error.message).into();
            error
        })
    });
    keys.collect()
}

/// The key of one user.
pub(super) fn user_key(scope: ReadScope, domain: Option<&str>, id: &str) -> Result<UserKey, ApiError> {
    user_ids::key(scope.namespace, domain, id).map_err(ApiError::syntax)
}
