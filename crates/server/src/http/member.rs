//! `/member`: companies that own segments, send data or buy on it.

use super::error::ApiError;
use super::openapi::Conflict;
use super::page::BodyPage;
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::UserType;
use ia_engine::services::accounts::Members;

/// Members
///
/// The caller's own, as one object under `member` where nothing else is asked for; an admin's all.
#[utoipa::path(get, path = "/member", operation_id = "list_members")]
pub(super) async fn get(call: ServiceCall, page: BodyPage) -> Result<Response, ApiError> {
    let mut request = call.list_request::<Members>(&[], page)?;
    let caller = &call.caller.0;
    if request.is_for_all() && caller.user_type != UserType::Admin {
        request.only::<Members>(&[caller.member.0]);
    }
    call.list::<Members>(caller, request).await
}

/// New members
///
/// For admins. One object, or several that are all created or none. Without an `id`, it is the highest plus one.
#[utoipa::path(post, path = "/member", operation_id = "create_members")]
pub(super) async fn post(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let body = call.body::<Members>(&headers, body).await?;
    call.create::<Members>(&call.caller.0, &body, None).await
}

/// Changes of members
///
/// What is given is changed, and null empties. A member may change its own `default_expiration`; the rest is for
/// admins. What may not be changed may be sent as it is. All are changed or none.
#[utoipa::path(put, path = "/member", operation_id = "change_members", responses(Conflict))]
pub(super) async fn put(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    call.change::<Members>(&call.caller.0, call.ids()?, call.append()?, (headers, body)).await
}
