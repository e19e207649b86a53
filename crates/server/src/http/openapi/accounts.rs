//! Bodies of the services of accounts, as the document shows them. Nothing is made of these types.
#![expect(dead_code, reason = "these types are described, never made")]

use super::State;
use super::status_ok;
use crate::http::envelope::DbgInfo;
use utoipa::ToSchema;

/// `{"member": {…}}` or `{"members": [{…}, …]}`.
#[derive(ToSchema)]
#[schema(example = json!({"member": {"name": "Acme", "default_expiration": 43200}}))]
pub(crate) struct MemberRequest {
    #[schema(nullable = false)]
    member: Option<MemberToSet>,
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    members: Option<Vec<MemberToSet>>,
}

/// What is absent stays as it is, or is as usual in a new one.
#[derive(ToSchema)]
struct MemberToSet {
    /// Which, in a change; of a new one its id, the highest plus one if absent.
    #[schema(minimum = 1)]
    id: Option<u32>,
    #[schema(max_length = 255)]
    name: Option<String>,
    state: Option<State>,
    /// For a membership where neither it nor its segment says; 0 is for ever, null leaves it to the server.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    default_expiration: Option<u32>,
    use_external_uids: Option<bool>,
    /// In whose name space external ids are; null is its own.
    #[schema(minimum = 1)]
    external_member_uid: Option<u32>,
    limits: Option<MemberLimits>,
}

/// A page of members; of those that were deleted only the ids.
#[derive(ToSchema)]
pub(crate) struct MemberList {
    response: MemberListResponse,
}

#[derive(ToSchema)]
struct MemberListResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    /// How many match, or were deleted.
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    start_element: Option<u32>,
    #[schema(nullable = false)]
    num_elements: Option<u32>,
    #[schema(nullable = false)]
    members: Option<Vec<ShownMember>>,
    dbg_info: DbgInfo<'static>,
}

/// What was created or changed: `id` and `member` for one, `count` and `members` for several.
#[derive(ToSchema)]
pub(crate) struct MemberChanged {
    response: MemberChangedResponse,
}

#[derive(ToSchema)]
struct MemberChangedResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    #[schema(nullable = false)]
    id: Option<u32>,
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    member: Option<ShownMember>,
    #[schema(nullable = false)]
    members: Option<Vec<ShownMember>>,
    dbg_info: DbgInfo<'static>,
}

#[derive(ToSchema)]
struct ShownMember {
    id: u32,
    #[schema(nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    state: Option<State>,
    default_expiration: Option<u32>,
    #[schema(nullable = false)]
    use_external_uids: Option<bool>,
    external_member_uid: Option<u32>,
    #[schema(nullable = false)]
    limits: Option<MemberLimits>,
    /// UTC, `YYYY-MM-DD HH:MM:SS`; null where it is not known.
    last_modified: Option<String>,
}

/// A member's own limits: null leaves one to the server, 0 lifts it.
#[derive(ToSchema)]
struct MemberLimits {
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    posts_per_second: Option<u32>,
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    gets_per_second: Option<u32>,
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    users_per_request: Option<u32>,
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    users_per_second: Option<u32>,
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    segments_per_user: Option<u32>,
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    payload_bytes: Option<u32>,
}

/// `{"user": {…}}` or `{"users": [{…}, …]}`.
#[derive(ToSchema)]
#[schema(example = json!({"user": {"username": "ann", "password": "…", "entity_id": 958}}))]
pub(crate) struct UserRequest {
    #[schema(nullable = false)]
    user: Option<UserToSet>,
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    users: Option<Vec<UserToSet>>,
}

/// What is absent stays as it is, or is as usual in a new one.
#[derive(ToSchema)]
struct UserToSet {
    /// Which, in a change of several.
    #[schema(minimum = 1)]
    id: Option<u32>,
    /// Unique without regard to case.
    #[schema(max_length = 255)]
    username: Option<String>,
    /// Is never shown. 10 to 64 characters, among them an upper-case letter, a lower-case letter, a digit and a special character.
    password: Option<String>,
    #[schema(max_length = 255)]
    email: Option<String>,
    #[schema(max_length = 255)]
    first_name: Option<String>,
    #[schema(max_length = 255)]
    last_name: Option<String>,
    state: Option<State>,
    user_type: Option<UserKind>,
    read_only: Option<bool>,
    /// Its member.
    #[schema(minimum = 1)]
    entity_id: Option<u32>,
}

/// A page of logins; of those that were deleted only the ids.
#[derive(ToSchema)]
pub(crate) struct UserList {
    response: UserListResponse,
}

