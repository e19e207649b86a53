//! What the services of accounts have in common: each handler names its kind and calls one of these.

use super::error::ApiError;
use super::service::ServiceCall;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_engine::services::accounts::{self, AccountKind};

/// A page of the list.
pub(super) async fn list<K: AccountKind>(call: &ServiceCall) -> Result<Response, ApiError> {
    let asked = call.asked(K::RESOURCE, &[])?;
    let page = K::list(&*call.http.engine.catalog.accounts, &call.caller.0, &asked.query).await?;
    Ok(call.page(K::RESOURCE, &asked, page))
}

/// Creates what the body says; `target` is what the query says that it belongs to.
pub(super) async fn create<K: AccountKind>(
    call: &ServiceCall,
    target: Option<u32>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let sent = call.sent(K::RESOURCE, headers, body).await?;
    let created = accounts::create::<K>(&call.http.engine.services, &call.caller.0, &sent, target).await?;
    Ok(call.changed(K::RESOURCE, created, &sent.warnings))
}

/// Changes what the body says; `ids` is what the query says of which.
pub(super) async fn change<K: AccountKind>(
    call: &ServiceCall,
    ids: Option<Vec<u32>>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let append = call.query.flag("append")?;
    let sent = call.sent(K::RESOURCE, headers, body).await?;
    let changed =
        accounts::change::<K>(&call.http.engine.services, &call.caller.0, &sent, ids, append).await?;
    Ok(call.changed(K::RESOURCE, changed, &sent.warnings))
}

/// One object, under the singular key, with the `fields` that were asked for. The rest of the query is about lists.
pub(super) async fn one<K: AccountKind>(call: &ServiceCall, id: u32) -> Result<Response, ApiError> {
    let shown = call.shown(K::RESOURCE)?;
    let found = accounts::shown::<K>(&call.http.engine.services, &call.caller.0, &[id]).await?;
    let found = found.into_iter().map(|object| shown.of(object)).collect();
    Ok(call.changed(K::RESOURCE, found, &[]))
}
