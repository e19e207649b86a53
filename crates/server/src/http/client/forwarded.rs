//! What proxies write of a request's way: `X-Forwarded-For` and `X-Forwarded-Proto`, which have no standard, and
//! `Forwarded` (RFC 7239). Each proxy adds to the right.

use axum::http::HeaderMap;
use axum::http::header::FORWARDED;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What one proxy says of who came to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) from: Source,
    /// Whether that one came over TLS, if the proxy says it.
    pub(super) is_secure: Option<bool>,
}

/// Who came to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// This address, without the form that maps IPv4 into IPv6.
    Address(IpAddr),
    /// It does not say.
    NotSaid,
    /// It says something that is no address, such as `unknown`, or a name that hides it.
    NoAddress,
}

impl Source {
    fn of(address: Option<IpAddr>) -> Source {
        address.map_or(Source::NoAddress, Source::Address)
    }
}

/// The hops in `X-Forwarded-For` and `X-Forwarded-Proto`, the nearest first. A scheme belongs to the address at the same
/// place from the right; if there are fewer schemes than addresses, the first scheme is also that of all before it.
pub(super) fn x_forwarded(headers: &HeaderMap) -> impl Iterator<Item = Hop> {
    let mut addresses = items(headers, "x-forwarded-for").map(|text| Source::of(node(text)));
    let mut schemes = items(headers, "x-forwarded-proto").map(is_https);
    let mut scheme = None;
    let mut is_first = true;
    std::iter::from_fn(move || {
        let (address, next_scheme) = (addresses.next(), schemes.next());
        // A scheme without any address is the nearest proxy's.
        let from = address.or((is_first && next_scheme.is_some()).then_some(Source::NotSaid))?;
        is_first = false;
        scheme = next_scheme.unwrap_or(scheme);
        Some(Hop { from, is_secure: scheme })
    })
}

/// The items of a header with commas between them, the last first. Several lines of it are one list; empty items are
/// none.
fn items<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter().rev();
    let items = lines.flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    // What is no text is no address either.
    items.map(|item| std::str::from_utf8(item).unwrap_or("?").trim()).filter(|item| !item.is_empty())
}

/// The hops in `Forwarded`, the nearest first. Each line of the header is read by itself, so that what a client has
/// written spoils nothing of what a proxy adds in a line of its own.
pub(super) fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = Hop> {
    headers.get_all(FORWARDED).iter().rev().flat_map(|line| {
        let hops = elements(&String::from_utf8_lossy(line.as_bytes()));
        hops.unwrap_or_else(|| vec![Hop { from: Source::NoAddress, is_secure: None }]).into_iter().rev()
    })
}

/// The elements of a line of `Forwarded`, in their order; `None` if it is malformed.
fn elements(line: &str) -> Option<Vec<Hop>> {
    let elements = split_outside_quotes(line, ',')?;
    elements.into_iter().filter(|element| !element.is_empty()).map(element).collect()
}

/// The hop in one element; `None` if it is malformed.
fn element(text: &str) -> Option<Hop> {
    let (mut from, mut scheme) = (None, None);
    for pair in split_outside_quotes(text, ';')? {
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=')?;
        let value = unquote(value.trim())?;
        let known = match name.trim() {
            name if name.eq_ignore_ascii_case("for") => &mut from,
            name if name.eq_ignore_ascii_case("proto") => &mut scheme,
            _ => continue,
        };
        if known.replace(value).is_some() {
            return None;
        }
    }
    Some(Hop {
        from: from.map_or(Source::NotSaid, |from| Source::of(node(&from))),
        is_secure: scheme.and_then(|scheme| is_https(&scheme)),
    })
}

/// The parts of a text between separators that stand in no quoted string, without white space around them; `None` if a
/// quoted string does not end.
fn split_outside_quotes(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, letter) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if letter == '"' {
            is_quoted = !is_quoted;
        } else if is_quoted {
            is_escaped = letter == '\\';
        } else if letter == separator {
            parts.push(text[start..at].trim());
            start = at + 1;
        }
    }
    parts.push(text[start..].trim());
    (!is_quoted).then_some(parts)
}

/// The content of a quoted string, or a text without quotes as it is.
fn unquote(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else {
        return (!text.contains(['"', ' ', '\t'])).then(|| text.to_owned());
    };
    let mut letters = rest.strip_suffix('"')?.chars();
    let mut content = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => content.push(letters.next()?),
            '"' => return None,
            _ => content.push(letter),
        }
    }
    Some(content)
}

/// The address in `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, each of the first and the last also with a port.
fn node(text: &str) -> Option<IpAddr> {
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_node = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        address.parse::<Ipv6Addr>().ok().filter(|_| is_node)?.into()
    } else if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port))?.into()
    };
    Some(address.to_canonical())
}

/// A number, or a name that hides it (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    let is_hidden = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    text.strip_prefix('_').is_some_and(is_hidden)
        || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

/// Whether a scheme is that of TLS; `None` if it is neither http nor https.
fn is_https(scheme: &str) -> Option<bool> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("https") => Some(true),
        _ if scheme.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}