#[derive(ToSchema)]
struct UserListResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    /// How many match, or were deleted.
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    start_element: Option<u32>,
    #[schema(nullable = false)]
    num_elements: Option<u32>,
    #[schema(nullable = false)]
    users: Option<Vec<ShownUser>>,
    /// Where the current one was asked for, beside its `id`.
    #[schema(nullable = false)]
    user: Option<ShownUser>,
    #[schema(nullable = false)]
    id: Option<u32>,
    dbg_info: DbgInfo<'static>,
}

/// What was created or changed: `id` and `user` for one, `count` and `users` for several.
#[derive(ToSchema)]
pub(crate) struct UserChanged {
    response: UserChangedResponse,
}

#[derive(ToSchema)]
struct UserChangedResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    #[schema(nullable = false)]
    id: Option<u32>,
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    user: Option<ShownUser>,
    #[schema(nullable = false)]
    users: Option<Vec<ShownUser>>,
    dbg_info: DbgInfo<'static>,
}

#[derive(ToSchema)]
struct ShownUser {
    id: u32,
    #[schema(nullable = false)]
    username: Option<String>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    #[schema(nullable = false)]
    state: Option<State>,
    #[schema(nullable = false)]
    user_type: Option<UserKind>,
    #[schema(nullable = false)]
    read_only: Option<bool>,
    /// Its member.
    #[schema(nullable = false)]
    entity_id: Option<u32>,
    /// UTC, `YYYY-MM-DD HH:MM:SS`; null where it is not known.
    last_modified: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum UserKind {
    Member,
    Bidder,
    Admin,
}

/// `{"member_data_sharing": {…}}` or `{"member_data_sharings": [{…}, …]}`.
#[derive(ToSchema)]
#[schema(example = json!({"member_data_sharing": {"buyer_member_id": 1661, "segment_exposure": "list", "segments": [{"id": 10001}]}}))]
pub(crate) struct SharingRequest {
    #[schema(nullable = false)]
    member_data_sharing: Option<SharingToSet>,
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    member_data_sharings: Option<Vec<SharingToSet>>,
}

/// What is absent stays as it is, or is as usual in a new one.
#[derive(ToSchema)]
struct SharingToSet {
    /// Which, in a change of several.
    #[schema(minimum = 1)]
    id: Option<u32>,
    /// Whose segments; the caller's member if absent, another is for admins. On creation.
    #[schema(minimum = 1)]
    data_member_id: Option<u32>,
    /// Who sees them. On creation.
    #[schema(minimum = 1)]
    buyer_member_id: Option<u32>,
    segment_exposure: Option<Exposure>,
    /// For `list`; segments of the data member.
    #[schema(max_items = 10_000)]
    segments: Option<Vec<SegmentToShare>>,
}

/// A page of sharing; of those that were deleted only the ids.
#[derive(ToSchema)]
pub(crate) struct SharingList {
    response: SharingListResponse,
}

#[derive(ToSchema)]
struct SharingListResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    /// How many match, or were deleted.
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    start_element: Option<u32>,
    #[schema(nullable = false)]
    num_elements: Option<u32>,
    #[schema(nullable = false)]
    member_data_sharings: Option<Vec<ShownSharing>>,
    dbg_info: DbgInfo<'static>,
}

/// What was created or changed: `id` and `member_data_sharing` for one, `count` and `member_data_sharings` for several.
#[derive(ToSchema)]
pub(crate) struct SharingChanged {
    response: SharingChangedResponse,
}

#[derive(ToSchema)]
struct SharingChangedResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    #[schema(nullable = false)]
    id: Option<u32>,
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    member_data_sharing: Option<ShownSharing>,
    #[schema(nullable = false)]
    member_data_sharings: Option<Vec<ShownSharing>>,
    dbg_info: DbgInfo<'static>,
}

