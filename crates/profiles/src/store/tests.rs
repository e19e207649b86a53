use super::*;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

const CHECKPOINT: Checkpoint = Checkpoint { position: 1, rewrite_due: false, has_links: false };

fn files(folder: PathBuf) -> BTreeSet<OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

fn refuse() -> Result<(), ProfilesError> {
    Err(ProfilesError::DamagedStore { part: "test" })
}

#[test]
fn a_write_that_fails_leaves_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_still(dir.path(), 1 << 20).unwrap();
    store.write_one(CHECKPOINT, &[1, 1], &[7]);
    let tables = store.profiles.path().join("tables");
    let before = files(tables.clone());
    for _ in 0..3 {
        let written = store.write(CHECKPOINT, |put| {
            put(&[1, 2], Some(&[8; 100_000]))?;
            refuse()
        });
        assert!(written.is_err());
        assert_eq!(files(tables.clone()), before);
    }
    store.write_one(Checkpoint { position: 2, ..CHECKPOINT }, &[1, 2], &[9]);
    drop(store);
    let store = Store::open_still(dir.path(), 1 << 20).unwrap();
    assert_eq!(store.checkpoint().unwrap().unwrap().position, 2);
    assert_eq!(
        (&*store.get(&[1, 1]).unwrap().unwrap(), &*store.get(&[1, 2]).unwrap().unwrap()),
        (&[7][..], &[9][..])
    );
}

#[test]
fn nothing_is_written_over_a_version_that_only_the_disk_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_still(dir.path(), 1 << 20).unwrap();
    store.write_one(CHECKPOINT, &[1, 1], &[7]);
    let (folder, tables) = (store.profiles.path().to_owned(), store.profiles.path().join("tables"));
    // As if the write of the next version had reached its rename, with a table of its own.
    let content = std::fs::read(folder.join("current")).unwrap();
    let mut ahead = content.clone();
    ahead[0] += 1;
    std::fs::write(folder.join("current"), &ahead).unwrap();
    std::fs::write(folder.join(format!("v{}", ahead[0])), "whole").unwrap();
    let before = (files(folder.clone()), files(tables.clone()));
    for _ in 0..2 {
        let refused = store.write(CHECKPOINT, |put| put(&[1, 2], Some(&[8]))).unwrap_err();
        assert!(matches!(refused, ProfilesError::HalfWritten), "{refused}");
        assert_eq!((files(folder.clone()), files(tables.clone())), before);
    }
    assert_eq!(std::fs::read(folder.join(format!("v{}", ahead[0]))).unwrap(), b"whole");
    std::fs::write(folder.join("current"), content).unwrap();
    store.write_one(CHECKPOINT, &[1, 2], &[8]);
}

#[test]
fn tables_do_not_pile_up_where_no_worker_compacts() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_still(dir.path(), 1 << 20).unwrap();
    for position in 1..=60 {
        store.write_one(Checkpoint { position, ..CHECKPOINT }, &[1, position as u8], &[7]);
        store.clear_up().unwrap();
        let tables = files(store.profiles.path().join("tables")).len();
        assert!(tables < 12, "{tables} tables after {position} writes");
    }
    drop(store);
    let store = Store::open_still(dir.path(), 1 << 20).unwrap();
    assert!((1..=60).all(|number| store.get(&[1, number]).unwrap().is_some()));
}
