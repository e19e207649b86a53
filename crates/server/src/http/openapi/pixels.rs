//! What all pixels have in common, and the answer that several share.

use super::failures::TooManyRequests;
use super::operations;
use utoipa::IntoResponses;
use utoipa::openapi::RefOr;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::OpenApiRouter;

/// To a host that the operator has named
#[derive(IntoResponses)]
#[response(status = 302, headers(("Location" = String, description = "The URL with the id in it")))]
pub(crate) struct Redirect;

/// The headers of every success. Where a handler describes one, that description stays.
const HEADERS: [(&str, &str); 3] = [
    ("Set-Cookie", "`uuid2=…`, the browser's id"),
    ("Cache-Control", "`no-store`"),
    ("X-Content-Type-Options", "`nosniff`"),
];

/// Describes what all pixels share. They take no token, and each has a rate.
pub(crate) fn pixels<S: Clone + Send + Sync + 'static>(mut routes: OpenApiRouter<S>) -> OpenApiRouter<S> {
    for operation in routes.get_openapi_mut().paths.paths.values_mut().flat_map(operations) {
        operation.tags = Some(vec!["pixels".to_owned()]);
        operation.security = Some(vec![SecurityRequirement::default()]);
        for response in operation.responses.responses.values_mut() {
            let RefOr::T(response) = response else { continue };
            for (name, about) in HEADERS {
                let text = ObjectBuilder::new().schema_type(Type::String);
                let header = HeaderBuilder::new().schema(Some(text)).description(Some(about)).build();
                response.headers.entry(name.to_owned()).or_insert(header.into());
            }
        }
        operation.responses.responses.extend(TooManyRequests::responses());
    }
    routes
}
