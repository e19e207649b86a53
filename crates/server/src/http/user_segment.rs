//! `GET` and `POST /user-segment`: the segments of users.

use super::asked_users::{asked_users, user_key};
use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json, json_bytes};
use super::error::ApiError;
use super::openapi::{
    KnownDomain, ManyFormat, ManyUsers, OneUser, PostFailures, ReadFailures, ReadFormat, SegmentOwner,
    UsersRequest,
};
use super::query::Query;
use crate::http::Http;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use ia_catalog::UserType;
use ia_engine::held::HeldAnswer;
use ia_engine::limits::ReadRoute;
use ia_engine::reading::{AskedUser, ReadError, ReadScope, Reader, View};
use ia_engine::user_ids;
use std::sync::Arc;

/// The format of the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Plain,
    OpenRtb,
    Codes,
}

impl Format {
    fn of(query: &Query<'_>) -> Result<Format, ApiError> {
        match query.get("format")? {
            None => Ok(Format::Plain),
            Some("openrtb") => Ok(Format::OpenRtb),
            Some("codes") => Ok(Format::Codes),
            Some(_) => Err(ApiError::syntax("'format' must be openrtb or codes, or be left out")),
        }
    }
}

/// The segments of a user
///
/// A member sees its own segments and those shared with it; logins of type `bidder` and `admin` see all.
#[utoipa::path(get, path = "/user-segment", operation_id = "read_user", tag = "memberships", params(
    ("user_id" = String, Query, min_length = 1, description = "Well formed for its domain"),
    ("domain" = inline(Option<KnownDomain>), Query, description = "Absent for the platform's own ids, or those of a member that sends its own"),
    SegmentOwner,
    ("format" = inline(Option<ReadFormat>), Query, description = "The `user` object of OpenRTB 2.6, or plain codes"),
), responses(
    (status = 200, description = "Its segments; none for a user that is not known", content(
        (OneUser = "application/json"),
        (String = "text/plain; charset=utf-8"),
    )),
    ReadFailures,
))]
pub(super) async fn get(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = Caller::of(&http, request.headers(), request.uri())?;
    let query = Query::of(request.uri());
    take_read(&http, &caller)?;
    let format = Format::of(&query)?;
    let scope = scope(&http, &caller, &query)?;
    let id = query.get("user_id")?.ok_or_else(|| ApiError::syntax("'user_id' is required"))?;
    let user = user_key(scope, query.get("domain")?, id)?;
    let reader = &http.engine.reader;
    let now = reader.now();
    let memberships = reader.memberships(&user, now).await?;
    let view = View { scope, snapshot: &http.engine.catalog.snapshot(), now };
    let user = AskedUser::from(user);
    Ok(match format {
        Format::Plain => json_bytes(info.success(&http, "user_segment", |out| {
            view.write(out, &user, &memberships);
        })),
        Format::OpenRtb => json(&view.openrtb(&user, &memberships).0),
        Format::Codes => view.codes(&memberships).into_response(),
    })
}

/// The segments of many users
///
/// Several ids of one person are asked for as `eids`, in the form of OpenRTB; what is stored under any of them is joined.
#[utoipa::path(post, path = "/user-segment", operation_id = "read_users", tag = "memberships", params(
    SegmentOwner,
    ("format" = inline(Option<ManyFormat>), Query, description = "The `user` objects of OpenRTB 2.6"),
), request_body = UsersRequest, responses(
    (status = 200, description = "Each user's segments, in the order of the request", body = ManyUsers),
    PostFailures,
))]
pub(super) async fn post(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    caller: Caller,
    query: Query<'static>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    take_read(&http, &caller)?;
    let format = Format::of(&query)?;
    if format == Format::Codes {
        return Err(ApiError::syntax("'format=codes' is for one user; use GET"));
    }
    let scope = scope(&http, &caller, &query)?;
    let engine = Arc::clone(&http.engine);
    let payload_bytes = engine.limits.of(&engine.catalog.snapshot(), caller.0.member).payload_bytes;
    let body = body::read(&http, &headers, body, payload_bytes).await?;
    let worker = Arc::clone(&http);
    // A thousand profiles take milliseconds, and may have to be read from disk.
    let permit = engine.large_work.permit(true).await;
    let work = move || {
        let (bytes, reservation) = body.decode()?;
        let users = asked_users(scope, &bytes)?;
        let reader = &worker.engine.reader;
        let view = View { scope, snapshot: &worker.engine.catalog.snapshot(), now: reader.now() };
        let answer = match format {
            Format::OpenRtb => write_openrtb_of_many(reader, view, &users)?,
            _ => write_many(&worker, &info, view, &users)?,
        };
        Ok::<_, ApiError>(HeldAnswer::new(answer, reservation)?)
    };
    let answer = engine.large_work.run(permit, work).await?;
    Ok(json_bytes(answer.into_bytes()))
}

fn write_many(
    http: &Http,
    info: &RequestInfo,
    view: View<'_>,
    users: &[AskedUser],
) -> Result<Vec<u8>, ReadError> {
    let mut result = Ok(());
    let answer = info.success(http, "user_segments", |out| {
        out.push(b'[');
        let start = out.len();
        let begin = |out: &mut Vec<u8>| out.truncate(start);
        result = http.engine.reader.read_many(users, view.now, out, begin, |out, user, memberships| {
            if out.len() > start {
                out.push(b',');
            }
            view.write(out, user, memberships)
        });
        out.push(b']');
    });
    result.map(|()| answer)
}

fn write_openrtb_of_many(reader: &Reader, view: View<'_>, users: &[AskedUser]) -> Result<Vec<u8>, ReadError> {
    let mut found = Vec::with_capacity(users.len());
    reader.read_many(users, view.now, &mut found, Vec::clear, |found, user, memberships| {
        let (user, shown) = view.openrtb(user, memberships);
        found.push(user);
        shown
    })?;
    Ok(serde_json::to_vec(&found).expect("answers hold nothing that JSON cannot say"))
}

/// Counts the reads of members only: bidders read for every bid, and admins are the operator.
fn take_read(http: &Http, caller: &Caller) -> Result<(), ApiError> {
    if caller.0.user_type == UserType::Member {
        caller.take_read(http, ReadRoute::UserSegment, http.engine.clock.now_ms())?;
    }
    Ok(())
}

fn scope(http: &Http, caller: &Caller, query: &Query<'_>) -> Result<ReadScope, ApiError> {
    let viewer = (!caller.sees_all()).then_some(caller.0.member);
    let snapshot = http.engine.catalog.snapshot();
    let namespace = viewer.and_then(|member| user_ids::namespace(&snapshot, member));
    Ok(ReadScope { viewer, owner: query.member_id()?, with_inactive: false, namespace })
}
