//! HTTP: the only place that knows axum. One file a resource; a handler extracts, calls, responds.

mod asked_users;
mod auth;
mod batch_segment;
mod batch_segment_config;
mod body;
mod caller;
mod client;
mod connection;
mod consumer_request;
mod envelope;
mod error;
mod h1;
mod h2;
mod member;
mod member_data_sharing;
mod metrics;
mod openapi;
mod ops;
mod page;
mod path;
mod pixels;
mod public_key;
mod query;
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
pub(crate) use h1::fuzz;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
pub(crate) use client::{Proxies, TrustedProxies};
use connection::Peer;
use error::ApiError;
use ia_engine::services::accounts::{Batch, Members, Sharing, Users};
use ia_engine::services::file_job::FileJobs;
use ia_engine::services::public_key::PublicKeys;
use ia_engine::services::segment::Segments;
use openapi::catalog;
use routes::{RT_SEGMENT, Route, USER_SEGMENT};
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
    /// Where plain requests may go ahead of the router; `None` for the ops listener, in front of which no proxy stands.
    http: Option<Arc<Http>>,
}

impl Service {
    /// The API.
    pub(crate) fn api(http: Arc<Http>) -> Service {
        let mut routes = OpenApiRouter::with_openapi(openapi::beginning())
            .routes(routes!(auth::post))
            .routes(routes!(auth::post_signed))
            .routes(routes!(rt_segment::post))
            .routes(routes!(rt_segment_processed::get))
            .routes(routes!(user_segment::get, user_segment::post))
            .routes(routes!(consumer_request::post))
            .routes(routes!(batch_segment::post))
            .routes(catalog::<FileJobs, _>(routes!(batch_segment::get)))
            .routes(routes!(batch_segment::upload, batch_segment::upload_by_put))
            .merge(catalog_routes())
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

    /// Answers a request of HTTP/1. The two routes that carry the load do without the router, whose layers take longer
    /// than they do. What they leave of the body is the caller's to read.
    async fn answer(&self, mut request: Request, peer: Peer) -> Response {
        path::simplify(request.uri_mut());
        let (method, path) = (request.method(), request.uri().path());
        match &self.http {
            Some(http) if *method == Method::GET && path == USER_SEGMENT.path => {
                let client = http.client(peer, request.headers());
                envelope::enclose(http, client, request, &USER_SEGMENT, user_segment::get).await
            }
            Some(http) if *method == Method::POST && path == RT_SEGMENT.path => {
                let client = http.client(peer, request.headers());
                envelope::enclose(http, client, request, &RT_SEGMENT, rt_segment::post).await
            }
            _ => self.route(request, peer).await,
        }
    }

    /// Answers a request of HTTP/2.
    async fn answer_http2(&self, mut request: Request, peer: Peer) -> Response {
        path::simplify(request.uri_mut());
        self.route(request, peer).await
    }

    /// Answers a request by the router.
    async fn route(&self, mut request: Request, peer: Peer) -> Response {
        if let Some(http) = &self.http {
            let client = http.client(peer, request.headers());
            request.extensions_mut().insert(client);
        }
        let Ok(response) = self.router.clone().oneshot(request).await;
        response
    }

    /// The answer to what is no request.
    fn refusal(&self, refused: h1::Refused, peer: Peer) -> Response {
        let error = match refused {
            h1::Refused::TooLarge => ApiError::head_too_large(h1::MAX_HEAD_BYTES),
            h1::Refused::Malformed => ApiError::syntax("This is no well-formed HTTP request"),
        };
        match &self.http {
            Some(http) => envelope::refusal(http, peer, error),
            None => error.status.into_response(),
        }
    }
}

/// The catalog services.
fn catalog_routes() -> OpenApiRouter<Arc<Http>> {
    let segments =
        || catalog::<Segments, _>(routes!(segment::get, segment::post, segment::put, segment::delete));
    let sharing = || {
        catalog::<Sharing, _>(routes!(
            member_data_sharing::get,
            member_data_sharing::post,
            member_data_sharing::put,
            member_data_sharing::delete
        ))
    };
    let mut routes = OpenApiRouter::new()
        .routes(segments())
        .routes(openapi::alias("/segment/{member_id}", |id| format!("{id}_of_member"), segments()))
        .routes(openapi::one(openapi::alias(
            "/segment/{member_id}/{id}",
            |id| format!("{}_of_member", id.trim_start_matches("list_").trim_end_matches('s')),
            catalog::<Segments, _>(routes!(segment::get, segment::put, segment::delete)),
        )))
        .routes(catalog::<Members, _>(routes!(member::get, member::post, member::put)))
        .routes(catalog::<Users, _>(routes!(user::get, user::post, user::put, user::delete)))
        .routes(sharing())
        .routes(openapi::alias("/member-data-sharings", |id| format!("{id}_plural"), sharing()))
        .routes(catalog::<Batch, _>(routes!(
            batch_segment_config::get,
            batch_segment_config::post,
            batch_segment_config::put
        )))
        .routes(catalog::<PublicKeys, _>(routes!(
            public_key::get,
            public_key::post,
            public_key::put,
            public_key::delete
        )));
    for (path, operation_id) in [
        ("/segment/meta", "segment_fields"),
        ("/member/meta", "member_fields"),
        ("/user/meta", "user_fields"),
        ("/member-data-sharing/meta", "sharing_fields"),
        ("/member-data-sharings/meta", "sharing_fields_plural"),
        ("/batch-segment-config/meta", "batch_config_fields"),
        ("/batch-segment/meta", "batch_job_fields"),
        ("/public-key/meta", "public_key_fields"),
    ] {
        routes = routes.routes(openapi::alias(path, |_| operation_id.to_owned(), routes!(service::meta)));
    }
    routes
}

async fn no_such_service(method: Method, path: Option<MatchedPath>) -> ApiError {
    let instead = path.and_then(|path| Route::of(path.as_str()).instead_of(&method));
    instead.map_or_else(ApiError::no_such_service, ApiError::no_such_method)
}

/// A panic is a bug: the caller gets a 500, the panic hook has written what is known of it.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::internal_without_cause().into_response()
}
