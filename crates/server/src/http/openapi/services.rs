//! Bodies of the catalog services, as the document shows them. Nothing is made of these types.
#![expect(dead_code, reason = "these types are described, never made")]

use super::{status_ok, time};
use crate::http::envelope::DbgInfo;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

fn object_or_null() -> Object {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Object, Type::Null])).build()
}

/// What every list takes beside the filters by its fields: `<field>`, `min_<field>`, `max_<field>`, `nmin_<field>`
/// and `nmax_<field>` (absent values count too), `like_<field>`, `not_<field>`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Several by commas, at most 10,000.
    id: Option<String>,
    /// What its searched fields contain.
    search: Option<String>,
    /// `<field>.asc` or `<field>.desc`, several by commas.
    sort: Option<String>,
    /// Which fields to show, by commas; the id always.
    fields: Option<String>,
    /// How many to leave out.
    #[param(minimum = 0)]
    start_element: Option<u32>,
    /// The size of the page: 100 if absent, and at most.
    #[param(minimum = 1)]
    num_elements: Option<u32>,
}

/// The answer of `/meta`.
#[derive(ToSchema)]
pub(crate) struct Fields {
    response: FieldsResponse,
}

#[derive(ToSchema)]
struct FieldsResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    fields: Vec<FieldDescription>,
    dbg_info: DbgInfo<'static>,
}

#[derive(ToSchema)]
struct FieldDescription {
    name: String,
    r#type: String,
    sort_by: bool,
    filter_by: bool,
    read_only: bool,
    required_on: Option<String>,
    #[schema(nullable = false)]
    r#enum: Option<Vec<String>>,
}

/// `{"segment": {…}}` or `{"segments": [{…}, …]}`.
#[derive(ToSchema)]
#[schema(example = json!({"segment": {"code": "sports", "short_name": "Sports fans", "expire_minutes": 43200}}))]
pub(crate) struct SegmentRequest {
    #[schema(nullable = false)]
    segment: Option<SegmentToSet>,
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    segments: Option<Vec<SegmentToSet>>,
}

/// What is absent stays as it is.
#[derive(ToSchema)]
struct SegmentToSet {
    /// Which, in a change of several.
    #[schema(minimum = 1)]
    id: Option<u32>,
    /// Unique in the member without regard to case.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,50}$")]
    code: Option<String>,
    state: Option<State>,
    #[schema(max_length = 255)]
    short_name: Option<String>,
    /// Without `'` and `\`.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// The owner; on creation.
    #[schema(minimum = 1)]
    member_id: Option<u32>,
    /// For a membership that says nothing of it; 0 is for ever.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    expire_minutes: Option<u32>,
    #[schema(minimum = 1)]
    advertiser_id: Option<u32>,
    /// Another segment of the same member.
    #[schema(minimum = 1)]
    parent_segment_id: Option<u32>,
    enable_rm_piggyback: Option<bool>,
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    max_usersync_pixels: Option<u32>,
    #[schema(max_items = 100)]
    piggyback_pixels: Option<Vec<Pixel>>,
    #[schema(schema_with = object_or_null)]
    querystring_mapping: (),
    #[schema(schema_with = object_or_null)]
    querystring_mapping_key_value: (),
    #[schema(minimum = 0)]
    price: Option<f64>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum State {
    Active,
    Inactive,
}

#[derive(ToSchema)]
struct Pixel {
    /// A web address.
    url: String,
    #[schema(nullable = false)]
    pixel_type: Option<PixelType>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum PixelType {
    Js,
    Img,
}

/// A page of segments; of those that were deleted only the ids.
#[derive(ToSchema)]
pub(crate) struct Segments {
    response: SegmentsResponse,
}

#[derive(ToSchema)]
struct SegmentsResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    /// How many match, or were deleted.
    count: u64,
    #[schema(nullable = false)]
    start_element: Option<u32>,
    #[schema(nullable = false)]
    num_elements: Option<u32>,
    segments: Vec<ShownSegment>,
    dbg_info: DbgInfo<'static>,
}

/// What was created or changed: `id` and `segment` for one, `count` and `segments` for several.
#[derive(ToSchema)]
pub(crate) struct SegmentChanged {
    response: SegmentChangedResponse,
}

#[derive(ToSchema)]
struct SegmentChangedResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    #[schema(nullable = false)]
    id: Option<u32>,
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(nullable = false)]
    segment: Option<ShownSegment>,
    #[schema(nullable = false)]
    segments: Option<Vec<ShownSegment>>,
    dbg_info: DbgInfo<'static>,
}

