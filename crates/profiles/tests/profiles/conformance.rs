//! The rules, tested on every implementation.

use crate::records::*;
use ia_model::{ErasedSegments, Expiry, Minute, Record, SegmentId};
use ia_profiles::{
    Applied, MemoryProfiles, PackedProfiles, Profiles, get_joined, load_joined, load_joined_later,
    load_many_joined,
};
use std::sync::atomic::AtomicBool;

/// Runs a test on every implementation, and with profiles in every state between two records.
fn over_all(test: impl Fn(&dyn Profiles, &dyn Fn())) {
    test(&MemoryProfiles::new(SMALL.links_per_user), &|| {});
    for options in [SMALL, NO_ROOM] {
        let dir = tempfile::tempdir().unwrap();
        let profiles = open(dir.path(), options);
        test(&profiles, &|| {});
        let dir = tempfile::tempdir().unwrap();
        let profiles = open(dir.path(), options);
        test(&profiles, &|| checkpoint_and_warm_up(&profiles));
    }
}

fn checkpoint_and_warm_up(profiles: &PackedProfiles) {
    profiles.checkpoint().unwrap();
    profiles.warm_up(&AtomicBool::new(false)).unwrap();
}

fn applied(added: u64, refreshed: u64, removed: u64) -> Applied {
    Applied { added, refreshed, removed, put_off: 0 }
}

/// Applies a record, and compares what it has changed. Of a user that is on disk this is known once it was read, and what an
/// erase of all takes there is never known.
fn applies(profiles: &dyn Profiles, position: u64, record: &Record, expected: Applied) {
    let mut found = profiles.apply(position, record).unwrap();
    for id in 1..=3 {
        profiles.load(&user(id), Minute(100)).unwrap();
    }
    found += settle_all(profiles);
    let erases_all = matches!(record, Record::Erase(erase) if erase.segments == ErasedSegments::All);
    assert!(found == expected || erases_all && found == Applied::default(), "{found:?} is not {expected:?}");
}

#[test]
fn an_add_is_seen_until_it_expires() {
    over_all(|profiles, between| {
        let record = ingest(100, [(user(1), vec![add(7, 3, until(110)), add(2, 0, Expiry::Never)])]);
        applies(profiles, 1, &record, applied(2, 0, 0));
        between();
        let both = [membership(2, 0, 100, 100, Expiry::Never), membership(7, 3, 100, 100, until(110))];
        assert_eq!(profiles.load(&user(1), Minute(109)).unwrap(), both);
        assert_eq!(profiles.load(&user(1), Minute(110)).unwrap(), both[..1]);
        assert!(profiles.load(&user(2), Minute(100)).unwrap().is_empty());
        if let Some(in_memory) = profiles.get(&user(1), Minute(109)) {
            assert_eq!(in_memory, both);
        }
        assert_eq!(profiles.applied_position(), 1);
    });
}

#[test]
fn adding_again_keeps_when_it_began() {
    over_all(|profiles, between| {
        profiles.apply(1, &ingest(100, [(user(1), vec![add(7, 1, until(110))])])).unwrap();
        between();
        let again = ingest(109, [(user(1), vec![add(7, 2, until(120))])]);
        applies(profiles, 2, &again, applied(0, 1, 0));
        between();
        let live = profiles.load(&user(1), Minute(110)).unwrap();
        assert_eq!(live, [membership(7, 2, 100, 109, until(120))]);
        // At 120 it has expired, so this begins a new one.
        let anew = ingest(120, [(user(1), vec![add(7, 2, Expiry::Never)])]);
        applies(profiles, 3, &anew, applied(1, 0, 0));
        between();
        let live = profiles.load(&user(1), Minute(120)).unwrap();
        assert_eq!(live, [membership(7, 2, 120, 120, Expiry::Never)]);
    });
}

