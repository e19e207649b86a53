//! Hostile bodies and their expected answers.

mod forms;
mod routes;
mod values;

use flate2::Compression;
use flate2::write::GzEncoder;
use forms::{nesting, packing, sizes};
use routes::other_routes;
use std::io::Write;
use values::{keys, numbers, texts, types};

/// The user beside the canary, in a part with a fault.
pub(super) const SPOILED_USER: &str = "7777777";

/// The expected answer to a body, and what is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Answered with this status; nothing is applied.
    Status(u16),
    /// OK without a warning; the canary is applied.
    Whole,
    /// OK with a warning; the canary is applied, the faulty part is not.
    Warned,
    /// OK, with a warning or a count in the report; the canary is applied, the faulty part is not.
    Spoiled,
    /// OK; neither is applied.
    Nobody,
}

/// One body.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// The body before packing, with `@` in place of the canary's id.
    body: Vec<u8>,
    pack: fn(Vec<u8>) -> Vec<u8>,
    pub(super) expected: Expected,
}

impl Case {
    fn new(name: impl Into<String>, body: impl Into<Vec<u8>>, expected: Expected) -> Case {
        let (name, body) = (name.into(), body.into());
        Case { name, path: "/rt-segment", headers: Vec::new(), body, pack: |body| body, expected }
    }

    fn at(self, path: &'static str) -> Case {
        Case { name: format!("{path}: {}", self.name), path, ..self }
    }

    fn packed(self, pack: fn(Vec<u8>) -> Vec<u8>) -> Case {
        Case { headers: vec![("content-encoding", "gzip")], pack, ..self }
    }

    fn with_headers(self, headers: &[(&'static str, &'static str)]) -> Case {
        Case { headers: headers.to_vec(), ..self }
    }

    /// The bytes to send.
    pub(super) fn body_with(&self, canary: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.body.len() + canary.len());
        for &byte in &self.body {
            if byte == b'@' { body.extend_from_slice(canary.as_bytes()) } else { body.push(byte) }
        }
        (self.pack)(body)
    }
}

/// A valid user, then `rest`, in one request.
fn beside_canary(rest: &str) -> String {
    format!(r#"{{"rt_segment": [{{"user_id": "@", "seg_block": [{{"seg_id": 12}}]}}{rest}]}}"#)
}

/// A valid user, then a user with only this block.
fn block(block: &str) -> String {
    beside_canary(&format!(r#", {{"user_id": "{SPOILED_USER}", "seg_block": [{{{block}}}]}}"#))
}

/// A valid user, then a user with these fields and a valid block.
fn user(fields: &str) -> String {
    beside_canary(&format!(r#", {{{fields}, "seg_block": [{{"seg_id": 13}}]}}"#))
}

/// Compresses with gzip.
pub(super) fn gzip(content: Vec<u8>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&content).unwrap();
    encoder.finish().unwrap()
}

/// All cases.
pub(super) fn all() -> Vec<Case> {
    let mut cases = nesting();
    cases.extend(packing());
    cases.extend(numbers());
    cases.extend(keys());
    cases.extend(texts());
    cases.extend(sizes());
    cases.extend(types());
    cases.extend(other_routes());
    cases
}

/// The cases that take most memory or time.
pub(super) fn heaviest() -> Vec<Case> {
    let names = [
        "as many empty blocks as fit",
        "as many empty users as fit",
        "a bomb of 24 MB",
        "as deep as it fits",
        "a string of a megabyte as user_id",
        "as many empty blocks as fit, packed",
    ];
    all().into_iter().filter(|case| names.contains(&case.name.as_str())).collect()
}
