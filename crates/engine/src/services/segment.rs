//! The segment service.

use super::catalog_service::{check_count, with_ids};
use super::rules::{
    MAX_INT, Rule, decimal, flag, id, integer, json_object, line, list, list_of, name, of_type, or_null,
    state, state_of, time, unquoted_text,
};
use super::{
    AnswerFields, AnswerObject, CatalogService, ChangeBody, RequestFields, RequestObject, ResourceKind,
    ServiceError, Services, answer_fields, request_fields,
};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::segments::{
    MAX_PIGGYBACK_PIXELS, SEGMENT, SHARED_FIELDS, SegmentChange, SegmentViewer, StoredSegment,
};
use ia_model::{MemberId, SegmentId, time::format_utc};
use serde_json::{Value, json};
use utoipa::openapi::schema::Type;

const MAX_URL_CHARACTERS: usize = 4096;
const MAX_MAPPING_BYTES: usize = 16 << 10;
const MAX_PRICE: u32 = 1_000_000_000;

/// `/segment`
pub struct Segments;

impl ResourceKind for Segments {
    const NAME: &'static str = "Segment";
    const TABLE: &'static Resource = &SEGMENT;
    type Request = SegmentChange;
    type Answer = StoredSegment;

    fn example() -> Value {
        json!({"code": "sports", "short_name": "Sports fans", "expire_minutes": 43200})
    }
}

request_fields! {
    /// What is absent stays as it is.
    SegmentChange {
        /// Which, in a change of several.
        id => _ = id(),
        /// Unique in the member without regard to case.
        code = name(50, "[A-Za-z0-9_-]", "letters, digits, _ or -", b"_-"),
        state => [active] = state(),
        short_name = line(255),
        /// Without `'` and `\`.
        description = unquoted_text(500),
        /// The owner; on creation.
        member_id => _ = id(),
        /// For a membership that says nothing of it; 0 is for ever.
        expire_minutes = integer(0, MAX_INT),
        advertiser_id = id(),
        /// Another segment of the same member.
        parent_segment_id = id().map(SegmentId),
        enable_rm_piggyback = flag(),
        max_usersync_pixels = integer(0, MAX_INT),
        piggyback_pixels = list(pixel(), MAX_PIGGYBACK_PIXELS),
        querystring_mapping = json_object(MAX_MAPPING_BYTES),
        querystring_mapping_key_value = json_object(MAX_MAPPING_BYTES),
        price = decimal(MAX_PRICE),
    }
}

answer_fields! {
    /// A segment; `fields` and sharing leave some of it out.
    stored: StoredSegment {
        id: u32 = stored.segment.id.0,
        code: Option<String> = stored.segment.code.map(String::from),
        state: String = state_of(stored.segment.active) => state().schema,
        short_name: Option<String> = stored.short_name,
        description: Option<String> = stored.details.description,
        member_id: u32 = stored.segment.member.0,
        expire_minutes: Option<u32> = stored.segment.expire_minutes,
        advertiser_id: Option<u32> = stored.details.advertiser_id,
        parent_segment_id: Option<u32> = stored.details.parent_segment_id.map(|id| id.0),
        enable_rm_piggyback: bool = stored.details.enable_rm_piggyback,
        max_usersync_pixels: Option<u32> = stored.details.max_usersync_pixels,
        /// Always null.
        provider_id: Option<u32> = None,
        piggyback_pixels: Option<Value> = stored.details.piggyback_pixels => or_null(list_of(pixel().schema).into()),
        querystring_mapping: Option<Value> = stored.details.querystring_mapping => or_null(json_object(MAX_MAPPING_BYTES).schema),
        querystring_mapping_key_value: Option<Value> = stored.details.querystring_mapping_key_value => or_null(json_object(MAX_MAPPING_BYTES).schema),
        price: f64 = stored.details.price,
        /// Always null.
        category: Option<String> = None,
        object_type: String = "default".to_owned(),
        last_modified: String = format_utc(stored.last_modified_ms) => time(),
    }
}

impl CatalogService for Segments {
    type Scope = SegmentViewer;

