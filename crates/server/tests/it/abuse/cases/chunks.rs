//! Bodies in chunks.

use super::Expected::{BadBody, GoesOn};
use super::Row;

/// Heads of chunks, and trailers.
pub(super) const CHUNKS: &[Row] = &[
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
