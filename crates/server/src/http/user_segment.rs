//! `GET` and `POST /user-segment`: what segments a user is in.

use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json, json_bytes};
use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::json::Object;
use crate::limits::ReadRoute;
use crate::reading::{self, Asked, ReadError, View};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ia_catalog::UserType;
use ia_model::{Domain, UserKey};
use serde::de::{Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The most users of one POST.
const MAX_USERS: usize = 1000;

/// How the answer is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Plain,
    OpenRtb,
    Codes,
}

impl Format {
    fn of(query: &Query<'_>) -> Result<Format, ApiError> {
        match query.get("format") {
            None => Ok(Format::Plain),
            Some("openrtb") => Ok(Format::OpenRtb),
            Some("codes") => Ok(Format::Codes),
            Some(_) => Err(ApiError::syntax("'format' must be openrtb or codes, or be left out")),
        }
    }
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(info): Extension<RequestInfo>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = Caller::of(&app, request.headers(), request.uri())?;
    let query = Query::of(request.uri());
    take_read(&app, &caller)?;
    let format = Format::of(&query)?;
    let asked = asked(&app, &caller, &query)?;
    let id = query.get("user_id").ok_or_else(|| ApiError::syntax("'user_id' is required"))?;
    let user = user_key(asked, query.get("domain"), id)?;
    let now = reading::now(&app);
    let memberships = reading::memberships(&app, &user, now).await?;
    let view = View { asked, snapshot: &app.snapshot.load(), now };
    Ok(match format {
        Format::Plain => json_bytes(info.success(&app, "user_segment", |out| {
            view.write(out, &user, &memberships);
        })),
        Format::OpenRtb => json(&view.openrtb(&user, &memberships).0),
        Format::Codes => codes(view.codes(&memberships)),
    })
}

pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(info): Extension<RequestInfo>,
    caller: Caller,
    query: Query<'static>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take_read(&app, &caller)?;
    let format = Format::of(&query)?;
    if format == Format::Codes {
        return Err(ApiError::syntax("'format=codes' is for one user; use GET"));
    }
    let asked = asked(&app, &caller, &query)?;
    let payload_bytes = app.limits.of(&app.snapshot.load(), caller.0.member).payload_bytes;
    let body = body::read(&app, &headers, body, payload_bytes).await?;
    let worker = Arc::clone(&app);
    // A thousand profiles take milliseconds, and may have to come from disk.
    let place = body::place(&app, true).await;
    let answer = body::work_on(&app, place, move || {
        let (bytes, share) = body.decode()?;
        let users = user_keys(asked, &bytes)?;
        let view = View { asked, snapshot: &worker.snapshot.load(), now: reading::now(&worker) };
        let answer = match format {
            Format::OpenRtb => openrtb_of_many(&worker, view, &users)?,
            _ => many(&worker, &info, view, &users)?,
        };
        body::answer(answer, share)
    })
    .await?;
    Ok(json_bytes(answer))
}

fn many(app: &App, info: &RequestInfo, view: View<'_>, users: &[UserKey]) -> Result<Vec<u8>, ReadError> {
    let mut result = Ok(());
    let answer = info.success(app, "user_segments", |out| {
        out.push(b'[');
        result = reading::read_many(app, users, view.now, |user, memberships| {
            if out.last() != Some(&b'[') {
                out.push(b',');
            }
            view.write(out, user, memberships)
        });
        out.push(b']');
    });
    result.map(|()| answer)
}

fn openrtb_of_many(app: &App, view: View<'_>, users: &[UserKey]) -> Result<Vec<u8>, ReadError> {
    let mut found = Vec::with_capacity(users.len());
    reading::read_many(app, users, view.now, |user, memberships| {
        let (user, shown) = view.openrtb(user, memberships);
        found.push(user);
        shown
    })?;
    Ok(serde_json::to_vec(&found).expect("answers hold nothing that JSON cannot say"))
}

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

/// A JSON integer is taken as its digits.
struct UserId<'b>(Cow<'b, str>);

impl<'de: 'b, 'b> Deserialize<'de> for UserId<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UserId<'b>, D::Error> {
        struct AnyId;
        impl<'b> Visitor<'b> for AnyId {
            type Value = UserId<'b>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user id")
            }

            fn visit_u64<E>(self, id: u64) -> Result<UserId<'b>, E> {
                Ok(UserId(id.to_string().into()))
            }

            fn visit_borrowed_str<E>(self, id: &'b str) -> Result<UserId<'b>, E> {
                Ok(UserId(id.into()))
            }

            fn visit_str<E>(self, id: &str) -> Result<UserId<'b>, E> {
                Ok(UserId(id.to_owned().into()))
            }
        }
        deserializer.deserialize_any(AnyId)
    }
}

/// The users of a POST, in their order.
fn user_keys(asked: Asked, body: &[u8]) -> Result<Vec<UserKey>, ApiError> {
    let form = "{\"users\": [{\"user_id\": \"...\", \"domain\": null}, ...]}";
    let owned;
    let plain = std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str(text).ok());
    let Object(Users { users }) = match plain {
        Some(users) => users,
        // Not as plain as most are: read with more patience, or refused with a reason.
        None => {
            owned = body::parse::<serde_json::Value>(body, form)?;
            Object::<Users<'_>>::deserialize(&owned)
                .map_err(|_| ApiError::syntax(format!("The request body must be {form}")))?
        }
    };
    if users.len() > MAX_USERS {
        return Err(ApiError::syntax(format!("At most {MAX_USERS} users can be asked for at once")));
    }
    let keys = users.iter().enumerate().map(|(index, Object(user))| {
        let domain = user.domain.as_deref().filter(|domain| !domain.is_empty());
        user_key(asked, domain, &user.user_id.0).map_err(|mut error| {
            error.message = format!("users[{index}]: {}", error.message).into();
            error
        })
    });
    keys.collect()
}

/// Bidders ask for every bid, and admins are the operator: only members are counted.
fn take_read(app: &App, caller: &Caller) -> Result<(), ApiError> {
    if caller.0.user_type == UserType::Member {
        let now_ms = app.clock.now_ms();
        app.limits.take_read(ReadRoute::UserSegment, caller.0.member, &app.snapshot.load(), now_ms)?;
    }
    Ok(())
}

fn asked(app: &App, caller: &Caller, query: &Query<'_>) -> Result<Asked, ApiError> {
    let viewer = (!caller.sees_all()).then_some(caller.0.member);
    let snapshot = app.snapshot.load();
    let own_ids =
        viewer.and_then(|member| snapshot.member(member)).is_some_and(|member| member.use_external_uids);
    Ok(Asked { viewer, owner: query.member_id()?, own_ids })
}

fn user_key(asked: Asked, domain: Option<&str>, id: &str) -> Result<UserKey, ApiError> {
    let domain = match domain {
        None if asked.own_ids => return Err(ApiError::syntax("External user ids are not available")),
        None => Domain::Platform,
        Some(name) => {
            Domain::from_name(name).ok_or_else(|| ApiError::syntax("'domain' is not a known one"))?
        }
    };
    UserKey::parse(domain, id).map_err(|_| ApiError::syntax("'user_id' is not well formed for its domain"))
}

fn codes(text: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text).into_response()
}
