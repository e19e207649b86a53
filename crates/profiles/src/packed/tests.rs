//! A profile on disk that cannot be read.

use crate::store::Store;
use crate::{ErrorKind, PackedProfiles, ProfileOptions, Profiles};
use ia_model::record::Usage;
use ia_model::{Batch, Change, Expiry, Ingest, MemberId, Minute, Operation, Record, SegmentId, UserKey};
use tempfile::TempDir;

const NOW: Minute = Minute(100);

fn user(id: u64) -> UserKey {
    UserKey::platform(id).unwrap()
}

/// Puts users into a segment.
fn add(ids: &[u64], segment: u32) -> Record {
    let mut batch = Batch::default();
    for &id in ids {
        let change = Change::Add { expires: Expiry::Never, value: 1 };
        batch.push(user(id), [Operation { segment: SegmentId(segment), change }]);
    }
    Record::Ingest(Box::new(Ingest {
        accepted_at_ms: NOW.unix_ms(),
        member: MemberId(1),
        request_id: String::new(),
        batch,
        usage: Usage::default(),
    }))
}

fn segments(profiles: &PackedProfiles, id: u64) -> Vec<u32> {
    let live = profiles.load(&user(id), NOW).unwrap();
    live.iter().map(|membership| membership.segment.0).collect()
}

#[test]
fn a_record_with_a_user_that_cannot_be_read_changes_nobody() {
    let dir = TempDir::new().unwrap();
    let open = || PackedProfiles::open(dir.path(), ProfileOptions::default()).unwrap();
    let profiles = open();
    profiles.apply(1, &add(&[1, 2, 3], 10)).unwrap();
    profiles.checkpoint().unwrap();
    drop(profiles);
    let store = Store::open(dir.path(), 1 << 20).unwrap();
    let (checkpoint, whole) =
        (store.checkpoint().unwrap().unwrap(), store.get(user(2).as_bytes()).unwrap().unwrap());
    let write = |store: &Store, blob: &[u8]| {
        store.write_one(checkpoint, user(2).as_bytes(), blob);
    };
    write(&store, b"\x01no blob");
    drop(store);

    let profiles = open();
    let record = add(&[1, 4, 2, 3], 20);
    let error = profiles.apply(2, &record).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert_eq!(profiles.applied_position(), 1);
    for (id, expected) in [(1, vec![10]), (4, vec![]), (3, vec![10])] {
        assert_eq!(segments(&profiles, id), expected);
    }
    drop(profiles);

    let store = Store::open(dir.path(), 1 << 20).unwrap();
    write(&store, &whole);
    drop(store);
    let profiles = open();
    profiles.apply(2, &record).unwrap();
    for (id, expected) in [(1, vec![10, 20]), (4, vec![20]), (2, vec![10, 20]), (3, vec![10, 20])] {
        assert_eq!(segments(&profiles, id), expected);
    }
}
