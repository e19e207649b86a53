//! A checkpoint with records applied in the middle of it, and with a kill at each of its stages.

use super::Stage;
use crate::records::*;
use crate::store::Store;
use crate::{MemoryProfiles, PackedProfiles, ProfileOptions, Profiles, ProfilesError};
use ia_model::{Change, Domain, Expiry, Minute, Operation, Record, SegmentId, UserKey};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const OPTIONS: ProfileOptions =
    ProfileOptions { memory_budget_bytes: 1 << 20, shards: 2, store_cache_bytes: 1 << 20, links_per_user: 3 };
const STAGES: [Stage; 5] =
    [Stage::PositionRead, Stage::Collected, Stage::Written, Stage::Clean, Stage::Rewritten];

/// Without a thread that changes files while they are copied.
fn open_still(dir: &Path) -> PackedProfiles {
    PackedProfiles::over(Store::open_still(dir, OPTIONS.store_cache_bytes).unwrap(), OPTIONS).unwrap()
}

/// Copies the store as a kill at this moment would leave it: fjall syncs all that matters, and the files of a
/// store in use are the same after a kill.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if path.metadata().unwrap().blocks() == 0 {
            // fjall's journal is 64 MiB without a block.
            let copy = fs::File::create(to.join(name)).unwrap();
            copy.set_len(path.metadata().unwrap().len()).unwrap();
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn changes_during_a_checkpoint_are_in_the_next_one() {
    for stage in STAGES {
        let dir = tempfile::tempdir().unwrap();
        let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
        profiles.apply(1, &add(1, 10)).unwrap();
        profiles.apply(2, &add(2, 10)).unwrap();
        let during = |reached| {
            if reached == stage {
                profiles.apply(3, &add(1, 11)).unwrap();
                profiles.apply(4, &remove(2, 10)).unwrap();
                profiles.apply(5, &add(3, 10)).unwrap();
            }
        };
        assert_eq!(profiles.run_checkpoint(during).unwrap().position, 2, "{stage:?}");
        let dirty = match stage {
            Stage::PositionRead => 0,
            // The new user; the profiles of the others are taken afterwards.
            Stage::Collected => 1,
            _ => 3,
        };
        assert_eq!(profiles.stats().dirty_profiles, dirty, "{stage:?}");
        assert_eq!(profiles.checkpoint().unwrap().position, 5);
        assert_eq!(profiles.stats().dirty_profiles, 0);
        assert_eq!(profiles.stats().resident_profiles, 2, "the tombstone has gone");
        drop(profiles);
        let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
        for (id, expected) in [(1, vec![10, 11]), (2, vec![]), (3, vec![10])] {
            assert_eq!(segments(&profiles, id), expected, "{stage:?}, user {id}");
        }
    }
}

#[test]
fn a_failed_checkpoint_is_completed_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
    profiles.apply(1, &add(1, 10)).unwrap();
    profiles.checkpoint().unwrap();
    profiles.apply(2, &add(1, 11)).unwrap();
    profiles.apply(3, &erase(user(2))).unwrap();
    let tables = dir.path().join("keyspaces/1/tables");
    let aside = dir.path().join("aside");
    let result = profiles.run_checkpoint(|reached| {
        if reached == Stage::PositionRead {
            fs::rename(&tables, &aside).unwrap();
        }
        if reached == Stage::Collected {
            profiles.apply(4, &add(3, 10)).unwrap();
        }
    });
    assert_eq!(result.unwrap_err().kind(), crate::ErrorKind::Io);
    fs::rename(&aside, &tables).unwrap();
    assert_eq!((profiles.checkpointed_position(), profiles.stats().dirty_profiles), (1, 2));
    assert_eq!(segments(&profiles, 1), [10, 11]);
    let report = profiles.checkpoint().unwrap();
    assert_eq!((report.position, report.profiles_written, report.rewritten), (4, 2, true));
    drop(profiles);
    let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
    assert_eq!((segments(&profiles, 1), segments(&profiles, 3)), (vec![10, 11], vec![10]));
}

/// An erase is applied while the running checkpoint is about to write the profile to disk.
#[test]
fn an_erase_during_a_checkpoint_is_gone_from_disk_after_the_next() {
    for stage in STAGES {
        let dir = tempfile::tempdir().unwrap();
        let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
        let key = UserKey::parse(Domain::Md5Udid, "d41d8cd98f00b204e9800998ecf8427e").unwrap();
        profiles.apply(1, &add_all([key.clone()], 1)).unwrap();
        profiles.apply(2, &add(2, 10)).unwrap();
        let during = |reached| {
            if reached == stage {
                profiles.apply(3, &erase(key.clone())).unwrap();
            }
        };
        profiles.run_checkpoint(during).unwrap();
        assert!(profiles.load(&key, NOW).unwrap().is_empty());
        profiles.checkpoint().unwrap();
        assert_eq!(occurrences(dir.path(), &key.as_bytes()[1..]), 0, "{stage:?}");
        assert!(profiles.load(&key, NOW).unwrap().is_empty());
        assert!(profiles.store.get(key.as_bytes()).unwrap().is_none());
    }
}

