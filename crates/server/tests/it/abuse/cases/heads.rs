//! Heads of requests, and bytes that are not a head.

use super::Expected::{self, BadBody, GoesOn, Last, Refused};
use super::Row;

/// Lines and fields of heads.
pub(super) const HEADS: &[Row] = &[
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
pub(super) const TARGETS: &[Row] = &[
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

/// Bytes that are not HTTP.
pub(super) const BYTES: &[(&str, &[u8])] = &[
    ("the start of TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\0\0\x02\x13\x01\0"),
    ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
    ("zeros", &[0; 64]),
    ("bytes beyond ASCII", b"\xff\xfe\xfd\xfc\r\n\r\n"),
    ("a PROXY line", b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
];

/// Heads that are too large to write here.
pub(super) fn large() -> Vec<(&'static str, String, Expected)> {
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
