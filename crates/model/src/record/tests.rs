use super::*;
use proptest::prelude::*;

fn segment_ref() -> impl Strategy<Value = SegmentRef> {
    (any::<u32>(), "[a-z]{0,12}", any::<u32>()).prop_map(|(id, code, owner)| SegmentRef { id, code, owner })
}

fn tally() -> impl Strategy<Value = Tally<SegmentRef>> {
    (any::<u32>(), prop::collection::vec(segment_ref(), 0..3))
        .prop_map(|(count, samples)| Tally { count, samples })
}

fn usage() -> impl Strategy<Value = Usage> {
    let invalid_users = (any::<u32>(), prop::collection::vec(".{0,9}", 0..3))
        .prop_map(|(count, samples)| Tally { count, samples });
    let segments = prop::collection::vec(segment_ref(), 0..3);
    (segments, invalid_users, tally(), tally(), tally(), tally()).prop_map(
        |(valid_segments, invalid_users, unauthorized, inactive, invalid, other)| Usage {
            valid_segments,
            invalid_users,
            unauthorized,
            inactive,
            invalid,
            other,
        },
    )
}

/// `after` counts minutes from `base`; a value over 100,000 means "never".
fn operation(base: Minute) -> impl Strategy<Value = Operation> {
    (any::<u32>(), prop::option::of((0u32..110_000, 0..=i32::MAX as u32))).prop_map(move |(segment, add)| {
        let change = add.map_or(Change::Remove, |(after, value)| {
            let never = after > 100_000;
            let expires = if never { Expiry::Never } else { Expiry::At(Minute(base.0 + after)) };
            Change::Add { expires, value }
        });
        Operation { segment: SegmentId(segment), change }
    })
}

fn user_key() -> impl Strategy<Value = UserKey> {
    prop_oneof![
        (1..=u64::MAX).prop_map(|id| UserKey::platform(id).unwrap()),
        "[0-9a-f]{40}".prop_map(|id| UserKey::parse(Domain::Sha1Udid, &id).unwrap()),
        "[0-9a-f]{32}".prop_map(|id| UserKey::parse(Domain::Idfa, &id).unwrap()),
        external(),
        extended(),
    ]
}

fn extended() -> impl Strategy<Value = UserKey> {
    ("[a-z0-9._-]{1,40}", "[a-zA-Z0-9:;ü]{1,40}")
        .prop_map(|(source, id)| UserKey::extended(&source, &id).unwrap())
}

fn linkable() -> impl Strategy<Value = UserKey> {
    prop_oneof![external(), extended()]
}

fn external() -> impl Strategy<Value = UserKey> {
    (any::<u32>(), "[a-zA-Z0-9;ü ]{1,40}").prop_filter_map("white space alone is no id", |(member, id)| {
        UserKey::external(MemberId(member), &id).ok()
    })
}

prop_compose! {
    fn ingest()(accepted_at_ms in 0u64..4_000_000_000_000)(
        accepted_at_ms in Just(accepted_at_ms),
        member in any::<u32>(),
        request_id in "[a-zA-Z0-9-]{0,36}",
        users in prop::collection::vec(
            (user_key(), prop::collection::vec(operation(Minute::containing(accepted_at_ms)), 0..4)),
            0..5,
        ),
        usage in usage(),
    ) -> Ingest {
        let mut batch = Batch::default();
        for (user, operations) in users {
            batch.push(user, operations);
        }
        Ingest { accepted_at_ms, member: MemberId(member), request_id, batch, usage, file: None }
    }
}

fn refused_segment() -> impl Strategy<Value = RefusedSegment> {
    use SegmentFault::{Inactive, Invalid, PastExpiration, Unauthorized};
    let faults = [Invalid, Unauthorized, Inactive, PastExpiration];
    (prop::sample::select(faults.to_vec()), any::<u64>())
        .prop_map(|(fault, segment)| RefusedSegment { fault, segment })
}

prop_compose! {
    fn file_chunk()(
        (job, number, entries, is_last) in any::<(u64, u32, u64, bool)>(),
        replaced in prop::option::of(any::<u32>()),
        counts in any::<[u64; 6]>(),
        refused in prop::collection::vec(refused_segment(), 0..4),
        error_lines in prop::collection::vec(".{0,20}", 0..3),
    ) -> FileChunk {
        let (counts, replaced) = (FileCounts::from_values(counts), replaced.map(SegmentId));
        FileChunk { job, number, entries, is_last, replaced, counts, refused, error_lines }
    }
}

