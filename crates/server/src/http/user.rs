//! `/user`: logins.

use super::accounts;
use super::error::ApiError;
use super::openapi::{
    BadRequest, Conflict, Fields, Forbidden, ListParameters, NotAuthenticated, NotFound, TooLarge,
    TooManyRequests, Unavailable, UserChanged, UserList, UserRequest,
};
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::{AccountChange, USER};
use ia_engine::services::accounts::Users;

/// Logins
///
/// Those of the caller's member; an admin's all. `current` in the query asks for the caller's own.
#[utoipa::path(
    get,
    path = "/user",
    operation_id = "list_users",
    tag = "catalog",
    params(
        ListParameters,
        ("current" = Option<String>, Query, description = "With any value or none: the caller's own login, under `user`"),
    ),
    responses(
        (status = 200, description = "A page of the list", body = UserList),
        BadRequest,
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn get(call: ServiceCall) -> Result<Response, ApiError> {
    match own(&call) {
        None => accounts::list::<Users>(&call).await,
        Some(id) => accounts::one::<Users>(&call, id).await,
    }
}

/// New logins
///
/// For admins. One object, or several that are all created or none.
#[utoipa::path(
    post,
    path = "/user",
    operation_id = "create_users",
    tag = "catalog",
    request_body = UserRequest,
    responses(
        (status = 200, description = "What was created", body = UserChanged),
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
    // Also the catalog says so, but after a password was hashed.
    call.caller.must_be_admin()?;
    accounts::create::<Users>(&call, None, &headers, body).await
}

/// Changes of logins
///
/// What is given is changed, and null empties. A login may change its own `password`, `email` and names; the rest is
/// for admins. What may not be changed may be sent as it is. A new password, another member and being switched off end
/// the login's tokens at once. At least one admin stays that is active and not read-only.
#[utoipa::path(
    put,
    path = "/user",
    operation_id = "change_users",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas. Absent where the body says it"),
        ("current" = Option<String>, Query, description = "With any value or none: the caller's own, in place of `id`"),
    ),
    request_body = UserRequest,
    responses(
        (status = 200, description = "What was changed, as it is now", body = UserChanged),
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
    accounts::change::<Users>(
        &call,
        own(&call).map_or_else(|| call.ids(), |id| Ok(Some(vec![id])))?,
        &headers,
        body,
    )
    .await
}

/// Deletes logins
///
/// For admins. Their tokens end at once; their ids are never used again.
#[utoipa::path(
    delete,
    path = "/user",
    operation_id = "delete_users",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas"),
    ),
    responses(
        (status = 200, description = "The ids of what was deleted", body = UserList),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        NotFound,
        Conflict,
        TooManyRequests,
    )
)]
pub(super) async fn delete(call: ServiceCall) -> Result<Response, ApiError> {
    let ids = call.required_ids()?;
    call.http
        .engine
        .catalog
        .change_accounts(&AccountChange::DeleteLogins(ids.clone()), &call.caller.0)
        .await?;
    Ok(call.deleted(&USER, &ids))
}

/// What a login has
///
/// Its fields, with what can be filtered and sorted by.
#[utoipa::path(
    get,
    path = "/user/meta",
    operation_id = "user_fields",
    tag = "catalog",
    responses(
        (status = 200, description = "The fields", body = Fields),
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn meta(call: ServiceCall) -> Response {
    call.meta(&USER)
}

/// The caller's login where the query asks for the current one.
fn own(call: &ServiceCall) -> Option<u32> {
    call.query.get_even_empty("current").map(|_| call.caller.0.user_id)
}
