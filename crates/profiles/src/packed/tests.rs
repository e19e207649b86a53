//! A profile on disk that cannot be read.

use crate::records::*;
use crate::store::Store;
use crate::{ErrorKind, PackedProfiles, ProfileOptions, Profiles};
use tempfile::TempDir;

#[test]
fn a_record_with_a_user_that_cannot_be_read_changes_nobody() {
    let dir = TempDir::new().unwrap();
    let open = || PackedProfiles::open(dir.path(), ProfileOptions::default()).unwrap();
    let profiles = open();
    profiles.apply(1, &add_all([1, 2, 3].map(user), 10)).unwrap();
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
    let record = add_all([1, 4, 2, 3].map(user), 20);
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
