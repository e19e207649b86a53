use super::*;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

fn workload(name: &str) -> Workload {
    Workload::named(name, 64)
}

#[test]
fn a_write_holds_what_it_is_counted_for() {
    for (name, users, segments) in [("bulk1", 1000, 1), ("small", 1, 2)] {
        let pool = Script::prepare(&workload(name), 5000, 64 << 20);
        assert_eq!(pool.items_per_call, users * segments);
        assert!(pool.calls.len() > 400);
        let body: Value = serde_json::from_slice(&pool.calls[7].call.body).unwrap();
        let sent = body["rt_segment"].as_array().unwrap();
        let ids: HashSet<&str> = sent.iter().map(|user| user["user_id"].as_str().unwrap()).collect();
        assert_eq!(ids.len() as u64, users);
        assert!(sent.iter().all(|user| user["seg_block"].as_array().unwrap().len() as u64 == segments));
    }
}

#[test]
fn a_pool_takes_the_memory_it_may() {
    for name in ["bulk10", "compact", "bulk1"] {
        let pool = Script::prepare(&workload(name), 1_000_000, 16 << 20);
        let bytes: usize = pool.calls.iter().map(|prepared| prepared.call.body.len()).sum();
        assert!((14 << 20..18 << 20).contains(&bytes), "{name}: {bytes}");
    }
}

#[test]
fn a_few_users_are_enough() {
    let pool = Script::prepare(&workload("bulk1"), 3, 1 << 20);
    assert_eq!(pool.items_per_call, 3);
    assert_eq!(Script::prepare(&workload("readmany"), 3, 1 << 20).items_per_call, 3);
}

#[test]
fn known_users_are_written_what_a_load_left() {
    for (name, segments) in [("bulk10", 10), ("small", 2)] {
        let script = Script::new(&workload(name), Written::Known, 1000, Distribution::Uniform, 1 << 20);
        let population = Population::new(KNOWN, 1000);
        let loaded: HashMap<u64, Vec<Membership>> = (0..1000)
            .map(|user| (population.id(user), population.memberships(user, 0, KNOWN_SEGMENTS).collect()))
            .collect();
        for (call, users) in script.calls() {
            for &user in users {
                let written: Vec<Membership> = script.written(call, user);
                assert_eq!(written, loaded[&script.id(user)][..segments], "{name}");
            }
        }
    }
}

#[test]
fn half_of_the_ids_are_unknown_where_the_name_says_so() {
    let known: HashSet<String> = {
        let population = Population::new(KNOWN, 100);
        (0..100).map(|user| population.id(user).to_string()).collect()
    };
    for (name, expected) in [("read", 1.0), ("read-unknown", 0.5)] {
        let pool = Script::prepare(&workload(name), 100, 1 << 20);
        let asked = |prepared: &Prepared| {
            let is_known = known.contains(prepared.call.uri.query().unwrap().trim_start_matches("user_id="));
            assert_eq!(prepared.mark.ends_with('{'), is_known);
            is_known
        };
        let share =
            pool.calls.iter().filter(|prepared| asked(prepared)).count() as f64 / pool.calls.len() as f64;
        assert!((share - expected).abs() < 0.02, "{name}: {share}");
    }
}
