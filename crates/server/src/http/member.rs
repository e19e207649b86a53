//! `/member`: companies that own segments, send data or buy on it.

use super::accounts;
use super::error::ApiError;
use super::openapi::{
    BadRequest, Conflict, Fields, Forbidden, ListParameters, MemberChanged, MemberList, MemberRequest,
    NotAuthenticated, NotFound, TooLarge, TooManyRequests, Unavailable,
};
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::MEMBER;
use ia_engine::services::accounts::Members;

/// Members
///
/// The caller's own; an admin's all.
#[utoipa::path(
    get,
    path = "/member",
    operation_id = "list_members",
    tag = "catalog",
    params(
        ListParameters,
    ),
    responses(
        (status = 200, description = "A page of the list", body = MemberList),
        BadRequest,
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn get(call: ServiceCall) -> Result<Response, ApiError> {
    accounts::list::<Members>(&call).await
}

/// New members
///
/// For admins. One object, or several that are all created or none. Without an `id`, it is the highest plus one.
#[utoipa::path(
    post,
    path = "/member",
    operation_id = "create_members",
    tag = "catalog",
    request_body = MemberRequest,
    responses(
        (status = 200, description = "What was created", body = MemberChanged),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        Conflict,
        TooLarge,
        TooManyRequests,
        Unavailable,
    )
)]
pub(super) async fn post(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    accounts::create::<Members>(&call, None, &headers, body).await
}

/// Changes of members
///
/// What is given is changed, and null empties. A member may change its own `default_expiration`; the rest is for
/// admins. What may not be changed may be sent as it is. All are changed or none.
#[utoipa::path(
    put,
    path = "/member",
    operation_id = "change_members",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas. Absent where the body says it"),
    ),
    request_body = MemberRequest,
    responses(
        (status = 200, description = "What was changed, as it is now", body = MemberChanged),
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
    accounts::change::<Members>(&call, call.ids()?, &headers, body).await
}

/// What a member has
///
/// Its fields, with what can be filtered and sorted by.
#[utoipa::path(
    get,
    path = "/member/meta",
    operation_id = "member_fields",
    tag = "catalog",
    responses(
        (status = 200, description = "The fields", body = Fields),
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn meta(call: ServiceCall) -> Response {
    call.meta(&MEMBER)
}
