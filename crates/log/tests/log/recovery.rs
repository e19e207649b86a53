//! Opening a log after a crash or damage.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use ia_log::{DiskLog, Fault, Log, LogError, LogOptions, Recovery};

use crate::support::{LogExt, Testbed, files, small};

const FILE_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

impl Testbed {
    /// The bytes of the `n`-th file.
    fn read(&self, n: usize) -> Vec<u8> {
        fs::read(&files(&self.path())[n]).unwrap()
    }

    fn write(&self, n: usize, bytes: &[u8]) {
        fs::write(&files(&self.path())[n], bytes).unwrap();
    }

    fn file(&self, n: usize) -> PathBuf {
        files(&self.path()).remove(n)
    }

    /// Opens the log with these bytes in its newest file.
    fn open_with(&self, bytes: &[u8]) -> Result<(DiskLog, Recovery), LogError> {
        let last = files(&self.path()).len() - 1;
        self.write(last, bytes);
        self.try_open()
    }

    /// A closed log with these payloads, the last `together` of them in one write. Its newest file is
    /// cut right behind the last frame and its mark.
    fn filled(payloads: &[&[u8]], together: usize) -> Testbed {
        let bed = Testbed::new();
        let log = bed.open();
        let (alone, batch) = payloads.split_at(payloads.len() - together);
        let (last_alone, before) = alone.split_last().expect("one alone, to keep the log busy");
        for payload in before {
            log.put(*payload).unwrap();
        }
        let mut answers = vec![bed.submit_held(&log, *last_alone)];
        answers.extend(batch.iter().map(|payload| log.submit(*payload)));
        bed.disk.release();
        for answer in answers {
            answer.wait().unwrap();
        }
        drop(log);
        let last = files(&bed.path()).len() - 1;
        let bytes = bed.read(last);
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        // A mark ends in a checksum, which can end in zeros.
        let end = end.max(FILE_HEADER + payloads.iter().map(|p| FRAME_HEADER + p.len()).sum::<usize>() + 24);
        bed.write(last, &bytes[..end]);
        bed
    }
}

/// Three records in writes of their own; the length of the file without the mark.
fn three() -> (Testbed, usize) {
    let bed = Testbed::filled(&[b"first", b"second", b"third"], 0);
    let length = bed.read(0).len();
    assert_eq!(length, FILE_HEADER + 4 * FRAME_HEADER + 16);
    (bed, length - FRAME_HEADER)
}

fn payloads(opened: Result<(DiskLog, Recovery), LogError>) -> Vec<String> {
    let (log, _) = opened.expect("a log that opens");
    log.payloads().into_iter().map(|payload| String::from_utf8(payload).unwrap()).collect()
}

fn corrupt_at(opened: Result<(DiskLog, Recovery), LogError>) -> Option<(PathBuf, u64, Fault)> {
    match opened.err()? {
        LogError::Corrupt { file, offset, fault } => Some((file, offset, fault)),
        other => panic!("{other}"),
    }
}

#[test]
fn a_closed_log_opens_as_it_was() {
    let bed = Testbed::new();
    let (log, recovery) = bed.try_open().unwrap();
    let empty = Recovery { first_position: 1, next_position: 1, files: 1, ..Recovery::default() };
    assert_eq!(recovery, empty);
    for n in 0..20u8 {
        log.put(vec![n; 1000]).unwrap();
    }
    let before = log.payloads();
    log.trim_before(8).unwrap();
    let first = log.first_position();
    assert!(first > 1);
    // A record gives its room back only after its answer.
    while log.stats().queued_records > 0 {
        std::thread::yield_now();
    }
    let stats = log.stats();
    drop(log);

    let (log, recovery) = bed.try_open().unwrap();
    let records = 21 - first;
    let expected = Recovery {
        first_position: first,
        next_position: 21,
        files: files(&bed.path()).len(),
        records,
        payload_bytes: records * 1000,
        ..Recovery::default()
    };
    assert_eq!(recovery, expected);
    assert_eq!(log.stats(), stats);
    assert_eq!(log.payloads(), before[first as usize - 1..]);
    assert_eq!(log.put("next"), Ok(21));
}

