//! `GET /openapi.json`: the API as a machine reads it, put together from the attributes of the handlers.
//!
//! `routes!` puts a route and its description into router and document at once (`utoipa_axum`). One that goes past it
//! is in no document, and no test would look for it.
//! What all operations have in common is added here; what the operations of a catalog service share is added in
//! `resources`, and what the pixels share in `pixels`.

mod failures;
mod parameters;
mod pixels;
mod privacy;
mod resources;
mod shapes;

pub(super) use failures::{
    Conflict, FileFailures, FileTooLarge, Forbidden, MetaFailures, NotFound, PixelFailures, PostFailures,
    ReadFailures, TooLarge, TooManyFiles, Unavailable, Unprocessable, UploadFailures, UploadTooSlow,
};
pub(super) use parameters::{
    Append, ConsentQuery, ExternalIdOwner, KeysOfUser, OfMember, SegmentCode, SegmentOwner,
};
pub(super) use pixels::{Redirect, pixels};
pub(super) use privacy::*;
pub(super) use resources::{Fields, catalog};
pub(super) use shapes::*;

use super::caller::TOKEN_COOKIE;
use super::envelope::json_bytes;
use axum::Extension;
use axum::body::Bytes;
use axum::response::Response;
use utoipa::IntoResponses;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Required};
use utoipa_axum::router::UtoipaMethodRouter;

/// The document, written.
#[derive(Clone)]
pub(super) struct Document(Bytes);

/// This document
///
/// The only answer in JSON that is not under `response`. It takes no token: it says nothing of anybody's data.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "description", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document", content_type = "application/json", body = Object)))]
pub(super) async fn get(Extension(Document(bytes)): Extension<Document>) -> Response {
    json_bytes(bytes)
}

/// What a document begins with, before it has any routes.
pub(super) fn beginning() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Instant Audience")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("introduction.md")));
    let each = |name| SecurityRequirement::new::<_, [&str; 0], _>(name, []);
    OpenApiBuilder::new().info(info).security(Some(token_schemes().map(|(name, _)| each(name)))).build()
}

/// The document of all routes: with what they have in common.
pub(super) fn finish(mut api: OpenApi) -> Document {
    for item in api.paths.paths.values_mut() {
        operations(item).for_each(complete);
    }
    let components = api.components.get_or_insert_default();
    components.responses.extend(failures::components());
    components.schemas.extend(failures::schemas());
    let schemes = token_schemes().map(|(name, scheme)| (name.to_owned(), RefOr::T(scheme)));
    components.security_schemes.extend(schemes);
    Document(api.to_json().expect("a document is plain data").into())
}

/// Where a token may be; any one of them will do.
fn token_schemes() -> [(&'static str, SecurityScheme); 4] {
    let key = |name, about| ApiKeyValue::with_description(name, about);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The token after `Bearer`, in the `Authorization` header."))
        .build();
    let bare = "The token alone in the `Authorization` header, without a scheme.";
    [
        ("token", SecurityScheme::ApiKey(ApiKey::Header(key("Authorization", bare)))),
        ("bearer", SecurityScheme::Http(bearer)),
        ("query", SecurityScheme::ApiKey(ApiKey::Query(key("access_token", "Where no header has a token.")))),
        (
            "cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(key(
                TOKEN_COOKIE,
                "Where neither header nor query has one.",
            ))),
        ),
    ]
}

/// The same handlers under another path. `rename` gives an operation its other id, and a parameter of the query that
/// the path names is one of the path.
pub(super) fn alias<S>(
    path: &str,
    rename: impl Fn(&str) -> String,
    (schemas, mut paths, router): UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S> {
    let mut items = std::mem::take(&mut paths.paths).into_values();
    let mut alias = items.next().expect("one path has routes");
    items.for_each(|item| alias.merge_operations(item));
    for operation in operations(&mut alias) {
        operation.operation_id = operation.operation_id.as_deref().map(&rename);
        for parameter in operation.parameters.iter_mut().flatten() {
            let RefOr::T(parameter) = parameter else { continue };
            if path.contains(&format!("{{{}}}", parameter.name)) {
                parameter.parameter_in = ParameterIn::Path;
                parameter.required = Required::True;
                let about = parameter.description.take().unwrap_or_default();
                parameter.description = Some(about.replace(" if absent", ""));
            }
        }
    }
    paths.paths.insert(path.to_owned(), alias);
    (schemas, paths, router)
}

/// Describes what is about one object, whose id its path has, and so not about a list.
pub(super) fn one<S>((schemas, mut paths, router): UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    const OF_LISTS: [&str; 5] = ["search", "sort", "start_element", "num_elements", "code"];
    for operation in paths.paths.values_mut().flat_map(operations) {
        operation.parameters.get_or_insert_default().retain_mut(|parameter| match parameter {
            RefOr::T(parameter) if parameter.name == "id" => {
                let id = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
                parameter.schema = Some(id.maximum(Some(u32::MAX)).into());
                parameter.description = Some("Which".to_owned());
                true
            }
            RefOr::T(parameter) => !OF_LISTS.contains(&parameter.name.as_str()),
            RefOr::Ref(_) => true,
        });
    }
    (schemas, paths, router)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}

/// Adds what every operation has: a request id in both directions, and the fault of the server.
fn complete(operation: &mut Operation) {
    operation.parameters.get_or_insert_default().push(RefOr::T(request_id_parameter()));
    operation.responses.responses.extend(failures::ServerFault::responses());
    if operation.tags.iter().flatten().any(|tag| tag == "catalog") {
        tell_rates(operation);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers.insert("X-Request-Id".to_owned(), RefOr::T(request_id_header()));
        }
    }
}

/// Adds what every answer of a catalog service has. Failures are described in place then: elsewhere they come without.
fn tell_rates(operation: &mut Operation) {
    let failures = failures::components();
    for response in operation.responses.responses.values_mut() {
        if let RefOr::Ref(reference) = response {
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
            *response = failures[name].clone();
        }
        if let RefOr::T(response) = response {
            for (name, what) in [("X-Ratelimit-Read", "read"), ("X-Ratelimit-Write", "change something")] {
                let requests = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
                let about =
                    format!("How many requests a minute may {what}; left out where there is no limit.");
                let header = HeaderBuilder::new().schema(Some(requests)).description(Some(about)).build();
                response.headers.insert(name.to_owned(), RefOr::T(header));
            }
        }
    }
}

fn request_id_parameter() -> Parameter {
    ParameterBuilder::new()
        .name("X-Request-Id")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "1 to 128 letters, digits, `-`, `_`, `.` or `:`, to be found in the answer, in the server's log and in \
             the record of a write. Anything else is ignored, and a new id made.",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn request_id_header() -> Header {
    let id = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(128))
        .pattern(Some("^[A-Za-z0-9_.:-]+$"));
    HeaderBuilder::new()
        .schema(Some(id))
        .description(Some("The caller's id of the request, or a new one."))
        .build()
}

#[cfg(test)]
mod tests {
    use super::super::envelope::REQUEST_ID;

    #[test]
    fn the_header_is_described_under_the_name_it_has() {
        assert_eq!(REQUEST_ID, "X-Request-Id".to_ascii_lowercase());
    }
}
