//! Damaged files: each byte changed, each length. A count or a fault, never a panic, and never much memory or time.

use super::*;
use std::collections::BTreeSet;

/// Small bounds, so that a damage that would ask for more is seen.
const SMALL: Limits = Limits { max_decoded_bytes: 1 << 16, max_block_bytes: 1 << 14, max_segments: 10 };

/// Where the first block begins: behind the marker that ends the head.
fn head_bytes(file: &[u8]) -> usize {
    file.windows(16).position(|bytes| bytes == writer::SYNC).expect("a marker") + 16
}

/// The variants of a file with one byte changed, in this part of it.
fn changed(file: &[u8], part: std::ops::Range<usize>) -> impl Iterator<Item = Vec<u8>> {
    part.flat_map(move |at| {
        let old = file[at];
        let others = [old ^ 1, old ^ 0x80, old.wrapping_sub(1), !old, 0];
        others.into_iter().filter(move |&new| new != old).map(move |new| {
            let mut file = file.to_vec();
            file[at] = new;
            file
        })
    })
}

fn fixture(name: &str) -> &'static [u8] {
    FIXTURES.iter().find(|(known, _)| *known == name).expect("such a file").1
}

/// The files of both libraries have checksums where they are packed: see `container::inflate`.
fn no_byte_of_a_packed_block_is_changed_unseen(name: &str) {
    let file = fixture(name);
    let (whole, outcome) = read_in_steps(file, SMALL, 1000);
    outcome.unwrap();
    let mut faults = 0;
    for file in changed(file, head_bytes(file)..file.len()) {
        let (found, outcome) = read_in_steps(&file, SMALL, 5);
        match outcome {
            Ok(()) => assert_eq!(found, whole, "{name}"),
            Err(FileFault::Damaged { code, .. }) => {
                assert!(matches!(code, "avro-error" | "avro-block-too-large"), "{code}");
                assert_eq!(found, whole[..found.len()], "{name}");
                faults += 1;
            }
            Err(fault) => panic!("{name}: {fault}"),
        }
    }
    assert!(faults > 1000, "{faults}");
}

#[test]
fn no_byte_of_a_deflate_block_is_changed_unseen() {
    no_byte_of_a_packed_block_is_changed_unseen("avro deflate");
    no_byte_of_a_packed_block_is_changed_unseen("fastavro deflate");
}

#[test]
fn no_byte_of_a_snappy_block_is_changed_unseen() {
    no_byte_of_a_packed_block_is_changed_unseen("avro snappy");
    no_byte_of_a_packed_block_is_changed_unseen("fastavro snappy");
}

/// The format has no checksum here.
#[test]
fn every_byte_of_plain_blocks_is_changed() {
    for name in ["avro null", "fastavro null"] {
        let file = fixture(name);
        let whole = read(file);
        let mut faults = 0;
        for file in changed(file, head_bytes(file)..file.len()) {
            let (found, outcome) = read_in_steps(&file, SMALL, 5);
            faults += usize::from(outcome.is_err());
            assert!(found.len() <= 2 * whole.len());
        }
        assert!(faults > 1000, "{faults}");
    }
}

/// The head has no checksum in any file. But no user is made up: whoever is found is there in the whole file.
#[test]
fn every_byte_of_the_head_is_changed() {
    let user =
        |entry: &String| entry.split(' ').next().and_then(|user| user.split('/').nth(1)).map(str::to_owned);
    for name in ["avro snappy", "fastavro deflate"] {
        let file = fixture(name);
        let ids: BTreeSet<Option<String>> = read(file).iter().map(user).collect();
        for file in changed(file, 0..head_bytes(file)) {
            let (found, _) = read_in_steps(&file, SMALL, 1000);
            assert!(found.iter().all(|entry| ids.contains(&user(entry))), "{name}: {found:?}");
        }
    }
}

#[test]
fn a_file_is_cut_off_at_every_length() {
    for (name, file) in FIXTURES.into_iter().chain([("odd", ODD)]) {
        let whole = read(file);
        for length in 0..file.len() {
            let (found, outcome) = read_in_steps(&file[..length], SMALL, 5);
            assert_eq!(found, whole[..found.len()], "{name} of {length} bytes");
            match outcome {
                // Between two blocks.
                Ok(()) => assert!(file[..length].ends_with(&writer::SYNC), "{name} of {length} bytes"),
                Err(fault) => assert_eq!(fault.to_string(), "avro-error", "{name} of {length} bytes"),
            }
        }
    }
}

#[test]
fn what_is_told_names_the_block_and_its_place() {
    let file = fixture("fastavro snappy");
    let second =
        file.windows(16).enumerate().filter(|(_, bytes)| *bytes == writer::SYNC).nth(1).unwrap().0 + 16;
    let mut damaged = file.to_vec();
    damaged[second + 8] ^= 1;
    let told = fault(&damaged);
    assert!(told.starts_with(&format!("avro-error: block 2 at byte {second}: it")), "{told}");
    damaged[second - 1] ^= 1;
    let told = fault(&damaged);
    assert!(
        told.contains("block 1 at byte ")
            && told.ends_with("the marker behind it is another than in the head of the file")
    );
    assert!(fault(&file[..second + 8]).ends_with(&format!("block 2 at byte {second}: the file is cut off")));
}

