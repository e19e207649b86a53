//! Copying a log that is in use.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use ia_log::faults::{Call, Errno};
use ia_log::{Log, LogCopy, LogError, LogOptions, copy};

use crate::support::{LogExt, Testbed, files, small};

impl Testbed {
    /// A testbed with a copy of this log.
    fn copied(&self) -> Result<(Testbed, LogCopy), LogError> {
        let to = Testbed { options: self.options.clone(), ..Testbed::new() };
        let copied = copy(&self.path(), &to.path(), &self.disk.as_disk(), |_| {})?;
        Ok((to, copied))
    }
}

#[test]
fn a_copy_of_a_closed_log_is_that_log() {
    let bed = Testbed::new();
    let log = bed.open();
    for n in 0..20u8 {
        log.put(vec![n; 1000]).unwrap();
    }
    log.trim_before(8).unwrap();
    let payloads = log.payloads();
    let first_position = log.first_position();
    drop(log);
    let (to, copied) = bed.copied().unwrap();
    let sizes = files(&to.path()).into_iter().map(|file| fs::metadata(file).unwrap().len());
    let bytes = sizes.sum();
    assert_eq!(copied, LogCopy { first_position, next_position: 21, files: files(&bed.path()).len(), bytes });
    let (log, recovery) = to.try_open().unwrap();
    assert_eq!((log.payloads(), recovery.torn_bytes, recovery.rewritten_bytes), (payloads, 0, 0));
    assert_eq!(log.put("next"), Ok(21));
    let empty = Testbed::new();
    empty.open();
    assert!(empty.copied().unwrap().0.open().payloads().is_empty());
    assert!(matches!(
        copy(&empty.dir.path().join("no"), &to.path(), &to.disk.as_disk(), |_| {}),
        Err(LogError::Io { .. })
    ));
}

#[test]
fn a_copy_under_load_has_all_that_was_acknowledged() {
    let bed = Testbed { options: LogOptions { segment_bytes: 64 << 10, ..small() }, ..Testbed::new() };
    let log = Arc::new(bed.open());
    let (acknowledged, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..3u8 {
            let (log, acknowledged, ends) = (&log, &acknowledged, &ends);
            scope.spawn(move || {
                while !ends.load(SeqCst) {
                    let position = log.put(vec![writer; 300]).unwrap();
                    acknowledged.fetch_max(position, SeqCst);
                }
            });
        }
        for _ in 0..8 {
            let before = acknowledged.load(SeqCst);
            let (to, copied) = bed.copied().unwrap();
            assert!(copied.next_position > before, "{copied:?} after {before}");
            let copy = to.open();
            assert_eq!(copy.next_position(), copied.next_position);
            assert_eq!(copy.payloads().len() as u64, copied.next_position - 1);
        }
        ends.store(true, SeqCst);
    });
}

#[test]
fn nothing_of_a_write_that_is_under_way_is_copied() {
    let bed = Testbed::new();
    let log = bed.open();
    log.put("one").unwrap();
    let two = bed.submit_held(&log, "two");
    // The copy waits for the flush.
    let disk = bed.disk.clone();
    let releaser = std::thread::spawn(move || disk.release());
    let (to, _) = bed.copied().unwrap();
    releaser.join().unwrap();
    two.wait().unwrap();
    assert_eq!(to.open().payloads(), [b"one", b"two"]);
}

#[test]
fn records_that_a_killed_writer_left_are_copied_as_a_start_takes_them() {
    let bed = Testbed::new();
    let log = bed.open();
    log.put("one").unwrap();
    let _two = bed.submit_held(&log, "two");
    let killed = bed.after_a_kill();
    bed.disk.release();
    let (to, copied) = killed.copied().unwrap();
    assert_eq!(copied.next_position, 3);
    assert_eq!(to.open().payloads(), killed.open().payloads());
}

#[test]
fn damage_is_found_and_named() {
    let bed = Testbed::with_files();
    for (n, file) in files(&bed.path()).into_iter().enumerate() {
        let sound = fs::read(&file).unwrap();
        for at in [5, 25, 32, 60, 32 + 24 + 1500 + 3] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::write(&file, bytes).unwrap();
            match bed.copied().err() {
                Some(LogError::Corrupt { file: named, .. }) => assert_eq!(named, file),
                other => panic!("file {n}, byte {at}: {other:?}"),
            }
        }
        fs::write(&file, &sound).unwrap();
    }
    fs::remove_file(&files(&bed.path())[2]).unwrap();
    assert!(matches!(bed.copied().err(), Some(LogError::MissingFile { expected: 5, .. })));
}

#[test]
fn a_copy_that_cannot_be_made_durable_is_an_error() {
    let bed = Testbed::new();
    bed.open().put("one").unwrap();
    for call in [
        Call::CreateDir,
        Call::List,
        Call::Open,
        Call::Size,
        Call::Read,
        Call::Create,
        Call::Write,
        Call::Flush,
        Call::SyncDir,
    ] {
        bed.disk.fail_next(call, Errno::IO);
        let error = bed.copied().err();
        assert!(matches!(error, Some(LogError::Io { .. })), "{call:?}: {error:?}");
    }
    bed.disk.heal();
    assert!(bed.copied().is_ok());
}