prop_compose! {
    /// The part of a file, in which every other addition begins later.
    fn part_of_file()(mut ingest in ingest(), chunk in file_chunk(), after in 1u32..100_000) -> Ingest {
        let base = Minute::containing(ingest.accepted_at_ms);
        let mut batch = Batch::default();
        for (user, operations) in ingest.batch.iter() {
            batch.push(user.clone(), operations.iter().enumerate().map(|(index, operation)| {
                match operation.change {
                    Change::Add { expires, value } if index % 2 == 0 => {
                        let begins = Minute(base.0 + after);
                        Operation { change: Change::AddLater { begins, expires, value }, ..*operation }
                    }
                    _ => *operation,
                }
            }));
        }
        ingest.batch = batch;
        ingest.file = Some(Box::new(chunk));
        ingest
    }
}

proptest! {
    #[test]
    fn a_part_of_a_file_is_read_as_it_was_written(ingest in part_of_file()) {
        let payload = ingest.encode();
        prop_assert_eq!(Record::decode(&payload), Ok(Record::Ingest(Box::new(ingest))));
        for end in 0..payload.len() {
            prop_assert!(Record::decode(&payload[..end]).is_err());
        }
    }

    #[test]
    fn an_ingest_is_read_as_it_was_written(ingest in ingest()) {
        let payload = ingest.encode();
        prop_assert_eq!(Record::decode(&payload), Ok(Record::Ingest(Box::new(ingest))));
    }

    #[test]
    fn an_erase_is_read_as_it_was_written(
        user in user_key(),
        ids in prop::option::of(prop::collection::vec(any::<u32>(), 0..5)),
        member in prop::option::of(any::<u32>().prop_map(MemberId)),
    ) {
        let segments = ids.map_or(ErasedSegments::All, |ids| {
            ErasedSegments::Only(ids.into_iter().map(SegmentId).collect())
        });
        let record = Record::Erase(Erase { accepted_at_ms: 1_700_000_000_000, user, segments, member });
        prop_assert!(Record::is_erase(&record.encode()));
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_link_is_read_as_it_was_written(
        user in 1..=u64::MAX,
        links in prop::collection::vec((linkable(), any::<u32>().prop_map(Minute)), 0..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let user = UserKey::platform(user).unwrap();
        let link = Link { accepted_at_ms: 1_700_000_000_000, member: MemberId(958), user, links };
        let record = Record::Link(link);
        let payload = record.encode();
        prop_assert!(Record::decode(&payload[..cut.index(payload.len())]).is_err());
        prop_assert_eq!(Record::decode(&payload), Ok(record));
    }

    #[test]
    fn a_cut_record_is_refused(ingest in ingest(), cut in any::<prop::sample::Index>()) {
        let payload = ingest.encode();
        prop_assert!(Record::decode(&payload[..cut.index(payload.len())]).is_err());
    }

    #[test]
    fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut payload = vec![FORMAT_VERSION, KIND_INGEST];
        payload.extend(noise);
        let _ = Record::decode(&payload);
    }
}

#[test]
fn versions_and_kinds_of_the_future_are_named() {
    assert_eq!(Record::decode(&[9, 1]), Err(RecordError::UnknownVersion(9)));
    assert_eq!(Record::decode(&[1, 77]), Err(RecordError::UnknownKind(77)));
    assert_eq!(Record::decode(&[]), Err(RecordError::Malformed("version")));
}

#[test]
fn a_link_joins_an_external_id_to_a_platform_id() {
    let platform = UserKey::platform(1).unwrap();
    let external = UserKey::external(MemberId(958), "a").unwrap();
    let link = |user: &UserKey, of: &UserKey| {
        let links = vec![(of.clone(), Minute(5))];
        Record::Link(Link { accepted_at_ms: 1, member: MemberId(958), user: user.clone(), links }).encode()
    };
    assert!(Record::decode(&link(&platform, &external)).is_ok());
    let extended = UserKey::extended("liveramp.com", "a").unwrap();
    assert!(Record::decode(&link(&platform, &extended)).is_ok());
    for (user, of) in
        [(&extended, &extended), (&platform, &platform), (&external, &external), (&external, &platform)]
    {
        assert_eq!(Record::decode(&link(user, of)), Err(RecordError::Malformed("user")));
    }
}

#[test]
fn a_tally_keeps_few_examples_and_counts_all() {
    let mut tally = Tally::default();
    for n in 0..100u32 {
        tally.add(|| n / 2);
    }
    assert_eq!(tally.count, 100);
    assert_eq!(tally.samples, (0..20).collect::<Vec<_>>());
}
