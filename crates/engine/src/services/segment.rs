//! The rules of the segment service's fields, and what it shows.

use super::sent::Sent;
use super::{Given, Object, ServiceError};
use ia_catalog::segments::{
    MAX_PIGGYBACK_PIXELS, SEGMENT, SHARED_FIELDS, STATES, SegmentChange, StoredSegment,
};
use ia_model::{MemberId, SegmentId, time};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The most segments that one request changes or deletes.
pub const MAX_CHANGED: usize = 1000;

const MAX_CODE_CHARACTERS: usize = 50;
const MAX_NAME_CHARACTERS: usize = 255;
const MAX_DESCRIPTION_CHARACTERS: usize = 500;
const MAX_URL_CHARACTERS: usize = 4096;
const MAX_MAPPING_BYTES: usize = 16 << 10;
const MAX_INT: u32 = i32::MAX as u32;
const MAX_PRICE: f64 = 1e9;

/// What an object of a body says about a segment. With `append`, lists come to what is there.
pub fn change(given: &Given, append: bool) -> Result<SegmentChange, ServiceError> {
    let code = given.line("code", MAX_CODE_CHARACTERS)?;
    if code.as_ref().is_some_and(|code| code.as_deref().is_some_and(|code| !is_code(code))) {
        let expected = format!("must be 1 to {MAX_CODE_CHARACTERS} letters, digits, _ or -");
        return Err(given.bad("code", expected));
    }
    let parent = given.integer("parent_segment_id", 1, u32::MAX)?;
    Ok(SegmentChange {
        path: given.path(""),
        code,
        active: given.choice_of(SEGMENT.known_field("state"))?.flatten().map(|state| state == STATES[0]),
        short_name: given.line("short_name", MAX_NAME_CHARACTERS)?,
        description: given.text("description", MAX_DESCRIPTION_CHARACTERS, &['\'', '\\'])?,
        expire_minutes: given.integer("expire_minutes", 0, MAX_INT)?,
        advertiser_id: given.integer("advertiser_id", 1, u32::MAX)?,
        parent_segment_id: parent.map(|parent| parent.map(SegmentId)),
        enable_rm_piggyback: given.flag("enable_rm_piggyback")?.flatten(),
        max_usersync_pixels: given.integer("max_usersync_pixels", 0, MAX_INT)?,
        piggyback_pixels: given.list(
            "piggyback_pixels",
            MAX_PIGGYBACK_PIXELS,
            "{\"url\", \"pixel_type\": js or img}",
            pixel,
        )?,
        append,
        querystring_mapping: given.object("querystring_mapping", MAX_MAPPING_BYTES)?,
        querystring_mapping_key_value: given.object("querystring_mapping_key_value", MAX_MAPPING_BYTES)?,
        price: given.decimal("price", MAX_PRICE)?.flatten(),
    })
}

fn is_code(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A pixel with the two fields that are known.
fn pixel(value: &Value) -> Option<Value> {
    let object = value.as_object()?;
    let url = object.get("url")?.as_str().filter(|url| url.chars().count() <= MAX_URL_CHARACTERS)?;
    let is_web = url.starts_with("http://") || url.starts_with("https://") || url.starts_with("//");
    if !is_web || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return None;
    }
    let pixel_type = object.get("pixel_type").map_or(Some("img"), Value::as_str)?;
    matches!(pixel_type, "js" | "img").then(|| json!({"url": url, "pixel_type": pixel_type}))
}

/// The owner that the objects of a body name, all the same one; `None` where they name none.
pub fn owner(sent: &Sent) -> Result<Option<MemberId>, ServiceError> {
    let mut owner = None;
    for given in &sent.objects {
        let Some(member) = given.integer("member_id", 1, u32::MAX)?.flatten().map(MemberId) else { continue };
        if owner.is_some_and(|owner| owner != member) {
            return Err(given.bad("member_id", "must be the same for all"));
        }
        owner = Some(member);
    }
    Ok(owner)
}

