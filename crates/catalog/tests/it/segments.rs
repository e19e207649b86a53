//! Any sequence of changes of segments, and any list of them, against a model.

use crate::listing::page_of;
use crate::rig::{self, NOON_MS, Rig, Store};
use ia_catalog::listing::{Direction, Field, Filter, Kind, ListQuery, Test, Value};
use ia_catalog::segments::{
    SEGMENT, SHARED_FIELDS, SegmentChange, SegmentDetails, SegmentViewer, StoredSegment,
};
use ia_catalog::{CatalogError, Changed, Segment, Snapshot};
use ia_model::{MemberId, SegmentId};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const BASE: &str = r#"{
    "members": [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}, {"id": 3, "name": "C"}],
    "segments": [
        {"id": 5, "member_id": 1, "code": "Old", "short_name": "Oldest"},
        {"id": 6, "member_id": 2, "code": "old"},
        {"id": 7, "member_id": 2, "short_name": "Listed"},
        {"id": 8, "member_id": 3, "code": "B_b", "short_name": "Whole"}
    ],
    "sharing": [
        {"data_member_id": 2, "buyer_member_id": 1, "segment_exposure": "list", "segments": [7]},
        {"data_member_id": 3, "buyer_member_id": 1, "segment_exposure": "all"}
    ]
}"#;

#[derive(Debug, Clone)]
enum Step {
    Create(u32, Vec<SegmentChange>, u32),
    Change(u32, Vec<(SegmentId, SegmentChange)>),
    Delete(u32, Vec<SegmentId>),
    List(SegmentViewer, ListQuery),
}

fn id() -> impl Strategy<Value = SegmentId> {
    (5u32..14).prop_map(SegmentId)
}

/// `%`, `_` and `\` mean something to SQL.
fn text() -> impl Strategy<Value = String> {
    select(vec!["", "a", "B_b", "b_B", "b%b", "a\\b", "Über", "AB", "null"]).prop_map(str::to_owned)
}

fn change() -> impl Strategy<Value = SegmentChange> {
    let code = prop::option::of(prop::option::of("[abAB]{1,2}"));
    let texts = prop::option::of(prop::option::of(text()));
    let numbers = prop::option::of(prop::option::of(0u32..4));
    let pixels = prop::option::of(prop::option::of(prop::collection::vec(
        select(vec![serde_json::json!({"url": "https://a.example"}), serde_json::json!(1)]),
        0..60,
    )));
    let parent = prop::option::of(prop::option::of(id()));
    let price = prop::option::of(select(vec![0.0, 0.5, 1.25]));
    (code, prop::option::of(any::<bool>()), texts, numbers, parent, (pixels, any::<bool>()), price).prop_map(
        |(code, active, text, number, parent_segment_id, (piggyback_pixels, append), price)| SegmentChange {
            path: "x.".to_owned(),
            code,
            active,
            short_name: text.clone(),
            description: text,
            expire_minutes: number,
            advertiser_id: number,
            parent_segment_id,
            enable_rm_piggyback: active,
            max_usersync_pixels: number,
            piggyback_pixels,
            append,
            querystring_mapping: Some(Some(serde_json::json!({"param": "ü\"", "values": [1, null]}))),
            querystring_mapping_key_value: None,
            price,
        },
    )
}

fn value(field: &'static Field) -> BoxedStrategy<Value> {
    match field.kind {
        Kind::Integer if field.name.ends_with("id") => (0u32..14).prop_map(Value::from).boxed(),
        Kind::Integer => (0u32..4).prop_map(Value::from).boxed(),
        Kind::Decimal => select(vec![0.0, 0.5, 1.0]).prop_map(Value::Decimal).boxed(),
        Kind::Flag => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Time => select(vec![NOON_MS as i64, NOON_MS as i64 + 2000]).prop_map(Value::Integer).boxed(),
        Kind::Choice(words) => select(words).prop_map(Value::from).boxed(),
        Kind::Text | Kind::Word | Kind::Nested => text().prop_map(Value::text).boxed(),
    }
}

fn listed_fields() -> Vec<&'static Field> {
    SEGMENT.fields.iter().filter(|field| field.column.is_some()).collect()
}

fn filter() -> impl Strategy<Value = Filter> {
    select(listed_fields()).prop_flat_map(|field| {
        let values = || prop::collection::vec(value(field), 1..4);
        let is_text = matches!(field.kind, Kind::Text | Kind::Word);
        let bound: BoxedStrategy<Test> = match is_text {
            true => text().prop_map(Test::Like).boxed(),
            false => (value(field), select(vec![Test::Min, Test::Max, Test::NullOrMin, Test::NullOrMax]))
                .prop_map(|(value, test): (Value, fn(Value) -> Test)| test(value))
                .boxed(),
        };
        prop_oneof![values().prop_map(Test::In), values().prop_map(Test::NotIn), bound]
            .prop_map(move |test| Filter { field, test })
    })
}

