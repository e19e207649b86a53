use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn blob_of(entries: &[Membership]) -> Vec<u8> {
    let mut packed = Vec::new();
    pack(entries, &mut packed);
    [&[version_of(&packed)], packed.as_slice()].concat()
}

/// The entry, hidden from and until these minutes.
fn hidden(entry: Membership, from: u32, until: u32) -> Membership {
    Membership { pause: Some(Pause::new(Minute(from), Minute(until))), ..entry }
}

fn entry(segment: u32, value: u32, added_at: u32, last_seen: u32, expires: Expiry) -> Membership {
    let (added_at, last_seen) = (Minute(added_at), Minute(last_seen));
    Membership { segment: SegmentId(segment), value, added_at, last_seen, expires, pause: None }
}

/// Small numbers are likely, so that neighbours share facts, and so are the ends of the range.
fn any_minute() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 29_000_000u32..29_000_004, 1 => 0u32..3, 1 => any::<u32>()]
}

fn any_profile() -> impl Strategy<Value = Vec<Membership>> {
    let segment = prop_oneof![3 => 1u32..300, 1 => 1u32..=u32::MAX];
    let value = prop_oneof![0u32..4, any::<u32>()];
    let expires =
        prop_oneof![Just(Expiry::Never), any_minute().prop_map(|minute| Expiry::At(Minute(minute)))];
    let facts = (value, any_minute(), any_minute(), expires, any_pause());
    proptest::collection::btree_map(segment, facts, 1..60).prop_map(|profile: BTreeMap<_, _>| {
        let entries = profile.into_iter();
        entries
            .map(|(segment, (value, added, seen, expires, pause))| {
                let entry = entry(segment, value, added, seen, expires);
                pause.and_then(|pause| paused(entry, pause)).unwrap_or(entry)
            })
            .collect()
    })
}

/// Minutes from the last add to the pause, if the membership was there before; then to its end, then to the expiry.
type AnyPause = (Option<u32>, u32, Option<u32>);

fn any_pause() -> impl Strategy<Value = Option<AnyPause>> {
    let minutes = || prop_oneof![6 => 1u32..4, 1 => 1u32..2_000_000_000];
    let pause = (proptest::option::of(minutes()), minutes(), proptest::option::of(minutes()));
    prop_oneof![3 => Just(None), 2 => pause.prop_map(Some)]
}

/// `None` where a minute would be too large.
fn paused(entry: Membership, (from, minutes, life): AnyPause) -> Option<Membership> {
    let seen = entry.last_seen.0;
    let begin = seen.checked_add(from.unwrap_or(0))?;
    let until = begin.checked_add(minutes)?;
    let expires = match life {
        Some(minutes) => Expiry::At(Minute(until.checked_add(minutes)?)),
        None => Expiry::Never,
    };
    let added_at = if from.is_some() { entry.added_at } else { entry.last_seen };
    let from = if from.is_some() { begin } else { 0 };
    Some(hidden(Membership { expires, added_at, ..entry }, from, until))
}

proptest! {
    #[test]
    fn any_profile_comes_back(profile in any_profile()) {
        let blob = blob_of(&profile);
        let mut entries = vec![entry(9, 9, 9, 9, Expiry::Never)];
        read_blob(&blob, Domain::Platform, &mut entries).unwrap();
        prop_assert_eq!(&entries, &profile);
        prop_assert!(unpack(&blob[1..blob.len() - 1], &mut entries).is_err() || entries != profile);
    }

    #[test]
    fn noise_is_refused_or_canonical(
        noise in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(0u8..8, 0..12),
        ],
        version in 0..=BLOB_FORMAT_VERSION,
    ) {
        let mut blob = noise;
        if version > 0 {
            blob.insert(0, version);
        }
        let mut entries = Vec::new();
        if read_blob(&blob, Domain::Platform, &mut entries).is_ok() {
            prop_assert_eq!(&blob_of(&entries), &blob);
            prop_assert!(entries.is_sorted_by_key(|entry| entry.segment));
        }
        let _ = unpack(&blob, &mut entries);
    }

    #[test]
    fn a_changed_byte_is_refused_or_another_profile(
        profile in any_profile(), at in any::<prop::sample::Index>(), change in 1u8..
    ) {
        let mut blob = blob_of(&profile);
        let at = at.index(blob.len());
        blob[at] ^= change;
        let mut entries = Vec::new();
        if read_blob(&blob, Domain::Platform, &mut entries).is_ok() {
            prop_assert_ne!(entries, profile);
        }
    }
}

/// Written by the first release. It must stay readable for ever, and canonical as long as profiles without a pause are
/// written so.
#[test]
fn a_blob_of_version_1_stays_readable() {
    let profile = [
        entry(10_001, 1, 29_000_000, 29_000_000, Expiry::At(Minute(29_001_440))),
        entry(10_002, 1, 29_000_000, 29_000_000, Expiry::At(Minute(29_001_440))),
        entry(23_784, 123, 28_999_000, 28_999_990, Expiry::Never),
        entry(23_785, 0, 29_000_000, 29_000_000, Expiry::At(Minute(29_001_440))),
    ];
    const BLOB: &[u8] = &[
        0x01, // version
        0xc0, 0x82, 0xea, 0x0d, // base minute 29,000,000
        0xa3, 0x9c, 0x01, 0x14, 0xc0, 0x16, // 10,001, new facts: expiry given, value 1; 1,440 minutes
        0x02, // 10,002, the same facts
        0xad, 0xd7, 0x01, 0x23, 0x0a, 0xbc, 0x0f, 0x7b, // 23,784: age 10, lag 990, never, value 123
        0x03, 0x08, // 23,785: expiry as before, value 0
    ];
    let mut entries = Vec::new();
    read_blob(BLOB, Domain::Platform, &mut entries).unwrap();
    assert_eq!(entries, profile);
    assert_eq!(blob_of(&profile), BLOB);
}

