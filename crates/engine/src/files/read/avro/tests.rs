//! Files of the public libraries, and schemas of every kind. What is expected is written out by hand.

mod damage;
mod random;

use super::writer::{container, long, text};
use super::*;
use crate::ingest::structure::SegmentName;
use std::io::Cursor as Memory;

const LIMITS: Limits =
    Limits { max_decoded_bytes: 1 << 30, max_block_bytes: Limits::MAX_BLOCK_BYTES, max_segments: 1800 };

/// What a reader found, a line an entry: the user and its blocks, or the fault, and the entry as the log shows it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Found(Vec<String>);

impl EntrySink for Found {
    fn user(&mut self, user: FileUser<'_>, blocks: &[FileBlock<'_>], entry: &dyn fmt::Display) {
        assert!(!blocks.is_empty());
        let blocks: Vec<String> = blocks.iter().map(block_text).collect();
        self.0.push(format!("{} {} {entry}", user_text(user), blocks.join(" ")));
    }

    fn format_fault(&mut self, reason: &'static str, entry: &dyn fmt::Display) {
        self.0.push(format!("{reason} {entry}"));
    }
}

fn user_text(user: FileUser<'_>) -> String {
    match user {
        FileUser::Named { domain, id } => format!("{}/{id}", domain.unwrap_or("none")),
        FileUser::Platform(id) => format!("platform/{id}"),
        FileUser::External { member, id } => format!("external {member}/{id}"),
        FileUser::Extended { source, id } => format!("eid {source}/{id}"),
        FileUser::Invalid => "invalid".to_owned(),
    }
}

/// `<segment>=<value>,<expiration>,<timestamp>`
fn block_text(block: &FileBlock<'_>) -> String {
    let segment = match block.segment {
        SegmentName::Id(id) => id.0.to_string(),
        SegmentName::Code(member, code) => format!("{}/{}", member.0, code.decode()),
    };
    let expiration = block.expiration.map_or("default".to_owned(), |minutes| minutes.to_string());
    format!("{segment}={},{expiration},{}", block.value, block.timestamp)
}

/// Reads a file in steps of so many entries. The checking pass says the same.
fn read_in_steps(file: &[u8], limits: Limits, step: usize) -> (Vec<String>, Result<(), FileFault>) {
    let mut found = Found::default();
    let memory = || Box::new(Memory::new(file.to_vec()));
    let outcome = open(memory(), limits).and_then(|mut reader| {
        loop {
            let before = found.0.len();
            let read = reader.read(step, &mut found)?;
            assert_eq!(found.0.len() - before, read, "what it counts is what it passed on");
            assert!(read <= step);
            if read == 0 {
                return Ok(());
            }
        }
    });
    let checked = check(memory(), limits);
    assert_eq!(fault_text(&outcome), fault_text(&checked), "the checking pass agrees");
    if let Ok(entries) = checked {
        assert_eq!(entries, found.0.len() as u64);
    }
    (found.0, outcome)
}

fn fault_text<T>(outcome: &Result<T, FileFault>) -> String {
    match outcome {
        Ok(_) => String::new(),
        Err(FileFault::Damaged { code, detail }) => format!("{code}: {detail}"),
        Err(fault) => fault.to_string(),
    }
}

fn read(file: &[u8]) -> Vec<String> {
    let (found, outcome) = read_in_steps(file, LIMITS, 1000);
    outcome.unwrap();
    for step in [1, 2, 7] {
        assert_eq!(read_in_steps(file, LIMITS, step).0, found);
    }
    found
}

fn fault(file: &[u8]) -> String {
    fault_text(&read_in_steps(file, LIMITS, 1000).1)
}

const FIXTURES: [(&str, &[u8]); 6] = [
    ("avro null", include_bytes!("../../../../tests/fixtures/avro/avro-null.avro")),
    ("avro deflate", include_bytes!("../../../../tests/fixtures/avro/avro-deflate.avro")),
    ("avro snappy", include_bytes!("../../../../tests/fixtures/avro/avro-snappy.avro")),
    ("fastavro null", include_bytes!("../../../../tests/fixtures/avro/fastavro-null.avro")),
    ("fastavro deflate", include_bytes!("../../../../tests/fixtures/avro/fastavro-deflate.avro")),
    ("fastavro snappy", include_bytes!("../../../../tests/fixtures/avro/fastavro-snappy.avro")),
];

