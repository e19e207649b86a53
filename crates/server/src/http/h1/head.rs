//! The head of a request: its lines, and where the request ends.
//!
//! Two parsers that disagree about where a request ends are how a request is hidden in the body of another. So
//! what RFC 9112 lets a server refuse for that reason is refused: lines that end with LF alone, a length beside
//! chunks, any coding but "chunked", one length sent twice.

use super::Refused;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

/// The longest request line and headers, with the empty lines before them.
pub(in crate::http) const MAX_HEAD_BYTES: usize = 64 << 10;

/// More headers than clients send.
pub(in crate::http) const MAX_HEADERS: usize = 100;

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(u64),
    Chunked,
}

/// What a head says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Else it is HTTP/1.0.
    pub(super) is_http_11: bool,
    pub(super) body_length: BodyLength,
    /// Whether the client waits for a "100 Continue" before it sends the body.
    pub(super) expects_continue: bool,
    /// Whether another request may follow on the connection.
    pub(super) keep_alive: bool,
}

/// Finds the end of a head in bytes that come in pieces.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Where the request line begins: behind empty lines.
    start: usize,
    /// Where the line begins that has no end yet, and from where its end is still to be looked for.
    line_start: usize,
    scanned: usize,
}

impl HeadScan {
    /// How many bytes of `received` the head takes, with its empty line; `None` while it is not complete.
    pub(super) fn end(&mut self, received: &[u8]) -> Result<Option<usize>, Refused> {
        while let Some(length) = received[self.scanned..].iter().position(|&byte| byte == b'\n') {
            let end = self.scanned + length + 1;
            if end > MAX_HEAD_BYTES {
                return Err(Refused::TooLarge);
            }
            let line = &received[self.line_start..end];
            if !line.ends_with(b"\r\n") {
                return Err(Refused::Malformed);
            }
            let is_first = self.line_start == self.start;
            (self.line_start, self.scanned) = (end, end);
            match (line.len(), is_first) {
                // Empty lines before a request are no part of it.
                (2, true) => self.start = end,
                (2, false) => return Ok(Some(end)),
                _ => {}
            }
        }
        self.scanned = received.len();
        if received.len() > MAX_HEAD_BYTES {
            return Err(Refused::TooLarge);
        }
        // What is no HTTP is refused without waiting for its end.
        if let Some(first) = received[self.start..self.line_start].split(|&byte| byte == b'\n').next()
            && let Some(first) = first.strip_suffix(b"\r")
        {
            request_line(first)?;
        }
        let is_text = received.get(self.start).is_none_or(|byte| is_token(byte) || *byte == b'\r');
        if is_text { Ok(None) } else { Err(Refused::Malformed) }
    }

    /// Parses the head that ends at `end`.
    pub(super) fn parse(&self, received: &[u8], end: usize) -> Result<Head, Refused> {
        Head::parse(&received[self.start..end - 2])
    }
}

impl Head {
    /// `head` is without its empty line; each line has its CR LF.
    fn parse(head: &[u8]) -> Result<Head, Refused> {
        let mut lines = head.split_inclusive(|&byte| byte == b'\n').map(|line| &line[..line.len() - 2]);
        let (method, uri, is_http_11) = request_line(lines.next().unwrap_or_default())?;
        let mut headers = HeaderMap::with_capacity(8);
        let (mut hosts, mut length, mut is_chunked) = (0, None, false);
        let (mut says_close, mut says_keep_alive, mut expects_continue) = (false, false, false);
        for line in lines {
            let (name, value) = field(line)?;
            let name = HeaderName::from_bytes(name).map_err(|_| Refused::Malformed)?;
            match name {
                header::HOST => hosts += 1,
                // The same twice is refused, too: it tells of a part on the way that repairs requests.
                header::CONTENT_LENGTH if length.is_some() => return Err(Refused::Malformed),
                header::CONTENT_LENGTH => length = Some(parse_length(value)?),
                header::TRANSFER_ENCODING => {
                    if is_chunked || !is_http_11 || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Refused::Malformed);
                    }
                    is_chunked = true;
                }
                header::CONNECTION => {
                    says_close |= has_token(value, b"close");
                    says_keep_alive |= has_token(value, b"keep-alive");
                }
                header::EXPECT => expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
                _ => {}
            }
            if headers.len() == MAX_HEADERS {
                return Err(Refused::TooLarge);
            }
            headers.append(name, HeaderValue::from_bytes(value).map_err(|_| Refused::Malformed)?);
        }
        if hosts > 1 || (is_http_11 && hosts == 0) {
            return Err(Refused::Malformed);
        }
        let body_length = match (length, is_chunked) {
            (Some(_), true) => return Err(Refused::Malformed),
            (None, true) => BodyLength::Chunked,
            (length, false) => BodyLength::Bytes(length.unwrap_or(0)),
        };
        Ok(Head {
            method,
            uri,
            headers,
            is_http_11,
            body_length,
            expects_continue: expects_continue && is_http_11,
            keep_alive: !says_close && (is_http_11 || says_keep_alive),
        })
    }
}

/// Method, target, and whether it is HTTP/1.1; 1.0 is the only other version.
fn request_line(line: &[u8]) -> Result<(Method, Uri, bool), Refused> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refused::Malformed);
    };
    // A path, a whole URI, or what CONNECT and OPTIONS have instead.
    let is_target = match target.first() {
        Some(b'/') => true,
        Some(b'*') => target.len() == 1,
        Some(_) => method == b"CONNECT" || target.windows(3).any(|window| window == b"://"),
        None => false,
    };
    let is_http_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(Refused::Malformed),
    };
    if !is_target || !method.iter().all(is_token) || !target.iter().all(u8::is_ascii_graphic) {
        return Err(Refused::Malformed);
    }
    let method = Method::from_bytes(method).map_err(|_| Refused::Malformed)?;
    let uri = Uri::try_from(target).map_err(|_| Refused::Malformed)?;
    Ok((method, uri, is_http_11))
}

/// Name and value of a field. A folded line has no name.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Refused::Malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_value = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_value) {
        return Err(Refused::Malformed);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    Ok((name, &value[start..end]))
}

/// Decimal digits and nothing else.
fn parse_length(value: &[u8]) -> Result<u64, Refused> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length: Option<u64> = digits.and_then(|text| text.parse().ok());
    // Some servers count in signed numbers.
    length.filter(|&length| length <= i64::MAX as u64).ok_or(Refused::Malformed)
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
