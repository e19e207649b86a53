//! Both stores must give the same answers to any sequence of files and deletions.

use crate::rig::{self, file, shown};
use ia_model::SegmentId;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Apply(String),
    Delete(u32),
}

fn member() -> impl Strategy<Value = String> {
    let access = prop::option::of(prop::collection::vec(1u32..5, 0..3));
    (1u32..5, access, prop::option::of(0u32..100), any::<bool>()).prop_map(
        |(id, access, expiration, active)| {
            let access = access.map_or(String::new(), |ids| format!(r#", "segment_access": {ids:?}"#));
            let expiration =
                expiration.map_or(String::new(), |minutes| format!(r#", "default_expiration": {minutes}"#));
            let state = if active { "active" } else { "inactive" };
            format!(r#"{{"id": {id}, "name": "M{id}", "state": "{state}"{access}{expiration}}}"#)
        },
    )
}

fn segment() -> impl Strategy<Value = String> {
    let code = prop_oneof![Just("null".to_owned()), "[abAB]{1,2}".prop_map(|code| format!("{code:?}"))];
    (1u32..20, 1u32..4, prop::option::of(code), any::<bool>()).prop_map(|(id, member, code, active)| {
        let code = code.map_or(String::new(), |code| format!(r#", "code": {code}"#));
        let state = if active { "active" } else { "inactive" };
        format!(r#"{{"id": {id}, "member_id": {member}, "state": "{state}"{code}}}"#)
    })
}

fn sharing() -> impl Strategy<Value = String> {
    let segments = prop::option::of(prop::collection::vec(1u32..20, 0..3));
    (1u32..4, 1u32..4, segments).prop_map(|(owner, viewer, segments)| {
        let exposure = match segments {
            None => r#""all""#.to_owned(),
            Some(ids) => format!(r#""list", "segments": {ids:?}"#),
        };
        format!(
            r#"{{"data_member_id": {owner}, "buyer_member_id": {viewer}, "segment_exposure": {exposure}}}"#
        )
    })
}

fn step() -> impl Strategy<Value = Step> {
    let members = prop::collection::vec(member(), 0..4);
    let segments = prop::collection::vec(segment(), 0..5);
    let sharing = prop::collection::vec(sharing(), 0..2);
    let apply = (members, segments, sharing).prop_map(|(members, segments, sharing)| {
        let (members, segments, sharing) = (members.join(","), segments.join(","), sharing.join(","));
        Step::Apply(format!(
            r#"{{"members": [{members}], "segments": [{segments}], "sharing": [{sharing}]}}"#
        ))
    });
    prop_oneof![4 => apply, 1 => (1u32..20).prop_map(Step::Delete)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_stores_agree(steps in prop::collection::vec(step(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (memory, sqlite) = (rig::memory().await, rig::sqlite().await);
            let base = r#"{"members": [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}, {"id": 3, "name": "C"}]}"#;
            rig::apply(&*memory.store, base).await;
            rig::apply(&*sqlite.store, base).await;
            for step in &steps {
                let (one, other) = match step {
                    Step::Apply(text) => {
                        // Files that are at fault in themselves have tests of their own.
                        if ia_catalog::CatalogFile::parse(text.as_bytes()).is_err() {
                            continue;
                        }
                        let (one, other) = (memory.store.apply(&file(text)).await, sqlite.store.apply(&file(text)).await);
                        (one.map(|report| report.to_string()), other.map(|report| report.to_string()))
                    }
                    Step::Delete(id) => {
                        let id = SegmentId(*id);
                        let (one, other) = (memory.store.delete_segment(id).await, sqlite.store.delete_segment(id).await);
                        (one.map(|()| String::new()), other.map(|()| String::new()))
                    }
                };
                let text = |outcome: Result<String, ia_catalog::CatalogError>| outcome.map_err(|error| error.to_string());
                assert_eq!(text(one), text(other), "{step:?}");
                assert_eq!(shown(&*memory.store).await, shown(&*sqlite.store).await, "{step:?}");
                let generations = (memory.store.generation().await.unwrap(), sqlite.store.generation().await.unwrap());
                assert_eq!(generations.0, generations.1);
            }
        });
    }
}
