use super::*;
use crate::ingest::read::tests::read_with;
use crate::ingest::structure::StructureLimits;
use ia_catalog::CatalogFile;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Member 1 owns 10 to 13 (12 is off), may write into member 2 (20), not into member 3 (30). Member 4 has user
/// ids of its own, in the name space of member 3, and may write where member 1 may.
pub(in crate::ingest) fn snapshot() -> Snapshot {
    let segment = |id: u32, member: u32| {
        let state = if id == 12 { "inactive" } else { "active" };
        json!({"id": id, "member_id": member, "code": format!("c{id}"), "state": state})
    };
    let catalog = json!({
        "members": [{"id": 1, "name": "a", "segment_access": [2]}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"},
            {"id": 4, "name": "d", "use_external_uids": true, "external_member_uid": 3, "segment_access": [1, 2]}],
        "segments": [segment(10, 1), segment(11, 1), segment(12, 1), segment(13, 1), segment(20, 2), segment(30, 3)],
    });
    Snapshot::of(&CatalogFile::parse(catalog.to_string().as_bytes()).unwrap()).unwrap()
}

/// A block with the segment that it means.
fn block() -> impl Strategy<Value = (Value, u32)> {
    let segments = prop::sample::select(vec![(10, 1), (11, 1), (20, 2), (12, 1), (30, 3), (99, 1)]);
    (segments, any::<bool>(), -1..3i32, 0..5u32).prop_map(|((id, owner), by_code, expiration, value)| {
        let mut block = json!({"expiration": expiration, "value": value});
        if by_code {
            block["seg_code"] = json!(format!("C{id}"));
            block["member_id"] = json!(owner);
        } else {
            block["seg_id"] = json!(id);
        }
        (block, id)
    })
}

proptest! {
    /// Against the obvious way to do it: a map from pairs to the last operation, and sets of refused pairs.
    #[test]
    fn the_last_block_of_a_pair_wins_and_each_pair_counts_once(
        users in prop::collection::vec((1..4u64, prop::collection::vec(block(), 1..6)), 0..8),
    ) {
        let shown = |(id, blocks): &(u64, Vec<(Value, u32)>)| {
            json!({"user_id": id, "seg_block": blocks.iter().map(|(block, _)| block).collect::<Vec<_>>()})
        };
        let text = json!({"rt_segment": users.iter().map(shown).collect::<Vec<_>>()}).to_string();
        let limits = StructureLimits { users_per_request: 0, segments_per_user: 0 };
        let resolved = read_with(&text, limits, 1).resolved;

        let mut expected: BTreeMap<String, BTreeMap<u32, Change>> = BTreeMap::new();
        let (mut inactive, mut refused) = (BTreeSet::new(), BTreeSet::new());
        for (id, blocks) in &users {
            let operations = expected.entry(id.to_string()).or_default();
            for (block, segment) in blocks {
                match segment {
                    12 => {
                        inactive.insert(*id);
                        continue;
                    }
                    // Whether a code is that of a foreign or absent segment is not for the caller to know.
                    30 | 99 => {
                        refused.insert((*id, *segment, block.get("seg_id").is_some()));
                        continue;
                    }
                    _ => {}
                }
                let value = u32::try_from(block["value"].as_u64().unwrap()).unwrap();
                let change = match block["expiration"].as_i64().unwrap() {
                    -1 => Change::Remove,
                    0 => Change::Add { expires: Expiry::Never, value },
                    minutes => Change::Add { expires: Expiry::At(Minute(1 + minutes as u32)), value },
                };
                operations.insert(*segment, change);
            }
        }
        let found: BTreeMap<String, BTreeMap<u32, Change>> = resolved
            .batch
            .iter()
            .map(|(user, operations)| {
                (user.id(), operations.iter().map(|operation| (operation.segment.0, operation.change)).collect())
            })
            .collect();
        prop_assert_eq!(resolved.batch.users(), expected.len(), "a user is there once");
        let pairs: usize = expected.values().map(BTreeMap::len).sum();
        prop_assert_eq!(resolved.batch.operations().len(), pairs, "a pair is there once");
        prop_assert_eq!(found, expected);
        let usage = &resolved.usage;
        prop_assert_eq!(usage.inactive.count as usize, inactive.len());
        prop_assert_eq!((usage.unauthorized.count + usage.invalid.count) as usize, refused.len());
    }
}

#[test]
fn an_id_without_a_domain_is_of_the_name_space_of_who_sends_it() {
    let long = "ü".repeat(127);
    let ids = ["7", "007", "Cart 7", &long, "0", "a\tb", "see hbapi:1:x:y", "A\tB"];
    let users = ids.map(|id| json!({"user_id": id, "seg_block": [{"seg_id": 10}]}));
    for users in users.chunks(4) {
        let text = json!({"rt_segment": users}).to_string();
        let limits = StructureLimits { users_per_request: 4, segments_per_user: 4 };
        let Resolved { batch, usage } = read_with(&text, limits, 4).resolved;
        for (key, _) in batch.iter() {
            assert_eq!(key.namespace(), Some(MemberId(3)));
            assert!(users.iter().any(|user| user["user_id"] == key.id().as_str()), "as it was sent");
        }
        let expected = if users[0]["user_id"] == "7" { (4, 0) } else { (1, 3) };
        assert_eq!((batch.users(), usage.invalid_users.count), expected);
    }
}
