//! `POST /rt-segment`

use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json_bytes};
use super::error::ApiError;
use super::openapi::{
    BadRequest, Flag, Forbidden, NotAuthenticated, RtSegmentAnswer, RtSegmentRequest, TooLarge,
    TooManyRequests, Unavailable,
};
use super::query::Query;
use crate::app::App;
use crate::ingest;
use crate::ingest::commit::Encoded;
use crate::ingest::resolve::Context;
use crate::ingest::structure::StructureLimits;
use crate::threads::Turns;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use ia_model::Record;
use std::sync::Arc;

/// Add users to segments, remove them
///
/// OK means that it survives a power cut and that every read that starts afterwards sees it. Parts of the request
/// that are malformed, or name what the caller may not write to, are left out; the rest is applied.
#[utoipa::path(
    post,
    path = "/rt-segment",
    operation_id = "add_to_segments",
    tag = "memberships",
    params(("verbose" = inline(Option<Flag>), Query, description = "Whether to tell what was accepted, and a warning for each block that was not")),
    request_body = RtSegmentRequest,
    responses(
        (status = 200, description = "Applied, but for what the warnings name", body = RtSegmentAnswer),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        TooLarge,
        TooManyRequests,
        Unavailable,
    )
)]
pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(info): Extension<RequestInfo>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let caller = Caller::of(&app, &head.headers, &head.uri)?;
    caller.may_change()?;
    let verbose = Query::of(&head.uri).flag("verbose")?;
    let member = caller.0.member;
    let limits = app.limits.of(&app.catalog.snapshot(), member);
    app.limits.take_post(member, &limits, app.clock.now_ms())?;
    app.committer.check_room(body::expected_bytes(&head.headers, limits.payload_bytes)?)?;
    let body = body::read(&app, &head.headers, body, limits.payload_bytes).await?;
    let room = app.committer.reserve(body.sent_bytes())?;
    let place = body::place(&app, body.is_large()).await;
    // An async worker has no less urgent work to do than what it would let pass.
    let turns = if place.is_some() { Turns::every(ingest::USERS_PER_TURN) } else { Turns::never() };
    let (worker, request_id) = (Arc::clone(&app), Arc::clone(&info.id));
    let (prepared, record, share) = body::work_on(&app, place, move || {
        let (bytes, share) = body.decode()?;
        let opt_outs = worker.suppression.in_force();
        let context = Context {
            snapshot: &worker.catalog.snapshot(),
            member,
            now_ms: worker.clock.now_ms(),
            expiration: worker.expiration,
            opt_outs: &opt_outs,
            known: &worker.known,
        };
        let request = ingest::Request {
            context,
            request_id: &request_id,
            limits: StructureLimits {
                users_per_request: limits.users_per_request as usize,
                segments_per_user: limits.segments_per_user as usize,
            },
            turns,
            verbose,
        };
        let mut prepared = ingest::prepare(&bytes, &request)?;
        let record = prepared.ingest.take().map(|ingest| Encoded::new(Record::Ingest(ingest)));
        let record = record.map(|record| record.resolved_with(opt_outs));
        Ok::<_, ApiError>((prepared, record, share))
    })
    .await?;
    app.limits.take_users(member, prepared.users, &limits, app.clock.now_ms())?;
    // Before the commit: what is refused for want of memory must not be applied.
    let answer = body::answer(prepared.answer, share)?;
    if let Some(record) = record {
        let position = app.committer.commit(record, room).await?;
        tracing::debug!(request_id = %info.id, %member, position, "committed");
    }
    app.metrics.dropped(&prepared.dropped);
    Ok(json_bytes(answer))
}
