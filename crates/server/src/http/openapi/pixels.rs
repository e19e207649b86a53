//! What all pixels have in common, and the answer that several share.

use super::failures::TooManyRequests;
use super::operations;
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{RefOr, Required};
use utoipa_axum::router::OpenApiRouter;

/// To a host that the operator has named
#[derive(IntoResponses)]
#[response(status = 302, headers(("Location" = String, description = "The URL with the id in it")))]
pub(crate) struct Redirect;

/// The headers of every success. Where a handler describes one, that description stays.
const HEADERS: [(&str, &str); 3] = [
    ("Set-Cookie", "`uuid2=…`, the browser's id; absent without consent"),
    ("Cache-Control", "`no-store`"),
    ("X-Content-Type-Options", "`nosniff`"),
];

/// The header by which a browser refuses consent.
fn global_privacy_control() -> Parameter {
    ParameterBuilder::new()
        .name("Sec-GPC")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some("1: the browser refuses consent"))
        .build()
}

/// Describes what all pixels share. They take no token, and each has a rate.
pub(crate) fn pixels<S: Clone + Send + Sync + 'static>(mut routes: OpenApiRouter<S>) -> OpenApiRouter<S> {
    for (path, item) in &mut routes.get_openapi_mut().paths.paths {
        for operation in operations(item) {
            describe(operation);
            // A person can opt out and in, whatever the browser says.
            if path != "/optout" {
                operation.parameters.get_or_insert_default().push(RefOr::T(global_privacy_control()));
            }
        }
    }
    routes
}

fn describe(operation: &mut Operation) {
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
