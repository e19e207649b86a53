//! `/user`: logins.

use super::error::ApiError;
use super::openapi::Conflict;
use super::page::BodyPage;
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_engine::services::accounts::Users;

/// Logins
///
/// Those of the caller's member; an admin's all. `current` in the query asks for the caller's own.
#[utoipa::path(get, path = "/user", operation_id = "list_users", params(
    ("current" = Option<String>, Query, description = "With any value or none: the caller's own login, under `user`"),
))]
pub(super) async fn get(call: ServiceCall, page: BodyPage) -> Result<Response, ApiError> {
    let mut request = call.list_request::<Users>(&[], page)?;
    if let Some(own) = own(&call) {
        request.only::<Users>(&[own]);
    }
    call.list::<Users>(&call.caller.0, request).await
}

/// New logins
///
/// For admins. One object, or several that are all created or none.
#[utoipa::path(post, path = "/user", operation_id = "create_users")]
pub(super) async fn post(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    // Also the catalog says so, but after a password was hashed.
    call.caller.must_be_admin()?;
    let body = call.body::<Users>(&headers, body).await?;
    call.create::<Users>(&call.caller.0, &body, None).await
}

/// Changes of logins
///
/// What is given is changed, and null empties. A login may change its own `password`, `email` and names; the rest is
/// for admins. What may not be changed may be sent as it is. A new password, another member and being switched off end
/// the login's tokens at once. At least one admin stays that is active and not read-only.
#[utoipa::path(put, path = "/user", operation_id = "change_users", params(
    ("current" = Option<String>, Query, description = "With any value or none: the caller's own, in place of `id`"),
), responses(Conflict))]
pub(super) async fn put(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let ids = match (own(&call), call.ids()?) {
        (Some(own), Some(ids)) if ids != [own] => {
            return Err(ApiError::syntax("'id' is not that of the 'current' login"));
        }
        (own, ids) => own.map(|own| vec![own]).or(ids),
    };
    call.change::<Users>(&call.caller.0, ids, call.append()?, (headers, body)).await
}

/// Deletes logins
///
/// For admins. Their tokens end at once; their ids are never used again.
#[utoipa::path(delete, path = "/user", operation_id = "delete_users", responses(Conflict))]
pub(super) async fn delete(call: ServiceCall) -> Result<Response, ApiError> {
    call.delete::<Users>(&call.caller.0, &call.required_ids()?).await
}

/// The caller's login where the query asks for the current one.
fn own(call: &ServiceCall) -> Option<u32> {
    call.query.parameters().has("current").then_some(call.caller.0.user_id)
}
