//! The users in a request to read memberships.

use super::body;
use super::error::ApiError;
use ia_engine::json::Object;
use ia_engine::reading::{AskedUser, ReadScope};
use ia_engine::user_ids;
use ia_model::UserKey;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// The most ids of one POST.
const MAX_IDS: usize = 1000;

const FORM: &str = "{\"users\": [{\"user_id\": \"...\", \"domain\": null}, ...]}";

const FORM_OF_USER: &str = "an object with 'user_id' and 'domain', or with 'eids' as OpenRTB has them: \
    {\"eids\": [{\"source\": \"liveramp.com\", \"uids\": [{\"id\": \"...\"}]}]}, here or in 'ext'";

#[derive(serde::Deserialize)]
struct Users<'b> {
    #[serde(borrow)]
    users: Vec<Object<User<'b>>>,
}

/// A user by an id, or the `user` object of OpenRTB, whose extended ids are in `eids` since 2.6 and in `ext.eids`
/// before.
#[derive(serde::Deserialize)]
struct User<'b> {
    #[serde(borrow, default)]
    user_id: Option<UserId<'b>>,
    #[serde(borrow, default)]
    domain: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    eids: Option<Vec<Object<Eid<'b>>>>,
    #[serde(borrow, default)]
    ext: Option<Object<Ext<'b>>>,
}

#[derive(serde::Deserialize)]
struct Ext<'b> {
    #[serde(borrow, default)]
    eids: Option<Vec<Object<Eid<'b>>>>,
}

#[derive(serde::Deserialize)]
struct Eid<'b> {
    #[serde(borrow)]
    source: Cow<'b, str>,
    #[serde(borrow, default)]
    uids: Option<Vec<Object<Uid<'b>>>>,
}

#[derive(serde::Deserialize)]
struct Uid<'b> {
    #[serde(borrow)]
    id: UserId<'b>,
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
pub(super) fn asked_users(scope: ReadScope, body: &[u8]) -> Result<Vec<AskedUser>, ApiError> {
    let owned;
    let direct = std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str(text).ok());
    let users = match direct {
        Some(Object(Users { users })) => users,
        // The slow way, which takes more forms and gives a reason for a refusal.
        None => {
            owned = body::parse::<Value>(body, FORM)?;
            let users = owned.get("users").and_then(Value::as_array);
            let users = users.ok_or_else(|| ApiError::syntax(format!("The request body must be {FORM}")))?;
            let users = users.iter().enumerate().map(|(index, user)| {
                Object::<User<'_>>::deserialize(user)
                    .map_err(|_| ApiError::syntax(format!("users[{index}] must be {FORM_OF_USER}")))
            });
            users.collect::<Result<_, _>>()?
        }
    };
    let mut ids = 0;
    let users = users.iter().enumerate().map(|(index, Object(user))| {
        user.read(scope, &mut ids).map_err(|error| within(&format!("users[{index}]"), error))
    });
    users.collect()
}

/// Counts an id that is asked for, before it is read: a body has room for many more than are answered.
fn count(ids: &mut usize) -> Result<(), ApiError> {
    *ids += 1;
    if *ids <= MAX_IDS {
        return Ok(());
    }
    let message = format!("at most {MAX_IDS} users can be asked for at once; each id in 'eids' counts");
    Err(ApiError::syntax(message))
}

fn within(part: &str, mut error: ApiError) -> ApiError {
    error.message = format!("{part}: {}", error.message).into();
    error
}

impl User<'_> {
    fn read(&self, scope: ReadScope, ids: &mut usize) -> Result<AskedUser, ApiError> {
        let (domain, user_id) = (self.domain.as_deref(), self.user_id.as_ref());
        let user = user_id.map(|id| {
            count(ids)?;
            user_key(scope, domain, id.text("user_id")?)
        });
        let user = user.transpose()?;
        let in_ext = self.ext.as_ref().and_then(|Object(ext)| ext.eids.as_ref());
        let mut eids = Vec::new();
        for (path, list) in [("eids", self.eids.as_ref()), ("ext.eids", in_ext)] {
            for (index, Object(eid)) in list.into_iter().flatten().enumerate() {
                for Object(uid) in eid.uids.iter().flatten() {
                    count(ids)?;
                    let key = uid
                        .id
                        .text("id")
                        .and_then(|id| user_ids::extended(&eid.source, id).map_err(ApiError::syntax));
                    eids.push(key.map_err(|error| within(&format!("{path}[{index}]"), error))?);
                }
            }
        }
        let is_without = user.is_none() && domain.is_some_and(|domain| !domain.trim().is_empty());
        let asked = AskedUser::new(user, eids).filter(|_| !is_without);
        asked.ok_or_else(|| ApiError::syntax("'user_id' is required, or an id in 'eids' and no 'domain'"))
    }
}

impl UserId<'_> {
    fn text(&self, name: &str) -> Result<&str, ApiError> {
        let rule = || format!("'{name}' must be a string, or an integer without point and exponent");
        self.0.as_deref().ok_or_else(|| ApiError::syntax(rule()))
    }
}

/// The key of one user.
pub(super) fn user_key(scope: ReadScope, domain: Option<&str>, id: &str) -> Result<UserKey, ApiError> {
    user_ids::key(scope.namespace, domain, id).map_err(ApiError::syntax)
}
