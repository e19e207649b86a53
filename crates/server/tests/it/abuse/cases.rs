//! The table of odd requests, and how a strict parser treats them.

mod chunks;
mod heads;
mod lengths;

use chunks::CHUNKS;
use heads::{BYTES, HEADS, TARGETS, large};
use lengths::{CODINGS, LENGTHS};

/// The expected treatment of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Answered with this status, and so are the next requests on the connection.
    GoesOn(u16),
    /// Answered with this status, and the connection is closed.
    Last(u16),
    /// Answered with this status. Whether the connection is kept depends on the bytes that have arrived by then.
    Either(u16),
    /// No handler sees it: the HTTP layer answers or not, and the connection is closed.
    Refused,
    /// The head is valid and the body is not: a handler may refuse it with a 4xx, and the connection is closed.
    BadBody,
}

/// An odd request.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) request: Vec<u8>,
    pub(super) expected: Expected,
}

/// The parts of which requests are made.
pub(super) struct Parts {
    /// A token of a login that may write.
    pub(super) token: String,
    /// The user that an odd request's own body adds to a segment.
    pub(super) own_user: u64,
    /// The user that a hidden request adds to a segment. No handler may see that request.
    pub(super) canary_user: u64,
}

fn add(user: u64) -> String {
    format!(r#"{{"rt_segment": [{{"user_id": "{user}", "seg_block": [{{"seg_id": 12}}]}}]}}"#)
}

impl Parts {
    /// Fills in the placeholders in braces:
    ///
    /// - `{H}`: the fields of every request except its length
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

/// All cases.
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

/// Its name, the request, and the expected treatment.
type Row = (&'static str, &'static str, Expected);