/// Made from `docs/FORMAT.md`, and not by the program.
#[test]
fn a_blob_of_version_2_stays_readable() {
    let entry = |segment, added| entry(segment, 1, added, 29_000_000, Expiry::At(Minute(29_001_500)));
    let profile = [
        hidden(entry(10_001, 29_000_000), 0, 29_000_060),
        hidden(entry(10_002, 29_000_000), 0, 29_000_060),
        hidden(entry(10_003, 28_999_000), 29_000_030, 29_000_060),
        entry(10_004, 28_999_000),
        hidden(entry(10_005, 28_999_000), 29_000_030, 29_000_061),
    ];
    const BLOB: &[u8] = &[
        0x02, // version
        0xc0, 0x82, 0xea, 0x0d, // base minute 29,000,000
        0xa3, 0x9c, 0x01, 0x54, 0xb8, 0x17, 0x00,
        0x3c, // 10,001: 1,500 minutes, value 1, begins after 60
        0x02, // 10,002, the same facts
        0x03, 0x5a, 0xd0, 0x0f, 0x1e, 0x3c, // 10,003: lag 1,000, hidden after 30 minutes until 60
        0x03, 0x1a, 0xd0, 0x0f, // 10,004: the same without a pause
        0x03, 0x5a, 0xd0, 0x0f, 0x1e, 0x3d, // 10,005: the same with another pause
    ];
    let mut entries = Vec::new();
    read_blob(BLOB, Domain::Platform, &mut entries).unwrap();
    assert_eq!(entries, profile);
    assert_eq!(blob_of(&profile), BLOB);
    // The example in it.
    const EXAMPLE: &[u8] = &[
        0x02, 0xc0, 0x82, 0xea, 0x0d, 0xa3, 0x9c, 0x01, 0x54, 0xb8, 0x17, 0x00, 0x3c, 0x05, 0x5a, 0xd0, 0x0f,
        0x1e, 0x3c,
    ];
    assert_eq!(blob_of(&[profile[0], profile[2]]), EXAMPLE);
    let of_version_1 = [&[1], &BLOB[1..]].concat();
    assert!(read_blob(&of_version_1, Domain::Platform, &mut entries).is_err());
}

#[test]
fn a_pause_without_sense_is_damage() {
    let mut entries = Vec::new();
    let mut part = |rest: &[u8]| match read_blob(&[&[2, 100], rest].concat(), Domain::Idfa, &mut entries) {
        Err(ProfilesError::DamagedProfile { part, .. }) => part,
        other => panic!("{other:?} for {rest:?}"),
    };
    // Flags for a pause, a pause with an expiry, and a pause with a lag.
    const FOR_EVER: u8 = 0x50;
    const EXPIRES: u8 = 0x54;
    const OLD: u8 = 0x52;
    for damaged in [
        &[3, FOR_EVER, 0, 0][..],                        // It ends with the add,
        &[3, FOR_EVER, 5, 5],                            // as it begins,
        &[3, FOR_EVER, 6, 5],                            // before it begins,
        &[3, EXPIRES, 10, 0, 5],                         // as the membership expires,
        &[3, EXPIRES, 8, 0, 5],                          // or after that.
        &[3, OLD, 2, 0, 5], // Nothing was before it, and yet it was added earlier.
        &[3, FOR_EVER, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], // It is too long for a minute.
        &[3, FOR_EVER, 0],
        &[3, FOR_EVER],
    ] {
        assert_eq!(part(damaged), "pause", "{damaged:?}");
    }
    assert_eq!(part(&[3, FOR_EVER | 0x80, 0, 5]), "flags");
    assert_eq!(part(&[3, 0x10]), "version", "there is no pause");
}

#[test]
fn ten_segments_of_one_request_cost_less_than_four_bytes_each() {
    let profile: Vec<_> = (1..=10)
        .map(|n| entry(n * 9_999, 1, 29_000_000, 29_000_000, Expiry::At(Minute(29_001_440))))
        .collect();
    assert!(blob_of(&profile).len() < 40, "{}", blob_of(&profile).len());
}

#[test]
fn bytes_that_are_not_a_blob_are_refused() {
    let mut entries = Vec::new();
    let mut error = |blob: &[u8]| read_blob(blob, Domain::Idfa, &mut entries).unwrap_err();
    assert!(matches!(error(&[3, 1, 2]), ProfilesError::UnknownVersion { found: 3, known: 2, .. }));
    assert!(matches!(error(&[]), ProfilesError::DamagedProfile { domain: Domain::Idfa, part: "version" }));
    // A base minute and no entry; a second zero byte; a segment of no distance.
    for blob in [[1, 7].as_slice(), &[1, 7, 2, 0], &[1, 7, 1, 0]] {
        assert!(matches!(error(blob), ProfilesError::DamagedProfile { .. }), "{blob:?}");
    }
    let error = error(&[1, 7, 0x80]);
    assert_eq!(error.kind(), crate::ErrorKind::Corrupted);
    assert!(error.to_string().contains("Idfa"), "{error}");
}
