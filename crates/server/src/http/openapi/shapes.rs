//! Bodies that are read or written by hand, as the document shows them. Nothing is made of these types.
#![expect(dead_code, reason = "these types are described, never made")]

use crate::http::envelope::DbgInfo;
use ia_engine::reading::OpenRtbUser;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// Successes as JSON: `response` with its status and its payload.
macro_rules! answers {
    ($($(#[$about:meta])+ $answer:ident $response:ident { $($(#[$said:meta])* $name:ident: $type:ty,)+ })+) => {$(
        $(#[$about])+
        #[derive(ToSchema)]
        pub(crate) struct $answer {
            response: $response,
        }

        #[derive(ToSchema)]
        struct $response {
            #[schema(schema_with = crate::http::openapi::status_ok)]
            status: String,
            $($(#[$said])* $name: $type,)+
        }
    )+};
}

pub(super) use answers;

answers! {
    /// A success of `POST /rt-segment`.
    RtSegmentAnswer RtSegmentResponse { message: RtSegmentMessage, warnings: Vec<RtSegmentWarning>, }
    /// A success of `GET /user-segment`.
    UserSegmentAnswer UserSegmentResponse { user_segment: UserSegment, dbg_info: DbgInfo<'static>, }
    /// A success of `POST /batch-segment`.
    BatchJobAnswer BatchJobResponse {
        #[schema(minimum = 1)]
        id: u64,
        batch_segment_upload_job: NewBatchJob,
        start_element: u32,
        count: u32,
        num_elements: u32,
        dbg_info: DbgInfo<'static>,
    }
    /// A success of `POST /segment-upload/{job_id}`.
    UploadAnswer UploadResponse { segment_upload: UploadedFile, dbg_info: DbgInfo<'static>, }
    /// A success of `POST /user-segment`.
    UserSegmentsAnswer UserSegmentsResponse {
        /// In the order of the request.
        user_segments: Vec<ReadUser>,
        dbg_info: DbgInfo<'static>,
    }
}

/// A job that waits for its file.
#[derive(ToSchema)]
struct NewBatchJob {
    #[schema(minimum = 1)]
    id: u64,
    /// 40 letters and digits.
    job_id: String,
    #[schema(minimum = 1)]
    member_id: u32,
    #[schema(schema_with = time)]
    last_modified: String,
    /// Where the file is to be sent.
    upload_url: String,
}

/// What an upload was for.
#[derive(ToSchema)]
struct UploadedFile {
    job_id: String,
}

/// `status` of a success.
pub(crate) fn status_ok() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["OK"])).build()
}

/// A time, and how it is written.
pub(crate) fn time() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$"))
        .description(Some("UTC, `YYYY-MM-DD HH:MM:SS`"))
        .build()
}

/// A time, or null for never.
fn time_or_null() -> Object {
    let mut time = time();
    time.schema_type = SchemaType::from_iter([Type::String, Type::Null]);
    time
}

/// A user's id as it is sent.
fn sent_user_id() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255));
    let digits = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(u64::MAX));
    let id = OneOfBuilder::new()
        .item(text)
        .item(digits)
        .description(Some(
            "Without a domain the platform's own id, 1 to 2^64-1; for a member with `use_external_uids` an id of its \
             own, 1 to 255 bytes without control characters. For `idfa`, `aaid`, `windowsadid`, `rida`, `tifa`, \
             `vida`, `lgudid` a UUID; for `sha1udid`, `openudid` 40 hex digits; for `md5udid` 32. For `eid:` and a \
             source 1 to 255 bytes without control characters. An integer is taken as its digits.",
        ))
        .build();
    Schema::OneOf(id)
}

/// The body of `POST /auth`.
#[derive(ToSchema)]
#[schema(example = json!({"auth": {"username": "demo", "password": "Instant-Audience-1"}}))]
pub(crate) struct LoginRequest {
    auth: Credentials,
}

#[derive(ToSchema)]
struct Credentials {
    username: String,
    password: String,
}

/// The body of `POST /rt-segment`.
#[derive(ToSchema)]
#[schema(example = json!({"rt_segment": [{
    "user_id": "12345678900987654321",
    "seg_block": [
        {"seg_id": 10001, "value": 1, "expiration": 1440},
        {"seg_code": "abcd", "member_id": 1661, "expiration": -1},
    ],
    "domain": null,
}]}))]
pub(crate) struct RtSegmentRequest {
    /// Users over the limit of a request, 1,000 as shipped, are left out with a warning.
    rt_segment: Vec<RtSegmentUser>,
}

/// A user and what becomes of it.
#[derive(ToSchema)]
struct RtSegmentUser {
    #[schema(schema_with = sent_user_id)]
    user_id: String,
    /// Blocks over the limit of a user, 100 as shipped, are left out with a warning.
    #[schema(min_items = 1)]
    seg_block: Vec<RtSegmentBlock>,
    /// Null or absent for the platform's own ids, or the member's; `eid:` and its source for an extended id. A domain that
    /// is not known makes the user an invalid one.
    domain: Option<String>,
}

/// A segment, named by `seg_id` or by `seg_code` and `member_id`, and how long the user is in it.
#[derive(ToSchema)]
struct RtSegmentBlock {
    /// The segment. Not together with `seg_code`.
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    seg_id: Option<u64>,
    /// The owner's code of the segment, in any case.
    seg_code: Option<String>,
    /// The owner of `seg_code`.
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    member_id: Option<u64>,
    /// 0 if absent.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    value: Option<u64>,
    /// Minutes from now, 0 for ever, -1 to remove. Absent: the segment's, else the member's, else the server's.
    #[schema(minimum = -1, maximum = 2_147_483_647)]
    expiration: Option<i64>,
}