#[test]
fn the_last_record_may_be_cut_at_every_byte() {
    let (bed, length) = three();
    let whole = bed.read(0);
    let third = length - FRAME_HEADER - 5;
    for end in third..length {
        for zeros in [false, true] {
            let mut bytes = whole[..end].to_vec();
            if zeros {
                bytes.resize(4096, 0);
            }
            let opened = bed.open_with(&bytes);
            let torn = opened.as_ref().unwrap().1.torn_bytes;
            let written = bytes[third..].iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
            assert_eq!(torn as usize, written, "cut at {end}");
            assert_eq!(payloads(opened), ["first", "second"], "cut at {end}");
            let rest = &bed.read(0)[third + FRAME_HEADER..];
            assert!(rest.iter().all(|&byte| byte == 0), "nothing is left behind the mark");
            // The cut bytes are gone, and their place can be used.
            let log = bed.open();
            assert_eq!(log.put("new"), Ok(3));
            drop(log);
            let (log, recovery) = bed.try_open().unwrap();
            assert_eq!((log.payloads().len(), recovery.torn_bytes), (3, 0));
        }
    }
    assert_eq!(payloads(bed.open_with(&whole[..length])), ["first", "second", "third"]);
}

#[test]
fn a_flipped_bit_at_any_byte_is_never_a_silent_loss() {
    let (bed, length) = three();
    let whole = bed.read(0);
    let frames = [FILE_HEADER, FILE_HEADER + 29, FILE_HEADER + 29 + 30];
    for at in 0..length {
        for bit in [at % 8, (at + 5) % 8] {
            for marked in [false, true] {
                let mut bytes = whole[..if marked { whole.len() } else { length }].to_vec();
                bytes[at] ^= 1 << bit;
                let opened = bed.open_with(&bytes);
                if bytes[8..12] != [1, 0, 0, 0] && bytes[8..12] != [0; 4] {
                    assert!(matches!(opened, Err(LogError::UnknownVersion { .. })), "byte {at}");
                } else if at >= frames[2] && !marked {
                    // It looks like an unfinished write: nothing on disk shows that it was acknowledged.
                    let torn = opened.as_ref().unwrap().1.torn_bytes as usize;
                    assert_eq!(torn, length - frames[2]);
                    assert_eq!(payloads(opened), ["first", "second"]);
                } else {
                    let frame = frames.iter().rfind(|&&frame| frame <= at).copied().unwrap_or(0);
                    let (file, offset, _) = corrupt_at(opened).unwrap_or_else(|| panic!("byte {at}"));
                    assert_eq!((file, offset), (bed.file(0), frame as u64), "byte {at} bit {bit}");
                    assert_eq!(bed.read(0), bytes, "a refused file is left as it is");
                }
            }
        }
    }
}

#[test]
fn damage_to_a_mark_loses_nothing() {
    let (bed, length) = three();
    let whole = bed.read(0);
    for at in length..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert_eq!(payloads(bed.open_with(&bytes)), ["first", "second", "third"]);
    }
}

#[test]
fn a_power_cut_may_keep_any_part_of_an_unfinished_write() {
    let bed = Testbed::filled(&[b"flushed", b"one", b"two", b"three"], 3);
    let whole = bed.read(0);
    let one = FILE_HEADER + FRAME_HEADER + 7;
    let two = one + FRAME_HEADER + 3;
    let three = two + FRAME_HEADER + 3;
    let end = three + FRAME_HEADER + 5;
    let without = |lost: Range<usize>, marked: bool| {
        let mut bytes = whole[..if marked { whole.len() } else { end }].to_vec();
        bytes[lost].fill(0);
        bytes
    };
    // Later records of the same write prove nothing.
    assert_eq!(payloads(bed.open_with(&without(one..two, false))), ["flushed"]);
    assert_eq!(payloads(bed.open_with(&without(one + 4..one + 9, false))), ["flushed"]);
    assert_eq!(payloads(bed.open_with(&without(two..three, false))), ["flushed", "one"]);
    // Damage to an earlier write, or to a flushed one, is refused.
    let (_, offset, fault) = corrupt_at(bed.open_with(&without(FILE_HEADER..one, false))).unwrap();
    assert_eq!((offset, fault), (FILE_HEADER as u64, Fault::Missing));
    let (_, offset, _) = corrupt_at(bed.open_with(&without(two..two + 9, true))).unwrap();
    assert_eq!(offset, two as u64);
}

