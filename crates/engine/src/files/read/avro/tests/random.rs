//! Random records in random variants of the schema, written here and read back.

use super::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// A user id, as it is meant.
#[derive(Debug, Clone)]
enum Uid {
    Long(i64),
    Device(String, &'static str),
    Ifa(String, &'static str),
    External(String, i64),
    Eid(String, String),
    Hem(String),
}

#[derive(Debug, Clone)]
struct Segment {
    numbers: [i64; 5],
    code: String,
}

const NUMBERS: [&str; 5] = ["id", "member_id", "expiration", "timestamp", "value"];
const DOMAINS: [&str; 4] = ["idfa", "aaid", "vida", "sha1mac"];

fn uid() -> impl Strategy<Value = Uid> {
    let id = || "[a-z0-9 \u{e9}-]{0,40}";
    prop_oneof![
        any::<i64>().prop_map(Uid::Long),
        (id(), select(&DOMAINS[..])).prop_map(|(id, domain)| Uid::Device(id, domain)),
        (id(), select(&["aaid", "LGUDID", "sspid"][..])).prop_map(|(id, kind)| Uid::Ifa(id, kind)),
        (id(), prop_oneof![-1..3_i64, Just(1 << 32)]).prop_map(|(id, member)| Uid::External(id, member)),
        (id(), id()).prop_map(|(source, id)| Uid::Eid(source, id)),
        id().prop_map(Uid::Hem),
    ]
}

fn segment() -> impl Strategy<Value = Segment> {
    let number = || prop_oneof![-3..200_i64, any::<i64>()];
    (
        [0..3_i64, 0..3_i64, -2..99_i64, 0..9_i64, 0..9_i64],
        [number(), number(), number(), number(), number()],
        any::<bool>(),
        "[a-z]{0,3}",
    )
        .prop_map(|(small, wide, is_wide, code)| Segment {
            numbers: if is_wide { wide } else { small },
            code,
        })
}

/// A type and how its values are written.
#[derive(Debug, Clone)]
enum Shape {
    Long,
    Text,
    /// A union; the branch that is used, and the others.
    Nullable(bool),
}

/// What the file says of a schema.
#[derive(Debug, Clone)]
struct Variant {
    /// Where `segments`, a further field and `uid` stand.
    order: Vec<usize>,
    branches: Vec<usize>,
    fields: Vec<usize>,
    left_out: Vec<bool>,
    shapes: Vec<Shape>,
    codec: &'static str,
    sized_parts: bool,
    records_a_block: usize,
}

fn variant() -> impl Strategy<Value = Variant> {
    let shape = prop_oneof![Just(Shape::Long), Just(Shape::Text), any::<bool>().prop_map(Shape::Nullable)];
    (
        Just(vec![0, 1, 2, 3]).prop_shuffle(),
        Just((0..6).collect::<Vec<usize>>()).prop_shuffle(),
        Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
        proptest::collection::vec(proptest::bool::weighted(0.2), 6),
        proptest::collection::vec(shape, 5),
        select(&["null", "deflate", "snappy"][..]),
        any::<bool>(),
        1..5_usize,
    )
        .prop_map(|(order, branches, fields, left_out, shapes, codec, sized_parts, records_a_block)| {
            Variant { order, branches, fields, left_out, shapes, codec, sized_parts, records_a_block }
        })
}

impl Variant {
    fn schema(&self) -> Value {
        let id = json!({"name": "id", "type": "string"});
        let branch = |index: &usize| match index {
            0 => json!({"type": "long", "name": "anid"}),
            1 => json!({"type": "record", "name": "device_id", "fields": [
                {"name": "domain", "type": {"type": "enum", "name": "domain", "symbols": DOMAINS}}, id]}),
            2 => json!({"type": "record", "name": "ifa", "namespace": "n", "fields": [
                id, {"name": "further", "type": "double"}, {"name": "type", "type": "string"}]}),
            3 => json!({"type": "record", "name": "external_id", "fields": [
                {"name": "member_id", "type": "long"}, {"name": "id", "type": ["null", "string"]}]}),
            4 => {
                json!({"type": "record", "name": "eid", "fields": [{"name": "source", "type": "bytes"}, id]})
            }
            _ => json!({"type": "record", "name": "hem", "fields": [id]}),
        };
        let uid: Vec<Value> = self.branches.iter().map(branch).collect();
        let fields: Vec<Value> = self.fields.iter().filter_map(|&index| self.segment_field(index)).collect();
        let segment = json!({"type": "record", "name": "segment", "fields": fields});
        let kinds = [
            json!({"name": "uid", "type": uid, "doc": "who"}),
            json!({"name": "segments", "type": {"type": "array", "items": segment}}),
            json!({"name": "further", "type": {"type": "map", "values": ["null", "bytes"]}}),
            json!({"name": "more", "type": {"type": "array", "items": {
                "type": "record", "name": "m", "fields": [{"name": "id", "type": "float"}]}}}),
        ];
        let fields: Vec<&Value> = self.order.iter().map(|&index| &kinds[index]).collect();
        json!({"type": "record", "name": "user", "fields": fields})
    }

    /// `None` where it is left out. The fields are the numbers, the code, and a further one.
    fn segment_field(&self, index: usize) -> Option<Value> {
        let kind = match index {
            5 => json!("string"),
            6 => return Some(json!({"name": "comment", "type": "string"})),
            _ => match self.shapes[index] {
                Shape::Long => json!("long"),
                Shape::Text => json!("string"),
                Shape::Nullable(true) => json!(["null", "int"]),
                Shape::Nullable(false) => json!(["int", "boolean", "null"]),
            },
        };
        let name = *NUMBERS.get(index).unwrap_or(&"code");
        (!self.left_out[index]).then(|| json!({"name": name, "type": kind}))
    }

    fn record(&self, uid: &Uid, segments: &[Segment]) -> Vec<u8> {
        self.order
            .iter()
            .flat_map(|field| match field {
                0 => self.uid(uid),
                1 => self.segments(segments),
                2 => [&long(1)[..], &text(b"k"), &long(1), &text(b"v"), &long(0)].concat(),
                _ => [&long(-1)[..], &long(4), &1.5_f32.to_le_bytes(), &long(0)].concat(),
            })
            .collect()
    }

    fn uid(&self, uid: &Uid) -> Vec<u8> {
        let (branch, value) = match uid {
            Uid::Long(id) => (0, long(*id)),
            Uid::Device(id, domain) => {
                let symbol = DOMAINS.iter().position(|known| known == domain).unwrap();
                (1, [long(symbol as i64), text(id.as_bytes())].concat())
            }
            Uid::Ifa(id, kind) => {
                (2, [&text(id.as_bytes())[..], &0.5_f64.to_le_bytes(), &text(kind.as_bytes())].concat())
            }
            Uid::External(id, member) => (3, [long(*member), long(1), text(id.as_bytes())].concat()),
            Uid::Eid(source, id) => (4, [text(source.as_bytes()), text(id.as_bytes())].concat()),
            Uid::Hem(id) => (5, text(id.as_bytes())),
        };
        let place = self.branches.iter().position(|&known| known == branch).unwrap();
        [long(place as i64), value].concat()
    }

    fn segments(&self, segments: &[Segment]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in segments.chunks(2) {
            let written: Vec<u8> = part.iter().flat_map(|segment| self.segment(segment)).collect();
            if self.sized_parts {
                bytes.extend([long(-(part.len() as i64)), long(written.len() as i64)].concat());
            } else {
                bytes.extend(long(part.len() as i64));
            }
            bytes.extend(written);
        }
        bytes.extend(long(0));
        bytes
    }

    fn segment(&self, segment: &Segment) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &index in &self.fields {
            match index {
                6 => bytes.extend(text(b"a comment")),
                _ if self.left_out[index] => {}
                5 => bytes.extend(text(segment.code.as_bytes())),
                _ => {
                    let number = segment.numbers[index];
                    // Zero is written as null, which is the same.
                    bytes.extend(match (&self.shapes[index], number) {
                        (Shape::Long, _) => long(number),
                        (Shape::Text, _) => text(number.to_string().as_bytes()),
                        (Shape::Nullable(is_first), 0) => long(if *is_first { 0 } else { 2 }),
                        (Shape::Nullable(is_first), _) => [long(i64::from(*is_first)), long(number)].concat(),
                    });
                }
            }
        }
        bytes
    }

    /// The user and the segments as the interface of the readers has them.
    fn expected(&self, uid: &Uid, segments: &[Segment]) -> String {
        let invalid = || "invalid".to_owned();
        let user = match uid {
            Uid::Long(id @ 0..) => format!("platform/{id}"),
            Uid::Device(id, domain) if *domain != "sha1mac" => format!("{domain}/{id}"),
            Uid::Ifa(id, kind) if *kind != "sspid" => format!("{kind}/{id}"),
            Uid::External(id, member @ 0..=0xffff_ffff) => format!("external {member}/{id}"),
            Uid::Eid(source, id) => format!("eid {source}/{id}"),
            _ => invalid(),
        };
        let segments: Vec<String> = segments.iter().map(|segment| self.expected_segment(segment)).collect();
        if segments.is_empty() {
            return "failed with an illegal number of segments".to_owned();
        }
        format!("{user} {}", segments.join(" "))
    }

    fn expected_segment(&self, segment: &Segment) -> String {
        let number = |index: usize| if self.left_out[index] { 0 } else { segment.numbers[index] };
        let within_32_bits = |number| if (0..1 << 32).contains(&number) { number } else { 0 };
        let name = match number(0) {
            0 if !self.left_out[5] && !segment.code.is_empty() => {
                format!("{}/{}", within_32_bits(number(1)), segment.code)
            }
            id => within_32_bits(id).to_string(),
        };
        let expiration = match number(2) {
            -2 => "default".to_owned(),
            minutes => minutes.to_string(),
        };
        format!("{name}={},{expiration},{}", number(4), number(3))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_is_read(
        variant in variant(),
        users in proptest::collection::vec((uid(), proptest::collection::vec(segment(), 0..6)), 0..12),
        step in 1..20_usize,
        cut in any::<Index>(),
    ) {
        let blocks: Vec<(i64, Vec<u8>)> = users
            .chunks(variant.records_a_block)
            .map(|users| {
                let records = users.iter().flat_map(|(uid, segments)| variant.record(uid, segments));
                (users.len() as i64, records.collect())
            })
            .collect();
        let blocks: Vec<(i64, &[u8])> = blocks.iter().map(|(count, bytes)| (*count, bytes.as_slice())).collect();
        let file = container(variant.schema().to_string().as_bytes(), variant.codec, &blocks);
        let (found, outcome) = read_in_steps(&file, LIMITS, step);
        prop_assert_eq!(fault_text(&outcome), "");
        prop_assert_eq!(found.len(), users.len());
        for (found, (uid, segments)) in found.iter().zip(&users) {
            let expected = variant.expected(uid, segments);
            prop_assert!(found.starts_with(&format!("{expected} ")), "{} is not {}", found, expected);
        }
        // Cut off anywhere, what is read are the first of them.
        let (first, outcome) = read_in_steps(&file[..cut.index(file.len())], LIMITS, step);
        prop_assert_eq!(&first[..], &found[..first.len()]);
        prop_assert!(outcome.is_err() || first.len() % variant.records_a_block == 0 || first.len() == users.len());
    }
}
