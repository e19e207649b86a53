//! HTTP: the only place that knows axum. One file a resource; a handler extracts, calls, responds.

mod asked_users;
mod auth;
mod batch_segment_config;
mod body;
mod caller;
mod consumer_request;
mod envelope;
mod error;
mod framing;
mod general;
mod member;
mod member_data_sharing;
mod metrics;
mod openapi;
mod ops;
mod pixels;
mod plain;
mod public_key;
mod query;
mod refusal;
mod routes;
mod rt_segment;
mod rt_segment_processed;
mod segment;
pub(crate) mod serve;
mod service;
mod state;
mod user;
mod user_segment;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use plain::fuzz;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use error::ApiError;
use ia_engine::budget::Reservation;
use routes::{RT_SEGMENT, USER_SEGMENT};
use serve::Peer;
pub(crate) use state::{Http, HttpOptions};
use std::any::Any;
use std::sync::{Arc, OnceLock};
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What answers the requests of a listener.
#[derive(Clone)]
pub(crate) struct Service {
    router: Router,
    /// Where plain requests may go ahead of the router.
    http: Option<Arc<Http>>,
}

impl Service {
    /// The API.
    pub(crate) fn api(http: Arc<Http>) -> Service {
        let mut routes = OpenApiRouter::with_openapi(openapi::beginning())
            .routes(routes!(auth::post))
            .routes(routes!(auth::post_signed))
            .routes(routes!(public_key::get, public_key::post, public_key::put, public_key::delete))
            .routes(routes!(public_key::meta))
            .routes(routes!(rt_segment::post))
            .routes(routes!(rt_segment_processed::get))
            .routes(routes!(user_segment::get, user_segment::post))
            .routes(routes!(consumer_request::post))
            .routes(routes!(segment::get, segment::post, segment::put, segment::delete))
            .routes(routes!(segment::meta))
            .routes(openapi::alias(
                "/segment/{member_id}",
                "of_member",
                routes!(segment::get, segment::post, segment::put, segment::delete),
            ))
            .merge(account_routes())
            .routes(routes!(openapi::get));
        // What is switched off is neither there nor described.
        if http.pixels.is_some() {
            routes = routes.merge(pixels::routes());
        }
        let (routes, description) = routes.split_for_parts();
        let router = routes
            .layer(Extension(openapi::finish(description)))
            .fallback(no_such_service)
            .method_not_allowed_fallback(no_such_service)
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(Arc::clone(&http), envelope::envelope))
            // The handlers bound what they read themselves, by the member's limit.
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&http));
        Service { router, http: Some(http) }
    }

    /// What the ops listener says, which answers before there is an http.
    pub(crate) fn ops(started: Arc<OnceLock<Arc<Http>>>) -> Service {
        let router = Router::new()
            .route("/healthz", get(ops::healthz))
            .route("/readyz", get(ops::readyz))
            .route("/metrics", get(ops::metrics))
            .with_state(started);
        Service { router, http: None }
    }

    /// Answers a request that came whole. The routes that carry the load do without the router, whose layers
    /// take longer than they do.
    async fn answer(&self, mut request: Request, peer: Peer) -> Response {
        let (method, path) = (request.method(), request.uri().path());
        match &self.http {
            Some(http) if *method == Method::GET && path == USER_SEGMENT.path => {
                envelope::enclose(http, request, &USER_SEGMENT, user_segment::get).await
            }
            Some(http) if *method == Method::POST && path == RT_SEGMENT.path => {
                envelope::enclose(http, request, &RT_SEGMENT, rt_segment::post).await
            }
            _ => {
                request.extensions_mut().insert(peer);
                let Ok(response) = self.router.clone().oneshot(request).await;
                response
            }
        }
    }

    /// For the memory that a body takes while it comes in; `None` where none is expected.
    fn body_share(&self) -> Option<Reservation> {
        self.http.as_ref().map(|http| http.body_budget.share())
    }
}

/// Members, logins, sharing and batch set-ups.
fn account_routes() -> OpenApiRouter<Arc<Http>> {
    let sharing = || {
        routes!(
            member_data_sharing::get,
            member_data_sharing::post,
            member_data_sharing::put,
            member_data_sharing::delete
        )
    };
    let sharing_fields = || routes!(member_data_sharing::meta);
    OpenApiRouter::new()
        .routes(routes!(member::get, member::post, member::put))
        .routes(routes!(member::meta))
        .routes(routes!(user::get, user::post, user::put, user::delete))
        .routes(routes!(user::meta))
        .routes(sharing())
        .routes(sharing_fields())
        .routes(openapi::alias("/member-data-sharings", "plural", sharing()))
        .routes(openapi::alias("/member-data-sharings/meta", "plural", sharing_fields()))
        .routes(routes!(batch_segment_config::get, batch_segment_config::post, batch_segment_config::put))
        .routes(routes!(batch_segment_config::meta))
}

async fn no_such_service() -> ApiError {
    ApiError::no_such_service()
}

/// A panic is a bug: the caller gets a 500, the panic hook has written what is known of it.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::internal_without_cause().into_response()
}
