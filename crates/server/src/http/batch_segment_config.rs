//! `/batch-segment-config`: into whose segments a member may write, and how its files are laid out.

use super::accounts;
use super::error::ApiError;
use super::openapi::{
    BadRequest, BatchConfigChanged, BatchConfigList, BatchConfigRequest, Conflict, Fields, Forbidden,
    ListParameters, NotAuthenticated, NotFound, TooLarge, TooManyRequests, Unavailable,
};
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_catalog::BATCH_SEGMENT_CONFIG;
use ia_engine::services::accounts::Batch;

/// Set-ups of members
///
/// For admins. Each member has one, which says what is usual where nothing was set.
#[utoipa::path(
    get,
    path = "/batch-segment-config",
    operation_id = "list_batch_configs",
    tag = "catalog",
    params(
        ListParameters,
        ("member_id" = Option<String>, Query, description = "Whose; several by commas"),
    ),
    responses(
        (status = 200, description = "A page of the list", body = BatchConfigList),
        BadRequest,
        NotAuthenticated,
        Forbidden,
        TooManyRequests,
    )
)]
pub(super) async fn get(call: ServiceCall) -> Result<Response, ApiError> {
    call.caller.must_be_admin()?;
    accounts::list::<Batch>(&call).await
}

/// Sets up a member
///
/// For admins, where nobody has done it. `member_segment_access` is in force before the answer.
#[utoipa::path(
    post,
    path = "/batch-segment-config",
    operation_id = "create_batch_configs",
    tag = "catalog",
    params(
        ("member_id" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "Whose. Absent where the body says it"),
    ),
    request_body = BatchConfigRequest,
    responses(
        (status = 200, description = "What was created", body = BatchConfigChanged),
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
    call.caller.must_be_admin()?;
    let member = call.query.member_id()?.map(|id| id.0);
    accounts::create::<Batch>(&call, member, &headers, body).await
}

/// Changes of set-ups
///
/// For admins. What is given is changed. `member_segment_access` is in force before the answer.
#[utoipa::path(
    put,
    path = "/batch-segment-config",
    operation_id = "change_batch_configs",
    tag = "catalog",
    params(
        ("member_id" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "Whose. Absent where the body says it"),
        ("append" = Option<String>, Query, description = "true: lists come to what is there"),
    ),
    request_body = BatchConfigRequest,
    responses(
        (status = 200, description = "What was changed, as it is now", body = BatchConfigChanged),
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
    call.caller.must_be_admin()?;
    let member = call.query.member_id()?.map(|id| id.0);
    accounts::change::<Batch>(&call, member.map(|id| vec![id]), &headers, body).await
}

/// What a set-up has
///
/// Its fields, with what can be filtered and sorted by.
#[utoipa::path(
    get,
    path = "/batch-segment-config/meta",
    operation_id = "batch_config_fields",
    tag = "catalog",
    responses(
        (status = 200, description = "The fields", body = Fields),
        NotAuthenticated,
        TooManyRequests,
    )
)]
pub(super) async fn meta(call: ServiceCall) -> Response {
    call.meta(&BATCH_SEGMENT_CONFIG)
}
