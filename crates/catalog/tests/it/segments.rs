//! Both stores must give the same answers to any sequence of changes and to any list.

use crate::rig::{self, NOON_MS, Rig, Store};
use ia_catalog::listing::{Direction, Field, Filter, Kind, ListQuery, Test, Value};
use ia_catalog::segments::{SEGMENT, SegmentChange, SegmentViewer};
use ia_catalog::{CatalogError, Changed, Snapshot};
use ia_model::{MemberId, SegmentId};
use proptest::prelude::*;
use proptest::sample::select;

const BASE: &str = r#"{
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

fn kind(error: CatalogError) -> String {
    match error {
        // Which of two with one code is at fault is up to the store.
        CatalogError::Conflict { .. } => "conflict".to_owned(),
        CatalogError::Limit(reason) => reason,
        CatalogError::NotFound(what) => what,
        CatalogError::Invalid { path, reason } => format!("{path}: {reason}"),
        error => panic!("{error:?}"),
    }
}

/// Takes the step, and holds the snapshot that it leads to against the one that is read anew.
async fn take(
    store: &dyn Store,
    snapshot: &mut Snapshot,
    step: &Step,
    now_ms: u64,
) -> Result<String, String> {
    let show = |changed: Changed<String>, snapshot: &mut Snapshot| {
        let Changed { value, generation, delta } = changed;
        *snapshot = snapshot.after(generation, &delta).expect("only this has changed");
        value
    };
    match step {
        Step::List(viewer, query) => {
            return store.list_segments(*viewer, query).await.map(|page| format!("{page:?}")).map_err(kind);
        }
        Step::Create(owner, new, most) => {
            store.create_segments(MemberId(*owner), new, *most, now_ms).await.map(|changed| Changed {
                value: format!("{:?}", changed.value),
                generation: changed.generation,
                delta: changed.delta,
            })
        }
        Step::Change(owner, changes) => {
            store.change_segments(MemberId(*owner), changes, now_ms).await.map(|changed| Changed {
                value: format!("{:?}", changed.value),
                generation: changed.generation,
                delta: changed.delta,
            })
        }
        Step::Delete(owner, ids) => {
            store.delete_segments(MemberId(*owner), ids, now_ms).await.map(|changed| Changed {
                value: String::new(),
                generation: changed.generation,
                delta: changed.delta,
            })
        }
    }
    .map(|changed| show(changed, snapshot))
    .map_err(kind)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_stores_agree(steps in prop::collection::vec(step(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (memory, sqlite) = (rig::memory().await, rig::sqlite().await);
            let mut snapshots = Vec::new();
            for store in [&memory.store, &sqlite.store] {
                rig::apply(&**store, BASE).await;
                // What was applied has the store's own time.
                let touch = SegmentChange::default();
                for (owner, id) in [(1, 5), (2, 6), (2, 7), (3, 8)] {
                    store.change_segments(MemberId(owner), &[(SegmentId(id), touch.clone())], NOON_MS).await.unwrap();
                }
                snapshots.push(store.snapshot().await.unwrap());
            }
            for (index, step) in steps.iter().enumerate() {
                let now_ms = NOON_MS + index as u64 * 700;
                let mut outcomes = Vec::new();
                for (store, snapshot) in [&memory.store, &sqlite.store].into_iter().zip(&mut snapshots) {
                    outcomes.push(take(&**store, snapshot, step, now_ms).await);
                    let fresh = store.snapshot().await.unwrap();
                    assert_eq!(snapshot.segments(), fresh.segments());
                    assert_eq!(snapshot.generation(), fresh.generation());
                }
                assert_eq!(outcomes[0], outcomes[1], "{step:?}");
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

/// Who sends back what was read changes nothing by it.
async fn a_parent_that_is_gone_may_stay(rig: Rig) {
    rig::apply(&*rig.store, BASE).await;
    let with_parent =
        SegmentChange { parent_segment_id: Some(Some(SegmentId(6))), ..SegmentChange::default() };
    let change = [(SegmentId(7), with_parent)];
    let owner = MemberId(2);
    rig.store.change_segments(owner, &change, NOON_MS).await.unwrap();
    rig.store.delete_segments(owner, &[SegmentId(6)], NOON_MS).await.unwrap();
    let after = rig.store.change_segments(owner, &change, NOON_MS).await.unwrap();
    assert_eq!(after.value[0].details.parent_segment_id, Some(SegmentId(6)));
    let no_parent = SegmentChange { parent_segment_id: Some(None), ..SegmentChange::default() };
    rig.store.change_segments(owner, &[(SegmentId(7), no_parent)], NOON_MS).await.unwrap();
    assert!(rig.store.change_segments(owner, &change, NOON_MS).await.is_err());
}

#[tokio::test]
async fn parents_stay_in_memory() {
    a_parent_that_is_gone_may_stay(rig::memory().await).await;
}

#[tokio::test]
async fn parents_stay_in_sqlite() {
    a_parent_that_is_gone_may_stay(rig::sqlite().await).await;
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
async fn ids_are_new_in_memory() {
    an_id_is_never_used_again(rig::memory().await).await;
}

#[tokio::test]
async fn ids_are_new_in_sqlite() {
    an_id_is_never_used_again(rig::sqlite().await).await;
}