/// What passed the structural check, whether or not the ids exist; with `verbose=true` also what was accepted.
#[derive(ToSchema)]
struct RtSegmentMessage {
    users_in_request: u64,
    segments_in_request: u64,
    #[schema(nullable = false)]
    users_accepted: Option<u64>,
    #[schema(nullable = false)]
    segments_accepted: Option<u64>,
}

/// A part of the request that was left out, shown as it was sent.
#[derive(ToSchema)]
struct RtSegmentWarning {
    message: String,
    /// The block, the user or the request. Where an object was expected and something else was sent: that.
    #[schema(schema_with = anything)]
    entity: (),
}

fn anything() -> Object {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).build()
}

/// The body of `POST /user-segment`.
#[derive(ToSchema)]
#[schema(example = json!({"users": [{"user_id": "12345678900987654321", "domain": null}]}))]
pub(crate) struct UsersRequest {
    /// At most 1,000 ids.
    #[schema(max_items = 1000)]
    users: Vec<AskedUser>,
}

/// A user by its id, or a person by extended ids, as in the `user` object of OpenRTB: of all ids, the segments are joined.
#[derive(ToSchema)]
struct AskedUser {
    /// Required without `eids`.
    #[schema(schema_with = sent_user_id)]
    user_id: Option<String>,
    domain: Option<KnownDomain>,
    /// As OpenRTB 2.6 has them.
    eids: Option<Vec<AskedEid>>,
    ext: Option<AskedExt>,
}

#[derive(ToSchema)]
struct AskedExt {
    /// As earlier versions of OpenRTB have them.
    eids: Option<Vec<AskedEid>>,
}

/// The ids of one source.
#[derive(ToSchema)]
struct AskedEid {
    #[schema(min_length = 1, max_length = 255)]
    source: String,
    uids: Option<Vec<AskedUid>>,
}

#[derive(ToSchema)]
struct AskedUid {
    #[schema(min_length = 1, max_length = 255)]
    id: String,
}

/// The domain of an id: that of a device, or `eid:` and the source of extended ids.
pub(crate) struct KnownDomain;

impl PartialSchema for KnownDomain {
    fn schema() -> RefOr<Schema> {
        or_extended(DeviceDomain::schema())
    }
}

impl ToSchema for KnownDomain {}

/// One of the names, or that of extended ids.
pub(super) fn or_extended(names: RefOr<Schema>) -> RefOr<Schema> {
    let extended = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^eid:[A-Za-z0-9._-]{1,255}$"))
        .description(Some("`eid:` and a source, such as `eid:liveramp.com`"));
    RefOr::T(Schema::OneOf(OneOfBuilder::new().item(names).item(extended).build()))
}

/// A name space of device ids.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum DeviceDomain {
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

/// How memberships are written.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ReadFormat {
    OpenRtb,
    Codes,
}

/// How memberships of many users are written.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ManyFormat {
    OpenRtb,
}

/// A switch.
#[derive(ToSchema)]
pub(crate) enum Flag {
    #[schema(rename = "true")]
    True,
    #[schema(rename = "false")]
    False,
    #[schema(rename = "1")]
    One,
    #[schema(rename = "0")]
    Zero,
}

/// What `GET /user-segment` answers as JSON.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum OneUser {
    Plain(UserSegmentAnswer),
    OpenRtb(OpenRtbUser),
}

/// What `POST /user-segment` answers.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum ManyUsers {
    Plain(UserSegmentsAnswer),
    OpenRtb(Vec<OpenRtbUser>),
}

/// What the caller may see of a user. Empty for one that is not known.
#[derive(ToSchema)]
pub(super) struct UserSegment {
    user_id: String,
    #[schema(required = true)]
    domain: Option<String>,
    /// Ascending by id.
    segments: Vec<Membership>,
}

/// A user in the form in which it was asked for.
#[derive(ToSchema)]
#[serde(untagged)]
enum ReadUser {
    ById(UserSegment),
    ByEids(PersonSegment),
}

/// What the caller may see of a person that was asked for with `eids`.
#[derive(ToSchema)]
struct PersonSegment {
    /// If it was asked for.
    #[schema(nullable = false)]
    user_id: Option<String>,
    domain: Option<String>,
    /// The ids of each source.
    eids: Vec<AskedEid>,
    /// Joined; ascending by id.
    segments: Vec<Membership>,
}

/// That a user is in a segment.
#[derive(ToSchema)]
struct Membership {
    id: u64,
    #[schema(required = true)]
    code: Option<String>,
    /// The owner of the segment.
    member_id: u64,
    value: u64,
    /// The minute in which it began. Later than now only in the answer to a person's request for access.
    #[schema(schema_with = time)]
    added_on: String,
    #[schema(schema_with = time_or_null)]
    expires_on: String,
    /// How many minutes ago it was last added.
    last_seen_min: u64,
}

/// The answer of `GET /getuidj`.
#[derive(ToSchema)]
pub(crate) struct BrowserId {
    /// 0 for a browser that has opted out.
    uid: u64,
}

/// How a segment pixel is answered.
#[derive(ToSchema)]
pub(crate) enum PixelType {
    #[schema(rename = "1")]
    JavaScript,
    #[schema(rename = "2")]
    Gif,
}

/// The form of `/optout`.
#[derive(ToSchema)]
pub(crate) struct OptOutForm {
    choice: OptOutChoice,
    /// The value of the cookie `ia_optout`.
    token: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum OptOutChoice {
    Out,
    In,
}
