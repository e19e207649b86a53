//! `POST /rt-segment`

use super::body;
use super::caller::Caller;
use super::envelope::{RequestInfo, json_bytes};
use super::error::ApiError;
use super::openapi::{Flag, Forbidden, PostFailures, RtSegmentAnswer, RtSegmentRequest};
use super::query::Query;
use crate::http::Http;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use ia_engine::ingest::{Post, Purpose};
use std::sync::Arc;

/// Add users to segments, remove them
///
/// OK means that the changes survive a power cut and that every read that starts afterwards sees them. Parts of the
/// request that are malformed, or name a segment that the caller may not write to, are left out; the rest is applied.
/// With `dry_run` the answer says what would be applied, and nothing is.
#[utoipa::path(post, path = "/rt-segment", operation_id = "add_to_segments", tag = "memberships",
    params(
        ("verbose" = inline(Option<Flag>), Query, description = "Whether to report the accepted changes, and a warning for each refused block"),
        ("dry_run" = inline(Option<Flag>), Query, description = "Whether to check the request and answer as `verbose` does, and write nothing"),
    ),
    request_body = RtSegmentRequest, responses(
        (status = 200, description = "Applied, except for the parts in the warnings", body = RtSegmentAnswer),
        PostFailures,
        Forbidden,
    ))]
pub(super) async fn post(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let caller = Caller::of(&http, &head.headers, &head.uri)?;
    let purpose = purpose(&Query::of(&head.uri))?;
    if purpose != Purpose::DryRun {
        caller.may_change()?;
    }
    let member = caller.0.member;
    let ingest = &http.engine.ingest;
    let limits = ingest.admit(member, purpose)?;
    let expected_bytes = body::expected_bytes(&head.headers, limits.payload_bytes)?;
    if purpose != Purpose::DryRun {
        ingest.check_room(expected_bytes)?;
    }
    let body = body::read(&http, &head.headers, body, limits.payload_bytes).await?;
    let answer = ingest.post(Post { member, limits, request_id: info.id, purpose, body }).await?;
    Ok(json_bytes(answer.into_bytes()))
}

fn purpose(query: &Query<'_>) -> Result<Purpose, ApiError> {
    let verbose = query.flag("verbose")?;
    Ok(if query.flag("dry_run")? { Purpose::DryRun } else { Purpose::Apply { verbose } })
}
