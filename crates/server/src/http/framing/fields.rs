//! The fields of a head, as far as they say where its request ends.

use super::Refused;

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(u64),
    Chunked,
}

/// What a head, without its empty line, says of the length of the body. Refuses what is not good HTTP/1.0 or 1.1
/// in what this looks at: the form of the lines, the version, Host, Content-Length and Transfer-Encoding.
pub(super) fn body_length(head: &[u8]) -> Result<BodyLength, Refused> {
    let end = head.windows(2).position(|window| window == b"\r\n").ok_or(Refused::Ambiguous)?;
    let (request_line, fields) = (&head[..end], &head[end + 2..]);
    let is_http_11 = check_request_line(request_line)?;
    let (mut hosts, mut length, mut is_chunked) = (0, None, false);
    for line in lines(fields) {
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            // Twice the same is refused, too: it tells of a part on the way that repairs requests.
            if length.replace(parse_length(value)?).is_some() {
                return Err(Refused::Ambiguous);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || !is_http_11 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refused::Ambiguous);
            }
            is_chunked = true;
        }
    }
    match (length, is_chunked) {
        _ if hosts > 1 || (is_http_11 && hosts == 0) => Err(Refused::Ambiguous),
        (Some(_), true) => Err(Refused::Ambiguous),
        (None, true) => Ok(BodyLength::Chunked),
        (length, false) => Ok(BodyLength::Bytes(length.unwrap_or(0))),
    }
}

/// Checks the form of fields, each with its line end, of which nothing else is wanted.
pub(super) fn check_all(fields: &[u8]) -> Result<(), Refused> {
    lines(fields).try_for_each(|line| field(line).map(drop))
}

/// Whether it is HTTP/1.1; 1.0 is the only other one.
fn check_request_line(line: &[u8]) -> Result<bool, Refused> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refused::Ambiguous);
    };
    // A path, a whole URI, or what CONNECT and OPTIONS have instead.
    let is_target = match target.first() {
        Some(b'/') => true,
        Some(b'*') => target.len() == 1,
        Some(_) => method == b"CONNECT" || target.windows(3).any(|window| window == b"://"),
        None => false,
    };
    if method.is_empty()
        || !method.iter().all(is_token)
        || !is_target
        || !target.iter().all(u8::is_ascii_graphic)
    {
        return Err(Refused::Ambiguous);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(Refused::Ambiguous),
    }
}

fn lines(fields: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Every line ends with CR LF, and no LF stands elsewhere.
    fields.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n").unwrap_or(line))
}

/// Name and value of a field. Folded lines have no name.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Refused::Ambiguous)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_value = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_value) {
        return Err(Refused::Ambiguous);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    Ok((name, &value[start..end]))
}

/// Decimal digits and nothing else.
fn parse_length(value: &[u8]) -> Result<u64, Refused> {
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(Refused::Ambiguous);
    }
    let length: u64 =
        std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(Refused::Ambiguous)?;
    // hyper takes the largest ones as signs of its own.
    if length <= i64::MAX as u64 { Ok(length) } else { Err(Refused::Ambiguous) }
}

fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
