//! No byte of an erased profile is on disk after the next checkpoint.

use crate::records::*;
use ia_model::{ErasedSegments, Expiry, Minute, SegmentId, UserKey};
use ia_profiles::{PackedProfiles, Profiles};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// In a blob it is five bytes that are on no disk by chance.
const RARE_VALUE: u32 = 0x7edc_ba98;

fn occurrences(dir: &Path, bytes: &[u8]) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += occurrences(&path, bytes);
        } else if path.metadata().is_ok_and(|metadata| metadata.blocks() > 0) {
            // A file without blocks holds no byte, such as fjall's journal of 64 MiB. A file may have been
            // removed since it was listed.
            let content = fs::read(&path).unwrap_or_default();
            found += content.windows(bytes.len()).filter(|window| *window == bytes).count();
        }
    }
    found
}

/// The bytes of an id that are always on disk; the store may leave out first bytes that equal those of the
/// key before.
fn id_bytes(user: &UserKey) -> &[u8] {
    &user.as_bytes()[7..]
}

fn rare_value() -> Vec<u8> {
    let mut bytes = Vec::new();
    ia_model::varint::write(&mut bytes, u64::from(RARE_VALUE));
    bytes
}

/// A store with one user among many others.
fn with_one_on_disk(dir: &Path) -> (PackedProfiles, UserKey) {
    let profiles = open(dir, SMALL);
    let one = device(500);
    let others = (0..1000).map(|n| (device(n), vec![add(1 + n % 9, 1, Expiry::Never)]));
    profiles.apply(1, &ingest(100, others)).unwrap();
    profiles.checkpoint().unwrap();
    let adds = vec![add(77, RARE_VALUE, Expiry::Never), add(78, 1, Expiry::Never)];
    profiles.apply(2, &ingest(101, [(one.clone(), adds)])).unwrap();
    profiles.checkpoint().unwrap();
    assert!(occurrences(dir, id_bytes(&one)) >= 2, "two versions of it are on disk");
    assert_eq!(occurrences(dir, &rare_value()), 1);
    (profiles, one)
}

fn assert_gone(dir: &Path, user: &UserKey) {
    assert_eq!(occurrences(dir, id_bytes(user)), 0);
    assert_eq!(occurrences(dir, &rare_value()), 0);
    // The search does find existing users.
    assert!(occurrences(dir, id_bytes(&device(499))) > 0);
}

#[test]
fn an_erased_user_is_gone_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (profiles, one) = with_one_on_disk(dir.path());
    profiles.apply(3, &erase(102, one.clone(), ErasedSegments::All)).unwrap();
    assert!(profiles.load(&one, Minute(102)).unwrap().is_empty());
    let report = profiles.checkpoint().unwrap();
    assert_eq!((report.profiles_deleted, report.rewritten), (1, true));
    assert_gone(dir.path(), &one);
    assert_eq!(profiles.stats().stored_entries, 1000, "999 users and the checkpoint entry");
    // A later checkpoint has nothing to rewrite, and a later start nothing to bring back.
    assert!(!profiles.checkpoint().unwrap().rewritten);
    drop(profiles);
    let profiles = open(dir.path(), SMALL);
    assert!(profiles.load(&one, Minute(102)).unwrap().is_empty());
    assert_eq!(profiles.load(&device(499), Minute(102)).unwrap().len(), 1);
    assert_gone(dir.path(), &one);
}

#[test]
fn erased_segments_are_gone_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (profiles, one) = with_one_on_disk(dir.path());
    let some = ErasedSegments::Only(vec![SegmentId(77)]);
    profiles.apply(3, &erase(102, one.clone(), some)).unwrap();
    profiles.checkpoint().unwrap();
    assert_eq!(occurrences(dir.path(), &rare_value()), 0);
    let left = profiles.load(&one, Minute(102)).unwrap();
    assert_eq!(left.last(), Some(&membership(78, 1, 101, 101, Expiry::Never)));
}

#[test]
fn the_links_of_an_erased_user_are_gone_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = open(dir.path(), SMALL);
    let of = |id: u64| external(&format!("customer-{id}-of-the-shop"));
    for id in 1..=300 {
        profiles.apply(id, &link(100, user(id), [(of(id), 9000)])).unwrap();
    }
    profiles.checkpoint().unwrap();
    assert_eq!(occurrences(dir.path(), id_bytes(&of(250))), 1);
    profiles.apply(301, &erase(101, user(250), ErasedSegments::All)).unwrap();
    let report = profiles.checkpoint().unwrap();
    assert_eq!((report.profiles_deleted, report.rewritten), (1, true));
    assert_eq!(occurrences(dir.path(), id_bytes(&of(250))), 0);
    assert_eq!(occurrences(dir.path(), id_bytes(&of(251))), 1);
    drop(profiles);
    let profiles = open(dir.path(), SMALL);
    assert!(profiles.load_links(&user(250), Minute(101)).unwrap().is_empty());
    assert_eq!(profiles.load_links(&user(251), Minute(101)).unwrap(), [of(251)]);
}

/// A remove leaves outdated bytes on disk; a later erase must remove them, although the user's profile is
/// empty.
#[test]
fn an_erase_reaches_what_was_removed_before() {
    let dir = tempfile::tempdir().unwrap();
    let (profiles, one) = with_one_on_disk(dir.path());
    let segments = [1 + 500 % 9, 77, 78].map(remove).to_vec();
    profiles.apply(3, &ingest(102, [(one.clone(), segments)])).unwrap();
    profiles.checkpoint().unwrap();
    assert_eq!(occurrences(dir.path(), &rare_value()), 1, "a remove does not rewrite the store");
    profiles.apply(4, &erase(103, one.clone(), ErasedSegments::All)).unwrap();
    profiles.checkpoint().unwrap();
    assert_gone(dir.path(), &one);
}

#[test]
fn an_erase_is_seen_during_a_warm_up_and_gone_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (profiles, one) = with_one_on_disk(dir.path());
    drop(profiles);
    let profiles = open(dir.path(), SMALL);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = StopOnDrop(&done);
        scope.spawn(|| repeat_until(&done, || profiles.warm_up(&done).unwrap()));
        profiles.apply(3, &erase(102, one.clone(), ErasedSegments::All)).unwrap();
        profiles.checkpoint().unwrap();
        assert_gone(dir.path(), &one);
        for position in 4..40 {
            profiles
                .apply(position, &ingest(103, [(user(position), vec![add(1, 1, Expiry::Never)])]))
                .unwrap();
            profiles.checkpoint().unwrap();
            assert!(profiles.load(&one, Minute(103)).unwrap().is_empty());
        }
    });
    assert!(profiles.load(&one, Minute(103)).unwrap().is_empty());
    assert_eq!(profiles.get(&device(499), Minute(103)).map(|live| live.len()), Some(1));
}
