//! `GET` and `POST /user-segment`: what segments a user is in.

use super::body;
use super::caller::Caller;
use super::envelope::{DbgInfo, RequestInfo, json, json_bytes};
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

impl<'a, T> Answer<'a, T> {
    fn new(payload: T, dbg_info: DbgInfo<'a>) -> Answer<'a, T> {
        Answer { status: "OK", payload, dbg_info }
    }
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
    let asked = asked(&app, &caller, &query)?;
    let id = query.get("user_id").ok_or_else(|| ApiError::syntax("'user_id' is required"))?;
    let user = user_key(asked, query.get("domain"), id)?;
    let found = reading::read(&app, asked, user).await?;
    Ok(match format {
        Format::Plain => {
            let payload = One { user_segment: found };
            json(&Envelope { response: Answer::new(payload, info.dbg_info(&app, "user_segment")) })
        }
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
    caller: Caller,
    query: Query,
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
    let answer = body::work_on(&app, true, move || {
        let (bytes, share) = body.decode()?;
        let found = reading::read_many(&worker, asked, &user_keys(asked, &bytes)?)?;
        let answer = if format == Format::OpenRtb {
            let snapshot = worker.snapshot.load();
            serde_json::to_vec(&found.iter().map(|user| user.to_openrtb(&snapshot)).collect::<Vec<_>>())
        } else {
            let payload = Many { user_segments: found };
            let answer = Answer::new(payload, info.dbg_info(&worker, "user_segments"));
            serde_json::to_vec(&Envelope { response: answer })
        };
        body::answer(answer.expect("answers hold nothing that JSON cannot say"), share)
    })
    .await?;
    Ok(json_bytes(answer))
}

/// The users of a POST, in their order.
fn user_keys(asked: Asked, body: &[u8]) -> Result<Vec<UserKey>, ApiError> {
    let form = "{\"users\": [{\"user_id\": \"...\", \"domain\": null}, ...]}";
    let Users { users } = body::parse(body, form)?;
    if users.len() > MAX_USERS {
        return Err(ApiError::syntax(format!("At most {MAX_USERS} users can be asked for at once")));
    }
    let keys = users.iter().enumerate().map(|(index, user)| {
        let id = match &user.user_id {
            UserId::Number(id) => &id.to_string(),
            UserId::Text(id) => id,
        };
        let domain = user.domain.as_deref().filter(|domain| !domain.is_empty());
        user_key(asked, domain, id).map_err(|mut error| {
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

fn asked(app: &App, caller: &Caller, query: &Query) -> Result<Asked, ApiError> {
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

/// A code a line; one empty line where there is none.
fn codes(found: &UserSegments) -> Response {
    let mut text: String = found.codes().flat_map(|code| [code, "\n"]).collect();
    if text.is_empty() {
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text).into_response()
}
