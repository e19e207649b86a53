//! Requests of people about their data, as the document shows them. Nothing is made of these types.
#![expect(dead_code, reason = "these types are described, never made")]

use super::super::envelope::DbgInfo;
use super::shapes::{UserSegment, answers};
use utoipa::ToSchema;

/// The body of `POST /privacy/consumer-request`.
#[derive(ToSchema)]
#[schema(example = json!({"identifier": "6d92078a-8246-4ba4-ae5b-76104861e7dc", "identifier_type": "maid", "request_type": "access"}))]
pub(crate) struct ConsumerRequestBody {
    /// A platform user id (also as an integer), or the UUID of a device.
    #[schema(min_length = 1)]
    identifier: String,
    identifier_type: IdentifierTypeName,
    request_type: RequestTypeName,
}

/// What kind of id it is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum IdentifierTypeName {
    Uuid2,
    Maid,
}

/// What is asked for.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum RequestTypeName {
    Access,
    Delete,
    OptOut,
    OptIn,
}

answers! {
    /// A success of `POST /privacy/consumer-request`.
    ConsumerRequestAnswer ConsumerRequestResponse {
        consumer_request: ConsumerRequestDone,
        dbg_info: DbgInfo<'static>,
    }
}

/// What was done.
#[derive(ToSchema)]
struct ConsumerRequestDone {
    /// In its canonical spelling.
    identifier: String,
    identifier_type: IdentifierTypeName,
    request_type: RequestTypeName,
    /// For `access` alone: what is held, by domain. Those domains are left out in which there is nothing.
    #[schema(nullable = false)]
    users: Option<Vec<UserSegment>>,
    /// For `access` alone: whether what is sent of the person is dropped.
    #[schema(nullable = false)]
    opted_out: Option<bool>,
}
