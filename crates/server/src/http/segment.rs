//! `/segment`: a member's segments.

use super::error::ApiError;
use super::openapi::{
    BadRequest, Conflict, Fields, Forbidden, ListParameters, NotAuthenticated, NotFound, SegmentChanged,
    SegmentRequest, Segments, TooLarge, TooManyRequests, Unavailable,
};
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::listing::Page;
use ia_catalog::segments::{SEGMENT, SegmentViewer, StoredSegment};
use ia_engine::services::segment::{self, show};
use ia_model::{MemberId, SegmentId};

/// A member's segments
///
/// Its own, and, but for `include_shared=0`, of those that others share with it what they are called. A filter or a
/// sort by a field that is not shown of shared segments leaves them out.
#[utoipa::path(
    get,
    path = "/segment",
    operation_id = "list_segments",
    tag = "catalog",
    params(
        ListParameters,
        ("member_id" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "The caller's own if absent; another is for admins"),
        ("include_shared" = Option<String>, Query, description = "0 leaves out what others share"),
    ),
    responses(
        (status = 200, description = "A page of the list", body = Segments),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        TooManyRequests,
        Unavailable,
    )
)]
pub(super) async fn get(call: ServiceCall) -> Result<Response, ApiError> {
    let member = call.caller.member(call.member_id()?)?;
    list(&call, member).await
}

async fn list(call: &ServiceCall, member: MemberId) -> Result<Response, ApiError> {
    let with_shared = call.query.flag_or("include_shared", true)?;
    let asked = call.asked(&SEGMENT, &["member_id", "include_shared"])?;
    let viewer = SegmentViewer { member, with_shared };
    let Page { items, count } = call.http.engine.catalog.segments.list_segments(viewer, &asked.query).await?;
    let items = items.into_iter().map(|stored| show(member, stored)).collect();
    Ok(call.page(&SEGMENT, &asked, Page { items, count }))
}

/// New segments
///
/// One object, or several that are all created or none. Each can be used by the next request.
#[utoipa::path(
    post,
    path = "/segment",
    operation_id = "create_segments",
    tag = "catalog",
    params(
        ("member_id" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "The caller's own if absent; another is for admins"),
    ),
    request_body = SegmentRequest,
    responses(
        (status = 200, description = "What was created", body = SegmentChanged),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        NotFound,
        Conflict,
        TooLarge,
        TooManyRequests,
        Unavailable,
    )
)]
pub(super) async fn post(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let asked = call.member_id()?;
    create(&call, asked, &headers, body).await
}

async fn create(
    call: &ServiceCall,
    asked: Option<MemberId>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let sent = call.sent(&SEGMENT, headers, body).await?;
    let named = segment::owner(&sent)?;
    if named.is_some() && asked.is_some() && named != asked {
        return Err(ApiError::syntax("'member_id' is not that of the query"));
    }
    let owner = call.caller.member(asked.or(named))?;
    let new: Vec<_> =
        sent.objects.iter().map(|given| segment::change(given, false)).collect::<Result<_, _>>()?;
    let http = &call.http;
    let most = http.engine.limits.of_services().segments_per_member;
    let creating =
        http.engine.catalog.segments.create_segments(owner, &new, most, http.engine.clock.now_ms());
    let created = http.engine.catalog.change(creating).await?;
    Ok(changed(call, owner, created, &sent.warnings))
}

/// Changes of segments
///
/// What is given is changed, and null empties. One object is for every `id` of the query; several name theirs. All
/// are changed or none.
#[utoipa::path(
    put,
    path = "/segment",
    operation_id = "change_segments",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas. Absent where the body says it"),
        ("code" = Option<String>, Query, description = "Which one, by its code, in place of `id`"),
        ("append" = Option<String>, Query, description = "true: lists come to what is there"),
        ("member_id" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "The caller's own if absent; another is for admins"),
    ),
    request_body = SegmentRequest,
    responses(
        (status = 200, description = "What was changed, as it is now", body = SegmentChanged),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        NotFound,
        Conflict,
        TooLarge,
        TooManyRequests,
        Unavailable,
    )
)]
pub(super) async fn put(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let owner = call.caller.member(call.member_id()?)?;
    change(&call, owner, &headers, body).await
}

async fn change(
    call: &ServiceCall,
    owner: MemberId,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ids = target(call, owner)?;
    let append = call.query.flag("append")?;
    let sent = call.sent(&SEGMENT, headers, body).await?;
    let changes = segment::changes(&sent, ids, append)?;
    let http = &call.http;
    let changing = http.engine.catalog.segments.change_segments(owner, &changes, http.engine.clock.now_ms());
    let after = http.engine.catalog.change(changing).await?;
    Ok(changed(call, owner, after, &sent.warnings))
}

/// Deletes segments
///
/// All or none. Their memberships are gone from every read at once, their codes are free, their ids are never used
/// again.
#[utoipa::path(
    delete,
    path = "/segment",
    operation_id = "delete_segments",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas"),
        ("code" = Option<String>, Query, description = "Which one, by its code, in place of `id`"),
        ("member_id" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "The caller's own if absent; another is for admins"),
    ),
    responses(
        (status = 200, description = "The ids of what was deleted", body = Segments),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        NotFound,
        TooManyRequests,
        Unavailable,
    )
)]
pub(super) async fn delete(call: ServiceCall) -> Result<Response, ApiError> {
    let owner = call.caller.member(call.member_id()?)?;
    remove(&call, owner).await
}

async fn remove(call: &ServiceCall, owner: MemberId) -> Result<Response, ApiError> {
    let ids = match call.query.get("code") {
        Some(_) => target(call, owner)?.unwrap_or_default(),
        None => call.required_ids()?,
    };
    let ids = segment::segment_ids(ids)?;
    let http = &call.http;
    let deleting = http.engine.catalog.segments.delete_segments(owner, &ids, http.engine.clock.now_ms());
    http.engine.catalog.change(deleting).await?;
    let ids: Vec<u32> = ids.into_iter().map(|SegmentId(id)| id).collect();
    Ok(call.deleted(&SEGMENT, &ids))
}

/// What a segment has
///
/// Its fields, with what can be filtered and sorted by.
#[utoipa::path(
    get,
    path = "/segment/meta",
    operation_id = "segment_fields",
    tag = "catalog",
    responses(
        (status = 200, description = "The fields", body = Fields),
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn meta(call: ServiceCall) -> Response {
    call.meta(&SEGMENT)
}

/// The segments of the query, by `id` or by `code`.
fn target(call: &ServiceCall, owner: MemberId) -> Result<Option<Vec<u32>>, ApiError> {
    match (call.ids()?, call.query.get("code")) {
        (Some(_), Some(_)) => Err(ApiError::syntax("'id' and 'code' cannot be used together")),
        (None, Some(code)) => match call.http.engine.catalog.snapshot().segment_by_code(owner, code) {
            Some(segment) => Ok(Some(vec![segment.id.0])),
            None => Err(ApiError::no_such_object("segment of that code")),
        },
        (ids, None) => Ok(ids),
    }
}

fn changed(call: &ServiceCall, owner: MemberId, stored: Vec<StoredSegment>, warnings: &[String]) -> Response {
    let objects = stored.into_iter().map(|stored| show(owner, stored)).collect();
    call.changed(&SEGMENT, objects, warnings)
}
