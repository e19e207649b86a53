//! What is planned is what is stored, after any sequence of files and deletions.

use super::*;
use crate::state::Exposure;
use ia_model::ManualClock;
use proptest::prelude::*;
use std::collections::BTreeMap;

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

/// Less the times, which the planner leaves to the store.
fn without_times(mut state: State) -> State {
    state.members.values_mut().for_each(|row| row.last_modified_ms = None);
    state.sharing.values_mut().for_each(|row| row.last_modified_ms = None);
    state
}

fn delete(state: &mut State, id: SegmentId) -> bool {
    let Some(row) = state.segments.get_mut(&id).filter(|row| !row.deleted) else { return false };
    row.deleted = true;
    for row in state.sharing.values_mut() {
        if let Exposure::List(ids) = &mut row.exposure {
            ids.remove(&id);
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rows_are_those_that_were_planned(steps in prop::collection::vec(step(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::TempDir::new().unwrap();
            let path = directory.path().join("catalog.db");
            let store = SqliteCatalog::open(&path, Arc::new(ManualClock::at(0))).await.unwrap();
            let base = r#"{"members": [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}, {"id": 3, "name": "C"}]}"#;
            let steps = std::iter::once(Step::Apply(base.to_owned())).chain(steps);
            let (mut model, mut generation) = (State::default(), 0);
            for step in steps {
                match &step {
                    Step::Apply(text) => {
                        // Files that are at fault in themselves have tests of their own.
                        let Ok(file) = CatalogFile::parse(text.as_bytes()) else { continue };
                        let passwords = SettledPasswords::settle(file.passwords(), &BTreeMap::new()).unwrap();
                        let outcome = store.apply(&file).await.map_err(|error| error.to_string());
                        let planned = plan(&model, &file, &passwords).map_err(|error| error.to_string());
                        assert_eq!(outcome, planned.as_ref().map(|plan| plan.report).map_err(Clone::clone), "{step:?}");
                        if let Ok(plan) = planned {
                            generation += u64::from(plan.report.is_change());
                            plan.write_to(&mut model);
                        }
                    }
                    Step::Delete(id) => {
                        let is_there = delete(&mut model, SegmentId(*id));
                        assert_eq!(store.delete_segment(SegmentId(*id)).await.is_ok(), is_there);
                        generation += u64::from(is_there);
                    }
                }
                let stored = load(&mut store.database.pool().acquire().await.unwrap()).await.unwrap();
                assert_eq!(without_times(stored), without_times(model.clone()), "{step:?}");
                assert_eq!(store.generation().await.unwrap(), generation);
            }
        });
    }
}
