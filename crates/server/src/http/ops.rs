//! The routes of the ops listener: whether the process is alive, whether it takes writes, and its metrics.

use crate::http::Http;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::{Arc, OnceLock};

/// Empty until the server has started.
pub(super) type Started = Arc<OnceLock<Arc<Http>>>;

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

pub(super) async fn readyz(State(started): State<Started>) -> Response {
    let fault = match started.get() {
        None => Some("starting".to_owned()),
        Some(http) => http.not_ready(),
    };
    match fault {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

pub(super) async fn metrics(State(started): State<Started>) -> Response {
    let Some(http) = started.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response();
    };
    let text = http.metrics_text();
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