#[test]
fn a_membership_that_begins_later_is_hidden_until_then() {
    over_all(|profiles, between| {
        let later = vec![add_later(7, 110, 3, until(120)), add_later(8, 110, 4, Expiry::Never)];
        profiles.apply(1, &ingest(100, [(user(1), vec![add(8, 1, until(105))])])).unwrap();
        between();
        applies(profiles, 2, &ingest(101, [(user(1), later)]), applied(1, 1, 0));
        between();
        let at = |now| {
            let (now, user) = (Minute(now), user(1));
            let live = profiles.load(&user, now).unwrap();
            if let Some(in_memory) = profiles.get(&user, now) {
                assert_eq!(in_memory, live);
            }
            assert_eq!(load_joined(profiles, &user, now).unwrap(), live);
            let later = profiles.load_later(&user, now).unwrap();
            assert_eq!(load_joined_later(profiles, &user, now).unwrap(), later);
            (live, later)
        };
        let begun = [membership(7, 3, 110, 101, until(120)), membership(8, 4, 110, 101, Expiry::Never)];
        let before = membership(8, 4, 100, 101, until(105));
        // Nothing is written when its minute comes.
        assert_eq!(at(104), (vec![before], begun.to_vec()));
        assert_eq!(at(105), (vec![], begun.to_vec()));
        assert_eq!(at(109), (vec![], begun.to_vec()));
        assert_eq!(at(110), (begun.to_vec(), vec![]));
        assert_eq!(at(120), (begun[1..].to_vec(), vec![]));
        // An erase takes what is hidden, and counts it.
        let erase = erase(102, user(1), ErasedSegments::Only(vec![SegmentId(7)]));
        applies(profiles, 3, &erase, applied(0, 0, 1));
        between();
        assert_eq!(at(110), (begun[1..].to_vec(), vec![]));
        // Added again when it has begun, it keeps that minute.
        let again = ingest(111, [(user(1), vec![add(8, 9, Expiry::Never)])]);
        applies(profiles, 4, &again, applied(0, 1, 0));
        between();
        assert_eq!(at(111), (vec![membership(8, 9, 110, 111, Expiry::Never)], vec![]));
    });
}

#[test]
fn what_begins_later_is_joined_too() {
    over_all(|profiles, between| {
        let links = link(100, user(1), [(external("a"), 400)]);
        profiles.apply(1, &links).unwrap();
        let operations = vec![add_later(7, 110, 3, until(120))];
        profiles.apply(2, &ingest(100, [(external("a"), operations)])).unwrap();
        between();
        let begun = [membership(7, 3, 110, 100, until(120))];
        assert!(load_joined(profiles, &user(1), Minute(109)).unwrap().is_empty());
        assert_eq!(load_joined_later(profiles, &user(1), Minute(109)).unwrap(), begun);
        assert_eq!(load_joined(profiles, &user(1), Minute(110)).unwrap(), begun);
        assert!(load_joined_later(profiles, &user(1), Minute(110)).unwrap().is_empty());
    });
}

#[test]
fn removing_counts_what_was_there() {
    over_all(|profiles, between| {
        let adds = vec![add(7, 1, until(110)), add(8, 1, Expiry::Never)];
        profiles.apply(1, &ingest(100, [(user(1), adds)])).unwrap();
        between();
        let removes =
            ingest(110, [(user(1), vec![remove(8), remove(7), remove(9)]), (user(2), vec![remove(7)])]);
        applies(profiles, 2, &removes, applied(0, 0, 1));
        between();
        assert!(profiles.load(&user(1), Minute(100)).unwrap().is_empty());
        profiles.apply(3, &ingest(111, [(user(1), vec![add(8, 5, Expiry::Never)])])).unwrap();
        between();
        let live = profiles.load(&user(1), Minute(111)).unwrap();
        assert_eq!(live, [membership(8, 5, 111, 111, Expiry::Never)]);
    });
}

#[test]
fn an_add_that_is_over_when_it_comes_ends_the_membership() {
    over_all(|profiles, between| {
        profiles.apply(1, &ingest(100, [(user(1), vec![add(7, 1, Expiry::Never)])])).unwrap();
        between();
        let late = ingest(105, [(user(1), vec![add(7, 1, until(105)), add(8, 1, until(50))])]);
        applies(profiles, 2, &late, applied(0, 0, 1));
        between();
        assert!(profiles.load(&user(1), Minute(100)).unwrap().is_empty());
    });
}

