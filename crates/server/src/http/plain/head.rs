//! Which requests are plain.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use bytes::{Buf, BytesMut};
use httparse::Status;

/// The largest body that is taken here: larger ones are received and parsed with more care.
pub(super) const MAX_BODY_BYTES: usize = 32 << 10;

/// More headers than clients send.
const MAX_HEADERS: usize = 32;

/// The head of a plain request: HTTP/1.1, GET without a body or POST with a length, a path, and no header by
/// which client and server would agree on anything else.
#[derive(Debug)]
pub(super) struct PlainHead {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    head_bytes: usize,
    body_bytes: usize,
}

impl PlainHead {
    /// The head at the front of `received`; `None` when it is not complete or not plain.
    pub(super) fn parse(received: &[u8]) -> Option<PlainHead> {
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut lines);
        let Ok(Status::Complete(head_bytes)) = head.parse(received) else { return None };
        let target = head.path.filter(|target| target.starts_with('/') && head.version == Some(1))?;
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) || has_bare_line_feed(&received[..head_bytes])
        {
            return None;
        }
        let (mut hosts, mut body_bytes) = (0, None);
        let mut headers = HeaderMap::with_capacity(head.headers.len());
        for line in head.headers.iter() {
            let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
            match name {
                header::CONTENT_LENGTH if body_bytes.is_none() => body_bytes = Some(length(line.value)?),
                header::HOST => hosts += 1,
                header::CONNECTION if line.value.eq_ignore_ascii_case(b"keep-alive") => {}
                header::CONTENT_LENGTH
                | header::CONNECTION
                | header::TRANSFER_ENCODING
                | header::TE
                | header::TRAILER
                | header::UPGRADE
                | header::EXPECT => return None,
                _ => {}
            }
            headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
        }
        let (method, body_bytes) = match (head.method?, body_bytes) {
            ("GET", None) => (Method::GET, 0),
            ("POST", Some(length)) => (Method::POST, length),
            _ => return None,
        };
        if hosts != 1 {
            return None;
        }
        Some(PlainHead { method, uri: Uri::try_from(target).ok()?, headers, head_bytes, body_bytes })
    }

    /// How long the request is, with its body.
    pub(super) fn request_bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }

    /// Takes the request, which must be there to its end, from the front of `received`.
    pub(super) fn take(self, received: &mut BytesMut) -> Request {
        received.advance(self.head_bytes);
        let body = match self.body_bytes {
            0 => Body::empty(),
            length => Body::from(received.split_to(length).freeze()),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// Whether a line ends in the way that some take and others do not.
fn has_bare_line_feed(head: &[u8]) -> bool {
    head.first() == Some(&b'\n') || head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

/// The length of a body, if it is written as everybody would and is not too large.
fn length(text: &[u8]) -> Option<usize> {
    let is_plain = (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(text).ok()?.parse().ok().filter(|_| is_plain)?;
    (length <= MAX_BODY_BYTES).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain(head: &str) -> bool {
        PlainHead::parse(head.replace('\n', "\r\n").as_bytes()).is_some()
    }

    #[test]
    fn a_plain_request_is_taken_as_it_is_and_what_follows_stays() {
        let sent = b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nCookie: a\r\ncookie:  b \r\nContent-Length: 3\r\n\r\nxyzGET";
        let mut received = BytesMut::from(&sent[..]);
        let head = PlainHead::parse(&received).unwrap();
        assert_eq!(head.request_bytes(), sent.len() - 3);
        let request = head.take(&mut received);
        assert_eq!(&received[..], b"GET");
        assert_eq!(
            (request.method(), request.uri().path_and_query().unwrap().as_str()),
            (&Method::POST, "/a%20b?c=d")
        );
        assert_eq!(request.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(request.headers()["content-length"], "3");
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_not_plain() {
        assert!(is_plain("GET / HTTP/1.1\nHost: x\n\n"));
        assert!(is_plain("GET /?q HTTP/1.1\nHost: x\nConnection: Keep-Alive\n\n"));
        assert!(is_plain("POST / HTTP/1.1\nhost: x\ncontent-length: 0\n\n"));
        for head in [
            "",
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.0\nhost: x\n\n",
            "PRI * HTTP/2.0\n\nSM\n\n",
            "HEAD / HTTP/1.1\nhost: x\n\n",
            "PUT / HTTP/1.1\nhost: x\ncontent-length: 1\n\n",
            "GET http://h/ HTTP/1.1\nhost: x\n\n",
            "OPTIONS * HTTP/1.1\nhost: x\n\n",
            "GET / HTTP/1.1\nhost: x\ncontent-length: 0\n\n",
            "GET / HTTP/1.1\nhost: x\nconnection: close\n\n",
            "GET / HTTP/1.1\nhost: x\nconnection: keep-alive, upgrade\n\n",
            "GET / HTTP/1.1\nhost: x\nupgrade: h2c\n\n",
            "GET / HTTP/1.1\nhost: x\ntransfer-encoding: chunked\n\n",
            "GET / HTTP/1.1\nhost: x\nbad name: x\n\n",
            "GET / HTTP/1.1\nhost: x\nfolded: x\n y\n\n",
            "POST / HTTP/1.1\nhost: x\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: 3\ncontent-length: 3\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: 3\ntransfer-encoding: chunked\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: 3\nexpect: 100-continue\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: +3\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: -3\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: 3, 3\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: 0x3\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length:\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: 000003\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: 32769\n\n",
            "POST / HTTP/1.1\nhost: x\ncontent-length: 18446744073709551619\n\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\nhost: x\nHost: x\n\n",
            "GET /\u{e9} HTTP/1.1\nhost: x\n\n",
        ] {
            assert!(!is_plain(head), "{head:?}");
        }
        for sent in [
            "GET / HTTP/1.1\r\nhost: x\n\r\n",
            "GET / HTTP/1.1\nhost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: x\r\n\n",
            "\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        ] {
            assert!(PlainHead::parse(sent.as_bytes()).is_none(), "{sent:?}");
        }
        let many = format!("GET / HTTP/1.1\nhost: x\n{}\n", "a: b\n".repeat(MAX_HEADERS + 1));
        assert!(!is_plain(&many));
    }
}
