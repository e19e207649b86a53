//! `/segment`: a member's segments.

use super::error::ApiError;
use super::openapi::{Append, Conflict, Forbidden, NotFound, OfMember, SegmentCode, Unavailable};
use super::page::BodyPage;
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::segments::SegmentViewer;
use ia_engine::services::segment::{self, Segments};
use ia_model::MemberId;

/// A member's segments
///
/// Its own, and, but for `include_shared=0`, of those that others share with it what they are called. A filter or a
/// sort by a field that is not shown of shared segments leaves them out.
#[utoipa::path(get, path = "/segment", operation_id = "list_segments", params(
    OfMember,
    ("include_shared" = Option<String>, Query, description = "0 leaves out what others share"),
), responses(Forbidden))]
pub(super) async fn get(call: ServiceCall, page: BodyPage) -> Result<Response, ApiError> {
    let member = call.caller.member(call.member_id()?)?;
    let viewer = SegmentViewer { member, with_shared: call.query.flag_or("include_shared", true)? };
    let request = call.list_request::<Segments>(&["member_id", "include_shared"], page)?;
    call.list::<Segments>(&viewer, request).await
}

/// New segments
///
/// One object, or several that are all created or none. Each can be used by the next request.
#[utoipa::path(
    post,
    path = "/segment",
    operation_id = "create_segments",
    params(OfMember),
    responses(NotFound)
)]
pub(super) async fn post(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let asked = call.member_id()?;
    let body = call.body::<Segments>(&headers, body).await?;
    let named = segment::owner(&body)?;
    if named.is_some() && asked.is_some() && named != asked {
        return Err(ApiError::syntax("'member_id' is not that of the query"));
    }
    let owner = call.caller.member(asked.or(named))?;
    call.create::<Segments>(&of(owner), &body, None).await
}

/// Changes of segments
///
/// What is given is changed, and null empties. One object is for every `id` of the query; several name theirs. All
/// are changed or none.
#[utoipa::path(
    put,
    path = "/segment",
    operation_id = "change_segments",
    params(SegmentCode, Append, OfMember),
    responses(Conflict)
)]
pub(super) async fn put(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let owner = call.caller.member(call.member_id()?)?;
    let ids = target(&call, owner)?;
    call.change::<Segments>(&of(owner), ids, call.append()?, (headers, body)).await
}

/// Deletes segments
///
/// All or none. Their memberships are gone from every read at once, their codes are free, their ids are never used
/// again.
#[utoipa::path(
    delete,
    path = "/segment",
    operation_id = "delete_segments",
    params(SegmentCode, OfMember),
    responses(Unavailable)
)]
pub(super) async fn delete(call: ServiceCall) -> Result<Response, ApiError> {
    let owner = call.caller.member(call.member_id()?)?;
    let ids = match target(&call, owner)? {
        Some(ids) => ids,
        None => call.required_ids()?,
    };
    call.delete::<Segments>(&of(owner), &ids).await
}

/// The segments of one member.
fn of(member: MemberId) -> SegmentViewer {
    SegmentViewer { member, with_shared: false }
}

/// The segments of the query, by `id` or by `code`.
fn target(call: &ServiceCall, owner: MemberId) -> Result<Option<Vec<u32>>, ApiError> {
    match (call.ids()?, call.query.get("code")?.map(str::trim)) {
        (Some(_), Some(_)) => Err(ApiError::syntax("'id' and 'code' cannot be used together")),
        (None, Some(code)) => match call.http.engine.catalog.snapshot().segment_by_code(owner, code) {
            Some(segment) => Ok(Some(vec![segment.id.0])),
            None => Err(ApiError::no_such_object("segment of that code")),
        },
        (ids, None) => Ok(ids),
    }
}
