//! A write to a user that is on disk only reads nothing from there.

use crate::records::*;
use ia_model::{ErasedSegments, Expiry, Minute, Record};
use ia_profiles::{MemoryProfiles, PackedProfiles, Profiles};
use std::path::Path;

const NOW: Minute = Minute(200);
/// More than fit into memory by far.
const USERS: u64 = 20_000;
const RECORDS: u64 = 1000;
const OPTIONS: ia_profiles::ProfileOptions =
    ia_profiles::ProfileOptions { memory_budget_bytes: 64 << 10, ..SMALL };

/// Some memberships of everybody, and hundreds of each hundredth; all of them on disk, none in memory.
fn stored(dir: &Path, reference: &MemoryProfiles) -> Vec<Record> {
    let memberships = |id: u64| match id % 100 {
        0 => (1..400).map(|segment| add(segment, 1, Expiry::Never)).collect(),
        _ => (1..4).map(|segment| add(segment, 1, until(100 + (id % 200) as u32))).collect(),
    };
    let log = vec![
        ingest(100, (1..=USERS).map(|id| (user(id), memberships(id)))),
        link(100, user(3), [(external("x"), 5000)]),
    ];
    let profiles = open(dir, OPTIONS);
    for (position, record) in (1..).zip(&log) {
        profiles.apply(position, record).unwrap();
        reference.apply(position, record).unwrap();
    }
    profiles.checkpoint().unwrap();
    log
}

/// All that a record can do to users: adds, memberships that begin later, removes, erases, links.
fn record(number: u64) -> Record {
    // Odd, so that no user comes twice.
    let id = number * 7919 % USERS + 1;
    match number % 20 {
        0 => erase(150, user(id), ErasedSegments::All),
        1 => erase(150, user(id), ErasedSegments::Only(vec![ia_model::SegmentId(2)])),
        2 => link(150, user(3), [(external(&format!("y{number}")), 5000)]),
        3 => ingest(
            150,
            [(user(id), vec![add_later(2, 160, 8, until(190)), add_later(9, 190, 8, Expiry::Never)])],
        ),
        // Nobody knows this user yet.
        4 => ingest(150, [(user(USERS + number), vec![add(1, 7, Expiry::Never)])]),
        _ => ingest(
            150,
            [(user(id), vec![add(2, number as u32, Expiry::Never), remove(3), add(500, 1, until(300))])],
        ),
    }
}

fn compare(profiles: &PackedProfiles, reference: &MemoryProfiles, when: &str) {
    for id in (0..RECORDS).map(|number| number * 7919 % USERS + 1).chain([3, 100, USERS + 4, USERS + 5]) {
        let found = profiles.load(&user(id), NOW).unwrap();
        assert_eq!(found, reference.load(&user(id), NOW).unwrap(), "{when}: user {id}");
        let later = profiles.load_later(&user(id), Minute(155)).unwrap();
        assert_eq!(later, reference.load_later(&user(id), Minute(155)).unwrap(), "{when}: user {id}");
    }
    let links = profiles.load_links(&user(3), NOW).unwrap();
    assert_eq!(links, reference.load_links(&user(3), NOW).unwrap(), "{when}");
    assert_eq!(links.len(), SMALL.links_per_user, "{when}");
    for segment in [2, 3, 500] {
        assert_eq!(
            members(profiles, segment, NOW.0),
            members(reference, segment, NOW.0),
            "{when}: {segment}"
        );
    }
}

#[test]
fn a_write_needs_no_read() {
    let dir = tempfile::tempdir().unwrap();
    let reference = MemoryProfiles::new(SMALL.links_per_user);
    let mut log = stored(dir.path(), &reference);
    let profiles = open(dir.path(), OPTIONS);
    assert_eq!(profiles.stats().resident_profiles, 0, "all are on disk only");
    let empty = profiles.stats().resident_bytes;
    for number in 0..RECORDS {
        let (position, record) = (log.len() as u64 + 1, record(number));
        profiles.apply(position, &record).unwrap();
        reference.apply(position, &record).unwrap();
        log.push(record);
    }
    let stats = profiles.stats();
    assert_eq!(stats.read_throughs, 0, "a write has read");
    assert!(stats.dirty_profiles >= RECORDS / 20 * 18, "{stats:?}");
    // Pages and lists have room to grow in: at most as much again, as elsewhere.
    let bound = empty + OPTIONS.memory_budget_bytes + 2 * stats.dirty_bytes;
    assert!(stats.resident_bytes <= bound, "more than {bound} bytes: {stats:?}");
    compare(&profiles, &reference, "before a checkpoint");
    assert!(profiles.stats().read_throughs > 0, "who reads them needs the disk");

    profiles.checkpoint().unwrap();
    assert_eq!((profiles.dirty_bytes(), profiles.stats().dirty_profiles), (0, 0));
    compare(&profiles, &reference, "after a checkpoint");
    drop(profiles);
    let profiles = open(dir.path(), OPTIONS);
    assert_eq!(profiles.checkpointed_position(), log.len() as u64, "nothing is left to replay");
    compare(&profiles, &reference, "after a restart");
}

/// A replay is writes as well, so a start after a crash reads nothing either.
#[test]
fn a_replay_needs_no_read() {
    let dir = tempfile::tempdir().unwrap();
    let reference = MemoryProfiles::new(SMALL.links_per_user);
    let mut log = stored(dir.path(), &reference);
    let covered = log.len();
    log.extend((0..RECORDS).map(record));
    for (position, record) in (1..).zip(&log).skip(covered) {
        reference.apply(position, record).unwrap();
    }
    let profiles = open(dir.path(), OPTIONS);
    replay(&profiles, &log);
    assert_eq!(profiles.stats().read_throughs, 0, "a replay has read");
    compare(&profiles, &reference, "after a replay");
}