#[test]
fn an_erase_takes_all_or_some() {
    over_all(|profiles, between| {
        let segments = || vec![add(1, 1, Expiry::Never), add(2, 1, Expiry::Never), add(3, 1, until(101))];
        profiles.apply(1, &ingest(100, [(user(1), segments()), (user(2), segments())])).unwrap();
        between();
        let some = ErasedSegments::Only(vec![SegmentId(2), SegmentId(3), SegmentId(9)]);
        applies(profiles, 2, &erase(101, user(1), some), applied(0, 0, 1));
        applies(profiles, 3, &erase(101, user(2), ErasedSegments::All), applied(0, 0, 2));
        let nobody = erase(101, user(3), ErasedSegments::All);
        applies(profiles, 4, &nobody, applied(0, 0, 0));
        between();
        let left = profiles.load(&user(1), Minute(100)).unwrap();
        assert_eq!(left, [membership(1, 1, 100, 100, Expiry::Never)]);
        assert!(profiles.load(&user(2), Minute(100)).unwrap().is_empty());
    });
}

#[test]
fn links_last_until_their_end_and_the_latest_stay() {
    over_all(|profiles, between| {
        let links = |now| profiles.load_links(&user(1), Minute(now)).unwrap();
        assert!(!profiles.has_links());
        assert_eq!((profiles.links(&user(1), Minute(100)), links(100)), (Some(vec![]), vec![]));
        let [a, b, c, d] = ["a", "b", "c", "d"].map(external);
        profiles
            .apply(1, &link(100, user(1), [(b.clone(), 120), (a.clone(), 110), (c.clone(), 100)]))
            .unwrap();
        between();
        assert!(profiles.has_links());
        assert_eq!(links(109), [a.clone(), b.clone()], "c had ended when it came");
        assert_eq!(links(110), std::slice::from_ref(&b));
        // Seen again: it lasts longer. An end that is sooner takes nothing back.
        profiles.apply(2, &link(101, user(1), [(a.clone(), 130), (b.clone(), 105)])).unwrap();
        between();
        assert_eq!(links(119), [b.clone(), a.clone()], "by their ends");
        // Three stay: those that end last.
        profiles.apply(3, &link(102, user(1), [(d.clone(), 125), (c, 119)])).unwrap();
        between();
        assert_eq!(links(102), [b.clone(), d.clone(), a.clone()]);
        if let Some(in_memory) = profiles.links(&user(1), Minute(102)) {
            assert_eq!(in_memory, [b, d, a]);
        }
        assert!(profiles.load_links(&user(2), Minute(102)).unwrap().is_empty());
        assert!(profiles.load_links(&device(1), Minute(102)).unwrap().is_empty());
        assert!(profiles.load(&user(1), Minute(102)).unwrap().is_empty(), "a link is no membership");
    });
}

/// Of too many links that end in the same minute, those stay that were made last, whatever happens in between.
#[test]
fn the_newest_link_stays() {
    over_all(|profiles, between| {
        let links = || profiles.load_links(&user(1), Minute(101)).unwrap();
        for (id, position) in ["d", "b", "e", "a"].into_iter().zip(1..) {
            profiles.apply(position, &link(100, user(1), [(external(id), 120)])).unwrap();
            between();
            assert_eq!(links().last(), Some(&external(id)));
        }
        assert_eq!(links(), ["b", "e", "a"].map(external));
        // Made again, it is the newest.
        profiles.apply(5, &link(100, user(1), [(external("b"), 120)])).unwrap();
        between();
        profiles.apply(6, &link(100, user(1), [(external("0"), 120)])).unwrap();
        between();
        assert_eq!(links(), ["a", "b", "0"].map(external));
    });
}

#[test]
fn a_user_is_in_the_segments_of_its_ids_whichever_came_first() {
    over_all(|profiles, between| {
        let joined = |id, now| {
            let alone = load_joined(profiles, &user(id), Minute(now)).unwrap();
            let other = load_joined(profiles, &user(id + 1), Minute(now)).unwrap();
            let many = load_many_joined(profiles, &[&user(id + 1), &user(id)], Minute(now));
            let many: Vec<_> = many.into_iter().map(Result::unwrap).collect();
            assert_eq!(many, [other, alone.clone()]);
            alone
        };
        let sent = |id: &str, segment, minute| {
            ingest(minute, [(external(id), vec![add(segment, 1, Expiry::Never)])])
        };
        let of = |segment, minute| membership(segment, 1, minute, minute, Expiry::Never);
        profiles.apply(1, &sent("early", 5, 100)).unwrap();
        profiles.apply(2, &ingest(100, [(user(1), vec![add(7, 1, Expiry::Never)])])).unwrap();
        between();
        assert_eq!(joined(1, 100), [of(7, 100)]);
        let links = [(external("early"), 200), (external("late"), 150)];
        profiles.apply(3, &link(101, user(1), links.clone())).unwrap();
        profiles.apply(4, &link(101, user(2), links)).unwrap();
        between();
        profiles.apply(5, &sent("late", 9, 102)).unwrap();
        profiles.apply(6, &sent("late", 7, 102)).unwrap();
        between();
        assert_eq!(joined(1, 102), [of(5, 100), of(7, 102), of(9, 102)], "7 was added last under an id");
        assert_eq!(joined(2, 102), [of(5, 100), of(7, 102), of(9, 102)], "an id may stand for several");
        assert_eq!(joined(1, 150), [of(5, 100), of(7, 100)]);
        assert_eq!(get_joined(profiles, &user(1), Minute(150)).unwrap_or(joined(1, 150)), joined(1, 150));
        assert_eq!(profiles.load(&external("late"), Minute(150)).unwrap(), [of(7, 102), of(9, 102)]);
    });
}

