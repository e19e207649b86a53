//! The table: requests that are odd, and what a strict parser makes of them.

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

type Row = (&'static str, &'static str, Expected);
use Expected::{BadBody, Either, GoesOn, Last, Refused};

/// Content-Length, and bodies where nobody reads them.
const LENGTHS: &[Row] = &[
    ("a plain POST", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: {n}\r\n\r\n{own}", GoesOn(200)),
    ("a plain GET", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", GoesOn(200)),
    (
        "length twice, the same",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: {n}\r\nContent-Length: {n}\r\n\r\n{own}",
        Refused,
    ),
    (
        "length twice, 0 first",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 0\r\nContent-Length: {c}\r\n\r\n{canary}",
        Refused,
    ),
    (
        "length twice, 0 last",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: {c}\r\nContent-Length: 0\r\n\r\n{canary}",
        Refused,
    ),
    (
        "length twice, not side by side",
        "POST /rt-segment HTTP/1.1\r\nContent-Length: {c}\r\n{H}content-length: 0\r\n\r\n{canary}",
        Refused,
    ),
    (
        "a list of lengths, the same",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: {n}, {n}\r\n\r\n{own}",
        Refused,
    ),
    ("a list of lengths", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 0, {c}\r\n\r\n{canary}", Refused),
    ("+ before the length", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: +{n}\r\n\r\n{own}", Refused),
    ("- before the length", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: -{c}\r\n\r\n{canary}", Refused),
    ("a length of -1", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: -1\r\n\r\n{canary}", Refused),
    ("a length in hex", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 0x{x}\r\n\r\n{own}", Refused),
    (
        "a length with a fraction",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: {n}.0\r\n\r\n{own}",
        Refused,
    ),
    (
        "a length with an exponent",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: {n}e0\r\n\r\n{own}",
        Refused,
    ),
    (
        "a length with an underscore",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 1_0\r\n\r\n{canary}",
        Refused,
    ),
    (
        "two lengths with a space",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 0 {c}\r\n\r\n{canary}",
        Refused,
    ),
    ("a quoted length", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: \"{n}\"\r\n\r\n{own}", Refused),
    ("an empty length", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: \r\n\r\n{canary}", Refused),
    (
        "spaces around the length",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: \t {n} \t\r\n\r\n{own}",
        GoesOn(200),
    ),
    (
        "no space before the length",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length:{n}\r\n\r\n{own}",
        GoesOn(200),
    ),
    (
        "zeros before the length",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 0000{n}\r\n\r\n{own}",
        GoesOn(200),
    ),
    (
        "a length of 2^64 and a little",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 18446744073709551619\r\n\r\n{canary}",
        Refused,
    ),
    (
        "a length of 2^64 - 1",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 18446744073709551615\r\n\r\n{canary}",
        Refused,
    ),
    (
        "a length of 2^63",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 9223372036854775808\r\n\r\n{canary}",
        Refused,
    ),
    (
        "a length of 60 digits",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 100000000000000000000000000000000000000000000000000000000000\r\n\r\n{canary}",
        Refused,
    ),
    ("no length", "POST /rt-segment HTTP/1.1\r\n{H}\r\n", GoesOn(400)),
    ("a length of 0", "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 0\r\n\r\n", GoesOn(400)),
    (
        "a request as the body of a GET",
        "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Content-Length: {c}\r\n\r\n{canary}",
        GoesOn(200),
    ),
    (
        "a request as the body of a chunked GET",
        "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{cx}\r\n{canary}\r\n0\r\n\r\n",
        GoesOn(200),
    ),
    (
        "a request as a body",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: {c}\r\n\r\n{canary}",
        GoesOn(400),
    ),
    ("a request as a login", "POST /auth HTTP/1.1\r\n{H}Content-Length: {c}\r\n\r\n{canary}", GoesOn(400)),
    (
        "a request as a body that nobody reads",
        "POST /nothing HTTP/1.1\r\n{H}Content-Length: {c}\r\n\r\n{canary}",
        GoesOn(404),
    ),
    (
        "a request as a body without a token",
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nX-Request-Id: case\r\nContent-Length: {c}\r\n\r\n{canary}",
        GoesOn(401),
    ),
    (
        "a request as the body of a PUT",
        "PUT /rt-segment HTTP/1.1\r\n{H}Content-Length: {c}\r\n\r\n{canary}",
        GoesOn(404),
    ),
    (
        "a request as the body of a DELETE",
        "DELETE /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{cx}\r\n{canary}\r\n0\r\n\r\n",
        GoesOn(404),
    ),
    (
        "a request as the body of an OPTIONS",
        "OPTIONS * HTTP/1.1\r\n{H}Content-Length: {c}\r\n\r\n{canary}",
        GoesOn(404),
    ),
    (
        "100-continue",
        "POST /rt-segment HTTP/1.1\r\n{H}Expect: 100-continue\r\nContent-Length: {n}\r\n\r\n{own}",
        GoesOn(200),
    ),
    (
        "100-continue, refused, and the body comes anyway",
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nX-Request-Id: case\r\nExpect: 100-continue\r\nContent-Length: {c}\r\n\r\n{canary}",
        Either(401),
    ),
    (
        "100-continue, chunked, refused",
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nX-Request-Id: case\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n{cx}\r\n{canary}\r\n0\r\n\r\n",
        Either(401),
    ),
    (
        "100-continue twice, refused",
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nX-Request-Id: case\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: {c}\r\n\r\n{canary}",
        Either(401),
    ),
    (
        "expecting something else",
        "POST /rt-segment HTTP/1.1\r\n{H}Expect: the-best\r\nContent-Length: {n}\r\n\r\n{own}",
        GoesOn(200),
    ),
    (
        "expecting something else, refused",
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nX-Request-Id: case\r\nExpect: the-best\r\nContent-Length: {c}\r\n\r\n{canary}",
        Either(401),
    ),
];

/// Transfer-Encoding.
const CODINGS: &[Row] = &[
    (
        "chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        GoesOn(200),
    ),
    (
        "chunked in other letters",
        "POST /rt-segment HTTP/1.1\r\n{H}tRANSFER-eNCODING: \t cHUNKED \r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        GoesOn(200),
    ),
    (
        "length, then chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked, then length",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "length that hides a request, and chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length: {c}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{canary}",
        Refused,
    ),
    (
        "chunked, and a length that shows a request",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{cx}\r\n{canary}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked and a length of 0",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked and an empty length",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nContent-Length:\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "an unknown coding",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: xchunked\r\n\r\n{cx}\r\n{canary}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "an unknown coding and a length",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: xchunked\r\nContent-Length: {n}\r\n\r\n{own}",
        Refused,
    ),
    ("identity", "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: identity\r\n\r\n{canary}", Refused),
    (
        "identity and a length",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: identity\r\nContent-Length: {n}\r\n\r\n{own}",
        Refused,
    ),
    (
        "chunked, identity",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{canary}",
        Refused,
    ),
    (
        "identity, chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: identity, chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "gzip, chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: gzip, chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked, chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked, chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a comma before chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: ,chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a comma after chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked,\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked with a parameter",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked;q=1\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked in quotes",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: \"chunked\"\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a vertical tab before chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: \x0bchunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a no-break space before chunked",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: \u{a0}chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    ("an empty coding", "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding:\r\n\r\n{canary}", Refused),
    (
        "an empty coding and a length",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding:\r\nContent-Length: {n}\r\n\r\n{own}",
        Refused,
    ),
    (
        "two codings, chunked last",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "two codings, chunked first",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{canary}",
        Refused,
    ),
    (
        "chunked twice",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a space before the colon of the coding",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding : chunked\r\nContent-Length: {n}\r\n\r\n{own}",
        Refused,
    ),
    (
        "the coding in a folded line",
        "POST /rt-segment HTTP/1.1\r\n{H}X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n\r\n{own}",
        Refused,
    ),
    (
        "the coding folded",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding:\r\n chunked\r\nContent-Length: {n}\r\n\r\n{own}",
        Refused,
    ),
    (
        "another field like the coding",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer_Encoding: chunked\r\nContent-Length: {n}\r\n\r\n{own}",
        GoesOn(200),
    ),
    (
        "chunked in HTTP/1.0",
        "POST /rt-segment HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked and a length in HTTP/1.0",
        "POST /rt-segment HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n\r\n{own}",
        Refused,
    ),
    (
        "a length that the connection names",
        "POST /rt-segment HTTP/1.1\r\n{H}Connection: content-length\r\nContent-Length: {n}\r\n\r\n{own}",
        GoesOn(200),
    ),
    (
        "a coding that the connection names",
        "POST /rt-segment HTTP/1.1\r\n{H}Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\r\n",
        GoesOn(200),
    ),
];

/// Heads of chunks, and trailers.
const CHUNKS: &[Row] = &[
    (
        "two chunks",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n3\r\n \r\n\r\n0\r\n\r\n",
        GoesOn(200),
    ),
    (
        "a size with zeros before it",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n000{x}\r\n{own}\r\n000\r\n\r\n",
        GoesOn(200),
    ),
    (
        "an extension",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x};a=b;c=\"d\"\r\n{own}\r\n0;e\r\n\r\n",
        GoesOn(200),
    ),
    (
        "an extension with spaces",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x} ; a\r\n{own}\r\n0\r\n\r\n",
        GoesOn(200),
    ),
    (
        "a LF in an extension",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x};a\n\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a CR in an extension",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x};a\rb\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a NUL in an extension",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x};a\0\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a request in an extension",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n0;\n{canary}\r\n\r\n",
        BadBody,
    ),
    (
        "a size that is no hex",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\ng\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a size with 0x",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n0x{x}\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a size with +",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n+{x}\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a size with -",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n-{x}\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a space before the size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n {x}\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a space after the size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x} \r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "two sizes",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x} 0\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "no size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "an extension and no size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n;a\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a size of 2^64 - 1",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a size of 2^64",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "a size of 2^64 that shows a request",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{canary}",
        BadBody,
    ),
    (
        "a size of 40 digits",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n00000000000000000000000000000000000000{x}\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "LF after the size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "CR after the size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "CR CR LF after the size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "nothing after the data",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}0\r\n\r\n",
        BadBody,
    ),
    (
        "LF after the data",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\n0\r\n\r\n",
        BadBody,
    ),
    (
        "CR after the data",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r0\r\n\r\n",
        BadBody,
    ),
    (
        "more data than the size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n1\r\n{own}\r\n0\r\n\r\n",
        BadBody,
    ),
    (
        "LF after the last size",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\n\n{canary}",
        BadBody,
    ),
    (
        "LF after the last chunk",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n\n{canary}",
        BadBody,
    ),
    (
        "nothing after the last chunk",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n",
        BadBody,
    ),
    (
        "a request as the trailer",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\n{canary}",
        BadBody,
    ),
    (
        "a trailer",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\nX-Sum: 5\r\n\r\n",
        GoesOn(200),
    ),
    (
        "fields of a head as trailers",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: y\r\nAuthorization: z\r\nX-Request-Id: canary\r\n\r\n",
        GoesOn(200),
    ),
    (
        "a LF in the trailer",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\nX: y\n\r\n{canary}",
        BadBody,
    ),
    (
        "LF LF at the end of the trailer",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\nX: y\n\n{canary}",
        BadBody,
    ),
    (
        "a CR in the trailer",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\nX: y\rz\r\n\r\n",
        BadBody,
    ),
    (
        "a NUL in the trailer",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\nX: \0\r\n\r\n",
        BadBody,
    ),
    (
        "a trailer without a colon",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\nX\r\n\r\n",
        BadBody,
    ),
    (
        "a space before the colon of a trailer",
        "POST /rt-segment HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n{x}\r\n{own}\r\n0\r\nX : y\r\n\r\n",
        BadBody,
    ),
];

/// Lines and fields of heads.
const HEADS: &[Row] = &[
    (
        "LF for CR LF everywhere",
        "POST /rt-segment HTTP/1.1\nHost: x\nX-Request-Id: case\nContent-Length: {c}\n\n{canary}",
        Refused,
    ),
    ("LF after the request line", "GET /user-segment?user_id=1 HTTP/1.1\n{H}\r\n", Refused),
    ("LF after a field", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: y\nZ: z\r\n\r\n", Refused),
    (
        "LF after a field that hides the length",
        "POST /rt-segment HTTP/1.1\r\n{H}X: y\nContent-Length: {c}\r\n\r\n{canary}",
        Refused,
    ),
    ("LF for the empty line", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}\n", Refused),
    ("LF LF at the end", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: y\n\n", Refused),
    ("CR in a value", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: y\rz\r\n\r\n", Refused),
    (
        "CR in a value that hides the length",
        "POST /rt-segment HTTP/1.1\r\n{H}X: y\rContent-Length: {c}\r\n\r\n{canary}",
        Refused,
    ),
    ("CR after a field", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: y\rZ: z\r\n\r\n", Refused),
    ("CR CR LF", "GET /user-segment?user_id=1 HTTP/1.1\r\r\n{H}\r\n", Refused),
    ("CR LF before the request line", "\r\nGET /user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", GoesOn(200)),
    ("LF before the request line", "\nGET /user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", Refused),
    ("CR before the request line", "\rGET /user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", Refused),
    ("a space before the request line", " GET /user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", Refused),
    ("a folded field", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: y\r\n z\r\n\r\n", Refused),
    ("a field folded with a tab", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: y\r\n\tz\r\n\r\n", Refused),
    ("a space before the first field", "GET /user-segment?user_id=1 HTTP/1.1\r\n X: y\r\n{H}\r\n", Refused),
    ("a NUL in a value", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: y\0z\r\n\r\n", Refused),
    ("a NUL in a name", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X\0: y\r\n\r\n", Refused),
    ("a control character in a value", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: \x01\r\n\r\n", Refused),
    ("a DEL in a value", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: \x7f\r\n\r\n", Refused),
    ("beyond ASCII in a value", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X: \u{e9}\r\n\r\n", GoesOn(200)),
    ("beyond ASCII in a name", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}\u{e9}: x\r\n\r\n", Refused),
    ("a space before a colon", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X : y\r\n\r\n", Refused),
    ("a tab before a colon", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X\t: y\r\n\r\n", Refused),
    ("a space in a name", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X Y: z\r\n\r\n", Refused),
    (
        "a space before the colon of the length",
        "POST /rt-segment HTTP/1.1\r\n{H}Content-Length : {c}\r\n\r\n{canary}",
        Refused,
    ),
    ("no colon", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X\r\n\r\n", Refused),
    ("no name", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}: y\r\n\r\n", Refused),
    ("a parenthesis in a name", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X(: y\r\n\r\n", Refused),
    ("an empty value", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}X:\r\n\r\n", GoesOn(200)),
    ("no Host", "GET /user-segment?user_id=1 HTTP/1.1\r\n{N}\r\n", Refused),
    ("no Host, and a body", "POST /rt-segment HTTP/1.1\r\n{N}Content-Length: {c}\r\n\r\n{canary}", Refused),
    ("an empty Host", "GET /user-segment?user_id=1 HTTP/1.1\r\nHost:\r\n{N}\r\n", GoesOn(200)),
    ("Host twice", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Host: x\r\n\r\n", Refused),
    ("two Hosts", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}hOST: y\r\n\r\n", Refused),
    ("close", "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Connection: close\r\n\r\n", Last(200)),
    (
        "close and keep-alive",
        "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Connection: close, keep-alive\r\n\r\n",
        Last(200),
    ),
    (
        "close, then keep-alive",
        "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Connection: close\r\nConnection: keep-alive\r\n\r\n",
        Last(200),
    ),
    (
        "keep-alive, then close",
        "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Connection: keep-alive\r\nConnection: close\r\n\r\n",
        Last(200),
    ),
    (
        "an upgrade to h2c",
        "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        GoesOn(200),
    ),
    (
        "an upgrade with a body",
        "POST /rt-segment HTTP/1.1\r\n{H}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: {n}\r\n\r\n{own}",
        GoesOn(200),
    ),
    (
        "an upgrade to websocket",
        "GET /user-segment?user_id=1 HTTP/1.1\r\n{H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        GoesOn(200),
    ),
];

/// Methods, targets and versions.
const TARGETS: &[Row] = &[
    ("HTTP/1.0", "GET /user-segment?user_id=1 HTTP/1.0\r\n{H}\r\n", Last(200)),
    ("HTTP/1.0 without a Host", "GET /user-segment?user_id=1 HTTP/1.0\r\n{N}\r\n", Last(200)),
    ("HTTP/1.0 with a body", "POST /rt-segment HTTP/1.0\r\n{H}Content-Length: {n}\r\n\r\n{own}", Last(200)),
    (
        "HTTP/1.0, a request after a body",
        "POST /rt-segment HTTP/1.0\r\n{H}Content-Length: 1\r\n\r\n5{canary}",
        Last(400),
    ),
    (
        "HTTP/1.0, kept open",
        "GET /user-segment?user_id=1 HTTP/1.0\r\n{H}Connection: keep-alive\r\n\r\n",
        GoesOn(200),
    ),
    ("HTTP/1.2", "GET /user-segment?user_id=1 HTTP/1.2\r\n{H}\r\n", Refused),
    ("HTTP/1.10", "GET /user-segment?user_id=1 HTTP/1.10\r\n{H}\r\n", Refused),
    ("HTTP/2.0", "GET /user-segment?user_id=1 HTTP/2.0\r\n{H}\r\n", Refused),
    ("HTTP/0.9", "GET /user-segment?user_id=1\r\n\r\n", Refused),
    ("a version in small letters", "GET /user-segment?user_id=1 http/1.1\r\n{H}\r\n", Refused),
    ("a space after the version", "GET /user-segment?user_id=1 HTTP/1.1 \r\n{H}\r\n", Refused),
    ("two spaces before the target", "GET  /user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", Refused),
    ("two spaces after the target", "GET /user-segment?user_id=1  HTTP/1.1\r\n{H}\r\n", Refused),
    ("a tab before the target", "GET\t/user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", Refused),
    ("a space in the target", "GET /user-segment?user_id= 1 HTTP/1.1\r\n{H}\r\n", Refused),
    ("no target", "GET HTTP/1.1\r\n{H}\r\n", Refused),
    ("a method in small letters", "get /user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", GoesOn(404)),
    (
        "a method in small letters with a body",
        "post /rt-segment HTTP/1.1\r\n{H}Content-Length: {c}\r\n\r\n{canary}",
        GoesOn(404),
    ),
    ("a made-up method", "BREW /user-segment HTTP/1.1\r\n{H}\r\n", GoesOn(404)),
    ("a method that is no token", "G@T /user-segment HTTP/1.1\r\n{H}\r\n", Refused),
    ("CONNECT", "CONNECT x:80 HTTP/1.1\r\n{H}\r\n", GoesOn(404)),
    (
        "CONNECT with a request in its tunnel",
        "CONNECT x:80 HTTP/1.1\r\n{H}Content-Length: {c}\r\n\r\n{canary}",
        GoesOn(404),
    ),
    ("a whole URI", "GET http://x/user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", GoesOn(200)),
    (
        "a whole URI and a body",
        "POST http://x/rt-segment HTTP/1.1\r\n{H}Content-Length: {n}\r\n\r\n{own}",
        GoesOn(200),
    ),
    ("a whole URI of another host", "GET http://y/user-segment?user_id=1 HTTP/1.1\r\n{H}\r\n", GoesOn(200)),
    ("a target without a slash", "GET user-segment HTTP/1.1\r\n{H}\r\n", Refused),
    ("beyond ASCII in the target", "GET /\u{e9} HTTP/1.1\r\n{H}\r\n", Refused),
    ("a NUL in the target", "GET /\0 HTTP/1.1\r\n{H}\r\n", Refused),
    (
        "a query that begins with a line break, escaped",
        "GET /user-segment?user_id=1&a=%0d%0a%0d%0a{c} HTTP/1.1\r\n{H}\r\n",
        GoesOn(200),
    ),
    ("half a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", Refused),
    ("a preface of HTTP/2 with a field", "PRI * HTTP/2.0\r\n{H}\r\nSM\r\n\r\n", Refused),
    ("the start of a preface and another method", "PRIVATE /nothing HTTP/1.1\r\n{H}\r\n", GoesOn(404)),
    ("the method of the preface", "PRI /nothing HTTP/1.1\r\n{H}\r\n", GoesOn(404)),
    ("an answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Refused),
];

/// What is no HTTP at all.
const BYTES: &[(&str, &[u8])] = &[
    ("the start of TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\0\0\x02\x13\x01\0"),
    ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
    ("zeros", &[0; 64]),
    ("bytes beyond ASCII", b"\xff\xfe\xfd\xfc\r\n\r\n"),
    ("a PROXY line", b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
];

/// What is too large to stand here.
fn large() -> Vec<(&'static str, String, Expected)> {
    let get = |fields: String| format!("GET /user-segment?user_id=1 HTTP/1.1\r\n{{H}}{fields}\r\n");
    vec![
        ("90 fields", get("X: y\r\n".repeat(90)), GoesOn(200)),
        ("200 fields", get("X: y\r\n".repeat(200)), Refused),
        ("5,000 fields", get("X: y\r\n".repeat(5_000)), Refused),
        ("100,000 fields", get("X: y\r\n".repeat(100_000)), Refused),
        ("a field of 50 KB", get(format!("X: {}\r\n", "y".repeat(50_000))), GoesOn(200)),
        ("a field of 100 KB", get(format!("X: {}\r\n", "y".repeat(100_000))), Refused),
        ("1 MB of fields", get(format!("X: {}\r\n", "y".repeat(25_000)).repeat(40)), Refused),
        ("a name of 70 KB", get(format!("{}: y\r\n", "x".repeat(70_000))), Refused),
        ("a field that does not end", format!("GET / HTTP/1.1\r\n{{H}}X: {}", "y".repeat(1 << 20)), Refused),
        (
            "a target of 30 KB",
            format!("GET /user-segment?user_id=1&x={} HTTP/1.1\r\n{{H}}\r\n", "y".repeat(30_000)),
            GoesOn(200),
        ),
        ("a target of 100 KB", format!("GET /{} HTTP/1.1\r\n{{H}}\r\n", "y".repeat(100_000)), Refused),
        ("a method of 100 KB", format!("{} / HTTP/1.1\r\n{{H}}\r\n", "G".repeat(100_000)), Refused),
        ("line breaks without end", "\r\n".repeat(100_000), Refused),
        (
            "100 KB of an extension",
            format!(
                "POST /rt-segment HTTP/1.1\r\n{{H}}Transfer-Encoding: chunked\r\n\r\n{{x}};{}\r\n{{own}}\r\n0\r\n\r\n",
                "y".repeat(100_000)
            ),
            BadBody,
        ),
        (
            "100 KB of a trailer",
            format!(
                "POST /rt-segment HTTP/1.1\r\n{{H}}Transfer-Encoding: chunked\r\n\r\n{{x}}\r\n{{own}}\r\n0\r\nX: {}\r\n\r\n",
                "y".repeat(100_000)
            ),
            BadBody,
        ),
        (
            "5,000 trailers",
            format!(
                "POST /rt-segment HTTP/1.1\r\n{{H}}Transfer-Encoding: chunked\r\n\r\n{{x}}\r\n{{own}}\r\n0\r\n{}\r\n",
                "X: y\r\n".repeat(5_000)
            ),
            BadBody,
        ),
    ]
}
