//! Apply, checkpoints, eviction, reads and warm-ups at the same time.

use crate::records::*;
use ia_model::{Expiry, Minute, Operation};
use ia_profiles::{Applied, MemoryProfiles, ProfileOptions, Profiles};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const USERS: u64 = 40;
const ROUNDS: u32 = 400;

/// Every seventh version of a user is "nothing".
fn operation(version: u32) -> Operation {
    if version.is_multiple_of(7) { remove(5) } else { add(5, version, Expiry::Never) }
}

/// Whether a read may find this while versions `from..=to` were current.
fn is_possible(found: Option<u32>, from: u32, to: u32) -> bool {
    (from..=to).any(|version| found == (!version.is_multiple_of(7)).then_some(version))
}

/// Each user goes through versions 1, 2, 3… Readers know the version applied before their read and the one
/// after it; any other is an outdated blob or a lost change.
fn versions_never_go_back(options: ProfileOptions) {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), options);
    let applied: Vec<AtomicU32> = (0..=USERS).map(|_| AtomicU32::new(0)).collect();
    let begun: Vec<AtomicU32> = (0..=USERS).map(|_| AtomicU32::new(0)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = StopOnDrop(&done);
        for first in 0..2 {
            let (profiles, applied, begun, done) = (&profiles, &applied, &begun, &done);
            scope.spawn(move || {
                let mut turn = first;
                while !done.load(Ordering::SeqCst) {
                    turn += 1;
                    let id = turn % USERS + 1;
                    let from = applied[id as usize].load(Ordering::SeqCst);
                    let found = match profiles.get(&user(id), Minute(100)) {
                        Some(found) if turn.is_multiple_of(3) => found,
                        _ => profiles.load(&user(id), Minute(100)).unwrap(),
                    };
                    let to = begun[id as usize].load(Ordering::SeqCst);
                    let found = found.first().map(|membership| membership.value);
                    assert!(is_possible(found, from, to), "user {id}: {found:?} is not in {from}..={to}");
                }
            });
        }
        scope.spawn(|| repeat_until(&done, || profiles.checkpoint().unwrap()));
        scope.spawn(|| repeat_until(&done, || profiles.warm_up(&done).unwrap()));
        let started = Instant::now();
        for round in 1..=ROUNDS {
            for id in 1..=USERS {
                begun[id as usize].store(round, Ordering::SeqCst);
                let position = u64::from(round - 1) * USERS + id;
                profiles.apply(position, &ingest(100, [(user(id), vec![operation(round)])])).unwrap();
                applied[id as usize].store(round, Ordering::SeqCst);
            }
            // The others get a turn; with a limit, so that a slow disk does not stretch the test.
            let checkpointed = profiles.checkpointed_position();
            while round.is_multiple_of(20)
                && profiles.checkpointed_position() == checkpointed
                && started.elapsed() < Duration::from_secs(4)
            {
                std::thread::yield_now();
            }
        }
    });
    for id in 1..=USERS {
        let found = profiles.load(&user(id), Minute(100)).unwrap().first().map(|membership| membership.value);
        assert!(is_possible(found, ROUNDS, ROUNDS), "user {id}: {found:?}");
    }
    assert!(profiles.checkpointed_position() > 0, "no checkpoint took part");
}

#[test]
fn versions_never_go_back_with_room() {
    versions_never_go_back(SMALL);
}

#[test]
fn versions_never_go_back_without_room() {
    versions_never_go_back(NO_ROOM);
}

/// A checkpoint that runs while records are applied, and a stop in the middle: the replay completes it.
#[test]
fn a_replay_over_a_checkpoint_that_ran_meanwhile_is_right() {
    for options in [SMALL, NO_ROOM] {
        let dir = tempfile::tempdir().unwrap();
        let profiles = open(dir.path(), options);
        let reference = MemoryProfiles::new(SMALL.links_per_user);
        let mut log = Vec::new();
        let (mut expected, mut found) = (Applied::default(), Applied::default());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _end = StopOnDrop(&done);
            scope.spawn(|| repeat_until(&done, || profiles.checkpoint().unwrap()));
            for position in 1..=3_000u32 {
                let operations = (1..5).map(|n| match (position * n) % 5 {
                    0 => remove(n),
                    1 => add(n, position, Expiry::Never),
                    minutes => add(n, 1, until(1000 + position / 10 + minutes)),
                });
                let id = u64::from(position * 7 % 31 + 1);
                let record = ingest(1000 + position / 10, [(user(id), operations.collect())]);
                expected += reference.apply(u64::from(position), &record).unwrap();
                found += profiles.apply(u64::from(position), &record).unwrap();
                log.push(record);
            }
        });
        found += merge_all(&profiles);
        assert_eq!(found, expected, "each change counts once, whoever merges it");
        assert_eq!(profiles.stats().put_off, 0);
        let last = log.len() as u64;
        profiles.apply(last + 1, &ingest(1300, [(user(1), vec![add(9, 9, Expiry::Never)])])).unwrap();
        drop(profiles);
        let profiles = open(dir.path(), options);
        let covered = profiles.checkpointed_position();
        assert!(covered > 0 && covered <= last);
        replay(&profiles, &log);
        for id in 1..=32 {
            let found = profiles.load(&user(id), Minute(1300)).unwrap();
            assert_eq!(found, reference.load(&user(id), Minute(1300)).unwrap(), "user {id}");
        }
    }
}
