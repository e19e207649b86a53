//! Reading a checkpoint without the server.

use crate::records::*;
use ia_model::{Expiry, Minute};
use ia_profiles::{ErrorKind, Membership, Pause, Profiles, inspect};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

/// Every file with its content and the time it was changed.
fn listing(dir: &Path, into: &mut BTreeMap<PathBuf, (Vec<u8>, SystemTime)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let changed = path.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            into.insert(path.clone(), (Vec::new(), changed));
            listing(&path, into);
        } else {
            into.insert(path.clone(), (fs::read(&path).unwrap(), changed));
        }
    }
}

#[test]
fn what_begins_later_is_shown_with_its_pause() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("profiles");
    let profiles = open(dir.path(), SMALL);
    let operations = vec![add(3, 1, until(104)), add(5, 1, Expiry::Never)];
    profiles.apply(1, &ingest(100, [(user(1), operations)])).unwrap();
    let later = vec![add_later(3, 110, 4, until(120)), add_later(4, 110, 4, Expiry::Never)];
    profiles.apply(2, &ingest(102, [(user(1), later)])).unwrap();
    profiles.checkpoint().unwrap();
    let hidden = |from, entry| Membership { pause: Some(Pause::new(Minute(from), Minute(110))), ..entry };
    assert_eq!(
        inspect::profile(&folder, &user(1)).unwrap().unwrap().memberships,
        [
            hidden(104, membership(3, 4, 100, 102, until(120))),
            hidden(0, membership(4, 4, 102, 102, Expiry::Never)),
            membership(5, 1, 100, 100, Expiry::Never),
        ]
    );
    assert_eq!(inspect::checkpoint(&folder).unwrap().unwrap().profiles, 1);
}

#[test]
fn a_checkpoint_can_be_read_beside_a_running_server_and_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("profiles");
    let profiles = open(dir.path(), SMALL);
    assert_eq!(inspect::checkpoint(&folder).unwrap(), None, "there is none yet");
    assert_eq!(inspect::profile(&folder, &user(1)).unwrap(), None);
    let users = (1..=100).map(|id| (user(id), vec![add(3, 4, until(101))]));
    profiles.apply(8, &ingest(100, users)).unwrap();
    profiles.apply(9, &link(100, user(2), [(external("A"), 101)])).unwrap();
    profiles.checkpoint().unwrap();
    profiles.apply(10, &ingest(100, [(user(1), vec![add(5, 4, Expiry::Never)])])).unwrap();
    let check = || {
        let summary = inspect::checkpoint(&folder).unwrap().unwrap();
        assert_eq!((summary.position, summary.profiles, summary.format_version), (9, 100, 2));
        assert_eq!(summary.linked_users, 1);
        assert!(summary.blob_bytes > 500 && summary.store_bytes > summary.blob_bytes);
        let profile = inspect::profile(&folder, &user(1)).unwrap().unwrap();
        assert_eq!(profile.position, 9);
        assert_eq!(profile.memberships, [membership(3, 4, 100, 100, until(101))]);
        assert!(profile.links.is_empty());
        let linked = inspect::profile(&folder, &user(2)).unwrap().unwrap();
        assert_eq!(linked.links, [(external("A"), Minute(101))], "those that have ended are shown");
        assert!(inspect::profile(&folder, &user(101)).unwrap().unwrap().memberships.is_empty());
    };
    check();
    drop(profiles);
    // Nothing else uses the folder now.
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    listing(dir.path(), &mut before);
    check();
    listing(dir.path(), &mut after);
    assert!(before == after, "reading has changed the folder");
}

#[test]
fn reading_while_checkpoints_are_written_gives_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("profiles");
    let profiles = open(dir.path(), SMALL);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = StopOnDrop(&done);
        scope.spawn(|| {
            let mut position = 0;
            repeat_until(&done, || {
                position += 1;
                // The value of every user is the position, so a mixture would show.
                let users = (1..=50).map(|id| (user(id), vec![add(3, position, Expiry::Never)]));
                profiles.apply(u64::from(position), &ingest(100, users)).unwrap();
                profiles.checkpoint().unwrap();
            });
        });
        let mut seen = 0;
        while seen < 10 {
            if let Some(profile) = inspect::profile(&folder, &user(50)).unwrap() {
                assert_eq!(u64::from(profile.memberships[0].value), profile.position);
                seen += 1;
            }
        }
    });
}

#[test]
fn a_folder_without_a_store_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(inspect::checkpoint(dir.path()).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
