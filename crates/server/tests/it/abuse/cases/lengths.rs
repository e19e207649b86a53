//! The length of a body, as its head gives it.

use super::Expected::{Either, GoesOn, Refused};
use super::Row;

/// Content-Length, and bodies that no handler reads.
pub(super) const LENGTHS: &[Row] = &[
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
pub(super) const CODINGS: &[Row] = &[
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
