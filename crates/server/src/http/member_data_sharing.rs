//! `/member-data-sharing`: who may see whose segments.

use super::accounts;
use super::error::ApiError;
use super::openapi::{
    BadRequest, Conflict, Fields, Forbidden, ListParameters, NotAuthenticated, NotFound, SharingChanged,
    SharingList, SharingRequest, TooLarge, TooManyRequests, Unavailable,
};
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::{AccountChange, MEMBER_DATA_SHARING};
use ia_engine::services::accounts::Sharing;

/// Who sees whose segments
///
/// What the caller's member shares, and what is shared with it; an admin's all.
#[utoipa::path(
    get,
    path = "/member-data-sharing",
    operation_id = "list_sharing",
    tag = "catalog",
    params(
        ListParameters,
    ),
    responses(
        (status = 200, description = "A page of the list", body = SharingList),
        BadRequest,
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn get(call: ServiceCall) -> Result<Response, ApiError> {
    accounts::list::<Sharing>(&call).await
}

/// New sharing
///
/// Of segments of the caller's member; an admin's of any. In force before the answer. `all` shows also segments that
/// are made later.
#[utoipa::path(
    post,
    path = "/member-data-sharing",
    operation_id = "create_sharing",
    tag = "catalog",
    request_body = SharingRequest,
    responses(
        (status = 200, description = "What was created", body = SharingChanged),
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
    accounts::create::<Sharing>(&call, None, &headers, body).await
}

/// Changes of sharing
///
/// For who owns the segments. In force before the answer; the members stay.
#[utoipa::path(
    put,
    path = "/member-data-sharing",
    operation_id = "change_sharing",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas. Absent where the body says it"),
        ("append" = Option<String>, Query, description = "true: lists come to what is there"),
    ),
    request_body = SharingRequest,
    responses(
        (status = 200, description = "What was changed, as it is now", body = SharingChanged),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        NotFound,
        TooLarge,
        TooManyRequests,
        Unavailable,
    )
)]
pub(super) async fn put(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    accounts::change::<Sharing>(&call, call.ids()?, &headers, body).await
}

/// Deletes sharing
///
/// For who owns the segments. Nothing of it is seen by any read that starts after the answer.
#[utoipa::path(
    delete,
    path = "/member-data-sharing",
    operation_id = "delete_sharing",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas"),
    ),
    responses(
        (status = 200, description = "The ids of what was deleted", body = SharingList),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        NotFound,
        TooManyRequests,
    )
)]
pub(super) async fn delete(call: ServiceCall) -> Result<Response, ApiError> {
    let ids = call.required_ids()?;
    call.http
        .engine
        .catalog
        .change_accounts(&AccountChange::DeleteSharing(ids.clone()), &call.caller.0)
        .await?;
    Ok(call.deleted(&MEMBER_DATA_SHARING, &ids))
}

/// What a sharing has
///
/// Its fields, with what can be filtered and sorted by.
#[utoipa::path(
    get,
    path = "/member-data-sharing/meta",
    operation_id = "sharing_fields",
    tag = "catalog",
    responses(
        (status = 200, description = "The fields", body = Fields),
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn meta(call: ServiceCall) -> Response {
    call.meta(&MEMBER_DATA_SHARING)
}
