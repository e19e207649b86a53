//! Replacing the members of a segment: no read sees half of it, and memory equals a replay.

use crate::records::*;
use ia_model::{ErasedSegments, Expiry, Minute, SegmentId, UserKey};
use ia_profiles::{Applied, MemoryProfiles, ProfileOptions, Profiles, get_joined, load_joined, read_at_once};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

const NOW: Minute = Minute(100);

/// The segment that is replaced, and another.
const S: u32 = 5;
const OTHER: u32 = 9;

fn users(ids: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = UserKey> + Clone {
    ids.map(user)
}

fn add_all(ids: std::ops::RangeInclusive<u64>, segments: &[u32]) -> ia_model::Record {
    let operations: Vec<_> = segments.iter().map(|&segment| add(segment, 1, Expiry::Never)).collect();
    ingest(100, users(ids).map(|user| (user, operations.clone())))
}

fn segments(profiles: &dyn Profiles, id: u64) -> Vec<u32> {
    if let Some(found) = profiles.get(&user(id), NOW) {
        assert_eq!(found, profiles.load(&user(id), NOW).unwrap());
    }
    loaded_segments(profiles, id)
}

fn loaded_segments(profiles: &dyn Profiles, id: u64) -> Vec<u32> {
    let loaded = profiles.load(&user(id), NOW).unwrap();
    loaded.iter().map(|membership| membership.segment.0).collect()
}

/// How many of these users are in the segment.
fn count(profiles: &dyn Profiles, of: &[UserKey], segment: u32) -> usize {
    let is_in = |user: &&UserKey| {
        let live = profiles.load(user, NOW).unwrap();
        live.iter().any(|membership| membership.segment.0 == segment)
    };
    of.iter().filter(is_in).count()
}

#[test]
fn a_replacement_takes_its_users_out_at_once_and_nobody_else() {
    for options in [SMALL, NO_ROOM] {
        let dir = tempfile::tempdir().unwrap();
        let profiles = open(dir.path(), options);
        profiles.apply(1, &add_all(1..=1000, &[S, OTHER])).unwrap();
        profiles.checkpoint().unwrap();
        assert_eq!(profiles.apply(2, &replace(101, S, users(1..=600))).unwrap(), Applied::default());
        assert_eq!(profiles.applied_position(), 2);
        let check = || {
            for id in [1, 300, 600] {
                assert_eq!(segments(&profiles, id), [OTHER]);
            }
            assert_eq!(segments(&profiles, 601), [S, OTHER]);
            assert!(members(&profiles, S, 100).into_iter().eq(users(601..=1000)));
            assert_eq!(members(&profiles, OTHER, 100).len(), 1000);
        };
        check();
        let first = profiles.settle().unwrap().unwrap();
        assert!(first.removed > 0 && first.removed < 600, "in slices: {first:?}");
        check();
        assert_eq!(first.removed + merge_all(&profiles).removed, 600);
        check();
    }
}

#[test]
fn later_records_win() {
    for options in [SMALL, NO_ROOM] {
        let dir = tempfile::tempdir().unwrap();
        let profiles = open(dir.path(), options);
        profiles.apply(1, &add_all(1..=1000, &[S, OTHER])).unwrap();
        profiles.checkpoint().unwrap();
        profiles.apply(2, &replace(101, S, users(1..=1000))).unwrap();
        let again = ingest(102, [(user(900), vec![add(S, 7, until(200))])]);
        let added = Applied { added: 1, ..Applied::default() };
        let erased = Applied { removed: 1, ..Applied::default() };
        let out = erase(102, user(902), ErasedSegments::Only(vec![SegmentId(S)]));
        let later = [again, erase(102, user(901), ErasedSegments::All), out];
        let found: Vec<_> = later
            .iter()
            .zip(3..)
            .map(|(record, position)| profiles.apply(position, record).unwrap())
            .collect();
        let is_in_memory = options == SMALL;
        if is_in_memory {
            // The old membership is over, so only the other one is left to be erased.
            assert_eq!(found, [added, erased, Applied::default()]);
        }
        let check = || {
            let found = profiles.load(&user(900), NOW).unwrap();
            let other = membership(OTHER, 1, 100, 100, Expiry::Never);
            assert_eq!(found, [membership(S, 7, 102, 102, until(200)), other]);
            assert_eq!((segments(&profiles, 901), segments(&profiles, 902)), (vec![], vec![OTHER]));
        };
        check();
        // Again, before the first is settled: it takes out who has come in meanwhile.
        let mut counted = profiles.apply(6, &replace(103, S, users(899..=899))).unwrap();
        check();
        counted += merge_all(&profiles);
        // Of a user that is on disk, an erase does not count what was there.
        let all_but_erased = if is_in_memory { 1000 } else { 999 };
        assert!(
            (all_but_erased..=1000).contains(&counted.removed),
            "each membership counts once: {counted:?}"
        );
        check();
        profiles.apply(7, &replace(103, S, users(1..=1000))).unwrap();
        assert_eq!((segments(&profiles, 900), merge_all(&profiles).removed), (vec![OTHER], 1));
    }
}

/// The records after the checkpoint, applied again, give the same profiles.
#[test]
fn a_crash_at_any_time_changes_nothing() {
    for (options, settled, is_checkpointed) in [SMALL, NO_ROOM]
        .into_iter()
        .flat_map(|options| [0, 1, 1000].map(|settled| (options, settled)))
        .flat_map(|(options, settled)| [false, true].map(|checkpoint| (options, settled, checkpoint)))
    {
        let dir = tempfile::tempdir().unwrap();
        let profiles = open(dir.path(), options);
        let log = [
            add_all(1..=1000, &[S, OTHER]),
            replace(101, S, users(1..=600)),
            ingest(
                102,
                [(user(600), vec![add(S, 7, Expiry::Never)]), (user(8), vec![add(3, 1, until(200))])],
            ),
        ];
        profiles.apply(1, &log[0]).unwrap();
        profiles.checkpoint().unwrap();
        profiles.apply(2, &log[1]).unwrap();
        profiles.apply(3, &log[2]).unwrap();
        for _ in 0..settled {
            profiles.settle().unwrap();
        }
        if is_checkpointed {
            let covered = if settled == 1000 { 3 } else { 1 };
            assert_eq!(profiles.checkpoint().unwrap().position, covered);
        }
        drop(profiles);
        let profiles = open(dir.path(), options);
        replay(&profiles, &log);
        for is_settled in [false, true] {
            if is_settled {
                settle_all(&profiles);
                assert_eq!(profiles.checkpoint().unwrap().position, 3);
            }
            let expected: Vec<UserKey> = users(600..=1000).collect();
            assert!(members(&profiles, S, 100).into_iter().eq(expected));
            assert_eq!((segments(&profiles, 8), segments(&profiles, 7)), (vec![3, OTHER], vec![OTHER]));
            let found = profiles.load(&user(600), NOW).unwrap()[0];
            assert_eq!(found, membership(S, 7, 102, 102, Expiry::Never));
        }
    }
}

/// In the middle of a read, by the reader itself: so it is certain that a read without the check sees half.
#[test]
fn a_read_that_a_replacement_overtakes_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let packed = open(dir.path(), SMALL);
    let all: Vec<UserKey> = users(1..=1000).collect();
    for profiles in [&packed as &dyn Profiles, &MemoryProfiles::new(3)] {
        let read_with = |first_position: u64, read: &dyn Fn(&dyn Fn() -> usize) -> usize| {
            profiles.apply(first_position, &add_all(1..=1000, &[S])).unwrap();
            let replacement = Cell::new(Some(replace(100, S, users(1..=1000))));
            read(&|| {
                let before = count(profiles, &all[..500], S);
                if let Some(record) = replacement.take() {
                    profiles.apply(first_position + 1, &record).unwrap();
                }
                before + count(profiles, &all[500..], S)
            })
        };
        assert_eq!(read_with(1, &|read| read()), 500, "without the check it is half");
        assert_eq!(read_with(3, &|read| read_at_once(profiles, read)), 0);
        assert_eq!(profiles.replacements(), 2);
    }
}

