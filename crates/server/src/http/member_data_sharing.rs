//! `/member-data-sharing`: who may see whose segments.

use super::error::ApiError;
use super::openapi::Append;
use super::page::BodyPage;
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_engine::services::accounts::Sharing;

/// Who sees whose segments
///
/// What the caller's member shares, and what is shared with it; an admin's all.
#[utoipa::path(get, path = "/member-data-sharing", operation_id = "list_sharing")]
pub(super) async fn get(call: ServiceCall, page: BodyPage) -> Result<Response, ApiError> {
    call.list::<Sharing>(&call.caller.0, call.list_request::<Sharing>(&[], page)?).await
}

/// New sharing
///
/// Of segments of the caller's member; an admin's of any. In force before the answer. `all` shows also segments that
/// are made later.
#[utoipa::path(post, path = "/member-data-sharing", operation_id = "create_sharing")]
pub(super) async fn post(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let body = call.body::<Sharing>(&headers, body).await?;
    call.create::<Sharing>(&call.caller.0, &body, None).await
}

/// Changes of sharing
///
/// For who owns the segments. In force before the answer; the members stay.
#[utoipa::path(put, path = "/member-data-sharing", operation_id = "change_sharing", params(Append))]
pub(super) async fn put(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    call.change::<Sharing>(&call.caller.0, call.ids()?, call.append()?, (headers, body)).await
}

/// Deletes sharing
///
/// For who owns the segments. Nothing of it is seen by any read that starts after the answer.
#[utoipa::path(delete, path = "/member-data-sharing", operation_id = "delete_sharing")]
pub(super) async fn delete(call: ServiceCall) -> Result<Response, ApiError> {
    call.delete::<Sharing>(&call.caller.0, &call.required_ids()?).await
}