#[test]
fn frames_of_a_failed_write_do_not_follow_a_later_one() {
    // As if the cut after a failed write had been lost: its three frames, the first overwritten by a record of
    // the same size.
    let failed = Testbed::filled(&[b"flushed", b"old-5", b"old-6", b"old-7"], 3);
    let bytes = failed.read(0);
    let first = FILE_HEADER + FRAME_HEADER + 7;
    let second = first + FRAME_HEADER + 5;
    let later = Testbed { options: small(), ..Testbed::new() };
    later.open();
    later.write(0, &bytes[..first]);
    assert_eq!(later.open().put("new-5"), Ok(2));

    let mut spliced = later.read(0);
    spliced.truncate(second);
    spliced.extend_from_slice(&bytes[second..bytes.len() - FRAME_HEADER]);
    let opened = later.open_with(&spliced);
    assert_eq!(opened.as_ref().unwrap().1.torn_bytes, 2 * (FRAME_HEADER as u64 + 5));
    assert_eq!(payloads(opened), ["flushed", "new-5"]);
}

#[test]
fn a_payload_cannot_look_like_a_frame() {
    // The sender knows the format, and has frames of another log.
    let other = Testbed::filled(&[b"a", b"b", b"c", b"d", b"e", b"f"], 0);
    let frames = other.read(0)[FILE_HEADER..].to_vec();
    let bed = Testbed::filled(&[b"first", &frames], 0);
    let mut bytes = bed.read(0);
    bytes.truncate(bytes.len() - FRAME_HEADER);
    bytes[FILE_HEADER + FRAME_HEADER + 5] ^= 1;
    assert_eq!(payloads(bed.open_with(&bytes)), ["first"]);
}

#[test]
fn damage_to_an_older_file_is_refused() {
    let bed = Testbed::with_files();
    let whole = bed.read(1);
    assert_eq!(whole.len(), FILE_HEADER + 2 * (FRAME_HEADER + 1500) + FRAME_HEADER, "an older file is cut");
    for at in (0..whole.len()).filter(|at| at % 61 == 0 || *at < 70 || *at > whole.len() - 30) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bed.write(1, &bytes);
        match bed.try_open().err().expect("a refusal") {
            LogError::Corrupt { file, offset, .. } => {
                assert_eq!(file, bed.file(1));
                assert!(offset as usize <= at);
            }
            LogError::UnknownVersion { .. } => assert!((8..12).contains(&at)),
            other => panic!("{other}"),
        }
    }
    for end in (0..whole.len()).step_by(83) {
        bed.write(1, &whole[..end]);
        assert_eq!(corrupt_at(bed.try_open()).expect("a refusal").0, bed.file(1));
    }
    bed.write(1, &whole);
    assert_eq!(bed.open().payloads().len(), 10);
}

#[test]
fn a_missing_file_is_named() {
    for (gone, expected) in [(1, 3), (3, 7), (4, 9)] {
        let bed = Testbed::with_files();
        let before = bed.file(gone - 1);
        fs::remove_file(bed.file(gone)).unwrap();
        match bed.try_open().err().unwrap() {
            LogError::MissingFile { file, expected: position } => {
                assert_eq!((file, position), (before, expected));
            }
            other => panic!("{other}"),
        }
    }
    // The oldest may be missing, as after a trim.
    let bed = Testbed::with_files();
    fs::remove_file(bed.file(0)).unwrap();
    assert_eq!(bed.open().first_position(), 3);
}

#[test]
fn a_file_under_a_wrong_name_is_refused() {
    let bed = Testbed::with_files();
    let renamed = bed.path().join(format!("{:020}.log", 4));
    fs::rename(bed.file(1), &renamed).unwrap();
    // The order of the files finds it first.
    assert!(bed.try_open().is_err());
    fs::remove_file(bed.file(0)).unwrap();
    let (file, offset, fault) = corrupt_at(bed.try_open()).unwrap();
    assert_eq!((file, offset, fault), (renamed, 0, Fault::FirstPosition(3)));
}

#[test]
fn a_version_of_the_future_is_named() {
    let bed = Testbed::with_files();
    let mut bytes = bed.read(4);
    bytes[8] = 2;
    match bed.open_with(&bytes).err().unwrap() {
        LogError::UnknownVersion { file, version } => assert_eq!((file, version), (bed.file(4), 2)),
        other => panic!("{other}"),
    }
}