const PLAIN: &str = r#"{"type": "record", "name": "u", "fields": [{"name": "uid", "type": "long"},
    {"name": "text", "type": "string"},
    {"name": "segments", "type": {"type": "array", "items": {"type": "record", "name": "s", "fields": [
        {"name": "id", "type": "int"}]}}}]}"#;

#[test]
fn counts_and_sizes_that_lie() {
    let fault = |count, record: &[&[u8]]| {
        let told = fault(&container(PLAIN.as_bytes(), "null", &[(count, &record.concat())]));
        told.rsplit_once(": ").map(|(_, what)| what.to_owned()).unwrap_or_default()
    };
    let segments: &[u8] = &[&long(1)[..], &long(5), &long(0)].concat();
    assert_eq!(fault(1, &[&long(7), &text(b"t"), segments]), "");
    assert_eq!(fault(1, &[&long(7), &text(b"t"), segments, &[0]]), "bytes follow its records");
    assert_eq!(fault(2, &[&long(7), &text(b"t"), segments]), "a value is cut off");
    assert_eq!(fault(i64::MAX, &[&long(7), &text(b"t"), segments]), "it has more records than bytes");
    assert_eq!(fault(-1, &[&long(7)]), "its count of records is negative");
    assert_eq!(fault(0, &[&long(7)]), "it has bytes and no records");
    assert_eq!(fault(1, &[&long(7), &long(1 << 40)]), "a value is cut off");
    assert_eq!(fault(1, &[&long(7), &long(-1)]), "a length is negative");
    let many = "an array or map has more items than bytes are left";
    assert_eq!(fault(1, &[&long(7), &text(b""), &long(i64::MAX)]), many);
    assert_eq!(fault(1, &[&long(7), &text(b""), &long(i64::MIN), &long(0)]), many);
    let large = "a part of an array or map is larger than its block";
    assert_eq!(fault(1, &[&long(7), &text(b""), &long(-1), &long(9)]), large);
    assert_eq!(fault(1, &[&[0xff; 10], &text(b""), segments]), "a number has more than 64 bits");
}

#[test]
fn a_bomb_is_stopped_at_its_bound() {
    let record = [&long(7)[..], &text(&vec![b' '; 4 << 20]), &long(1), &long(5), &long(0)].concat();
    for codec in ["null", "deflate", "snappy"] {
        let file = container(PLAIN.as_bytes(), codec, &[(1, &record), (1, &record)]);
        let with = |max_block_bytes, max_decoded_bytes| {
            let limits = Limits { max_block_bytes, max_decoded_bytes, ..LIMITS };
            let (found, outcome) = read_in_steps(&file, limits, 10);
            (found.len(), fault_text(&outcome))
        };
        assert_eq!(with(record.len(), 2 * record.len() as u64), (2, String::new()), "{codec}");
        assert_eq!(
            with(record.len(), 2 * record.len() as u64 - 1),
            (1, "file-too-large".to_owned()),
            "{codec}"
        );
        let (found, told) = with(record.len() - 1, 1 << 30);
        let bound = record.len() - 1;
        assert_eq!(found, 0);
        assert!(told.starts_with("avro-block-too-large: block 1 at byte "), "{codec}: {told}");
        assert!(told.ends_with(&format!(" has more than {bound} bytes")), "{codec}: {told}");
    }
}

#[test]
fn a_schema_that_refers_to_itself_is_read_to_a_bounded_depth() {
    let schema = r#"{"type": "record", "name": "u", "fields": [{"name": "uid", "type": "long"},
        {"name": "tree", "type": {"type": "record", "name": "t", "fields": [{"name": "next", "type": ["null", "t"]}]}},
        {"name": "segments", "type": {"type": "array", "items": {"type": "record", "name": "s", "fields": []}}}]}"#;
    let nested = |depth| {
        let tree: Vec<u8> = [long(1).repeat(depth), long(0)].concat();
        fault(&container(
            schema.as_bytes(),
            "null",
            &[(1, &[&long(7)[..], &tree, &long(1), &long(0)].concat())],
        ))
    };
    assert_eq!(nested(40), "");
    assert!(nested(100_000).ends_with("values are nested too deeply"));
    let endless = schema.replace(r#"["null", "t"]"#, r#""t""#);
    let told = fault(&container(endless.as_bytes(), "null", &[(1, &long(7))]));
    assert!(told.ends_with("values are nested too deeply"), "{told}");
}

/// A file can be packed with gzip as a whole. What unpacks it reports its damage inside of an error of reading.
#[test]
fn errors_of_reading_are_the_disks_or_those_of_gzip() {
    struct Failing(Option<std::io::Error>);
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(self.0.take().expect("it is read no more after an error"))
        }
    }
    let fault = |error: std::io::Error| {
        let input = std::io::BufReader::new(Failing(Some(error)));
        check(Box::new(input), LIMITS).unwrap_err()
    };
    let damage = FileFault::Damaged { code: "gzip-error", detail: String::new() };
    assert_eq!(fault(std::io::Error::other(damage)).to_string(), "gzip-error");
    assert!(matches!(fault(std::io::ErrorKind::StorageFull.into()), FileFault::Io(_)));
}
