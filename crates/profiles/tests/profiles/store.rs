//! The store and the memory over it: opening, budget, cheap misses, damage.

use crate::records::*;
use ia_model::{Expiry, Minute};
use ia_profiles::{ErrorKind, PackedProfiles, ProfileOptions, Profiles};
use std::fs;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// A store with that many users on disk, and nothing in memory.
fn stored(users: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), SMALL);
    fill(&profiles, 1, users);
    profiles.checkpoint().unwrap();
    dir
}

fn fill(profiles: &PackedProfiles, first: u64, users: u64) {
    let records = (first..first + users).map(|id| (user(id), vec![add(3, 1, Expiry::Never)]));
    let position = profiles.applied_position() + 1;
    profiles.apply(position, &ingest(100, records)).unwrap();
}

#[test]
fn a_second_open_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), SMALL);
    let error = PackedProfiles::open(&dir.path().join("profiles"), SMALL).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("in use"), "{error}");
    drop(profiles);
    open(dir.path(), SMALL);
}

#[test]
fn memory_stays_within_the_budget_once_it_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let options = ProfileOptions { memory_budget_bytes: 200_000, ..SMALL };
    let profiles = open(dir.path(), options);
    for round in 0..40 {
        fill(&profiles, 1 + round * 1000, 1000);
        if round == 0 {
            assert_eq!(profiles.stats().evictions, 0, "there is room, and nothing clean");
        }
        profiles.checkpoint().unwrap();
        // Reads bring them into memory, where there is no room for all.
        for id in (1 + round % 29..=round * 1000).step_by(29) {
            assert_eq!(profiles.load(&user(id), Minute(100)).unwrap().len(), 1, "user {id}");
        }
    }
    let stats = profiles.stats();
    assert!(stats.evictions > 20_000, "{stats:?}");
    assert!(stats.resident_bytes < options.memory_budget_bytes * 3 / 2, "{stats:?}");
    assert!(!stats.complete);
    for id in (1..=40_000).step_by(997) {
        assert_eq!(profiles.load(&user(id), Minute(100)).unwrap().len(), 1, "user {id}");
    }
    assert!(profiles.stats().read_throughs > 0);
    assert!(profiles.load(&user(40_001), Minute(100)).unwrap().is_empty());
}

#[test]
fn dirty_profiles_are_never_evicted() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), NO_ROOM);
    fill(&profiles, 1, 1000);
    let stats = profiles.stats();
    assert_eq!((stats.resident_profiles, stats.dirty_profiles, stats.evictions), (1000, 1000, 0));
    assert!(stats.dirty_bytes >= 1000 * 12 && stats.dirty_bytes <= stats.resident_bytes, "{stats:?}");
    assert_eq!(profiles.dirty_bytes(), stats.dirty_bytes);
    assert!((1..=1000).all(|id| profiles.get(&user(id), Minute(100)).is_some()));
}

#[test]
fn an_unknown_user_needs_no_disk_when_all_is_in_memory() {
    let dir = stored(100);
    let profiles = open(dir.path(), SMALL);
    assert_eq!(profiles.get(&user(101), Minute(100)), None, "it may be on disk");
    assert_eq!(profiles.get(&user(1), Minute(100)), None);
    profiles.warm_up(&AtomicBool::new(false)).unwrap();
    assert_eq!(profiles.get(&user(101), Minute(100)), Some(vec![]));
    assert_eq!(profiles.get(&user(1), Minute(100)).unwrap().len(), 1);
    assert!(profiles.load(&user(102), Minute(100)).unwrap().is_empty());
    fill(&profiles, 101, 100);
    let stats = profiles.stats();
    assert_eq!((stats.read_throughs, stats.resident_profiles), (0, 200));
    assert!(stats.warm && stats.complete);
}

#[test]
fn a_warm_up_stops_at_the_budget_and_when_told() {
    let dir = stored(20_000);
    let options = ProfileOptions { memory_budget_bytes: 100_000, ..SMALL };
    let profiles = open(dir.path(), options);
    profiles.warm_up(&AtomicBool::new(true)).unwrap();
    assert_eq!(profiles.stats().resident_profiles, 0);
    profiles.warm_up(&AtomicBool::new(false)).unwrap();
    let stats = profiles.stats();
    assert!(stats.resident_profiles > 500 && stats.resident_bytes < 150_000, "{stats:?}");
    assert!(stats.warm && !stats.complete);
    assert_eq!(profiles.load(&user(20_000), Minute(100)).unwrap().len(), 1);
}

#[test]
fn a_read_through_keeps_the_profile() {
    let dir = stored(100);
    let profiles = open(dir.path(), SMALL);
    assert_eq!(profiles.load(&user(7), Minute(100)).unwrap().len(), 1);
    assert_eq!(profiles.get(&user(7), Minute(100)).unwrap().len(), 1);
    assert_eq!(profiles.get(&user(8), Minute(100)), None);
    assert_eq!(profiles.stats().read_throughs, 1);
}

#[test]
fn a_checkpoint_without_changes_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), SMALL);
    fill(&profiles, 1, 10);
    let first = profiles.checkpoint().unwrap();
    assert_eq!((first.profiles_written, first.position), (10, 1));
    let bytes = profiles.stats().store_bytes;
    let second = profiles.checkpoint().unwrap();
    assert_eq!((second.profiles_written, second.bytes_written, second.position), (0, 0, 1));
    assert_eq!(profiles.stats().store_bytes, bytes);
}

/// With any damage to a table file: an answer, or an error that says that the store is damaged.
#[test]
fn damaged_files_give_an_error_and_no_panic() {
    let dir = stored(2000);
    let tables = dir.path().join("profiles/keyspaces/1/tables");
    let table = fs::read_dir(tables).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&table).unwrap();
    let mut errors = 0;
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(&table, &damaged).unwrap();
        let read = || {
            let profiles = PackedProfiles::open(&dir.path().join("profiles"), SMALL)?;
            profiles.warm_up(&AtomicBool::new(false))
        };
        if let Err(error) = read() {
            assert_eq!(error.kind(), ErrorKind::Corrupted, "{error:?}");
            errors += 1;
        }
    }
    assert!(errors > 20, "only {errors} of 40 were noticed");
}