/// A thread reads a thousand users in a loop while others are replaced, segment by segment.
#[test]
fn a_thread_that_reads_sees_all_or_nothing() {
    const MEMBERS: u64 = 200_000;
    const SEGMENTS: u32 = 6;
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), ProfileOptions { memory_budget_bytes: 64 << 20, ..SMALL });
    profiles.apply(1, &add_all(1..=MEMBERS, &(1..=SEGMENTS).collect::<Vec<_>>())).unwrap();
    let some: Vec<UserKey> = (0..1000).map(|n| user(n * 199 + 1)).collect();
    let segment = AtomicU32::new(1);
    let done = AtomicBool::new(false);
    let (half, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _end = StopOnDrop(&done);
        let reader = scope.spawn(|| {
            repeat_until(&done, || {
                let segment = segment.load(Ordering::SeqCst);
                let found = read_at_once(&profiles, || count(&profiles, &some, segment));
                assert!(found == 0 || found == 1000, "half: {found}");
                reads.fetch_add(1, Ordering::SeqCst);
            });
        });
        // The control: it reads in the same way, without the check.
        scope.spawn(|| {
            repeat_until(&done, || {
                let found = count(&profiles, &some, segment.load(Ordering::SeqCst));
                half.fetch_add(u64::from(found != 0 && found != 1000), Ordering::SeqCst);
            });
        });
        let mut of_segment = 1;
        // Until the control has seen half: only then the reads were dense enough to show anything.
        while half.load(Ordering::SeqCst) == 0 && of_segment <= SEGMENTS && !reader.is_finished() {
            segment.store(of_segment, Ordering::SeqCst);
            let before = reads.load(Ordering::SeqCst);
            while reads.load(Ordering::SeqCst) < before + 3 && !reader.is_finished() {
                std::thread::yield_now();
            }
            assert_eq!(count(&profiles, &some, of_segment), 1000);
            let replacement = replace(100, of_segment, users(1..=MEMBERS));
            profiles.apply(u64::from(of_segment) + 1, &replacement).unwrap();
            assert_eq!(count(&profiles, &some, of_segment), 0);
            let first = profiles.settle().unwrap().unwrap().removed;
            assert!(first < MEMBERS);
            let covered = profiles.checkpoint().unwrap().position;
            assert_eq!(covered, u64::from(of_segment), "it is not settled");
            assert_eq!(first + merge_all(&profiles).removed, MEMBERS);
            of_segment += 1;
        }
        assert!(!reader.is_finished(), "it has seen half");
        assert!(half.load(Ordering::SeqCst) > 0, "the control has never seen half");
    });
}