/// After a kill between the blobs' commit and the rewrite, the store knows that a rewrite is due.
#[test]
fn a_rewrite_that_a_kill_cut_off_is_done_by_the_next_checkpoint() {
    for stage in [Stage::Written, Stage::Clean] {
        let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let profiles = open_still(dir.path());
        let key = UserKey::parse(Domain::Md5Udid, "d41d8cd98f00b204e9800998ecf8427e").unwrap();
        profiles.apply(1, &add_all([key.clone()], 1)).unwrap();
        profiles.checkpoint().unwrap();
        profiles.apply(2, &erase(key.clone())).unwrap();
        let during = |reached| {
            if reached == stage {
                copy(dir.path(), killed.path());
            }
        };
        profiles.run_checkpoint(during).unwrap();
        assert!(occurrences(killed.path(), &key.as_bytes()[1..]) > 0, "the copy was made before the rewrite");
        let profiles = PackedProfiles::open(killed.path(), OPTIONS).unwrap();
        assert_eq!(profiles.checkpointed_position(), 2, "nothing of the log would be replayed");
        assert!(profiles.checkpoint().unwrap().rewritten);
        assert_eq!(occurrences(killed.path(), &key.as_bytes()[1..]), 0, "{stage:?}");
        assert!(!profiles.checkpoint().unwrap().rewritten);
    }
}

fn occurrences(dir: &Path, bytes: &[u8]) -> usize {
    let count = |path: &Path| {
        let holds_bytes = path.metadata().is_ok_and(|metadata| metadata.blocks() > 0);
        let content = if holds_bytes { fs::read(path).unwrap_or_default() } else { Vec::new() };
        content.windows(bytes.len()).filter(|window| *window == bytes).count()
    };
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { occurrences(&path, bytes) } else { count(&path) }).sum()
}

/// A reader with a blob read long ago must not put it into memory any more.
#[test]
fn an_outdated_blob_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let no_room = ProfileOptions { memory_budget_bytes: 0, ..OPTIONS };
    let profiles = PackedProfiles::open(dir.path(), no_room).unwrap();
    profiles.apply(1, &add(1, 10)).unwrap();
    profiles.checkpoint().unwrap();
    let hashed_user = user(1);
    let hashed = profiles.shards.hashed(hashed_user.as_bytes());
    let evict = |position| {
        // Each arrival evicts clean records.
        let mut id = 100;
        while profiles.shards.of(hashed.hash).find(hashed).is_some() {
            id += 1;
            profiles.apply(position, &add(id, 1)).unwrap();
        }
    };
    evict(2);
    let departures = profiles.shards.of(hashed.hash).departures();
    profiles.apply(3, &add(1, 11)).unwrap();
    profiles.checkpoint().unwrap();
    evict(4);
    assert_ne!(profiles.shards.of(hashed.hash).departures(), departures);
    let load = |departures| {
        profiles
            .load_stored::<Vec<crate::Membership>>(hashed, Domain::Platform, departures, false)
            .unwrap()
            .unwrap()
            .content
    };
    load(departures);
    assert!(profiles.shards.of(hashed.hash).find(hashed).is_none());
    let departures = profiles.shards.of(hashed.hash).departures();
    assert_eq!(load(departures).len(), 2);
}

#[test]
fn a_tombstone_outlives_the_warm_up_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
    profiles.apply(1, &add(1, 10)).unwrap();
    profiles.apply(2, &add(2, 10)).unwrap();
    profiles.checkpoint().unwrap();
    profiles.warming.store(true, std::sync::atomic::Ordering::SeqCst);
    profiles.apply(3, &remove(1, 10)).unwrap();
    profiles.checkpoint().unwrap();
    assert_eq!(profiles.stats().resident_profiles, 2, "the tombstone stays");
    profiles.warm_up(&AtomicBool::new(false)).unwrap();
    assert_eq!(profiles.stats().resident_profiles, 1);
    assert_eq!((segments(&profiles, 1), segments(&profiles, 2)), (vec![], vec![10]));
}

#[test]
fn damaged_blobs_are_reported_by_domain_and_can_be_erased() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
    let checkpoint = crate::store::Checkpoint { position: 1, ..Default::default() };
    let key = user(123_456_789);
    profiles.store.write_one(checkpoint, key.as_bytes(), &[1, 7, 7]);
    drop(profiles);
    let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
    profiles.apply(2, &add(123_456_789, 1)).unwrap();
    let errors = [
        profiles.load(&key, NOW).unwrap_err(),
        profiles.checkpoint().unwrap_err(),
        profiles.warm_up(&AtomicBool::new(false)).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, ProfilesError::DamagedProfile { domain: Domain::Platform, .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("123456789"));
    }
    assert_eq!(profiles.checkpointed_position(), 1);
    profiles.apply(3, &erase(key.clone())).unwrap();
    profiles.checkpoint().unwrap();
    assert!(profiles.load(&key, NOW).unwrap().is_empty());
    assert!(profiles.store.get(key.as_bytes()).unwrap().is_none());
}

