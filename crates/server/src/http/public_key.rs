//! `/public-key`: the keys with which a login signs in.

use super::error::ApiError;
use super::openapi::{Forbidden, KeysOfUser, NotFound};
use super::page::BodyPage;
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::UserType;
use ia_engine::services::public_key::{self, PublicKeys};

/// Public keys
///
/// The caller's own; all for an admin that names no login.
#[utoipa::path(
    get,
    path = "/public-key",
    operation_id = "list_public_keys",
    params(KeysOfUser),
    responses(Forbidden)
)]
pub(super) async fn get(call: ServiceCall, page: BodyPage) -> Result<Response, ApiError> {
    let owner = owner(&call, call.query.id("user_id")?)?;
    let mut request = call.list_request::<PublicKeys>(&["user_id", "key_id"], page)?;
    if let Some(ids) = call.ids_of("key_id")? {
        request.only::<PublicKeys>(&ids);
    }
    call.list::<PublicKeys>(&owner, request).await
}

/// A new public key
///
/// RSA, 2048 to 8192 bits, in PEM. A login may have 10.
#[utoipa::path(post, path = "/public-key", operation_id = "create_public_key",
    params(("user_id" = Option<u32>, Query, minimum = 1, description = "Whose; the caller's own if absent, another's is for admins")),
    responses((status = 200, description = "What was stored"), NotFound))]
pub(super) async fn post(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let asked = call.query.id("user_id")?;
    let body = call.body::<PublicKeys>(&headers, body).await?;
    let named = public_key::owner(&body)?;
    if named.is_some() && asked.is_some() && named != asked {
        return Err(ApiError::syntax("'user_id' is not that of the query"));
    }
    let caller = call.caller.0.user_id;
    let owner = owner(&call, Some(asked.or(named).unwrap_or(caller)))?;
    call.create::<PublicKeys>(&owner, &body, None).await
}

/// Switch public keys on or off
///
/// One that is off lets nobody in, and takes back what tokens were issued through it. All are switched or none.
#[utoipa::path(put, path = "/public-key", operation_id = "switch_public_keys", params(KeysOfUser),
    responses((status = 200, description = "What was switched, as it is now")))]
pub(super) async fn put(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let owner = owner(&call, call.query.id("user_id")?)?;
    let ids = target(&call)?;
    call.change::<PublicKeys>(&owner, Some(ids), false, (headers, body)).await
}

/// Delete public keys
///
/// Nobody signs in with one any more, and tokens that were issued through it die. All are deleted or none.
#[utoipa::path(delete, path = "/public-key", operation_id = "delete_public_keys", params(KeysOfUser))]
pub(super) async fn delete(call: ServiceCall) -> Result<Response, ApiError> {
    let owner = owner(&call, call.query.id("user_id")?)?;
    call.delete::<PublicKeys>(&owner, &target(&call)?).await
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
    match (call.ids_of("key_id")?, call.ids()?) {
        (Some(named), Some(ids)) if named != ids => {
            Err(ApiError::syntax("'key_id' is another name of 'id', and says something else"))
        }
        (Some(ids), _) => Ok(ids),
        (None, _) => call.required_ids(),
    }
}
