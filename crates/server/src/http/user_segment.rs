//! `GET` and `POST /user-segment`: what segments a user is in.

use super::asked_users::{user_key, user_keys};
use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json, json_bytes};
use super::error::ApiError;
use super::openapi::{
    BadRequest, KnownDomain, ManyFormat, ManyUsers, NotAuthenticated, OneUser, ReadFormat, TooLarge,
    TooManyRequests, Unavailable, UsersRequest,
};
use super::query::Query;
use crate::app::App;
use crate::identities;
use crate::limits::ReadRoute;
use crate::reading::{self, Asked, ReadError, View};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ia_catalog::UserType;
use ia_model::UserKey;
use std::sync::Arc;

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

/// What segments a user is in
///
/// The caller's own and those shared with it; logins of type `bidder` and `admin` see all.
#[utoipa::path(
    get,
    path = "/user-segment",
    operation_id = "read_user",
    tag = "memberships",
    params(
        ("user_id" = String, Query, min_length = 1, description = "Well formed for its domain"),
        ("domain" = inline(Option<KnownDomain>), Query, description = "Absent for the platform's own ids, or those of a member that sends its own"),
        ("member_id" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "Only segments of this owner"),
        ("format" = inline(Option<ReadFormat>), Query, description = "The `user` object of OpenRTB 2.6, or plain codes"),
    ),
    responses(
        (status = 200, description = "Its segments; none for a user that is not known", content(
            (OneUser = "application/json"),
            (String = "text/plain; charset=utf-8"),
        )),
        BadRequest,
        NotAuthenticated,
        TooManyRequests,
    )
)]
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
    let view = View { asked, snapshot: &app.catalog.snapshot(), now };
    Ok(match format {
        Format::Plain => json_bytes(info.success(&app, "user_segment", |out| {
            view.write(out, &user, &memberships);
        })),
        Format::OpenRtb => json(&view.openrtb(&user, &memberships).0),
        Format::Codes => codes(view.codes(&memberships)),
    })
}

/// What segments many users are in
#[utoipa::path(
    post,
    path = "/user-segment",
    operation_id = "read_users",
    tag = "memberships",
    params(
        ("member_id" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "Only segments of this owner"),
        ("format" = inline(Option<ManyFormat>), Query, description = "The `user` objects of OpenRTB 2.6"),
    ),
    request_body = UsersRequest,
    responses(
        (status = 200, description = "Each user's segments, in the order of the request", body = ManyUsers),
        BadRequest,
        NotAuthenticated,
        TooLarge,
        TooManyRequests,
        Unavailable,
    )
)]
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
    let payload_bytes = app.limits.of(&app.catalog.snapshot(), caller.0.member).payload_bytes;
    let body = body::read(&app, &headers, body, payload_bytes).await?;
    let worker = Arc::clone(&app);
    // A thousand profiles take milliseconds, and may have to come from disk.
    let place = body::place(&app, true).await;
    let answer = body::work_on(&app, place, move || {
        let (bytes, share) = body.decode()?;
        let users = user_keys(asked, &bytes)?;
        let view = View { asked, snapshot: &worker.catalog.snapshot(), now: reading::now(&worker) };
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

/// Bidders ask for every bid, and admins are the operator: only members are counted.
fn take_read(app: &App, caller: &Caller) -> Result<(), ApiError> {
    if caller.0.user_type == UserType::Member {
        let now_ms = app.clock.now_ms();
        app.limits.take_read(ReadRoute::UserSegment, caller.0.member, &app.catalog.snapshot(), now_ms)?;
    }
    Ok(())
}

fn asked(app: &App, caller: &Caller, query: &Query<'_>) -> Result<Asked, ApiError> {
    let viewer = (!caller.sees_all()).then_some(caller.0.member);
    let snapshot = app.catalog.snapshot();
    let namespace = viewer.and_then(|member| identities::namespace(&snapshot, member));
    Ok(Asked { viewer, owner: query.member_id()?, with_inactive: false, namespace })
}

fn codes(text: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text).into_response()
}
