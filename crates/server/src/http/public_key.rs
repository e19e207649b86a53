//! `/public-key`: the keys with which a login signs in.

use super::error::ApiError;
use super::openapi::{
    BadRequest, Conflict, Fields, Forbidden, ListParameters, NotAuthenticated, NotFound, PublicKeyAnswer,
    PublicKeyRequest, PublicKeys, TooLarge, TooManyRequests, Unavailable,
};
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::listing::Page;
use ia_catalog::{PUBLIC_KEY, UserType};
use ia_engine::services::asked;
use ia_engine::services::public_key::{self, show};

/// Public keys
///
/// The caller's own; all for an admin that names no login.
#[utoipa::path(
    get,
    path = "/public-key",
    operation_id = "list_public_keys",
    tag = "catalog",
    params(
        ListParameters,
        ("user_id" = Option<u32>, Query, minimum = 1, description = "Whose; another's is for admins"),
    ),
    responses(
        (status = 200, description = "A page of the list", body = PublicKeys),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        TooManyRequests,
    )
)]
pub(super) async fn get(call: ServiceCall) -> Result<Response, ApiError> {
    let owner = owner(&call, asked_user(&call)?)?;
    let asked = call.asked(&PUBLIC_KEY, &["user_id", "key_id"])?;
    let Page { items, count } = call.http.engine.catalog.public_keys.public_keys(owner, &asked.query).await?;
    Ok(call.page(&PUBLIC_KEY, &asked, Page { items: items.into_iter().map(show).collect(), count }))
}

/// A new public key
///
/// RSA, 2048 to 8192 bits, in PEM. A login may have 10.
#[utoipa::path(
    post,
    path = "/public-key",
    operation_id = "create_public_key",
    tag = "catalog",
    params(("user_id" = Option<u32>, Query, minimum = 1, description = "Whose; the caller's own if absent, another's is for admins")),
    request_body = PublicKeyRequest,
    responses(
        (status = 200, description = "What was stored", body = PublicKeyAnswer),
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
    let asked = asked_user(&call)?;
    let sent = call.sent(&PUBLIC_KEY, &headers, body).await?;
    let given = public_key::only(&sent)?;
    let named = public_key::user_id(given)?;
    if named.is_some() && asked.is_some() && named != asked {
        return Err(ApiError::syntax("'user_id' is not that of the query"));
    }
    let caller = call.caller.0.user_id;
    let owner = owner(&call, Some(asked.or(named).unwrap_or(caller)))?.unwrap_or(caller);
    let http = &call.http;
    let new = public_key::new(given, owner, http.engine.clock.now_ms())?;
    let stored = http.engine.catalog.change(http.engine.catalog.public_keys.create_public_key(&new)).await?;
    Ok(call.changed(&PUBLIC_KEY, vec![show(stored)], &sent.warnings))
}

/// Switch public keys on or off
///
/// One that is off lets nobody in, and takes back what tokens were issued through it. All are switched or none.
#[utoipa::path(
    put,
    path = "/public-key",
    operation_id = "switch_public_keys",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas"),
        ("key_id" = Option<String>, Query, description = "The same as `id`"),
        ("user_id" = Option<u32>, Query, minimum = 1, description = "Whose; another's is for admins"),
    ),
    request_body = PublicKeyRequest,
    responses(
        (status = 200, description = "What was switched, as it is now", body = PublicKeyAnswer),
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
    let owner = owner(&call, asked_user(&call)?)?;
    let ids = target(&call)?;
    let sent = call.sent(&PUBLIC_KEY, &headers, body).await?;
    let active = public_key::active(public_key::only(&sent)?)?;
    let active =
        active.ok_or_else(|| ApiError::syntax("'active' is required: nothing else can be changed"))?;
    let http = &call.http;
    let switched = http
        .engine
        .catalog
        .change(http.engine.catalog.public_keys.switch_public_keys(owner, &ids, active))
        .await?;
    Ok(call.changed(&PUBLIC_KEY, switched.into_iter().map(show).collect(), &sent.warnings))
}

/// Delete public keys
///
/// Nobody signs in with one any more, and tokens that were issued through it die. All are deleted or none.
#[utoipa::path(
    delete,
    path = "/public-key",
    operation_id = "delete_public_keys",
    tag = "catalog",
    params(
        ("id" = Option<String>, Query, description = "Which; several by commas"),
        ("key_id" = Option<String>, Query, description = "The same as `id`"),
        ("user_id" = Option<u32>, Query, minimum = 1, description = "Whose; another's is for admins"),
    ),
    responses(
        (status = 200, description = "The ids of what was deleted", body = PublicKeys),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        NotFound,
        TooManyRequests,
    )
)]
pub(super) async fn delete(call: ServiceCall) -> Result<Response, ApiError> {
    let owner = owner(&call, asked_user(&call)?)?;
    let ids = target(&call)?;
    let http = &call.http;
    http.engine.catalog.change(http.engine.catalog.public_keys.delete_public_keys(owner, &ids)).await?;
    Ok(call.deleted(&PUBLIC_KEY, &ids))
}

/// What a public key has
///
/// Its fields, with what can be filtered and sorted by.
#[utoipa::path(
    get,
    path = "/public-key/meta",
    operation_id = "public_key_fields",
    tag = "catalog",
    responses(
        (status = 200, description = "The fields", body = Fields),
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn meta(call: ServiceCall) -> Response {
    call.meta(&PUBLIC_KEY)
}

/// `user_id` of the query.
fn asked_user(call: &ServiceCall) -> Result<Option<u32>, ApiError> {
    let parse = |text: &str| text.parse().ok().filter(|&id| id > 0);
    let asked = call
        .query
        .get("user_id")
        .map(|text| parse(text).ok_or_else(|| ApiError::syntax("'user_id' must be a positive integer")));
    asked.transpose()
}

/// To whose keys the call is confined: the caller's own, or for an admin those that it asks for.
fn owner(call: &ServiceCall, asked: Option<u32>) -> Result<Option<u32>, ApiError> {
    let caller = &call.caller.0;
    match asked {
        _ if caller.user_type == UserType::Admin => Ok(asked),
        Some(user_id) if user_id != caller.user_id => Err(ApiError::forbidden("This login is not yours")),
        _ => Ok(Some(caller.user_id)),
    }
}

/// Which keys a change is about.
fn target(call: &ServiceCall) -> Result<Vec<u32>, ApiError> {
    match call.query.get("key_id") {
        Some(ids) => Ok(asked::ids(ids)?),
        None => call.required_ids(),
    }
}