#[test]
fn foreign_files_are_left_alone_unless_they_look_like_ours() {
    let bed = Testbed::with_files();
    for name in [".DS_Store", "notes.txt", "1.log.bak"] {
        fs::write(bed.path().join(name), "mine").unwrap();
    }
    fs::create_dir(bed.path().join("lost+found")).unwrap();
    assert_eq!(bed.open().payloads().len(), 10);
    assert!(bed.path().join("notes.txt").exists());
    for name in ["17.log", "00000000000000000000.log", "0000000000000000000a.log"] {
        let path = bed.path().join(name);
        fs::write(&path, "").unwrap();
        assert!(matches!(bed.try_open(), Err(LogError::ForeignFile { path: named }) if named == path));
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_remains_of_an_interrupted_rotation_are_removed() {
    let bed = Testbed::with_files();
    let leftover = bed.path().join(format!("{:020}.log.new", 11));
    fs::write(&leftover, [0; 100]).unwrap();
    let (log, recovery) = bed.try_open().unwrap();
    assert_eq!(recovery.leftover_files, 1);
    assert!(!leftover.exists());
    drop(log);

    // The newest file exists, and the one before it is not sealed.
    let mut unsealed = bed.read(3);
    unsealed.truncate(unsealed.len() - FRAME_HEADER);
    unsealed.resize(4096, 0);
    let newest = bed.read(4);
    bed.write(3, &unsealed);
    assert_eq!(corrupt_at(bed.try_open()).unwrap().0, bed.file(3), "the newest file has records");
    assert_eq!(payloads_len(bed.open_with(&newest[..FILE_HEADER])), 8);
    assert_eq!(bed.read(3).len(), FILE_HEADER + 2 * (FRAME_HEADER + 1500) + FRAME_HEADER, "sealed now");
    fs::remove_file(bed.file(4)).unwrap();
    assert!(matches!(bed.try_open(), Err(LogError::MissingFile { expected: 9, .. })));
}

fn payloads_len(opened: Result<(DiskLog, Recovery), LogError>) -> usize {
    opened.unwrap().0.payloads().len()
}

#[test]
fn a_newest_file_that_has_lost_its_header_is_refused() {
    // The only file from the first record on, the only one after a trim, and one behind older files. No
    // crash does this, so its records may have been acknowledged.
    let trimmed = Testbed::with_files();
    assert_eq!(trimmed.open().trim_before(10).unwrap(), 4);
    for (bed, n, records) in [(three().0, 0, 3), (trimmed, 0, 2), (Testbed::with_files(), 4, 10)] {
        let whole = bed.read(n);
        for length in [0, 1, 8, 16, 20, 31] {
            // Cut there, or zero from there on.
            for size in [length, FILE_HEADER, whole.len(), 4096] {
                let mut bytes = whole[..length].to_vec();
                bytes.resize(size, 0);
                let (file, offset, fault) = corrupt_at(bed.open_with(&bytes)).unwrap();
                let case = format!("{length} of {size} bytes in file {n}");
                assert_eq!((file, offset, fault), (bed.file(n), 0, Fault::Header), "{case}");
                assert_eq!(bed.read(n), bytes, "nothing is changed: {case}");
            }
        }
        let mut bytes = whole.clone();
        bytes[20] ^= 1;
        let (file, offset, fault) = corrupt_at(bed.open_with(&bytes)).unwrap();
        assert_eq!((file, offset, fault), (bed.file(n), 0, Fault::Header));
        assert_eq!(payloads_len(bed.open_with(&whole)), records, "put back, nothing is lost");
    }
}

#[test]
fn smaller_files_can_be_asked_for_at_any_time() {
    let mut bed = Testbed::with_files();
    bed.options = LogOptions { segment_bytes: 100, ..small() };
    let log = bed.open();
    for n in 0..5u8 {
        log.put(vec![n; 60]).unwrap();
    }
    drop(log);
    assert_eq!(bed.open().payloads().len(), 15);
}

#[test]
fn reading_finds_damage_that_came_later() {
    let bed = Testbed::with_files();
    let log = bed.open();
    let mut bytes = bed.read(2);
    bytes[FILE_HEADER + FRAME_HEADER + 1500 + FRAME_HEADER + 3] ^= 1;
    bed.write(2, &bytes);
    let mut entries = log.read_from(1).unwrap();
    let sound: BTreeSet<u64> = entries.by_ref().map_while(|entry| Some(entry.ok()?.position)).collect();
    assert_eq!(sound, (1..=5).collect());
    assert!(entries.next().is_none(), "nothing follows an error");
    let error = log.read_from(6).unwrap().next().unwrap().unwrap_err();
    assert!(matches!(error, LogError::Corrupt { fault: Fault::Checksum, .. }), "{error}");
}
