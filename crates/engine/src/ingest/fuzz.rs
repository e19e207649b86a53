//! The body of a request: reading and resolving it, and unpacking.

use super::reference::{self, Expected};
use super::resolve::ExpirationRules;
use super::*;
use crate::decode::{DecodeError, Encoding, RawBody};
use crate::nobody::Nobody;
use crate::opt_outs::InForce;
use bytes::Bytes;
use ia_catalog::{CatalogFile, KnownUsers, Snapshot};
use ia_model::{MemberId, Record};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Member 1 owns 10 to 13 (12 is inactive, 13 has its own expiry), may write to member 2 (20), not to member 3.
/// Member 4 has user ids of its own, and may write where member 1 may.
const CATALOG: &str = r#"{
    "members": [{"id": 1, "name": "a", "segment_access": [2]}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"},
        {"id": 4, "name": "d", "use_external_uids": true, "segment_access": [1, 2]}],
    "segments": [
        {"id": 10, "member_id": 1, "code": "c10"}, {"id": 11, "member_id": 1, "code": "C11"},
        {"id": 12, "member_id": 1, "code": "c12", "state": "inactive"},
        {"id": 13, "member_id": 1, "expire_minutes": 5}, {"id": 20, "member_id": 2, "code": "c20"},
        {"id": 30, "member_id": 3, "code": "c30"}
    ]}"#;

static EVERYBODY: KnownUsers = KnownUsers::everybody();

static NOBODY: LazyLock<Nobody> = LazyLock::new(Nobody::default);

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    Snapshot::of(&CatalogFile::parse(CATALOG.as_bytes()).expect("a catalog")).expect("it fits")
});

/// A body after a byte that picks limits and rules, against the [reference].
pub fn request(input: &[u8]) {
    let Some((&pick, body)) = input.split_first() else { return };
    if has_long_floats(body) {
        return;
    }
    let limit = if pick & 2 == 0 { 4 } else { 0 };
    let context = Context {
        snapshot: &SNAPSHOT,
        member: MemberId(if pick & 16 == 0 { 1 } else { 4 }),
        now_ms: 90_000,
        expiration: ExpirationRules {
            default_minutes: if pick & 4 == 0 { 60 } else { 0 },
            max_minutes: (pick & 8 == 0).then_some(1000),
        },
        opt_outs: InForce::of_nobody(),
        known: &EVERYBODY,
        nobody: &NOBODY,
    };
    let request = Request {
        context,
        request_id: "r",
        limits: StructureLimits { users_per_request: limit, segments_per_user: limit },
        turns: Turns::never(),
        verbose: pick & 1 == 1,
    };
    let prepared = prepare(body, &request);
    let parsed = serde_json::from_slice(body)
        .ok()
        .or_else(|| serde_json::from_str(&repair::repair(std::str::from_utf8(body).ok()?)?).ok());
    let (prepared, parsed) = match (prepared, parsed) {
        (Err(error), None) if !matches!(error, BodyError::Shape(_)) => return,
        (Err(BodyError::Recognized(_)), Some(Value::String(_))) => return,
        (Err(BodyError::Shape(message)), Some(parsed)) => {
            assert_eq!(reference::check(&parsed, request.limits).err(), Some(message));
            return;
        }
        // `serde_json` stops reading where no object begins.
        (Err(BodyError::Shape(message)), None) => {
            assert_eq!(message, "The request body must be a JSON object with an 'rt_segment' array");
            return;
        }
        (Ok(prepared), Some(parsed)) => (prepared, parsed),
        (prepared, _) => panic!("{:?} is wrong", prepared.err()),
    };
    let expected = reference::check(&parsed, request.limits).expect("the reader took it");
    assert_eq!((prepared.users, prepared.dropped.malformed), (expected.users, expected.malformed));
    check_answer(&prepared, &expected, &request);
    if let Some(ingest) = prepared.ingest {
        check_ingest(*ingest, expected.users);
    }
}