/// Version 1 had no links, and used only the lowest bit of the last byte.
#[test]
fn a_checkpoint_of_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
    profiles.apply(1, &add(1, 10)).unwrap();
    profiles.checkpoint().unwrap();
    profiles.store.write_checkpoint_entry(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    drop(profiles);
    assert_eq!(crate::inspect::checkpoint(dir.path()).unwrap().unwrap().format_version, 1);
    let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
    assert_eq!((profiles.checkpointed_position(), profiles.has_links()), (1, false));
    assert_eq!(segments(&profiles, 1), [10]);
    profiles.apply(2, &add(1, 11)).unwrap();
    assert!(profiles.checkpoint().unwrap().rewritten);
    assert_eq!(profiles.store.version().unwrap(), 2);
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let flags = |version, flags| [vec![version], vec![0; 8], vec![flags]].concat();
    for (entry, is_version) in [
        (vec![9; 10], true),
        (vec![1; 3], false),
        (vec![], false),
        (vec![1; 11], false),
        (flags(1, 2), false),
        (flags(2, 4), false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let profiles = PackedProfiles::open(dir.path(), OPTIONS).unwrap();
        profiles.store.write_checkpoint_entry(&entry);
        drop(profiles);
        let error = PackedProfiles::open(dir.path(), OPTIONS).err().unwrap();
        assert_eq!(matches!(error, ProfilesError::UnknownVersion { found: 9, .. }), is_version, "{error:?}");
        assert_eq!(error.kind(), crate::ErrorKind::Corrupted);
    }
}

/// (minutes later, user, segment, what)
type Step = (u32, u64, u32, u8);

fn record(minute: u32, (_, id, segment, what): Step) -> Record {
    let change = match what {
        0 => Change::Remove,
        1 => return erase(user(id)),
        2 => Change::Add { expires: Expiry::Never, value: 1 },
        9.. => {
            let (begins, minutes) = (minute + u32::from(what % 8), u32::from(what / 8));
            let expires = Expiry::At(Minute(begins + minutes));
            Change::AddLater { begins: Minute(begins), expires, value: u32::from(what) }
        }
        minutes => Change::Add { expires: Expiry::At(Minute(minute + u32::from(minutes))), value: 2 },
    };
    ingest(Minute(minute), [user(id)], Operation { segment: SegmentId(segment), change })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    /// A kill at each stage of a checkpoint, with records applied at each, then a replay.
    #[test]
    fn a_kill_at_any_stage_loses_nothing(
        steps in proptest::collection::vec((0u32..3, 1u64..5, 1u32..4, prop_oneof![0u8..9, 9u8..60]), 7..60)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let copies = tempfile::tempdir().unwrap();
        let profiles = open_still(dir.path());
        let reference = MemoryProfiles::new(OPTIONS.links_per_user);
        let mut minute = NOW.0;
        let log: Vec<Record> = steps
            .iter()
            .map(|&step| {
                minute += step.0;
                record(minute, step)
            })
            .collect();
        let mut next = 0;
        let apply_some = |next: &mut usize| {
            for record in log.iter().skip(*next).take(log.len() / 7) {
                *next += 1;
                profiles.apply(*next as u64, record).unwrap();
            }
        };
        apply_some(&mut next);
        profiles.checkpoint().unwrap();
        apply_some(&mut next);
        profiles
            .run_checkpoint(|stage| {
                copy(dir.path(), &copies.path().join(format!("{stage:?}")));
                apply_some(&mut next);
            })
            .unwrap();
        for (index, record) in log.iter().enumerate() {
            reference.apply(index as u64 + 1, record).unwrap();
        }
        for stage in STAGES {
            let profiles =
                PackedProfiles::open(&copies.path().join(format!("{stage:?}")), OPTIONS).unwrap();
            let covered = profiles.checkpointed_position() as usize;
            for (index, record) in log.iter().enumerate().skip(covered) {
                profiles.apply(index as u64 + 1, record).unwrap();
            }
            for id in 1..5 {
                let found = profiles.load(&user(id), Minute(minute)).unwrap();
                prop_assert_eq!(found, reference.load(&user(id), Minute(minute)).unwrap(), "{:?}", stage);
                let found = profiles.load_later(&user(id), Minute(minute)).unwrap();
                let expected = reference.load_later(&user(id), Minute(minute)).unwrap();
                prop_assert_eq!(found, expected, "{:?}", stage);
            }
        }
    }
}
