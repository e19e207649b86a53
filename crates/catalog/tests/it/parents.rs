//! Parents of segments: they form no circle, and a long chain of them is no burden.

use crate::rig::{self, NOON_MS, Rig, Store};
use crate::segments::{BASE, kind};
use ia_catalog::segments::SegmentChange;
use ia_model::{MemberId, SegmentId};

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
async fn parents_stay_in_sqlite() {
    a_parent_that_is_gone_may_stay(rig::sqlite().await).await;
}

fn with_parent(id: u32, parent: Option<u32>) -> (SegmentId, SegmentChange) {
    let parent_segment_id = Some(parent.map(SegmentId));
    (
        SegmentId(id),
        SegmentChange { path: format!("segments[{id}]."), parent_segment_id, ..SegmentChange::default() },
    )
}

/// Owner 1 with the segments 1 to 9 and as many more as it takes.
async fn of_one_owner(store: &dyn Store, segments: u32) {
    let segments: Vec<String> =
        (1..=segments).map(|id| format!(r#"{{"id": {id}, "member_id": 1}}"#)).collect();
    let file = format!(r#"{{"members": [{{"id": 1, "name": "A"}}], "segments": [{}]}}"#, segments.join(","));
    rig::apply(store, &file).await;
}

async fn change_parents(store: &dyn Store, changes: &[(u32, Option<u32>)]) -> Result<(), String> {
    let changes: Vec<_> = changes.iter().map(|&(id, parent)| with_parent(id, parent)).collect();
    let changed = store.change_segments(MemberId(1), &changes, NOON_MS).await;
    changed.map(drop).map_err(|error| format!("{error:?}"))
}

async fn parents_form_no_circle(rig: Rig) {
    let store = &*rig.store;
    of_one_owner(store, 9).await;
    let circle = |id: u32| {
        Err(format!(
            "Conflict {{ path: \"segments[{id}].parent_segment_id\", reason: \"segment {id} would be above itself: parents may not form a circle\" }}"
        ))
    };
    change_parents(store, &[(1, Some(2)), (2, Some(3)), (3, Some(4))]).await.unwrap();
    assert_eq!(change_parents(store, &[(4, Some(1))]).await, circle(4));
    assert_eq!(change_parents(store, &[(3, Some(1))]).await, circle(3));
    // Two changes of one request that are right each alone, and one that leads away from the circle of another.
    assert_eq!(change_parents(store, &[(5, Some(6)), (6, Some(5))]).await, circle(5));
    assert_eq!(change_parents(store, &[(7, Some(5)), (5, Some(6)), (6, Some(5))]).await, circle(5));
    assert!(change_parents(store, &[(4, Some(4))]).await.unwrap_err().contains("no other segment 4"));
    // Nothing of what was refused is there: these would be circles then.
    change_parents(store, &[(6, Some(5)), (7, Some(6))]).await.unwrap();
    // The whole chain turns round in one request.
    change_parents(store, &[(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3))]).await.unwrap();
    assert_eq!(change_parents(store, &[(1, Some(4))]).await, circle(1));
    // A chain ends at a segment that is deleted.
    store.delete_segments(MemberId(1), &[SegmentId(3)], NOON_MS).await.unwrap();
    change_parents(store, &[(1, Some(4))]).await.unwrap();
    // A new segment can have no parent that comes with it, nor its own id to come.
    for parent in [10, 11] {
        let new: Vec<_> = [Some(parent), None].map(|parent| with_parent(0, parent).1).into();
        assert!(
            kind(store.create_segments(MemberId(1), &new, 0, NOON_MS).await.unwrap_err())
                .contains("no other")
        );
    }
}

#[tokio::test]
async fn parents_form_no_circle_in_sqlite() {
    parents_form_no_circle(rig::sqlite().await).await;
}

/// A chain of 3,000: each segment is looked at once, and not once for each change.
#[tokio::test]
async fn a_long_chain_is_checked_as_a_whole() {
    let Rig { store, .. } = &rig::sqlite().await;
    of_one_owner(&**store, 3000).await;
    for first in [1, 1001, 2001] {
        let links: Vec<_> = (first..(first + 1000).min(3000)).map(|id| (id, Some(id + 1))).collect();
        change_parents(&**store, &links).await.unwrap();
    }
    assert!(change_parents(&**store, &[(3000, Some(1))]).await.unwrap_err().contains("above itself"));
}