const ODD: &[u8] = include_bytes!("../../../../tests/fixtures/avro/odd.avro");

#[test]
fn files_of_the_python_libraries() {
    let sha1 = "b".repeat(40);
    let expected = [
        "platform/12345 100=0,0,0 101=7,60,0 12345:100,101".to_owned(),
        "platform/9223372036854775807 4294967=0,-1,0 9223372036854775807:4294967".to_owned(),
        "invalid 100=0,0,0 -5:100".to_owned(),
        "idfa/958cba26-f338-43f3-8bb0-ed821582daae 100=0,default,0 958cba26-f338-43f3-8bb0-ed821582daae:100".to_owned(),
        format!("sha1udid/{sha1} 100=0,9,1700000000 {sha1}:100"),
        "invalid 100=0,0,0 00:11:100".to_owned(),
        "aaid/958cba26-f338-43f3-8bb0-ed821582dabb 958/autumn=0,0,0 958cba26-f338-43f3-8bb0-ed821582dabb:autumn".to_owned(),
        "invalid 100=0,0,0 99136473264876328:100".to_owned(),
        "external 958/client \u{fc}\n7 100=0,0,0 client \u{fc}?7:100".to_owned(),
        "external 0/own-1 100=0,0,0 own-1:100".to_owned(),
        "invalid 100=0,0,0 own-2:100".to_owned(),
        "eid ids.example/x-1 100=0,0,0 0=0,0,0 x-1:100,0".to_owned(),
        "invalid 100=0,0,0 xfa:100".to_owned(),
        "invalid 100=0,0,0 aes_encrypted:100".to_owned(),
        "invalid 100=0,0,0 hem:100".to_owned(),
        "failed with an illegal number of segments 77".to_owned(),
    ];
    for (name, file) in FIXTURES {
        assert_eq!(read(file), expected, "{name}");
    }
}

#[test]
fn a_schema_of_another_order_with_missing_and_further_fields() {
    let expected = [
        "platform/17 0=0,0,0 9=3,default,0 17:0,9",
        "invalid 1=0,0,0 :1",
        "invalid 1=0,0,0 :1",
        "vida/v-1 1=0,0,0 v-1:1",
        "invalid 1=0,0,0 :1",
        "external 0/40 1=0,0,0 40:1",
        "aaid/a-1 1=0,0,0 a-1:1",
        "invalid 1=0,0,0 e-1:1",
        "failed with an illegal number of segments 19",
        "failed with an illegal number of segments 20",
        "failed with an illegal segment 21",
    ];
    assert_eq!(read(ODD), expected);
}

/// A schema with these types of `uid` and of the fields of a segment.
fn schema(uid: &str, segment_fields: &str) -> String {
    let segment = format!(r#"{{"type": "record", "name": "s", "fields": [{segment_fields}]}}"#);
    format!(
        r#"{{"type": "record", "name": "u", "fields": [{{"name": "uid", "type": {uid}}},
            {{"name": "segments", "type": {{"type": "array", "items": {segment}}}}}]}}"#
    )
}

/// A file of one record.
fn file(schema: &str, record: &[&[u8]]) -> Vec<u8> {
    container(schema.as_bytes(), "null", &[(1, &record.concat())])
}

#[test]
fn a_long_with_a_name_is_an_id_of_the_platform() {
    let named = r#"[{"type": "long", "name": "anid", "doc": "d", "logicalType": "x"}, "null"]"#;
    let nested = r#"{"type": {"type": "int"}}"#;
    let record = r#"{"type": "record", "name": "v.anid", "fields": [{"name": "id", "type": "long"}]}"#;
    let unknown = r#"{"type": "long", "name": "hem"}"#;
    let id = r#"{"name": "id", "type": "int"}"#;
    let segments: &[u8] = &[&long(1)[..], &long(5), &long(0)].concat();
    assert_eq!(
        read(&file(&schema(named, id), &[&long(0), &long(70), segments])),
        ["platform/70 5=0,0,0 70:5"]
    );
    for uid in [nested, record] {
        assert_eq!(read(&file(&schema(uid, id), &[&long(70), segments])), ["platform/70 5=0,0,0 70:5"]);
    }
    assert_eq!(read(&file(&schema(unknown, id), &[&long(70), segments])), ["invalid 5=0,0,0 hem:5"]);
}

