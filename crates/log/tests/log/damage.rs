//! A log of several files with every byte changed in turn, and every length of every file.

use std::fs;

use ia_log::{LogError, LogOptions};

use crate::support::{LogExt, Testbed, files, small};

/// Files of some records each, the newest with room behind its mark.
fn sound() -> (Testbed, Vec<Vec<u8>>) {
    let mut bed = Testbed::in_memory();
    bed.options = LogOptions { segment_bytes: 280, ..small() };
    let log = bed.open();
    for n in 0..14u8 {
        log.put(vec![n + 1; 20 + usize::from(n) * 3]).unwrap();
    }
    let payloads = log.payloads();
    (bed, payloads)
}

#[derive(Default)]
struct Counts {
    cases: usize,
    refused: usize,
    harmless: usize,
    tail_cuts: usize,
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure of the run")]
fn no_changed_byte_is_a_silent_loss() {
    let (bed, payloads) = sound();
    let files = files(&bed.path());
    assert!(files.len() >= 4, "{} files", files.len());
    let sound: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut counts = Counts::default();
    for (n, file) in files.iter().enumerate() {
        for at in 0..sound[n].len() {
            for bit in 0..8 {
                let mut bytes = sound[n].clone();
                bytes[at] ^= 1 << bit;
                fs::write(file, bytes).unwrap();
                let case = format!("file {n}, byte {at}, bit {bit}");
                counts.cases += 1;
                match bed.try_open() {
                    Ok((log, _)) => {
                        assert_eq!(log.payloads(), payloads, "{case}");
                        counts.harmless += 1;
                    }
                    Err(LogError::Corrupt { file: named, offset, .. }) => {
                        assert_eq!(&named, file, "{case}");
                        assert!(offset as usize <= at, "{case}: at {offset}");
                        counts.refused += 1;
                    }
                    Err(LogError::UnknownVersion { file: named, .. }) => {
                        assert!(&named == file && (8..12).contains(&at), "{case}");
                        counts.refused += 1;
                    }
                    Err(error) => panic!("{case}: {error}"),
                }
                // A refused log is unchanged; an opened one may have been repaired.
                for (file, bytes) in files.iter().zip(&sound) {
                    fs::write(file, bytes).unwrap();
                }
            }
        }
        for length in 0..sound[n].len() {
            fs::write(file, &sound[n][..length]).unwrap();
            counts.cases += 1;
            match bed.try_open() {
                // As after an unfinished write: a whole number of records is there.
                Ok((log, _)) => {
                    assert_eq!(n, files.len() - 1, "only the newest file may end early");
                    let found = log.payloads();
                    assert_eq!(found, payloads[..found.len()]);
                    counts.tail_cuts += 1;
                }
                Err(LogError::Corrupt { file: named, .. }) => {
                    assert_eq!(&named, file, "file {n}, length {length}");
                    counts.refused += 1;
                }
                Err(error) => panic!("file {n}, length {length}: {error}"),
            }
            for (file, bytes) in files.iter().zip(&sound) {
                fs::write(file, bytes).unwrap();
            }
        }
    }
    let Counts { cases, refused, harmless, tail_cuts } = counts;
    println!(
        "figure: damage-log: files={} cases={cases} refused={refused} harmless={harmless} tail_cuts={tail_cuts} silent=0",
        files.len()
    );
    assert_eq!(bed.open().payloads(), payloads);
}
