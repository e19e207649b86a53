//! The fuzz target of this crate (`fuzz/`), which panics where a promise about arbitrary log files is broken.
//!
//! It compares an opening with [`reference`], which follows the words of `docs/FORMAT.md` alone.

mod build;
mod reference;

use crate::faults::simulated::SimulatedDisk;
use crate::recovery::{self, Opened};
use crate::{Disk, Found, Inspector, LogOptions, format};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/log";

fn options() -> LogOptions {
    LogOptions { segment_bytes: 4096, ..LogOptions::default() }
}

/// Records with their positions.
type Records = Vec<(u64, Vec<u8>)>;

/// Files of a log, whole or damaged, as the input describes them (see [`build`]).
pub fn log(input: &[u8]) {
    let files = build::files(input);
    let expected = reference::open(&files);
    let disk = SimulatedDisk::default();
    for (first_position, content) in &files {
        disk.put(&Path::new(DIR).join(format::file_name(*first_position)), content);
    }
    let before = disk.contents();
    let inspected = inspect(&disk);
    let opened = recovery::open(&disk, Path::new(DIR), &options());
    let (expected, mut opened) = match (expected, opened) {
        (Ok(expected), Ok(opened)) => (expected, opened),
        (Err(_), Err(_)) => {
            assert!(disk.contents() == before, "a log that is refused stays as it was");
            return;
        }
        (Ok(records), Err(error)) => panic!("{} records are refused: {error}", records.len()),
        (Err(why), Ok(opened)) => panic!("opened in spite of: {why}; {:?}", opened.recovery),
    };
    assert!(inspected == expected || files.len() > 1, "inspect tells what an opening takes");
    assert_eq!(opened.recovery.records, expected.len() as u64);
    assert_eq!(inspect(&disk), expected, "what was there is there");
    assert_eq!(opened.recovery.files, opened.segments.len());
    let next_position = opened.recovery.next_position;
    assert_eq!(expected.last().map_or(opened.recovery.first_position, |(last, _)| last + 1), next_position);

    append(&mut opened, b"one more");
    let again = recovery::open(&disk, Path::new(DIR), &options()).expect("what was opened opens again");
    let Opened { recovery, .. } = again;
    assert_eq!((recovery.torn_bytes, recovery.rewritten_bytes), (0, 0), "nothing is left to mend");
    let expected: Records = expected.into_iter().chain([(next_position, b"one more".to_vec())]).collect();
    assert_eq!(inspect(&disk), expected, "a later start finds what was appended, and what was before");
}

/// Appends one record as the log's thread does, without the thread.
fn append(opened: &mut Opened, payload: &[u8]) {
    let active = &mut opened.active;
    active.capacity = active.tail + 4096;
    let mut frame = Vec::new();
    let position = opened.recovery.next_position;
    let previous = format::encode_record(&mut frame, active.seed, active.previous, position, 0, payload);
    active.write(&frame).expect("the disk has room");
    active.flush().expect("a flush");
    active.tail += frame.len() as u64;
    active.previous = previous;
    active.mark(position + 1).expect("the disk has room");
}

/// The records that an inspection shows before the first damage.
fn inspect(disk: &SimulatedDisk) -> Records {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut records = Vec::new();
    for found in Inspector::open(Path::new(DIR), disk).expect("a folder") {
        match found {
            Ok(Found::Record { position, payload, .. }) => records.push((position, payload)),
            Ok(Found::Damaged { .. }) | Err(_) => break,
            Ok(_) => {}
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_inputs_hold() {
        let mut replayed = 0;
        for kept in ["seeds", "regressions"] {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(kept).join("log");
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                log(&std::fs::read(entry.unwrap().path()).unwrap());
                replayed += 1;
            }
        }
        assert!(replayed > 0, "no input is kept");
    }
}
