//! What failures look like: the same body everywhere, each status with the identifiers that come with it.

use super::super::envelope::FailureBody;
use super::request_id_header;
use std::collections::BTreeMap;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

/// A status with its meaning.
struct Kind {
    name: &'static str,
    status: u16,
    error_ids: &'static [&'static str],
    means: &'static str,
}

macro_rules! failures {
    ($($(#[doc = $means:literal])+ $name:ident: $status:literal, $($error_id:literal)|+;)+) => {
        const KINDS: &[Kind] = &[$(Kind {
            name: stringify!($name),
            status: $status,
            error_ids: &[$($error_id),+],
            means: concat!($($means),+),
        }),+];

        $(
            $(#[doc = $means])+
            pub(in super::super) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    let name = stringify!($name);
                    [(stringify!($status).to_owned(), RefOr::Ref(Ref::from_response_name(name)))].into()
                }
            }
        )+
    };
}

failures! {
    /// The body is not JSON, or a field or parameter makes no sense, or the body did not arrive in time.
    BadRequest: 400, "SYNTAX";
    /// No token, an unknown or expired one, a wrong user name or password; or the login is switched off.
    NotAuthenticated: 401, "NOAUTH" | "NOAUTH_DISABLED";
    /// The token is good, and what is asked for is not for it.
    Forbidden: 403, "UNAUTH";
    /// There is no such object, or it is not one that the caller may change.
    NotFound: 404, "SYNTAX";
    /// The change conflicts with what is stored, or there may be no more objects of the kind.
    Conflict: 409, "INTEGRITY" | "LIMIT";
    /// The body is over its limit.
    TooLarge: 413, "SYNTAX";
    /// The file is over its limit.
    FileTooLarge: 413, "LIMIT";
    /// The upload took too long.
    UploadTooSlow: 408, "LIMIT";
    /// Over a limit of files, or a rate.
    TooManyFiles: 429, "LIMIT" | "SYSTEM";
    /// A field of the body is missing, unknown, or has a value that makes no sense.
    Unprocessable: 422, "SYNTAX";
    /// Over a rate.
    TooManyRequests: 429, "SYSTEM";
    /// A fault of the server.
    ServerFault: 500, "SYSTEM";
    /// Not able to take this on now. Nothing of it is visible.
    Unavailable: 503, "SYSTEM";
}

macro_rules! together {
    ($($(#[doc = $means:literal])+ $name:ident: $($failure:ident)+;)+) => {$(
        $(#[doc = $means])+
        pub(in super::super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$($failure::responses()),+].into_iter().flatten().collect()
            }
        }
    )+};
}

together! {
    /// Of every read.
    ReadFailures: BadRequest NotAuthenticated TooManyRequests;
    /// Of every list of a catalog service; the last ones because of a body, which may say the page.
    ListFailures: BadRequest NotAuthenticated NotFound TooManyRequests TooLarge Unavailable;
    /// Of every POST that is not to a catalog service or a pixel.
    PostFailures: BadRequest NotAuthenticated TooLarge TooManyRequests Unavailable;
    /// Of every new job of a file.
    FileFailures: BadRequest NotAuthenticated NotFound TooLarge Unavailable;
    /// Of every upload of a file.
    UploadFailures: BadRequest Unavailable;
    /// Of every creation by a catalog service.
    CreateFailures: BadRequest NotAuthenticated Forbidden Conflict TooLarge TooManyRequests Unavailable;
    /// Of every change by a catalog service.
    ChangeFailures: BadRequest NotAuthenticated Forbidden NotFound TooLarge TooManyRequests Unavailable;
    /// Of every deletion by a catalog service.
    DeleteFailures: BadRequest NotAuthenticated Forbidden NotFound TooManyRequests;
    /// Of the pixels that read a query and may write. Every pixel can be over its rate.
    PixelFailures: BadRequest Unavailable;
    /// Of the description of a catalog service.
    MetaFailures: NotAuthenticated TooManyRequests;
}

/// All of them, to be referred to by name.
pub(super) fn components() -> BTreeMap<String, RefOr<Response>> {
    KINDS.iter().map(|kind| (kind.name.to_owned(), RefOr::T(response(kind)))).collect()
}

/// The body that they refer to, with all that it refers to.
pub(super) fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let mut schemas = vec![(FailureBody::name().into(), FailureBody::schema())];
    FailureBody::schemas(&mut schemas);
    schemas
}

fn response(kind: &Kind) -> Response {
    let one_of = |values: &[&str]| {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values.iter().copied()))
    };
    let any = || ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    let mut failure = any().property("error_id", one_of(kind.error_ids)).required("error_id");
    let error_codes: &[&str] = match kind.name {
        "FileTooLarge" => &["FILESIZE_LIMIT_EXCEEDED"],
        "UploadTooSlow" => &["RATE_LIMIT_EXCEEDED"],
        "TooManyFiles" => &["RATE_LIMIT_EXCEEDED", "RATE_EXCEEDED"],
        "TooManyRequests" => &["RATE_EXCEEDED"],
        _ => &[],
    };
    if !error_codes.is_empty() {
        failure = failure.property("error_code", one_of(error_codes)).required("error_code");
    }
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name(FailureBody::name()))
        .item(any().property("response", failure));
    let response = ResponseBuilder::new()
        .description(kind.means.trim())
        .content("application/json", ContentBuilder::new().schema(Some(schema)).build())
        .header("X-Request-Id", request_id_header());
    if !matches!(kind.status, 429 | 503) {
        return response.build();
    }
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let retry_after = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait."));
    response.header("Retry-After", retry_after.build()).build()
}
