//! The table: requests that are odd, and what a strict parser makes of them.

mod chunks;
mod heads;
mod lengths;

use chunks::CHUNKS;
use heads::{BYTES, HEADS, TARGETS, large};
use lengths::{CODINGS, LENGTHS};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// It is answered with that status, and so is what follows on its connection.
    GoesOn(u16),
    /// It is answered with that status, and its connection is closed.
    Last(u16),
    /// It is answered with that status; whether the connection is kept depends on what had come in by then.
    Either(u16),
    /// No handler sees it: an answer of the HTTP layer, or none, and its connection is closed.
    Refused,
    /// Its head is good and its body is not: a handler may refuse it with a 4xx, and its connection is closed.
    BadBody,
}

/// An odd request.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) request: Vec<u8>,
    pub(super) expected: Expected,
}

/// What requests are made of.
pub(super) struct Parts {
    /// A token that may write.
    pub(super) token: String,
    /// Who is put into a segment by an odd request whose body is one of its own.
    pub(super) own_user: u64,
    /// Who is put into a segment by a request that stands where no request may be seen.
    pub(super) canary_user: u64,
}

fn add(user: u64) -> String {
    format!(r#"{{"rt_segment": [{{"user_id": "{user}", "seg_block": [{{"seg_id": 12}}]}}]}}"#)
}

impl Parts {
    /// Fills in what stands in braces:
    ///
    /// - `{H}`: the fields that every request has but for its length
    /// - `{own}`, `{n}`, `{x}`: a good body, its length, its length in hex
    /// - `{canary}`, `{c}`, `{cx}`: a whole request, its length, its length in hex
    fn fill(&self, template: &str) -> Vec<u8> {
        let own = add(self.own_user);
        let body = add(self.canary_user);
        let canary = format!(
            "POST /rt-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nX-Request-Id: canary\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let common = format!("Authorization: {}\r\nX-Request-Id: case\r\n", self.token);
        template
            .replace("{H}", &format!("Host: x\r\n{common}"))
            .replace("{N}", &common)
            .replace("{n}", &own.len().to_string())
            .replace("{x}", &format!("{:x}", own.len()))
            .replace("{c}", &canary.len().to_string())
            .replace("{cx}", &format!("{:X}", canary.len()))
            .replace("{own}", &own)
            .replace("{canary}", &canary)
            .into_bytes()
    }
}

/// All of the table.
pub(super) fn all(parts: &Parts) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, template, expected) in LENGTHS.iter().chain(CODINGS).chain(CHUNKS).chain(HEADS).chain(TARGETS)
    {
        cases.push(Case { name, request: parts.fill(template), expected: *expected });
    }
    for (name, bytes) in BYTES {
        cases.push(Case { name, request: bytes.to_vec(), expected: Expected::Refused });
    }
    for (name, template, expected) in large() {
        cases.push(Case { name, request: parts.fill(&template), expected });
    }
    cases
}

/// Its name, the request, and what becomes of it.
type Row = (&'static str, &'static str, Expected);