/// Users on disk: a reader may have an outdated blob in its hands while its user is settled, written and evicted.
#[test]
fn nobody_is_seen_again_while_replacements_are_settled() {
    const MEMBERS: u64 = 500;
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), NO_ROOM);
    // Who is in the segment: users from this one on.
    let first_member = AtomicU64::new(1);
    let done = AtomicBool::new(false);
    profiles.apply(1, &add_all(1..=MEMBERS, &[S, OTHER])).unwrap();
    profiles.checkpoint().unwrap();
    std::thread::scope(|scope| {
        let _end = StopOnDrop(&done);
        let readers = [0, 1].map(|turn| {
            let (profiles, first_member, done) = (&profiles, &first_member, &done);
            scope.spawn(move || {
                let mut turn = turn;
                repeat_until(done, || {
                    turn += 7;
                    let id = turn % MEMBERS + 1;
                    let is_out = id < first_member.load(Ordering::SeqCst);
                    let found = loaded_segments(profiles, id);
                    assert!(found == [OTHER] || (!is_out && found == [S, OTHER]), "user {id}: {found:?}");
                });
            })
        });
        scope.spawn(|| repeat_until(&done, || profiles.checkpoint().unwrap()));
        // Those that stay are met, however often the others move.
        let visitor = scope.spawn(|| {
            repeat_until(&done, || {
                let found = members(&profiles, S, 100);
                assert!(users(MEMBERS - 50..=MEMBERS).all(|user| found.contains(&user)));
                assert_eq!(members(&profiles, OTHER, 100).len() as u64, MEMBERS);
                assert!(members(&profiles, 4, 100).is_empty());
            });
        });
        let mut position = 1;
        for first in (1..MEMBERS - 50).step_by(15) {
            position += 1;
            profiles.apply(position, &replace(100, S, users(first..=first + 14))).unwrap();
            first_member.store(first + 15, Ordering::SeqCst);
            std::thread::yield_now();
            settle_all(&profiles);
            // The others come into memory, and leave it.
            position += 1;
            profiles.apply(position, &add_all(MEMBERS - 50..=MEMBERS, &[S, OTHER])).unwrap();
            if readers.iter().any(|reader| reader.is_finished()) || visitor.is_finished() {
                break;
            }
        }
    });
}

#[test]
fn a_user_with_linked_ids_is_read_at_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), SMALL);
    let ids = ["a", "b", "c"].map(external);
    profiles.apply(1, &link(100, user(1), ids.clone().map(|id| (id, 200)))).unwrap();
    let both = ids.iter().cloned().chain([user(1)]);
    let record = ingest(100, both.clone().map(|user| (user, vec![add(S, 1, Expiry::Never)])));
    profiles.apply(2, &record).unwrap();
    let is_in = || {
        let found = get_joined(&profiles, &user(1), NOW).unwrap();
        assert_eq!(found, load_joined(&profiles, &user(1), NOW).unwrap());
        found.len() == 1
    };
    assert!(is_in());
    profiles.apply(3, &replace(100, S, both)).unwrap();
    assert!(!is_in());
    settle_all(&profiles);
    assert!(!is_in());
    assert_eq!(profiles.load_links(&user(1), NOW).unwrap().len(), 3);
}

/// A record of a replacement that does something else as well is applied as any other.
#[test]
fn a_record_that_adds_is_no_replacement() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), SMALL);
    let mut record = add_all(1..=3, &[S]);
    let ia_model::Record::Ingest(ingest) = &mut record else { unreachable!("it was made so") };
    ingest.file = Some(Box::new(ia_model::record::FileChunk {
        replaced: Some(SegmentId(S)),
        ..ia_model::record::FileChunk::default()
    }));
    assert_eq!(profiles.apply(1, &record).unwrap(), Applied { added: 3, ..Applied::default() });
    assert_eq!((profiles.replacements(), profiles.settle().unwrap()), (0, None));
}

#[test]
fn a_visit_ends_when_it_is_told_to() {
    for options in [SMALL, NO_ROOM] {
        let dir = tempfile::tempdir().unwrap();
        let profiles = open(dir.path(), options);
        profiles.apply(1, &add_all(1..=100, &[S])).unwrap();
        profiles.checkpoint().unwrap();
        let mut met = 0;
        let mut visit = |_| {
            met += 1;
            if met == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        profiles.visit_members(SegmentId(S), NOW, &mut visit).unwrap();
        assert_eq!(met, 3);
    }
}
