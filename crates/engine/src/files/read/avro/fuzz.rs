//! The fuzz target of the reader of Avro files.

use super::writer::{SYNC, block};
use super::*;
use std::io::Cursor as Memory;

const LIMITS: Limits = Limits { max_decoded_bytes: 1 << 17, max_block_bytes: 1 << 16, max_segments: 20 };

/// Files whose heads stand before blocks of the fuzzer's, with their codecs.
const HEADS: [(&[u8], &str); 2] = [
    (include_bytes!("../../../../tests/fixtures/avro/avro-snappy.avro"), "snappy"),
    (include_bytes!("../../../../tests/fixtures/avro/odd.avro"), "deflate"),
];

/// The first byte picks: the rest is a file, or the records of one or two blocks behind a head that is kept.
pub fn files_avro(input: &[u8]) {
    let Some((&pick, rest)) = input.split_first() else { return };
    let head = usize::from(pick % 3);
    if head == 0 {
        return check_file(rest);
    }
    let (file, codec) = HEADS[head - 1];
    let end = file.windows(SYNC.len()).position(|bytes| bytes == SYNC).expect("a marker") + SYNC.len();
    let count = i64::from(pick / 3 % 16);
    check_file(&[&file[..end], &block(codec, count, rest)].concat());
    let (first, second) = rest.split_at(rest.len() / 2);
    check_file(&[&file[..end], &block(codec, count, first), &block(codec, count, second)].concat());
}

fn check_file(file: &[u8]) {
    let memory = || Box::new(Memory::new(file.to_vec()));
    let outcome = check(memory(), LIMITS);
    let whole = Seen::of(memory(), 1000);
    assert_eq!(whole, Seen::of(memory(), 3), "in steps or at once");
    match outcome {
        Ok(entries) => assert_eq!((whole.entries.len() as u64, &whole.fault), (entries, &None)),
        Err(fault) => assert_eq!(whole.fault, Some(format!("{fault:?}"))),
    }
    assert!(whole.entries.len() <= file.len().max(LIMITS.max_decoded_bytes as usize));
}

/// All that a reader told of a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    entries: Vec<String>,
    fault: Option<String>,
}

impl Seen {
    fn of(file: Box<Memory<Vec<u8>>>, step: usize) -> Seen {
        let mut seen = Seen::default();
        let outcome = open(file, LIMITS).and_then(|mut reader| {
            while reader.read(step, &mut seen)? > 0 {}
            Ok(())
        });
        seen.fault = outcome.err().map(|fault| format!("{fault:?}"));
        seen
    }
}

impl EntrySink for Seen {
    fn user(&mut self, user: FileUser<'_>, blocks: &[FileBlock<'_>], entry: &dyn fmt::Display) {
        assert!((1..=LIMITS.max_segments).contains(&blocks.len()));
        if let FileUser::Named { domain, .. } = user {
            assert!(domain.is_some_and(|name| ia_model::Domain::from_name(name).is_some()));
        }
        let shown = entry.to_string();
        assert!(shown.chars().count() < 250 && !shown.contains(char::is_control));
        self.entries.push(format!("{user:?} {blocks:?} {shown}"));
    }

    fn format_fault(&mut self, reason: &'static str, entry: &dyn fmt::Display) {
        self.entries.push(format!("{reason} {entry}"));
    }
}
