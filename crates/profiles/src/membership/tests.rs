use super::*;
use proptest::prelude::*;

fn until(minute: u32) -> Expiry {
    Expiry::At(Minute(minute))
}

fn add(minutes: u32, value: u32) -> Change {
    Change::Add { expires: until(minutes), value }
}

fn later(begins: u32, expires: Expiry, value: u32) -> Change {
    Change::AddLater { begins: Minute(begins), expires, value }
}

/// A profile after changes of segment 1 or 2, each with its minute.
fn after(mut profile: Vec<Membership>, changes: &[(u32, u32, Change)]) -> Vec<Membership> {
    let mut merger = Merger::default();
    for &(minute, segment, change) in changes {
        merger.before = profile;
        let operation = Operation { segment: SegmentId(segment), change };
        merger.merge(Edit::Operations(&[operation]), Minute(minute));
        profile = std::mem::take(&mut merger.after);
    }
    profile
}

/// The times in which a reader sees segment 1 from minute 10 to 59, each as the first minute and the one behind it.
fn seen(profile: &[Membership]) -> Vec<(u32, u32)> {
    let mut times: Vec<(u32, u32)> = Vec::new();
    for now in 10..60 {
        if profile.iter().any(|entry| entry.segment.0 == 1 && entry.visible(Minute(now)).is_some()) {
            match times.last_mut() {
                Some((_, end)) if *end == now => *end += 1,
                _ => times.push((now, now + 1)),
            }
        }
    }
    times
}

/// Changes, and the times in which a reader sees segment 1.
type Row<'a> = (&'a [(u32, u32, Change)], &'a [(u32, u32)]);

#[test]
fn a_membership_begins_later_and_goes_on_until_then() {
    let rows: [Row<'_>; 13] = [
        // Nothing before it, or something that has ended, or is hidden.
        (&[(10, 1, later(20, until(30), 1))], &[(20, 30)]),
        (&[(10, 1, later(20, Expiry::Never, 1))], &[(20, 60)]),
        (&[(5, 1, add(10, 1)), (10, 1, later(20, until(30), 1))], &[(20, 30)]),
        (&[(10, 1, later(20, until(30), 1)), (11, 1, later(25, until(28), 1))], &[(25, 28)]),
        // One before it that ends before it, just with it, or after it.
        (&[(10, 1, add(15, 1)), (10, 1, later(20, until(30), 1))], &[(10, 15), (20, 30)]),
        (&[(10, 1, add(20, 1)), (10, 1, later(20, until(30), 1))], &[(10, 30)]),
        (&[(10, 1, add(50, 1)), (10, 1, later(20, until(30), 1))], &[(10, 30)]),
        // Two of them: the first counts for what is live now, and no more.
        (
            &[(10, 1, add(15, 1)), (10, 1, later(20, until(30), 1)), (12, 1, later(40, until(50), 1))],
            &[(10, 15), (40, 50)],
        ),
        (
            &[(10, 1, add(15, 1)), (10, 1, later(20, until(30), 1)), (25, 1, later(40, until(50), 1))],
            &[(10, 30), (40, 50)],
        ),
        // Other changes replace it as a whole.
        (&[(10, 1, later(20, until(30), 1)), (10, 1, add(12, 1))], &[(10, 12)]),
        (&[(10, 1, later(20, until(30), 1)), (10, 1, Change::Remove)], &[]),
        // What would end before it begins never begins.
        (&[(10, 1, add(15, 1)), (10, 1, later(20, until(20), 1))], &[(10, 15)]),
        // It has begun when it is accepted.
        (&[(10, 1, later(10, until(20), 1))], &[(10, 20)]),
    ];
    for (changes, times) in rows {
        // The last change decides what is visible after it; before it, what was there.
        let profile = after(Vec::new(), changes);
        let last = changes.last().unwrap().0;
        let clip = |&(from, to): &(u32, u32)| (to > last).then_some((from.max(last), to));
        let seen: Vec<_> = seen(&profile).iter().filter_map(clip).collect();
        let times: Vec<_> = times.iter().filter_map(clip).collect();
        assert_eq!(seen, times, "{changes:?}");
    }
}

#[test]
fn what_has_begun_says_when() {
    let profile = after(Vec::new(), &[(10, 1, add(15, 1)), (12, 1, later(20, until(30), 7))]);
    let entry = |added, expires| Membership {
        segment: SegmentId(1),
        value: 7,
        added_at: Minute(added),
        last_seen: Minute(12),
        expires: until(expires),
        pause: None,
    };
    let (visible, begins) = (|now| profile[0].visible(Minute(now)), |now| profile[0].later(Minute(now)));
    assert_eq!((visible(14), begins(14)), (Some(entry(10, 15)), Some(entry(20, 30))));
    assert_eq!((visible(19), begins(19)), (None, Some(entry(20, 30))));
    assert_eq!((visible(20), begins(20)), (Some(entry(20, 30)), None));
    assert_eq!((visible(30), begins(30)), (None, None));
    // A change of another segment makes no difference.
    for touched in [13, 17, 25] {
        let profile = after(profile.clone(), &[(touched, 2, Change::Remove)]);
        let now = |now: u32| (profile[0].visible(Minute(now)), profile[0].later(Minute(now)));
        assert_eq!(now(25), (Some(entry(20, 30)), None), "{touched}");
    }
}

fn any_change() -> impl Strategy<Value = (u32, u32, Change)> {
    let expires = || prop_oneof![1 => Just(None), 8 => (0u32..25).prop_map(Some)];
    let change = (0u32..10, 0u32..20, expires(), 0u32..100);
    let minutes_later = prop_oneof![3 => 0u32..3, 1 => 0u32..12];
    (minutes_later, prop_oneof![6 => Just(1u32), 1 => Just(2)], change).prop_map(
        |(minutes_later, segment, (what, begins, expires, value))| {
            let expires = expires.map_or(Expiry::Never, until);
            let change = match what {
                0 => Change::Remove,
                1..=2 => Change::Add { expires, value },
                _ => later(begins, expires, value),
            };
            (minutes_later, segment, change)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// The argument in `checkpoint`: from any position, and over a state that is ahead of it by any number of records.
    #[test]
    fn a_replay_over_a_state_that_is_ahead_ends_in_it(changes in proptest::collection::vec(any_change(), 1..14)) {
        let mut minute = 0;
        let at = |expires: Expiry, minute| match expires {
            Expiry::At(end) => until(end.0 + minute),
            Expiry::Never => Expiry::Never,
        };
        let changes: Vec<_> = changes
            .into_iter()
            .map(|(minutes_later, segment, change)| {
                minute += minutes_later;
                let change = match change {
                    Change::Add { expires, value } => Change::Add { expires: at(expires, minute), value },
                    Change::AddLater { begins, expires, value } => {
                        later(begins.0 + minute, at(expires, minute), value)
                    }
                    Change::Remove => Change::Remove,
                };
                (minute, segment, change)
            })
            .collect();
        for ahead in 1..=changes.len() {
            let state = after(Vec::new(), &changes[..ahead]);
            for position in 0..ahead {
                prop_assert_eq!(&after(state.clone(), &changes[position..ahead]), &state, "{}", position);
            }
        }
    }
}
