//! The segment service's part of the catalog: segments with all their fields, listed and changed by their owner.

mod scope;

pub(crate) use scope::{SharedWithViewer, list};

use crate::listing::{Field, Kind, ListQuery, Page, Resource};
use crate::{CatalogError, Changed, Segment};
use async_trait::async_trait;
use ia_model::{MemberId, SegmentId};

/// The states of an object.
pub const STATES: &[&str] = &["active", "inactive"];

/// A segment on the wire and in SQL.
pub static SEGMENT: Resource = Resource {
    singular: "segment",
    plural: "segments",
    other_keys: None,
    fields: &[
        Field::new("id", Kind::Integer).by("id").searched().read_only(),
        Field::new("code", Kind::Word).by("code_lower").searched(),
        Field::new("state", Kind::Choice(STATES)).by("state"),
        Field::new("short_name", Kind::Text).by_lower("short_name").searched(),
        Field::new("description", Kind::Text).by_lower("description"),
        Field::new("member_id", Kind::Integer).by("member_id").on_create(),
        Field::new("expire_minutes", Kind::Integer).by("expire_minutes"),
        Field::new("advertiser_id", Kind::Integer).by("advertiser_id"),
        Field::new("parent_segment_id", Kind::Integer).by("parent_segment_id"),
        Field::new("enable_rm_piggyback", Kind::Flag).by("enable_rm_piggyback"),
        Field::new("max_usersync_pixels", Kind::Integer).by("max_usersync_pixels"),
        Field::new("provider_id", Kind::Integer).read_only(),
        Field::new("piggyback_pixels", Kind::Nested),
        Field::new("querystring_mapping", Kind::Nested),
        Field::new("querystring_mapping_key_value", Kind::Nested),
        Field::new("price", Kind::Decimal).by("price"),
        Field::new("category", Kind::Text).read_only(),
        Field::new("object_type", Kind::Text).read_only(),
        Field::new("last_modified", Kind::Time).by("last_modified").read_only(),
    ],
};

/// What a viewer sees of a segment that is shared with it.
pub const SHARED_FIELDS: &[&str] = &["id", "code", "state", "short_name", "member_id"];

/// A segment with all that is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSegment {
    /// What the hot path needs.
    pub segment: Segment,
    /// Its name for people.
    pub short_name: Option<String>,
    /// The rest.
    pub details: SegmentDetails,
    /// When it was last changed, in milliseconds since 1970, whole seconds.
    pub last_modified_ms: u64,
}

/// What is kept for who reads it back, and means nothing here.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentDetails {
    /// What it is for.
    pub description: Option<String>,
    /// The advertiser that uses it.
    pub advertiser_id: Option<u32>,
    /// Another segment of the same member.
    pub parent_segment_id: Option<SegmentId>,
    /// Whether pixels of the platform may fire beside its own.
    pub enable_rm_piggyback: bool,
    /// How many user sync pixels may fire beside its own.
    pub max_usersync_pixels: Option<u32>,
    /// Pixels that fire beside its own: a JSON list.
    pub piggyback_pixels: Option<serde_json::Value>,
    /// A JSON object.
    pub querystring_mapping: Option<serde_json::Value>,
    /// A JSON object.
    pub querystring_mapping_key_value: Option<serde_json::Value>,
    /// Its price.
    pub price: f64,
}

/// Prices come from JSON, which has no NaN.
impl Eq for SegmentDetails {}

impl Default for SegmentDetails {
    fn default() -> SegmentDetails {
        SegmentDetails {
            description: None,
            advertiser_id: None,
            parent_segment_id: None,
            enable_rm_piggyback: true,
            max_usersync_pixels: None,
            piggyback_pixels: None,
            querystring_mapping: None,
            querystring_mapping_key_value: None,
            price: 0.0,
        }
    }
}

/// What to change in a segment, or what a new one shall be. `None` leaves a field as it is, `Some(None)` empties
/// it.
#[derive(Debug, Clone, Default)]
pub struct SegmentChange {
    /// Where the object stands in a list of several, like `segments[3].`; for errors.
    pub path: String,
    /// Its owner's own name of it.
    pub code: Option<Option<String>>,
    /// Whether it takes additions and is shown.
    pub active: Option<bool>,
    /// Its name for people.
    pub short_name: Option<Option<String>>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// How long a membership lasts that says nothing of it.
    pub expire_minutes: Option<Option<u32>>,
    /// The advertiser that uses it.
    pub advertiser_id: Option<Option<u32>>,
    /// Another segment of the same member.
    pub parent_segment_id: Option<Option<SegmentId>>,
    /// Whether pixels of the platform may fire beside its own.
    pub enable_rm_piggyback: Option<bool>,
    /// How many user sync pixels may fire beside its own.
    pub max_usersync_pixels: Option<Option<u32>>,
    /// Pixels that fire beside its own.
    pub piggyback_pixels: Option<Option<Vec<serde_json::Value>>>,
    /// Whether these pixels come to those that are there.
    pub append: bool,
    /// A JSON object.
    pub querystring_mapping: Option<Option<serde_json::Value>>,
    /// A JSON object.
    pub querystring_mapping_key_value: Option<Option<serde_json::Value>>,
    /// Its price.
    pub price: Option<f64>,
}

/// The most pixels of one segment.
pub const MAX_PIGGYBACK_PIXELS: usize = 100;

/// Whose list of segments it is.
#[derive(Debug, Clone, Copy)]
pub struct SegmentViewer {
    /// Whose own segments are in it.
    pub member: MemberId,
    /// Whether those that others share with it are in it too, of which it sees [`SHARED_FIELDS`]. To a filter or a
    /// sort by any other field they have no value there: it would tell what is not shown.
    pub with_shared: bool,
}