/// A segment; `fields` and sharing leave some of it out.
#[derive(ToSchema)]
struct ShownSegment {
    id: u32,
    code: Option<String>,
    #[schema(nullable = false)]
    state: Option<State>,
    short_name: Option<String>,
    description: Option<String>,
    #[schema(nullable = false)]
    member_id: Option<u32>,
    expire_minutes: Option<u32>,
    advertiser_id: Option<u32>,
    parent_segment_id: Option<u32>,
    #[schema(nullable = false)]
    enable_rm_piggyback: Option<bool>,
    max_usersync_pixels: Option<u32>,
    /// Always null.
    provider_id: Option<u32>,
    piggyback_pixels: Option<Vec<Pixel>>,
    #[schema(schema_with = object_or_null, required = false)]
    querystring_mapping: (),
    #[schema(schema_with = object_or_null, required = false)]
    querystring_mapping_key_value: (),
    #[schema(nullable = false)]
    price: Option<f64>,
    /// Always null.
    category: Option<String>,
    #[schema(nullable = false)]
    object_type: Option<String>,
    #[schema(schema_with = time, required = false)]
    last_modified: String,
}

/// `{"public-key": {…}}`
#[derive(ToSchema)]
#[schema(example = json!({"public-key": {"name": "my-key", "encoded_value": "-----BEGIN PUBLIC KEY-----\nMIIBIj…\n-----END PUBLIC KEY-----\n"}}))]
pub(crate) struct PublicKeyRequest {
    #[schema(rename = "public-key")]
    public_key: PublicKeyToSet,
}

#[derive(ToSchema)]
struct PublicKeyToSet {
    /// What the `kid` of a signed token says; another for each key of a login. On creation.
    #[schema(pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    name: Option<String>,
    /// RSA, 2048 to 8192 bits, in PEM. On creation.
    encoded_value: Option<String>,
    /// Whether it lets anybody in.
    active: Option<bool>,
    /// Whose; on creation.
    #[schema(minimum = 1)]
    user_id: Option<u32>,
}

/// A page of keys; of those that were deleted only the ids.
#[derive(ToSchema)]
pub(crate) struct PublicKeys {
    response: PublicKeysResponse,
}

#[derive(ToSchema)]
struct PublicKeysResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    /// How many match, or were deleted.
    count: u64,
    #[schema(nullable = false)]
    start_element: Option<u32>,
    #[schema(nullable = false)]
    num_elements: Option<u32>,
    #[schema(rename = "public-keys")]
    public_keys: Vec<ShownPublicKey>,
    dbg_info: DbgInfo<'static>,
}

/// What was stored or switched: `id` and `public-key` for one, `count` and `public-keys` for several.
#[derive(ToSchema)]
pub(crate) struct PublicKeyAnswer {
    response: PublicKeyResponse,
}

#[derive(ToSchema)]
struct PublicKeyResponse {
    #[schema(schema_with = status_ok)]
    status: String,
    #[schema(nullable = false)]
    id: Option<u32>,
    #[schema(nullable = false)]
    count: Option<u64>,
    #[schema(rename = "public-key", nullable = false)]
    public_key: Option<ShownPublicKey>,
    #[schema(rename = "public-keys", nullable = false)]
    public_keys: Option<Vec<ShownPublicKey>>,
    dbg_info: DbgInfo<'static>,
}

/// A public key; `fields` leaves some of it out.
#[derive(ToSchema)]
struct ShownPublicKey {
    id: u32,
    #[schema(nullable = false)]
    active: Option<bool>,
    #[schema(nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    user_id: Option<u32>,
    /// In PEM.
    #[schema(nullable = false)]
    encoded_value: Option<String>,
    #[schema(schema_with = time, required = false)]
    created_on: String,
}
