//! HTTP: the only place that knows axum. One file a resource; a handler extracts, calls, responds.

mod auth;
mod body;
mod caller;
mod envelope;
mod error;
mod ops;
mod query;
mod rt_segment;
mod rt_segment_processed;
pub(crate) mod serve;
mod user_segment;

use crate::app::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use error::ApiError;
use std::any::Any;
use std::sync::{Arc, OnceLock};
use tower_http::catch_panic::CatchPanicLayer;

/// The routes of the API.
pub(crate) fn api(app: Arc<App>) -> Router {
    Router::new()
        .route("/auth", post(auth::post))
        .route("/rt-segment", post(rt_segment::post))
        .route("/rt-segment-processed", get(rt_segment_processed::get))
        .route("/user-segment", get(user_segment::get).post(user_segment::post))
        .fallback(no_such_service)
        .method_not_allowed_fallback(no_such_service)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&app), envelope::envelope))
        // The handlers bound what they read themselves, by the member's limit.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// The routes of the ops listener, which answers before there is an app.
pub(crate) fn ops(started: Arc<OnceLock<Arc<App>>>) -> Router {
    Router::new()
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .with_state(started)
}

async fn no_such_service() -> ApiError {
    ApiError::no_such_service()
}

/// A panic is a bug: the caller gets a 500, the panic hook has written what is known of it.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::internal_without_cause().into_response()
}