/// Whether the reference, which reads floats, could round what the reader reads exactly.
fn has_long_floats(body: &[u8]) -> bool {
    let is_of_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let mut numbers = body.split(|byte| !is_of_number(byte));
    numbers.any(|number| number.len() > 15 && !number.iter().all(u8::is_ascii_digit))
}

/// The answer says what the reference says, and all that passed is resolved as in the plainest form of the request.
fn check_answer(prepared: &Prepared, expected: &Expected, request: &Request<'_>) {
    let response = response_of(prepared);
    assert_eq!(response["status"], "OK");
    assert_eq!(response["message"]["users_in_request"], expected.users);
    assert_eq!(response["message"]["segments_in_request"], expected.segments);
    let warnings = response["warnings"].as_array().expect("an array");
    let (structural, dropped) = warnings.split_at(expected.warnings.len());
    assert_eq!(structural, expected.warnings);
    let limits = StructureLimits { users_per_request: 0, segments_per_user: 0 };
    let plainest = prepare(expected.plainest.to_string().as_bytes(), &Request { limits, ..*request });
    let plainest = plainest.expect("it is well formed");
    assert_eq!(prepared.ingest, plainest.ingest);
    if expected.users > 0 {
        let response = response_of(&plainest);
        let messages =
            response["warnings"].as_array().expect("an array").iter().map(|warning| &warning["message"]);
        assert!(dropped.iter().map(|warning| &warning["message"]).eq(messages));
    }
}

fn response_of(prepared: &Prepared) -> Value {
    let mut answer: Value = serde_json::from_slice(&prepared.answer).expect("an answer is JSON");
    answer["response"].take()
}

/// The record is in normal form, and comes back from the log as it is.
fn check_ingest(ingest: Ingest, users: usize) {
    let mut keys = BTreeSet::new();
    for (key, operations) in ingest.batch.iter() {
        assert!(keys.insert(key.clone()), "a user is there once");
        assert!(operations.is_sorted_by(|one, next| one.segment < next.segment), "a segment is there once");
        for operation in operations {
            let segment = SNAPSHOT.segment(operation.segment).expect("a segment that exists");
            assert!(segment.active && SNAPSHOT.may_write(MemberId(1), segment.member));
        }
    }
    assert!(keys.len() + ingest.usage.invalid_users.count as usize <= users);
    let record = Record::Ingest(Box::new(ingest));
    assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(&record));
}

/// A packed body after two bytes with the bound; packed here when the first of them is odd.
pub fn gzip(input: &[u8]) {
    let Some((&[low, high], rest)) = input.split_first_chunk() else { return };
    let max_bytes = usize::from(low) | usize::from(high) << 8;
    let decode = |bytes: &[u8], encoding| {
        RawBody { bytes: Bytes::copy_from_slice(bytes), encoding, max_bytes }.decode()
    };
    match decode(rest, Encoding::Gzip) {
        Ok(decoded) => assert!(decoded.len() <= max_bytes),
        Err(DecodeError::TooLarge { max_bytes: told }) => assert_eq!(told, max_bytes),
        Err(DecodeError::NotGzip) => {}
    }
    if low & 1 == 1 {
        let middle = rest.len() / 2;
        let members = [pack(&rest[..middle]), pack(&rest[middle..])].concat();
        for packed in [pack(rest), members] {
            match decode(&packed, if low & 2 == 0 { Encoding::Gzip } else { Encoding::Identity }) {
                Ok(decoded) => assert!(decoded == without_mark(rest) && rest.len() <= max_bytes),
                Err(error) => assert!(
                    matches!(error, DecodeError::TooLarge { .. }) && rest.len() > max_bytes,
                    "{error}"
                ),
            }
            assert!(decode(&packed[..packed.len() - 1], Encoding::Gzip).is_err(), "cut short");
        }
    }
    if !rest.starts_with(&[0x1f, 0x8b]) {
        assert!(decode(rest, Encoding::Identity).is_ok_and(|same| same == without_mark(rest)));
    }
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

fn pack(content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("room in memory");
    encoder.finish().expect("room in memory")
}