#[derive(ToSchema)]
struct ShownSharing {
    id: u32,
    #[schema(nullable = false)]
    data_member_id: Option<u32>,
    #[schema(nullable = false)]
    buyer_member_id: Option<u32>,
    #[schema(nullable = false)]
    segment_exposure: Option<Exposure>,
    /// Empty for `all`.
    #[schema(nullable = false)]
    segments: Option<Vec<SharedSegment>>,
    /// UTC, `YYYY-MM-DD HH:MM:SS`; null where it is not known.
    last_modified: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Exposure {
    All,
    List,
}

#[derive(ToSchema)]
struct SharedSegment {
    id: u32,
    /// Its short name.
    name: Option<String>,
}

/// A segment; its id alone will do, too.
#[derive(ToSchema)]
struct SegmentToShare {
    #[schema(minimum = 1)]
    id: u32,
    /// Ignored.
    name: Option<String>,
}

/// `{"batch_segment_config": {…}}` or `{"batch_segment_configs": [{…}, …]}`.
#[derive(ToSchema)]
#[schema(example = json!({"batch_segment_config": {"member_id": 958, "member_segment_access": [{"segment_owner_member_id": 1661}]}}))]
pub(crate) struct BatchConfigRequest {
    #[schema(nullable = false)]
    batch_segment_config: Option<BatchConfigToSet>,
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    batch_segment_configs: Option<Vec<BatchConfigToSet>>,
}

/// What is absent stays as it is, or is as usual in a new one.
#[derive(ToSchema)]
struct BatchConfigToSet {
    /// Whose. Absent where the query says it.
    #[schema(minimum = 1)]
    member_id: Option<u32>,
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    default_expiration: Option<u32>,
    use_external_uids: Option<bool>,
    #[schema(minimum = 1)]
    external_member_uid: Option<u32>,
    /// Into whose segments the member may write, beside its own.
    #[schema(max_items = 10_000)]
    member_segment_access: Option<Vec<SegmentAccess>>,
    #[schema(min_length = 1, max_length = 10)]
    separator_1: Option<String>,
    #[schema(min_length = 1, max_length = 10)]
    separator_2: Option<String>,
    #[schema(min_length = 1, max_length = 10)]
    separator_3: Option<String>,
    #[schema(min_length = 1, max_length = 10)]
    separator_4: Option<String>,
    #[schema(min_length = 1, max_length = 10)]
    separator_5: Option<String>,
    /// Either `SEG_ID` or `SEG_CODE` is among them.
    segment_fields: Option<Vec<SegmentField>>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    hourly_byte_limit: Option<u64>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    hourly_num_lines_limit: Option<u64>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    daily_byte_limit: Option<u64>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    daily_num_lines_limit: Option<u64>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    max_concurrent_uploads: Option<u64>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    num_error_log_lines: Option<u64>,
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    num_invalid_before_error: Option<u64>,
}

/// A page of set-ups; of those that were deleted only the ids.
#[derive(ToSchema)]
pub(crate) struct BatchConfigList {
    response: BatchConfigListResponse,
}

#[derive(ToSchema)]
struct BatchConfigListResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    /// How many match, or were deleted.
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    start_element: Option<u32>,
    #[schema(nullable = false)]
    num_elements: Option<u32>,
    #[schema(nullable = false)]
    batch_segment_configs: Option<Vec<ShownBatchConfig>>,
    dbg_info: DbgInfo<'static>,
}

/// What was created or changed: `id` and `batch_segment_config` for one, `count` and `batch_segment_configs` for several.
#[derive(ToSchema)]
pub(crate) struct BatchConfigChanged {
    response: BatchConfigChangedResponse,
}

#[derive(ToSchema)]
struct BatchConfigChangedResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    #[schema(nullable = false)]
    id: Option<u32>,
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    batch_segment_config: Option<ShownBatchConfig>,
    #[schema(nullable = false)]
    batch_segment_configs: Option<Vec<ShownBatchConfig>>,
    dbg_info: DbgInfo<'static>,
}

#[derive(ToSchema)]
struct ShownBatchConfig {
    id: u32,
    #[schema(nullable = false)]
    member_id: Option<u32>,
    default_expiration: Option<u32>,
    #[schema(nullable = false)]
    use_external_uids: Option<bool>,
    external_member_uid: Option<u32>,
    #[schema(nullable = false)]
    member_segment_access: Option<Vec<SegmentAccess>>,
    #[schema(nullable = false)]
    separator_1: Option<String>,
    #[schema(nullable = false)]
    separator_2: Option<String>,
    #[schema(nullable = false)]
    separator_3: Option<String>,
    #[schema(nullable = false)]
    separator_4: Option<String>,
    #[schema(nullable = false)]
    separator_5: Option<String>,
    #[schema(nullable = false)]
    segment_fields: Option<Vec<SegmentField>>,
    hourly_byte_limit: Option<u64>,
    hourly_num_lines_limit: Option<u64>,
    daily_byte_limit: Option<u64>,
    daily_num_lines_limit: Option<u64>,
    max_concurrent_uploads: Option<u64>,
    num_error_log_lines: Option<u64>,
    num_invalid_before_error: Option<u64>,
    /// UTC, `YYYY-MM-DD HH:MM:SS`; null where it is not known.
    last_modified: Option<String>,
}

#[derive(ToSchema)]
struct SegmentAccess {
    #[schema(minimum = 1)]
    segment_owner_member_id: u32,
}

#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
enum SegmentField {
    SegId,
    SegCode,
    MemberId,
    Expiration,
    Value,
    Timestamp,
}
