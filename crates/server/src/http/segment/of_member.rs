//! `/segment/{member_id}`: the same as `/segment?member_id=`.

use super::super::error::ApiError;
use super::super::openapi::{
    BadRequest, Conflict, Forbidden, ListParameters, NotAuthenticated, NotFound, SegmentChanged,
    SegmentRequest, Segments, TooLarge, TooManyRequests, Unavailable,
};
use super::super::service::{Call, OfMember};
use super::{change, create, list, remove};
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;

/// A member's segments, as `GET /segment?member_id=`
#[utoipa::path(
    get,
    path = "/segment/{member_id}",
    operation_id = "list_segments_of_member",
    tag = "catalog",
    params(
        ("member_id" = u64, Path, minimum = 1, maximum = 4_294_967_295_u64, description = "The caller's own; another is for admins"),
        ListParameters,
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
pub(in super::super) async fn get(call: Call, member: OfMember) -> Result<Response, ApiError> {
    let member = call.caller.member(Some(member.0))?;
    list(&call, member).await
}

/// New segments, as `POST /segment?member_id=`
#[utoipa::path(
    post,
    path = "/segment/{member_id}",
    operation_id = "create_segments_of_member",
    tag = "catalog",
    params(
        ("member_id" = u64, Path, minimum = 1, maximum = 4_294_967_295_u64, description = "The caller's own; another is for admins"),
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
pub(in super::super) async fn post(
    call: Call,
    member: OfMember,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    create(&call, Some(member.0), &headers, body).await
}

/// Changes of segments, as `PUT /segment?member_id=`
#[utoipa::path(
    put,
    path = "/segment/{member_id}",
    operation_id = "change_segments_of_member",
    tag = "catalog",
    params(
        ("member_id" = u64, Path, minimum = 1, maximum = 4_294_967_295_u64, description = "The caller's own; another is for admins"),
        ("id" = Option<String>, Query, description = "Which; several by commas. Absent where the body says it"),
        ("code" = Option<String>, Query, description = "Which one, by its code, in place of `id`"),
        ("append" = Option<String>, Query, description = "true: lists come to what is there"),
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
pub(in super::super) async fn put(
    call: Call,
    member: OfMember,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let owner = call.caller.member(Some(member.0))?;
    change(&call, owner, &headers, body).await
}

/// Deletes segments, as `DELETE /segment?member_id=`
#[utoipa::path(
    delete,
    path = "/segment/{member_id}",
    operation_id = "delete_segments_of_member",
    tag = "catalog",
    params(
        ("member_id" = u64, Path, minimum = 1, maximum = 4_294_967_295_u64, description = "The caller's own; another is for admins"),
        ("id" = Option<String>, Query, description = "Which; several by commas"),
        ("code" = Option<String>, Query, description = "Which one, by its code, in place of `id`"),
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
pub(in super::super) async fn delete(call: Call, member: OfMember) -> Result<Response, ApiError> {
    let owner = call.caller.member(Some(member.0))?;
    remove(&call, owner).await
}