/// What to change in which segments. One object is for all `ids` of the query, or for the one that it names;
/// several objects name theirs.
pub fn changes(
    sent: &Sent,
    ids: Option<Vec<u32>>,
    append: bool,
) -> Result<Vec<(SegmentId, SegmentChange)>, ServiceError> {
    let mut named = Vec::with_capacity(sent.objects.len());
    for given in &sent.objects {
        named.push(given.integer("id", 1, u32::MAX)?.flatten());
    }
    let too_many = ids.as_ref().is_some_and(|ids| ids.len() > MAX_CHANGED);
    if too_many {
        return Err(ServiceError::bad("id", format_args!("takes at most {MAX_CHANGED} values here")));
    }
    if let ([given], [own]) = (sent.objects.as_slice(), named.as_slice()) {
        let ids = match (ids, own) {
            (Some(ids), Some(own)) if ids != [*own] => {
                return Err(given.bad("id", "is not that of the query"));
            }
            (Some(ids), _) => ids,
            (None, Some(own)) => vec![*own],
            (None, None) => return Err(ServiceError::bad("id", "is required")),
        };
        let change = change(given, append)?;
        return Ok(ids.into_iter().map(|id| (SegmentId(id), change.clone())).collect());
    }
    let mut seen = BTreeSet::new();
    let mut changes = Vec::with_capacity(named.len());
    for (given, id) in sent.objects.iter().zip(named) {
        let id = id.ok_or_else(|| given.bad("id", "is required"))?;
        if !seen.insert(id) {
            return Err(given.bad("id", "stands twice"));
        }
        changes.push((SegmentId(id), change(given, append)?));
    }
    if ids.is_some_and(|ids| !ids.iter().eq(seen.iter())) {
        return Err(ServiceError::bad("id", "must name the same segments as the body, or be left out"));
    }
    Ok(changes)
}

/// What `viewer` sees of a segment: all of its own, and of another's what is shared.
pub fn show(viewer: MemberId, stored: StoredSegment) -> Object {
    let StoredSegment { segment, short_name, details, last_modified_ms } = stored;
    let is_own = segment.member == viewer;
    let mut object = Object(vec![
        ("id", segment.id.0.into()),
        ("code", segment.code.as_deref().into()),
        ("state", STATES[usize::from(!segment.active)].into()),
        ("short_name", short_name.into()),
        ("description", details.description.into()),
        ("member_id", segment.member.0.into()),
        ("expire_minutes", segment.expire_minutes.into()),
        ("advertiser_id", details.advertiser_id.into()),
        ("parent_segment_id", details.parent_segment_id.map(|id| id.0).into()),
        ("enable_rm_piggyback", details.enable_rm_piggyback.into()),
        ("max_usersync_pixels", details.max_usersync_pixels.into()),
        ("provider_id", Value::Null),
        ("piggyback_pixels", details.piggyback_pixels.into()),
        ("querystring_mapping", details.querystring_mapping.into()),
        ("querystring_mapping_key_value", details.querystring_mapping_key_value.into()),
        ("price", details.price.into()),
        ("category", Value::Null),
        ("object_type", "default".into()),
        ("last_modified", time::format_utc(last_modified_ms).into()),
    ]);
    debug_assert!(object.0.iter().map(|(name, _)| *name).eq(SEGMENT.fields.iter().map(|field| field.name)));
    if !is_own {
        object.0.retain(|(name, _)| SHARED_FIELDS.contains(name));
    }
    object
}

/// Ids of a query for a change.
pub fn segment_ids(ids: Vec<u32>) -> Result<Vec<SegmentId>, ServiceError> {
    if ids.len() > MAX_CHANGED {
        return Err(ServiceError::bad("id", format_args!("takes at most {MAX_CHANGED} values here")));
    }
    Ok(ids.into_iter().map(SegmentId).collect())
}
