//! A profile on disk that cannot be read.

use crate::records::*;
use crate::store::Store;
use crate::{ErrorKind, PackedProfiles, ProfileOptions, Profiles};
use tempfile::TempDir;

#[test]
fn a_user_that_cannot_be_read_keeps_nobody_from_being_changed() {
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
    profiles.apply(2, &record).unwrap();
    for (id, expected) in [(1, vec![10, 20]), (4, vec![20]), (3, vec![10, 20])] {
        assert_eq!(segments(&profiles, id), expected);
    }
    let errors = [profiles.load(&user(2), NOW).unwrap_err(), profiles.checkpoint().unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Corrupted);
    }
    assert_eq!(profiles.checkpointed_position(), 1, "the log keeps the record");
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
