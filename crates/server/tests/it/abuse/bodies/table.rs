//! Bodies, and what becomes of them.

mod forms;
mod routes;
mod values;

use flate2::Compression;
use flate2::write::GzEncoder;
use forms::{nesting, packing, sizes};
use routes::other_routes;
use std::io::Write;
use values::{keys, numbers, texts, types};

/// Stands beside the canary with something wrong with it.
pub(super) const SPOILED_USER: &str = "7777777";

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Answered with this; nothing of it is applied.
    Status(u16),
    /// OK without a warning; the canary is applied.
    Whole,
    /// OK with a warning; the canary is applied, what is wrong is not.
    Warned,
    /// OK, with a warning or a count in the report; the canary is applied, what is wrong is not.
    Spoiled,
    /// OK; neither is applied.
    Nobody,
}

/// One body.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// With `@` where the canary's id belongs, in what is not packed.
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

/// A good user, then what is given, in one request.
fn beside_canary(rest: &str) -> String {
    format!(r#"{{"rt_segment": [{{"user_id": "@", "seg_block": [{{"seg_id": 12}}]}}{rest}]}}"#)
}

/// A good user, then one whose only block is given.
fn block(block: &str) -> String {
    beside_canary(&format!(r#", {{"user_id": "{SPOILED_USER}", "seg_block": [{{{block}}}]}}"#))
}

/// A good user, then one with these fields and a good block.
fn user(fields: &str) -> String {
    beside_canary(&format!(r#", {{{fields}, "seg_block": [{{"seg_id": 13}}]}}"#))
}

/// Packed with gzip.
pub(super) fn gzip(content: Vec<u8>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&content).unwrap();
    encoder.finish().unwrap()
}

/// All of the table.
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

/// Those that take most memory or time.
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