    async fn list(
        services: &Services,
        viewer: &SegmentViewer,
        query: &ListQuery,
    ) -> Result<Page<AnswerObject>, ServiceError> {
        let Page { items, count } = services.catalog.segments.list_segments(*viewer, query).await?;
        Ok(Page { items: show(viewer, items), count })
    }

    async fn create(
        services: &Services,
        owner: &SegmentViewer,
        body: &ChangeBody,
        _: Option<u32>,
    ) -> Result<Vec<AnswerObject>, ServiceError> {
        let new = changes(body, false)?;
        let (most, now_ms) = (services.limits.of_services().segments_per_member, services.clock.now_ms());
        let store = &services.catalog.segments;
        let created = store.create_segments(owner.member, &new, most, now_ms);
        Ok(show(owner, services.catalog.change(created).await?))
    }

    async fn change(
        services: &Services,
        owner: &SegmentViewer,
        body: &ChangeBody,
        ids: Option<Vec<u32>>,
        append: bool,
    ) -> Result<Vec<AnswerObject>, ServiceError> {
        let changes = with_ids::<Segments>(body, ids, changes(body, append)?)?;
        let changes: Vec<_> = changes.into_iter().map(|(id, change)| (SegmentId(id), change)).collect();
        let store = &services.catalog.segments;
        let changed = store.change_segments(owner.member, &changes, services.clock.now_ms());
        Ok(show(owner, services.catalog.change(changed).await?))
    }

    async fn delete(services: &Services, owner: &SegmentViewer, ids: &[u32]) -> Result<(), ServiceError> {
        check_count("id", ids)?;
        let ids: Vec<_> = ids.iter().copied().map(SegmentId).collect();
        let store = &services.catalog.segments;
        let deleted = store.delete_segments(owner.member, &ids, services.clock.now_ms());
        Ok(services.catalog.change(deleted).await?)
    }
}

/// The owner that the objects of a body name, all the same one; `None` where they name none.
pub fn owner(body: &ChangeBody) -> Result<Option<MemberId>, ServiceError> {
    let mut owner = None;
    for object in &body.objects {
        let Some(member) = object.value("member_id", id)?.map(MemberId) else { continue };
        if owner.is_some_and(|owner| owner != member) {
            return Err(object.bad("member_id", "must be the same for all"));
        }
        owner = Some(member);
    }
    Ok(owner)
}

fn changes(body: &ChangeBody, append: bool) -> Result<Vec<SegmentChange>, ServiceError> {
    let change = |object: &RequestObject| {
        Ok(SegmentChange { path: object.path().to_owned(), append, ..SegmentChange::read(object)? })
    };
    body.objects.iter().map(change).collect()
}

/// What `viewer` sees of segments: all of its own, and of another's what is shared.
fn show(viewer: &SegmentViewer, stored: Vec<StoredSegment>) -> Vec<AnswerObject> {
    let show = |stored: StoredSegment| {
        let is_own = stored.segment.member == viewer.member;
        let mut object = stored.show();
        if !is_own {
            object.0.retain(|(name, _)| SHARED_FIELDS.contains(name));
        }
        object
    };
    stored.into_iter().map(show).collect()
}

/// A pixel with the two fields that are known.
fn pixel() -> Rule<Value> {
    let url = of_type(Type::String).description(Some("A web address."));
    let pixel_type = of_type(Type::String).enum_values(Some(["js", "img"]));
    let schema =
        of_type(Type::Object).property("url", url).property("pixel_type", pixel_type).required("url");
    Rule::new(schema, "{\"url\", \"pixel_type\": js or img}", |value| {
        let object = value.as_object()?;
        let url = object.get("url")?.as_str().filter(|url| url.chars().count() <= MAX_URL_CHARACTERS)?;
        let is_web = url.starts_with("http://") || url.starts_with("https://") || url.starts_with("//");
        if !is_web || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return None;
        }
        let pixel_type = object.get("pixel_type").map_or(Some("img"), Value::as_str)?;
        matches!(pixel_type, "js" | "img").then(|| json!({"url": url, "pixel_type": pixel_type}))
    })
}
