//! `/batch-segment-config`: into whose segments a member may write, and how its files are laid out.

use super::error::ApiError;
use super::openapi::{Append, Forbidden, NotFound};
use super::page::BodyPage;
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_engine::services::accounts::Batch;

/// Set-ups of members
///
/// For admins. Each member has one, which says what is usual where nothing was set.
#[utoipa::path(get, path = "/batch-segment-config", operation_id = "list_batch_configs",
    params(("member_id" = Option<String>, Query, description = "Whose; several by commas or repeated. One alone, without another filter, is answered as one object")),
    responses(Forbidden))]
pub(super) async fn get(call: ServiceCall, page: BodyPage) -> Result<Response, ApiError> {
    call.caller.must_be_admin()?;
    call.list::<Batch>(&call.caller.0, call.list_request::<Batch>(&[], page)?).await
}

/// Sets up a member
///
/// For admins, where nobody has done it. `member_segment_access` is in force before the answer.
#[utoipa::path(
    post,
    path = "/batch-segment-config",
    operation_id = "create_batch_configs",
    responses(NotFound)
)]
pub(super) async fn post(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    call.caller.must_be_admin()?;
    let member = call.query.id("member_id")?;
    let body = call.body::<Batch>(&headers, body).await?;
    call.create::<Batch>(&call.caller.0, &body, member).await
}

/// Changes of set-ups
///
/// For admins. What is given is changed. `member_segment_access` is in force before the answer.
#[utoipa::path(put, path = "/batch-segment-config", operation_id = "change_batch_configs", params(Append))]
pub(super) async fn put(call: ServiceCall, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    call.caller.must_be_admin()?;
    let member = call.query.id("member_id")?;
    call.change::<Batch>(&call.caller.0, member.map(|id| vec![id]), call.append()?, (headers, body)).await
}
