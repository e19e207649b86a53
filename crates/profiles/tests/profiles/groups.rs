//! Records with many users of one shard, profiles of all sizes, and users that come twice.

use crate::records::*;
use ia_model::{ErasedSegments, Expiry, Minute, Operation, Record, SegmentId, UserKey};
use ia_profiles::{Applied, MemoryProfiles, PackedProfiles, ProfileOptions, Profiles};

const USERS: u64 = 300;
const RECORDS: u32 = 120;
const OPTIONS: ProfileOptions =
    ProfileOptions { memory_budget_bytes: 1 << 30, shards: 1, store_cache_bytes: 1 << 20, links_per_user: 3 };

/// The next number of a xorshift sequence.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn key(id: u64) -> UserKey {
    if id.is_multiple_of(5) { device(id as u32) } else { user(id) }
}

/// Mostly a few segments, rarely so many that a profile takes kilobytes, and sometimes out of order.
fn operations(random: &mut u64, minute: u32) -> Vec<Operation> {
    let count = match next(random) % 40 {
        0 => 800,
        1 => 150,
        few => few % 7 + 1,
    };
    let mut operations: Vec<Operation> = (0..count)
        .map(|_| {
            let segment = (next(random) % 2000 + 1) as u32;
            match next(random) % 6 {
                0 => remove(segment),
                1 => add(segment, (next(random) % 300) as u32, Expiry::Never),
                minutes => add(segment, 1, until(minute + minutes as u32)),
            }
        })
        .collect();
    if !next(random).is_multiple_of(4) {
        operations.sort_by_key(|operation| operation.segment);
        operations.dedup_by_key(|operation| operation.segment);
    }
    operations
}

/// Sometimes a user is in it twice, which the normal form forbids: the later entry is applied later.
fn record(random: &mut u64, minute: u32) -> Record {
    if next(random).is_multiple_of(8) {
        let segments = match next(random) % 3 {
            0 => ErasedSegments::All,
            _ => ErasedSegments::Only((1..1900).map(SegmentId).collect()),
        };
        return erase(minute, key(next(random) % USERS + 1), segments);
    }
    let users = next(random) % 250 + 1;
    ingest(minute, (0..users).map(|_| (key(next(random) % USERS + 1), operations(random, minute))))
}

fn says_what_the_reference_says(options: ProfileOptions, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), options);
    let reference = MemoryProfiles::new(SMALL.links_per_user);
    let (mut random, mut minute) = (seed, 1000);
    let (mut expected, mut found) = (Applied::default(), Applied::default());
    for position in 1..=RECORDS {
        minute += (next(&mut random) % 2) as u32;
        let record = record(&mut random, minute);
        expected += reference.apply(u64::from(position), &record).unwrap();
        found += profiles.apply(u64::from(position), &record).unwrap();
        if position.is_multiple_of(17) {
            profiles.checkpoint().unwrap();
        }
    }
    let check = |profiles: &PackedProfiles| {
        for id in 1..=USERS + 1 {
            let found = profiles.load(&key(id), Minute(minute)).unwrap();
            assert_eq!(found, reference.load(&key(id), Minute(minute)).unwrap(), "user {id}");
        }
    };
    check(&profiles);
    found += merge_all(&profiles);
    // Of a user that is on disk, an erase does not count what was there.
    if profiles.stats().complete {
        assert_eq!(found, expected);
    }
    check(&profiles);
    drop(profiles);
    check(&open(dir.path(), options));
}

#[test]
fn one_shard_with_room_says_what_the_reference_says() {
    for seed in [1, 2] {
        says_what_the_reference_says(OPTIONS, seed);
    }
}

#[test]
fn one_shard_without_room_says_what_the_reference_says() {
    for budget in [0, 60_000] {
        says_what_the_reference_says(ProfileOptions { memory_budget_bytes: budget, ..OPTIONS }, 3);
    }
}

#[test]
fn some_shards_with_little_room_say_what_the_reference_says() {
    says_what_the_reference_says(ProfileOptions { memory_budget_bytes: 300_000, shards: 4, ..OPTIONS }, 4);
}

/// A profile grows through all sizes of slots and out of its page, and shrinks back, among others.
#[test]
fn a_profile_may_have_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), OPTIONS);
    let others: Vec<_> = (1..=40).map(|id| (user(id), vec![add(1, 1, Expiry::Never)])).collect();
    profiles.apply(1, &ingest(100, others)).unwrap();
    let value = |segment: u32| segment * 1000;
    for segment in 2..=900 {
        let adds = vec![add(segment, value(segment), Expiry::Never)];
        profiles.apply(u64::from(segment), &ingest(100, [(user(7), adds)])).unwrap();
    }
    let large = profiles.stats();
    assert!(large.dirty_bytes > 4000, "{large:?}");
    for segment in (2..=900).rev() {
        let live = profiles.get(&user(7), Minute(100)).unwrap();
        assert_eq!(live.len() as u32, segment);
        assert_eq!(live.last().unwrap().value, value(segment));
        let position = 2000 - u64::from(segment);
        profiles.apply(position, &ingest(100, [(user(7), vec![remove(segment)])])).unwrap();
    }
    assert!((1..=40).all(|id| profiles.get(&user(id), Minute(100)).unwrap().len() == 1));
    let small = profiles.stats();
    assert!(small.dirty_bytes < 40 * 20 && small.resident_bytes < large.resident_bytes, "{small:?}");
}