/// Segments with all their fields.
#[async_trait]
pub trait SegmentStore: Send + Sync {
    /// The page of `viewer`'s list. Inactive segments of others are never in it.
    async fn list_segments(
        &self,
        viewer: SegmentViewer,
        query: &ListQuery,
    ) -> Result<Page<StoredSegment>, CatalogError>;

    /// Creates segments of `owner`, all or none, with ids that no segment ever had. `most` is how many it may have
    /// then; 0 is any number.
    ///
    /// Fails with `Conflict` where a code is in use or parents would form a circle, `Invalid` where a parent is none,
    /// `Limit`.
    async fn create_segments(
        &self,
        owner: MemberId,
        new: &[SegmentChange],
        most: u32,
        now_ms: u64,
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError>;

    /// Changes segments of `owner`, all or none. Each id stands once.
    ///
    /// Fails as `create_segments` does, and with `NotFound` where `owner` has no such segment.
    async fn change_segments(
        &self,
        owner: MemberId,
        changes: &[(SegmentId, SegmentChange)],
        now_ms: u64,
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError>;

    /// Deletes segments of `owner`, all or none: their codes are free, their ids are not.
    /// Fails with `NotFound` where `owner` has no such segment.
    async fn delete_segments(
        &self,
        owner: MemberId,
        ids: &[SegmentId],
        now_ms: u64,
    ) -> Result<Changed<()>, CatalogError>;
}

impl StoredSegment {
    pub(crate) fn new(owner: MemberId, id: SegmentId) -> StoredSegment {
        StoredSegment {
            segment: Segment { id, member: owner, code: None, active: true, expire_minutes: None },
            short_name: None,
            details: SegmentDetails::default(),
            last_modified_ms: 0,
        }
    }
}

impl SegmentChange {
    /// Puts `row` into the state that is asked for. Fails with `Invalid` where it would have too many pixels.
    pub(crate) fn apply_to(&self, row: &mut StoredSegment, now_ms: u64) -> Result<(), CatalogError> {
        let SegmentChange {
            path: _,
            code,
            active,
            short_name,
            description,
            expire_minutes,
            advertiser_id,
            parent_segment_id,
            enable_rm_piggyback,
            max_usersync_pixels,
            piggyback_pixels,
            append,
            querystring_mapping,
            querystring_mapping_key_value,
            price,
        } = self;
        if let Some(code) = code {
            row.segment.code = code.as_deref().map(Box::from);
        }
        set(&mut row.segment.active, active);
        set(&mut row.segment.expire_minutes, expire_minutes);
        set(&mut row.short_name, short_name);
        let details = &mut row.details;
        set(&mut details.description, description);
        set(&mut details.advertiser_id, advertiser_id);
        set(&mut details.parent_segment_id, parent_segment_id);
        set(&mut details.enable_rm_piggyback, enable_rm_piggyback);
        set(&mut details.max_usersync_pixels, max_usersync_pixels);
        set(&mut details.querystring_mapping, querystring_mapping);
        set(&mut details.querystring_mapping_key_value, querystring_mapping_key_value);
        set(&mut details.price, price);
        if let Some(pixels) = piggyback_pixels {
            self.put_pixels(&mut details.piggyback_pixels, pixels.as_deref(), *append)?;
        }
        row.last_modified_ms = now_ms / 1000 * 1000;
        Ok(())
    }

    fn put_pixels(
        &self,
        kept: &mut Option<serde_json::Value>,
        sent: Option<&[serde_json::Value]>,
        append: bool,
    ) -> Result<(), CatalogError> {
        let before = match kept.take() {
            Some(serde_json::Value::Array(pixels)) if append => pixels,
            _ => Vec::new(),
        };
        let after: Vec<_> = before.into_iter().chain(sent.unwrap_or_default().iter().cloned()).collect();
        if after.len() > MAX_PIGGYBACK_PIXELS {
            let reason = format!("a segment has at most {MAX_PIGGYBACK_PIXELS}");
            return Err(CatalogError::invalid(format!("{}piggyback_pixels", self.path), reason));
        }
        *kept = (!after.is_empty()).then_some(serde_json::Value::Array(after));
        Ok(())
    }

    /// The fault of a parent that is none.
    pub(crate) fn no_such_parent(&self, parent: SegmentId) -> CatalogError {
        let reason = format!("the member has no other segment {parent}");
        CatalogError::invalid(format!("{}parent_segment_id", self.path), reason)
    }

    /// The fault of a parent that leads back to the segment itself, which has that id.
    pub(crate) fn circle(&self, id: SegmentId) -> CatalogError {
        let reason = format!("segment {id} would be above itself: parents may not form a circle");
        CatalogError::conflict(format!("{}parent_segment_id", self.path), reason)
    }

    /// The fault of a code that another segment has.
    pub(crate) fn code_taken(&self, other: SegmentId) -> CatalogError {
        let reason = format!("segment {other} has this code");
        CatalogError::conflict(format!("{}code", self.path), reason)
    }
}

fn set<T: Clone>(field: &mut T, change: &Option<T>) {
    if let Some(value) = change {
        field.clone_from(value);
    }
}

pub(crate) fn no_such_segment(id: SegmentId) -> CatalogError {
    CatalogError::NotFound(format!("segment {id}"))
}

pub(crate) fn no_ids_left() -> CatalogError {
    CatalogError::Limit("There are no ids left for segments".to_owned())
}

/// Fails where `owner` would have more segments than it may.
pub(crate) fn check_limit(stored: u64, new: usize, most: u32) -> Result<(), CatalogError> {
    if most > 0 && stored + new as u64 > u64::from(most) {
        return Err(CatalogError::Limit(format!("A member may have {most} segments")));
    }
    Ok(())
}
