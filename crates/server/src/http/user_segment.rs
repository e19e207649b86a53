//! `GET` and `POST /user-segment`: what segments a user is in.

use super::body::{self, BodyLimits};
use super::caller::Caller;
use super::envelope::{DbgInfo, RequestInfo, json};
use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::limits::ReadRoute;
use crate::reading::{self, Asked, UserSegments};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ia_catalog::UserType;
use ia_model::{Domain, UserKey};
use serde::{Deserialize, Serialize};
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
    fn of(query: &Query) -> Result<Format, ApiError> {
        match query.get("format") {
            None => Ok(Format::Plain),
            Some("openrtb") => Ok(Format::OpenRtb),
            Some("codes") => Ok(Format::Codes),
            Some(_) => Err(ApiError::syntax("'format' must be openrtb or codes, or be left out")),
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    response: Answer<'a, T>,
}

#[derive(Serialize)]
struct Answer<'a, T> {
    status: &'static str,
    #[serde(flatten)]
    payload: T,
    dbg_info: DbgInfo<'a>,
}

#[derive(Serialize)]
struct One {
    user_segment: UserSegments,
}

#[derive(Serialize)]
struct Many {
    user_segments: Vec<UserSegments>,
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(info): Extension<RequestInfo>,
    caller: Caller,
    query: Query,
) -> Result<Response, ApiError> {
    take_read(&app, &caller)?;
    let format = Format::of(&query)?;
    let id = query.get("user_id").ok_or_else(|| ApiError::syntax("'user_id' is required"))?;
    let user = user_key(query.get("domain"), id)?;
    let found = reading::read(&app, asked(&caller, &query)?, vec![user]).await?;
    let found = found.into_iter().next().expect("one user was asked for");
    Ok(match format {
        Format::Plain => answer(&app, &info, "user_segment", One { user_segment: found }),
        Format::OpenRtb => json(&found.to_openrtb(&app.snapshot.load())),
        Format::Codes => codes(&found),
    })
}

#[derive(Deserialize)]
struct Users {
    users: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    user_id: UserId,
    #[serde(default)]
    domain: Option<String>,
}

/// A JSON integer is taken as its digits.
#[derive(Deserialize)]
#[serde(untagged)]
enum UserId {
    Number(u64),
    Text(String),
}

pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(info): Extension<RequestInfo>,
    caller: Result<Caller, ApiError>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (asked, format, payload_bytes) = match admit_post(&app, caller, &query) {
        Ok(admitted) => admitted,
        Err(error) => return Err(body::refuse(body, app.body_timeout, error).await),
    };
    let body = body::read(&headers, body, BodyLimits::new(payload_bytes, &app)).await?.decode()?;
    // What serde says is not repeated: it can quote a user id, and this goes into the server's log.
    let Users { users } = serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let form = "{\"users\": [{\"user_id\": \"...\", \"domain\": null}, ...]}";
        ApiError::syntax(format!("The request body must be {form}; it is not at line {line} column {column}"))
    })?;
    if users.len() > MAX_USERS {
        return Err(ApiError::syntax(format!("At most {MAX_USERS} users can be asked for at once")));
    }
    let keys = users.iter().enumerate().map(|(index, user)| {
        let id = match &user.user_id {
            UserId::Number(id) => &id.to_string(),
            UserId::Text(id) => id,
        };
        user_key(user.domain.as_deref(), id).map_err(|mut error| {
            error.message = format!("users[{index}]: {}", error.message).into();
            error
        })
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let found = reading::read(&app, asked, keys).await?;
    Ok(match format {
        Format::OpenRtb => {
            let snapshot = app.snapshot.load();
            json(&found.iter().map(|user| user.to_openrtb(&snapshot)).collect::<Vec<_>>())
        }
        _ => answer(&app, &info, "user_segments", Many { user_segments: found }),
    })
}

/// All that is decided before the body of a POST is read, and its bound.
fn admit_post(
    app: &App,
    caller: Result<Caller, ApiError>,
    query: &Query,
) -> Result<(Asked, Format, u32), ApiError> {
    let caller = caller?;
    take_read(app, &caller)?;
    let format = Format::of(query)?;
    if format == Format::Codes {
        return Err(ApiError::syntax("'format=codes' is for one user; use GET"));
    }
    let payload_bytes = app.limits.of(&app.snapshot.load(), caller.0.member).payload_bytes;
    Ok((asked(&caller, query)?, format, payload_bytes))
}

/// Bidders ask for every bid, and admins are the operator: only members are counted.
fn take_read(app: &App, caller: &Caller) -> Result<(), ApiError> {
    if caller.0.user_type == UserType::Member {
        let now_ms = app.clock.now_ms();
        app.limits.take_read(ReadRoute::UserSegment, caller.0.member, &app.snapshot.load(), now_ms)?;
    }
    Ok(())
}

fn asked(caller: &Caller, query: &Query) -> Result<Asked, ApiError> {
    let viewer = (!caller.sees_all()).then_some(caller.0.member);
    Ok(Asked { viewer, owner: query.member_id()? })
}

fn user_key(domain: Option<&str>, id: &str) -> Result<UserKey, ApiError> {
    let domain = match domain {
        None => Domain::Platform,
        Some(name) => {
            Domain::from_name(name).ok_or_else(|| ApiError::syntax("'domain' is not a known one"))?
        }
    };
    UserKey::parse(domain, id).map_err(|_| ApiError::syntax("'user_id' is not well formed for its domain"))
}

fn answer(app: &App, info: &RequestInfo, output_term: &'static str, payload: impl Serialize) -> Response {
    json(&Envelope { response: Answer { status: "OK", payload, dbg_info: info.dbg_info(app, output_term) } })
}

/// A code a line; one empty line where there is none.
fn codes(found: &UserSegments) -> Response {
    let mut text: String = found.codes().flat_map(|code| [code, "\n"]).collect();
    if text.is_empty() {
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text).into_response()
}