#[test]
fn numbers_are_taken_as_any_type_that_can_be_one() {
    let fields = r#"{"name": "id", "type": ["double", "string", "float", "null", "boolean"]}"#;
    let read = |id: &[&[u8]]| {
        let segments = [&long(1)[..], &id.concat(), &long(0)].concat();
        read(&file(&schema(r#""long""#, fields), &[&long(7), &segments])).remove(0)
    };
    assert_eq!(read(&[&long(0), &12.0_f64.to_le_bytes()]), "platform/7 12=0,0,0 7:12");
    assert_eq!(read(&[&long(1), &text(b" 13.0 ")]), "platform/7 13=0,0,0 7:13");
    assert_eq!(read(&[&long(2), &14.0_f32.to_le_bytes()]), "platform/7 14=0,0,0 7:14");
    assert_eq!(read(&[&long(3)]), "platform/7 0=0,0,0 7:0");
    let illegal = "failed with an illegal number 7";
    assert_eq!(read(&[&long(0), &12.5_f64.to_le_bytes()]), illegal);
    assert_eq!(read(&[&long(0), &f64::NAN.to_le_bytes()]), illegal);
    assert_eq!(read(&[&long(0), &1e300_f64.to_le_bytes()]), illegal);
    assert_eq!(read(&[&long(1), &text(b"x")]), illegal);
    assert_eq!(read(&[&long(1), &text(b"\xff")]), illegal);
    assert_eq!(read(&[&long(4), &[1]]), illegal);
}

#[test]
fn a_segment_without_an_id_goes_by_its_code() {
    let fields = r#"{"name": "code", "type": "string"}, {"name": "id", "type": "int"},
        {"name": "member_id", "type": "int"}"#;
    let read = |code: &[u8], id, member| {
        let segments = [&long(1)[..], &text(code), &long(id), &long(member), &long(0)].concat();
        read(&file(&schema(r#""long""#, fields), &[&long(7), &segments])).remove(0)
    };
    assert_eq!(read(b"c", 0, 9), "platform/7 9/c=0,0,0 7:c");
    assert_eq!(read(b"c", 3, 9), "platform/7 3=0,0,0 7:3");
    assert_eq!(read(b" ", 0, 9), "platform/7 0=0,0,0 7:0");
    assert_eq!(read(b"c", -1, 9), "platform/7 0=0,0,0 7:0");
    assert_eq!(read(b"c", 0, -9), "platform/7 0/c=0,0,0 7:c");
    assert_eq!(read(b"\xff", 0, 9), "failed with illegal characters 7");
}

#[test]
fn parts_of_arrays_and_their_sizes() {
    let schema = schema(r#""long""#, r#"{"name": "id", "type": "int"}"#);
    let record = |parts: &[&[u8]]| file(&schema, &[&long(7), &parts.concat(), &long(0)]);
    let sized = record(&[&long(-2), &long(2), &long(1), &long(2), &long(1), &long(3)]);
    assert_eq!(read(&sized), ["platform/7 1=0,0,0 2=0,0,0 3=0,0,0 7:1,2,3"]);
    let wrong = record(&[&long(-2), &long(3), &long(1), &long(2)]);
    assert!(fault(&wrong).ends_with("a part of an array has another size than it says"));
}

#[test]
fn too_many_segments_are_a_format_fault_and_the_file_goes_on() {
    let limits = Limits { max_segments: 3, ..LIMITS };
    let record = |count: i64| {
        let ids: Vec<u8> = (1..=count).flat_map(long).collect();
        [&long(7)[..], &long(count), &ids, &long(0)].concat()
    };
    let blocks = [record(3), record(4), record(3)].concat();
    let schema = schema(r#""long""#, r#"{"name": "id", "type": "int"}"#);
    let (found, outcome) =
        read_in_steps(&container(schema.as_bytes(), "snappy", &[(3, &blocks)]), limits, 10);
    outcome.unwrap();
    let good = "platform/7 1=0,0,0 2=0,0,0 3=0,0,0 7:1,2,3";
    assert_eq!(found, [good, "failed with an illegal number of segments 7:1,2,3", good]);
}

#[test]
fn what_takes_no_bytes_takes_no_time() {
    let schema = schema(r#""long""#, r#"{"name": "id", "type": "null"}"#);
    let most = file(&schema, &[&long(7), &long(i64::MAX), &long(0)]);
    assert!(read(&most)[0].starts_with("failed with an illegal number of segments 7:0,0"));
    let further = r#"{"type": "record", "name": "u", "fields": [{"name": "uid", "type": "long"},
        {"name": "n", "type": {"type": "array", "items": {"type": "fixed", "name": "f", "size": 0}}},
        {"name": "segments", "type": {"type": "array", "items": {"type": "record", "name": "s", "fields": []}}}]}"#;
    let record = [&long(7)[..], &long(i64::MAX), &long(i64::MAX), &long(0), &long(1), &long(0)];
    assert_eq!(read(&file(further, &record)), ["platform/7 0=0,0,0 7:0"]);
}

#[test]
fn an_entry_is_shown_on_one_short_line() {
    let fields = r#"{"name": "code", "type": "string"}"#;
    let codes: Vec<u8> = (0..100).flat_map(|_| text("a\r\nb".as_bytes())).collect();
    let found = read(&file(&schema(r#""long""#, fields), &[&long(-7), &long(100), &codes, &long(0)]));
    let shown = found[0].split_once("-7:").unwrap().1;
    assert!(shown.starts_with("a??b,a??b,") && shown.ends_with("..."), "{shown}");
    assert!(shown.len() < 250);
}

#[test]
fn a_schema_that_cannot_hold_users_is_refused_with_its_fault() {
    let id = r#"{"name": "id", "type": "int"}"#;
    let fault = |schema: &str| fault(&container(schema.as_bytes(), "null", &[]));
    assert_eq!(fault(r#""long""#), "avro-schema-error: the values in the file are no records");
    assert_eq!(fault("{"), "avro-schema-error: the schema is no JSON");
    let without = r#"{"type": "record", "name": "u", "fields": [{"name": "uid", "type": "long"}]}"#;
    assert_eq!(fault(without), "avro-schema-error: its records have no field 'segments'");
    let without = without.replace("uid", "segments");
    assert_eq!(fault(&without), "avro-schema-error: its records have no field 'uid'");
    let no_list = schema(r#""long""#, id).replace("\"array\"", "\"map\"").replace("items", "values");
    assert_eq!(fault(&no_list), "avro-schema-error: its field 'segments' is no array of records");
    for field in ["id", "member_id", "expiration", "timestamp", "value"] {
        let expected = format!("avro-schema-error: the field '{field}' of its segments is no number");
        let schema = schema(r#""long""#, &format!(r#"{{"name": "{field}", "type": "boolean"}}"#));
        assert_eq!(fault(&schema), expected);
    }
    let code = schema(r#""long""#, r#"{"name": "code", "type": "double"}"#);
    assert_eq!(fault(&code), "avro-schema-error: the field 'code' of its segments is no string");
    assert_eq!(fault(&schema(r#""long""#, id)), "", "no blocks are no fault");
}

#[test]
fn codecs_and_heads() {
    let schema = schema(r#""long""#, r#"{"name": "id", "type": "int"}"#);
    let packed = |codec| fault(&container(schema.as_bytes(), codec, &[]));
    assert_eq!(
        packed("zstandard"),
        "avro-unsupported-codec: the codec is zstandard; null, deflate and snappy are supported"
    );
    assert!(packed("secret").starts_with("avro-unsupported-codec: the codec is unknown;"));
    assert_eq!(packed(""), "");
    assert_eq!(fault(b""), "avro-error: in the head of the file the file is cut off");
    let other = "avro-error: in the head of the file the first bytes are not those of such a file";
    assert_eq!(fault(b"Obj\x02 and more"), other);
    let without = [MAGIC.as_slice(), &long(0), &writer::SYNC].concat();
    assert_eq!(fault(&without), "avro-schema-error: the file has no schema");
    let long_schema = format!("{}{schema}", " ".repeat(128 << 10));
    assert_eq!(
        fault(&container(long_schema.as_bytes(), "null", &[])),
        "avro-error: in the head of the file a text is too long"
    );
}