fn query() -> impl Strategy<Value = ListQuery> {
    let sort = prop::collection::vec(
        (select(listed_fields()), select(vec![Direction::Ascending, Direction::Descending])),
        0..3,
    );
    (prop::collection::vec(filter(), 0..3), prop::option::of(text()), sort, 0u32..4, 1u32..6).prop_map(
        |(filters, search, sort, start_element, num_elements)| ListQuery {
            filters,
            search: search.filter(|search| !search.is_empty()),
            sort,
            start_element,
            num_elements,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let ids = prop::collection::btree_set(id(), 1..3);
    let changes = prop::collection::btree_map(id(), change(), 1..3);
    let viewer = (1u32..4, any::<bool>())
        .prop_map(|(member, with_shared)| SegmentViewer { member: MemberId(member), with_shared });
    prop_oneof![
        2 => (1u32..5, prop::collection::vec(change(), 1..3), select(vec![0u32, 4]))
            .prop_map(|(owner, new, most)| Step::Create(owner, new, most)),
        2 => (1u32..4, changes).prop_map(|(owner, changes)| Step::Change(owner, changes.into_iter().collect())),
        1 => (1u32..4, ids).prop_map(|(owner, ids)| Step::Delete(owner, ids.into_iter().collect())),
        6 => (viewer, query()).prop_map(|(viewer, query)| Step::List(viewer, query)),
    ]
}

pub(crate) fn kind(error: CatalogError) -> String {
    match error {
        // Which of two with one code is at fault is up to the store.
        CatalogError::Conflict { .. } => "conflict".to_owned(),
        CatalogError::Limit(reason) => reason,
        CatalogError::NotFound(what) => what,
        CatalogError::Invalid { path, reason } => format!("{path}: {reason}"),
        error => panic!("{error:?}"),
    }
}

/// The rules of the service once more, over rows in memory.
#[derive(Default)]
struct Model {
    rows: BTreeMap<SegmentId, StoredSegment>,
    highest_id: u32,
}

impl Model {
    fn of_owner(&self, owner: u32) -> impl Iterator<Item = &StoredSegment> {
        self.rows.values().filter(move |row| row.segment.member.0 == owner)
    }

    fn own(&self, owner: u32, id: SegmentId) -> Result<&StoredSegment, String> {
        self.of_owner(owner).find(|row| row.segment.id == id).ok_or_else(|| format!("segment {id}"))
    }

    fn create(
        &mut self,
        owner: u32,
        new: &[SegmentChange],
        most: u32,
        now_ms: u64,
    ) -> Result<Vec<StoredSegment>, String> {
        if owner > 3 {
            return Err(format!("member {owner}"));
        }
        if most > 0 && self.of_owner(owner).count() + new.len() > most as usize {
            return Err(format!("A member may have {most} segments"));
        }
        let row = |id| StoredSegment {
            segment: Segment {
                id: SegmentId(id),
                member: MemberId(owner),
                code: None,
                active: true,
                expire_minutes: None,
            },
            short_name: None,
            details: SegmentDetails::default(),
            last_modified_ms: 0,
        };
        let after = self.put((self.highest_id + 1..).map(row).zip(new).collect(), now_ms)?;
        self.highest_id += new.len() as u32;
        Ok(after)
    }

    fn change(
        &mut self,
        owner: u32,
        changes: &[(SegmentId, SegmentChange)],
        now_ms: u64,
    ) -> Result<Vec<StoredSegment>, String> {
        let found = changes.iter().map(|(id, change)| Ok((self.own(owner, *id)?.clone(), change)));
        let found = found.collect::<Result<Vec<_>, String>>()?;
        self.put(found, now_ms)
    }

    fn delete(&mut self, owner: u32, ids: &[SegmentId]) -> Result<(), String> {
        for &id in ids {
            self.own(owner, id)?;
        }
        self.rows.retain(|id, _| !ids.contains(id));
        Ok(())
    }

    fn put(
        &mut self,
        rows: Vec<(StoredSegment, &SegmentChange)>,
        now_ms: u64,
    ) -> Result<Vec<StoredSegment>, String> {
        let mut after = self.rows.clone();
        let (mut put, mut moved) = (Vec::new(), Vec::new());
        for (before, change) in rows {
            let (id, owner) = (before.segment.id, before.segment.member.0);
            let row = changed(before.clone(), change, now_ms);
            if row.details.piggyback_pixels.as_ref().is_some_and(|list| list.as_array().unwrap().len() > 100)
            {
                return Err("x.piggyback_pixels: a segment has at most 100".to_owned());
            }
            let parent = row.details.parent_segment_id;
            if parent != before.details.parent_segment_id
                && let Some(parent) = parent
                && (parent == id || self.own(owner, parent).is_err())
            {
                return Err(format!("x.parent_segment_id: the member has no other segment {parent}"));
            }
            if parent != before.details.parent_segment_id {
                moved.push(id);
            }
            after.insert(id, row.clone());
            put.push(row);
        }
        let code =
            |row: &StoredSegment| Some((row.segment.member, row.segment.code.as_ref()?.to_ascii_lowercase()));
        let codes: Vec<_> = after.values().filter_map(code).collect();
        if codes.iter().collect::<BTreeSet<_>>().len() < codes.len() {
            return Err("conflict".to_owned());
        }
        // A walk upwards that is longer than there are segments goes in a circle.
        let above = |id: &SegmentId| after.get(id).and_then(|row| row.details.parent_segment_id);
        let walk = |id: SegmentId| std::iter::successors(above(&id), above).take(after.len());
        if moved.iter().any(|&id| walk(id).any(|above| above == id)) {
            return Err("conflict".to_owned());
        }
        self.rows = after;
        Ok(put)
    }

    /// What of all segments is in the list of `viewer`.
    fn visible(&self, viewer: SegmentViewer) -> Vec<StoredSegment> {
        let is_shared = |row: &StoredSegment| {
            let is_listed = row.segment.id.0 == 7 || row.segment.member.0 == 3;
            viewer.member.0 == 1 && row.segment.active && is_listed
        };
        let is_visible = |row: &&StoredSegment| {
            row.segment.member == viewer.member || (viewer.with_shared && is_shared(row))
        };
        self.rows.values().filter(is_visible).cloned().collect()
    }
}

fn changed(mut row: StoredSegment, change: &SegmentChange, now_ms: u64) -> StoredSegment {
    let change = change.clone();
    let details = &mut row.details;
    row.segment.code = change.code.map_or(row.segment.code, |code| code.map(Box::from));
    row.segment.active = change.active.unwrap_or(row.segment.active);
    row.segment.expire_minutes = change.expire_minutes.unwrap_or(row.segment.expire_minutes);
    row.short_name = change.short_name.unwrap_or(row.short_name);
    details.description = change.description.unwrap_or(details.description.take());
    details.advertiser_id = change.advertiser_id.unwrap_or(details.advertiser_id);
    details.parent_segment_id = change.parent_segment_id.unwrap_or(details.parent_segment_id);
    details.enable_rm_piggyback = change.enable_rm_piggyback.unwrap_or(details.enable_rm_piggyback);
    details.max_usersync_pixels = change.max_usersync_pixels.unwrap_or(details.max_usersync_pixels);
    details.querystring_mapping = change.querystring_mapping.unwrap_or(details.querystring_mapping.take());
    details.price = change.price.unwrap_or(details.price);
    if let Some(pixels) = change.piggyback_pixels {
        let before = details.piggyback_pixels.take().filter(|_| change.append);
        let before = before.map(|list| list.as_array().unwrap().clone()).unwrap_or_default();
        let after: Vec<_> = before.into_iter().chain(pixels.unwrap_or_default()).collect();
        details.piggyback_pixels = (!after.is_empty()).then(|| after.into());
    }
    row.last_modified_ms = now_ms / 1000 * 1000;
    row
}

/// What is filtered and sorted by.
fn value_of(row: &StoredSegment, field: &Field) -> Option<Value> {
    let StoredSegment { segment, short_name, details, last_modified_ms } = row;
    match field.name {
        "id" => Some(segment.id.0.into()),
        "code" => segment.code.as_deref().map(Value::from),
        "state" => Some(if segment.active { "active" } else { "inactive" }.into()),
        "short_name" => short_name.as_deref().map(Value::from),
        "description" => details.description.as_deref().map(Value::from),
        "member_id" => Some(segment.member.0.into()),
        "expire_minutes" => segment.expire_minutes.map(Value::from),
        "advertiser_id" => details.advertiser_id.map(Value::from),
        "parent_segment_id" => details.parent_segment_id.map(|id| id.0.into()),
        "enable_rm_piggyback" => Some(details.enable_rm_piggyback.into()),
        "max_usersync_pixels" => details.max_usersync_pixels.map(Value::from),
        "price" => Some(Value::Decimal(details.price)),
        "last_modified" => Some(Value::Integer(*last_modified_ms as i64)),
        other => panic!("{other}"),
    }
}

/// Takes the step in both, and holds the snapshot that it leads to against the one that is read anew.
async fn take(store: &dyn Store, model: &mut Model, snapshot: &mut Snapshot, step: &Step, now_ms: u64) {
    let show = |changed: Changed<Vec<StoredSegment>>, snapshot: &mut Snapshot| {
        let Changed { value, generation, delta } = changed;
        *snapshot = snapshot.after(generation, &delta).expect("only this has changed");
        value
    };
    match step {
        Step::List(viewer, query) => {
            let page = store.list_segments(*viewer, query).await.unwrap();
            // Of a shared segment, a field that is not shown counts as absent.
            let shown = |row: &StoredSegment, field: &Field| {
                let is_shown = row.segment.member == viewer.member || SHARED_FIELDS.contains(&field.name);
                if is_shown { value_of(row, field) } else { None }
            };
            let expected = page_of(&SEGMENT, model.visible(*viewer), query, shown);
            assert_eq!(page, expected, "{step:?}");
        }
        Step::Create(owner, new, most) => {
            let outcome = store.create_segments(MemberId(*owner), new, *most, now_ms).await;
            let outcome = outcome.map(|changed| show(changed, snapshot)).map_err(kind);
            assert_eq!(outcome, model.create(*owner, new, *most, now_ms), "{step:?}");
        }
        Step::Change(owner, changes) => {
            let outcome = store.change_segments(MemberId(*owner), changes, now_ms).await;
            let outcome = outcome.map(|changed| show(changed, snapshot)).map_err(kind);
            assert_eq!(outcome, model.change(*owner, changes, now_ms), "{step:?}");
        }
        Step::Delete(owner, ids) => {
            let outcome = store.delete_segments(MemberId(*owner), ids, now_ms).await;
            let none = |Changed { generation, delta, .. }: Changed<()>| Changed {
                value: Vec::new(),
                generation,
                delta,
            };
            let outcome = outcome.map(|changed| drop(show(none(changed), snapshot))).map_err(kind);
            assert_eq!(outcome, model.delete(*owner, ids), "{step:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_does_what_the_model_does(steps in prop::collection::vec(step(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let Rig { store, .. } = &rig::sqlite().await;
            rig::apply(&**store, BASE).await;
            let mut model = Model { highest_id: 8, ..Model::default() };
            for owner in 1..4 {
                let viewer = SegmentViewer { member: MemberId(owner), with_shared: false };
                let all = ListQuery { num_elements: 1000, ..ListQuery::default() };
                let page = store.list_segments(viewer, &all).await.unwrap();
                model.rows.extend(page.items.into_iter().map(|row| (row.segment.id, row)));
            }
            let mut snapshot = store.snapshot().await.unwrap();
            for (index, step) in steps.iter().enumerate() {
                take(&**store, &mut model, &mut snapshot, step, NOON_MS + index as u64 * 700).await;
                let fresh = store.snapshot().await.unwrap();
                assert_eq!(snapshot.segments(), fresh.segments());
                assert_eq!(snapshot.segments(), model.rows.values().map(|row| &row.segment).collect::<Vec<_>>());
                assert_eq!(snapshot.generation(), fresh.generation());
            }
        });
    }
}

/// More than SQLite takes as a chain of conditions.
#[tokio::test]
async fn thousands_may_share_with_one() {
    let Rig { store, .. } = &rig::sqlite().await;
    let each = |what: &dyn Fn(u32) -> String| (2..3000).map(what).collect::<Vec<_>>().join(",");
    let members = each(&|id| format!(r#"{{"id": {id}, "name": "M"}}"#));
    let segments = each(&|id| format!(r#"{{"id": {id}, "member_id": {id}}}"#));
    let sharing =
        each(&|id| format!(r#"{{"data_member_id": {id}, "buyer_member_id": 1, "segment_exposure": "all"}}"#));
    let file = format!(
        r#"{{"members": [{{"id": 1, "name": "A"}}, {members}], "segments": [{segments}], "sharing": [{sharing}]}}"#
    );
    rig::apply(&**store, &file).await;
    let viewer = SegmentViewer { member: MemberId(1), with_shared: true };
    let query = ListQuery { num_elements: 10, ..ListQuery::default() };
    assert_eq!(store.list_segments(viewer, &query).await.unwrap().count, 2998);
}

async fn an_id_is_never_used_again(rig: Rig) {
    rig::apply(&*rig.store, BASE).await;
    let new = [SegmentChange::default()];
    let mut last = 8;
    for _ in 0..3 {
        let created = rig.store.create_segments(MemberId(1), &new, 0, NOON_MS).await.unwrap();
        let id = created.value[0].segment.id;
        assert!(id.0 > last);
        last = id.0;
        rig.store.delete_segments(MemberId(1), &[id], NOON_MS).await.unwrap();
        let again = rig.store.delete_segments(MemberId(1), &[id], NOON_MS).await.unwrap_err();
        assert_eq!(kind(again), format!("segment {id}"));
    }
}

#[tokio::test]
async fn ids_are_new_in_sqlite() {
    an_id_is_never_used_again(rig::sqlite().await).await;
}
