//! Requests of people about their data, as the document shows them. Nothing is made of these types.
#![expect(dead_code, reason = "these types are described, never made")]

use super::super::envelope::DbgInfo;
use super::shapes::{UserSegment, answers, or_extended};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

/// The body of `POST /privacy/consumer-request`.
#[derive(ToSchema)]
#[schema(example = json!({"identifier": "6d92078a-8246-4ba4-ae5b-76104861e7dc", "identifier_type": "maid", "request_type": "access"}))]
pub(crate) struct ConsumerRequestBody {
    /// A platform user id (also as an integer), an id of a device, an extended id, or a member's own id.
    #[schema(min_length = 1)]
    identifier: String,
    identifier_type: IdentifierTypeName,
    request_type: RequestTypeName,
    /// Whose own id it is, for `external`; admins have to say it.
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    member_id: Option<u64>,
}

/// What kind of id it is.
struct IdentifierTypeName;

impl PartialSchema for IdentifierTypeName {
    fn schema() -> RefOr<Schema> {
        or_extended(PlainTypeName::schema())
    }
}

impl ToSchema for IdentifierTypeName {}

/// `uuid2` is the platform's, `maid` a UUID in all domains that have some, `external` a member's own. The others are
/// domains.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum PlainTypeName {
    Uuid2,
    Maid,
    External,
    Idfa,
    Aaid,
    Sha1Udid,
    Sh1Udid,
    Md5Udid,
    OpenUdid,
    WindowsAdId,
    Rida,
    Tifa,
    Vida,
    LgUdid,
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
    /// For `external` alone: whose own id it is.
    #[schema(nullable = false)]
    member_id: Option<u32>,
    /// For `access` alone: what is held, by domain. Those domains are left out in which there is nothing.
    #[schema(nullable = false)]
    users: Option<Vec<UserSegment>>,
    /// For `access` alone: whether what is sent of the person is dropped.
    #[schema(nullable = false)]
    opted_out: Option<bool>,
}
