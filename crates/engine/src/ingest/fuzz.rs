//! The body of a request: both ways through it, and unpacking.

use super::*;
use crate::decode::{DecodeError, Encoding, RawBody};
use bytes::Bytes;
use ia_catalog::CatalogFile;
use ia_model::Record;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Member 1 owns 10 to 13 (12 is off, 13 has a life of its own), may write into member 2 (20), not into member 3.
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

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    Snapshot::of(&CatalogFile::parse(CATALOG.as_bytes()).expect("a catalog")).expect("it fits")
});

/// What a request leads to; or why it is none.
type Outcome = Result<(Option<Box<Ingest>>, Vec<u8>, usize, String), String>;

fn outcome(prepared: Result<Prepared, BodyError>) -> Outcome {
    let Prepared { ingest, answer, users, dropped } = prepared.map_err(|error| error.to_string())?;
    Ok((ingest, answer, users, format!("{dropped:?}")))
}

/// A body after a byte that picks limits and rules. The short way and the long way must lead to the same.
pub fn request(input: &[u8]) {
    let Some((&pick, body)) = input.split_first() else { return };
    let limit = if pick & 2 == 0 { 4 } else { 0 };
    let request = Request {
        snapshot: &SNAPSHOT,
        member: MemberId(if pick & 16 == 0 { 1 } else { 4 }),
        now_ms: 90_000,
        request_id: "r",
        limits: StructureLimits { users_per_request: limit, segments_per_user: limit },
        expiration: ExpirationRules {
            default_minutes: if pick & 4 == 0 { 60 } else { 0 },
            max_minutes: (pick & 8 == 0).then_some(1000),
        },
        opt_outs: InForce::of_nobody(),
        known: &EVERYBODY,
        gives_way: false,
        verbose: pick & 1 == 1,
    };
    let context = Context {
        snapshot: request.snapshot,
        member: request.member,
        now_ms: request.now_ms,
        expiration: request.expiration,
        opt_outs: request.opt_outs,
        known: request.known,
    };
    let short = outcome(prepare(body, &request));
    let long = outcome(prepare_with_care(body, &request, context));
    assert_eq!(short, long, "both ways lead to the same");
    let Ok((ingest, answer, users, _)) = short else { return };
    check_answer(&answer, users);
    if let Some(ingest) = ingest {
        check_ingest(*ingest, users);
    }
}

fn check_answer(answer: &[u8], users: usize) {
    let answer: serde_json::Value = serde_json::from_slice(answer).expect("an answer is JSON");
    let response = &answer["response"];
    assert_eq!(response["status"], "OK");
    assert_eq!(response["message"]["users_in_request"], users);
    assert!(response["warnings"].is_array());
}

/// The record is in normal form, and comes back from the log as it is.
fn check_ingest(ingest: Ingest, users: usize) {
    let mut keys = BTreeSet::new();
    for (key, operations) in ingest.batch.iter() {
        assert!(keys.insert(key.clone()), "a user stands once");
        assert!(operations.is_sorted_by(|one, next| one.segment < next.segment), "a segment stands once");
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
            match decode(&packed, Encoding::Gzip) {
                Ok(decoded) => assert!(decoded == rest && rest.len() <= max_bytes),
                Err(error) => assert!(
                    matches!(error, DecodeError::TooLarge { .. }) && rest.len() > max_bytes,
                    "{error}"
                ),
            }
            assert!(decode(&packed[..packed.len() - 1], Encoding::Gzip).is_err(), "cut short");
        }
    }
    assert!(decode(rest, Encoding::Identity).is_ok_and(|same| same == rest));
}

fn pack(content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("room in memory");
    encoder.finish().expect("room in memory")
}
