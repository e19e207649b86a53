use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn blob_of(entries: &[Membership]) -> Vec<u8> {
    let mut blob = vec![BLOB_FORMAT_VERSION];
    pack(entries, &mut blob);
    blob
}

fn entry(segment: u32, value: u32, added_at: u32, last_seen: u32, expires: Expiry) -> Membership {
    let (added_at, last_seen) = (Minute(added_at), Minute(last_seen));
    Membership { segment: SegmentId(segment), value, added_at, last_seen, expires }
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
    let facts = (value, any_minute(), any_minute(), expires);
    proptest::collection::btree_map(segment, facts, 1..60).prop_map(|profile: BTreeMap<_, _>| {
        let entries = profile.into_iter();
        entries
            .map(|(segment, (value, added, seen, expires))| entry(segment, value, added, seen, expires))
            .collect()
    })
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
        has_version in any::<bool>(),
    ) {
        let mut blob = noise;
        if has_version {
            blob.insert(0, BLOB_FORMAT_VERSION);
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

/// Written by the first release. It must stay readable for ever, and canonical as long as this is the
/// version that is written.
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
    assert!(matches!(error(&[2, 1, 2]), ProfilesError::UnknownVersion { found: 2, .. }));
    assert!(matches!(error(&[]), ProfilesError::DamagedProfile { domain: Domain::Idfa, part: "version" }));
    // A base minute and no entry; a second zero byte; a segment of no distance.
    for blob in [[1, 7].as_slice(), &[1, 7, 2, 0], &[1, 7, 1, 0]] {
        assert!(matches!(error(blob), ProfilesError::DamagedProfile { .. }), "{blob:?}");
    }
    let error = error(&[1, 7, 0x80]);
    assert_eq!(error.kind(), crate::ErrorKind::Corrupted);
    assert!(error.to_string().contains("Idfa"), "{error}");
}