#[test]
fn an_erase_of_all_takes_the_links_along() {
    over_all(|profiles, between| {
        let links = |id| profiles.load_links(&user(id), Minute(100)).unwrap();
        for id in [1, 2] {
            profiles.apply(id, &link(100, user(id), [(external("a"), 200)])).unwrap();
        }
        profiles.apply(3, &ingest(100, [(external("a"), vec![add(1, 1, Expiry::Never)])])).unwrap();
        between();
        profiles.apply(4, &erase(100, user(1), ErasedSegments::Only(vec![SegmentId(1)]))).unwrap();
        assert_eq!(links(1).len(), 1);
        profiles.apply(5, &erase(100, user(1), ErasedSegments::All)).unwrap();
        between();
        assert_eq!((links(1), links(2)), (vec![], vec![external("a")]));
        assert_eq!(profiles.load(&external("a"), Minute(100)).unwrap().len(), 1);
        profiles.apply(6, &link(100, user(1), [(external("b"), 200)])).unwrap();
        assert_eq!(links(1), [external("b")]);
    });
}

#[test]
fn the_later_of_two_operations_wins() {
    over_all(|profiles, between| {
        let both = vec![add(5, 1, Expiry::Never), add(4, 1, Expiry::Never), add(5, 2, until(200)), remove(4)];
        applies(profiles, 1, &ingest(100, [(user(1), both)]), applied(2, 1, 1));
        between();
        let live = profiles.load(&user(1), Minute(100)).unwrap();
        assert_eq!(live, [membership(5, 2, 100, 100, until(200))]);
    });
}

#[test]
fn a_user_without_operations_changes_nothing() {
    over_all(|profiles, between| {
        profiles.apply(1, &ingest(100, [(user(1), vec![])])).unwrap();
        between();
        assert!(profiles.load(&user(1), Minute(100)).unwrap().is_empty());
        assert_eq!(profiles.applied_position(), 1);
        assert_eq!(profiles.stats().resident_profiles, 0);
    });
}

#[test]
fn a_large_profile_is_whole() {
    over_all(|profiles, between| {
        let segments = || (1..=5_000).map(|n| n * 800_000);
        let adds = segments().map(|segment| add(segment, segment, Expiry::Never)).collect();
        applies(profiles, 1, &ingest(100, [(user(1), adds)]), applied(5_000, 0, 0));
        between();
        let live = profiles.load(&user(1), Minute(100)).unwrap();
        assert!(live.iter().map(|entry| entry.segment.0).eq(segments()));
        assert!(live.iter().all(|entry| entry.value == entry.segment.0));
    });
}

#[test]
fn a_checkpoint_covers_what_was_applied() {
    over_all(|profiles, _| {
        assert_eq!((profiles.applied_position(), profiles.checkpointed_position()), (0, 0));
        profiles.apply(7, &ingest(100, [(user(1), vec![add(1, 1, Expiry::Never)])])).unwrap();
        assert_eq!((profiles.applied_position(), profiles.checkpointed_position()), (7, 0));
        assert_eq!(profiles.checkpoint().unwrap().position, 7);
        assert_eq!((profiles.applied_position(), profiles.checkpointed_position()), (7, 7));
        assert_eq!(profiles.dirty_bytes(), 0);
        assert_eq!(profiles.stats().dirty_profiles, 0);
    });
}
