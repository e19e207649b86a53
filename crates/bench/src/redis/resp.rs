//! RESP2, as far as it is spoken here: commands are arrays of bulk strings; replies are told apart and
//! measured, and decoded only where somebody looks.

/// Appends a command.
pub(super) fn command(frame: &mut Vec<u8>, words: &[&[u8]]) {
    array(frame, words.len());
    words.iter().for_each(|word| bulk(frame, word));
}

/// Appends the head of an array.
pub(super) fn array(frame: &mut Vec<u8>, elements: usize) {
    frame.extend_from_slice(format!("*{elements}\r\n").as_bytes());
}

/// Appends a bulk string.
pub(super) fn bulk(frame: &mut Vec<u8>, bytes: &[u8]) {
    frame.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    frame.extend_from_slice(bytes);
    frame.extend_from_slice(b"\r\n");
}

/// A reply, borrowed from what came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// `+OK`
    Simple(&'a [u8]),
    /// `-ERR …`
    Error(&'a [u8]),
    /// `:7`
    Integer(i64),
    /// A string; `None` is null.
    Bulk(Option<&'a [u8]>),
    /// An array of that many elements, and the bytes of them. Elements are no arrays themselves.
    Array(usize, &'a [u8]),
}

/// What came in is no RESP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotResp;

impl From<NotResp> for std::io::Error {
    fn from(NotResp: NotResp) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is not in Redis' protocol")
    }
}

/// The first reply in `bytes` and its length, once it is complete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, NotResp> {
    let Some((line, start)) = line(bytes) else { return Ok(None) };
    let Some((&kind, rest)) = line.split_first() else { return Err(NotResp) };
    match kind {
        b'+' => Ok(Some((Reply::Simple(rest), start))),
        b'-' => Ok(Some((Reply::Error(rest), start))),
        b':' => Ok(Some((Reply::Integer(number(rest)?), start))),
        b'$' => match usize::try_from(number(rest)?) {
            Err(_) => Ok(Some((Reply::Bulk(None), start))),
            Ok(length) => {
                let end = start + length;
                let Some(tail) = bytes.get(end..end + 2) else { return Ok(None) };
                if tail == b"\r\n" {
                    Ok(Some((Reply::Bulk(Some(&bytes[start..end])), end + 2)))
                } else {
                    Err(NotResp)
                }
            }
        },
        b'*' => {
            let elements = usize::try_from(number(rest)?).map_err(|_| NotResp)?;
            let mut end = start;
            for _ in 0..elements {
                match parse(&bytes[end..])? {
                    None => return Ok(None),
                    Some((Reply::Array(..), _)) => return Err(NotResp),
                    Some((_, length)) => end += length,
                }
            }
            Ok(Some((Reply::Array(elements, &bytes[start..end]), end)))
        }
        _ => Err(NotResp),
    }
}

/// The strings of an array; `None` when one is none.
pub(super) fn strings(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut strings = Vec::new();
    while !bytes.is_empty() {
        let (Reply::Bulk(Some(string)), length) = parse(bytes).ok()?? else { return None };
        strings.push(string);
        bytes = &bytes[length..];
    }
    Some(strings)
}

/// The first line without its end, and where the next begins.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|&byte| byte == b'\r')?;
    // A line holds no other carriage return.
    (bytes.len() > end + 1).then(|| (&bytes[..end], end + 2))
}

fn number(digits: &[u8]) -> Result<i64, NotResp> {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(NotResp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_strings_of_any_bytes() {
        let mut frame = Vec::new();
        command(&mut frame, &[b"HSET", b"\r\n\0", b""]);
        assert_eq!(frame, b"*3\r\n$4\r\nHSET\r\n$3\r\n\r\n\0\r\n$0\r\n\r\n");
    }

    #[test]
    fn replies_are_read() {
        for (bytes, reply) in [
            (&b"+OK\r\n"[..], Reply::Simple(b"OK")),
            (b"-ERR no\r\n", Reply::Error(b"ERR no")),
            (b":-12\r\n", Reply::Integer(-12)),
            (b"$4\r\na\r\nb\r\n", Reply::Bulk(Some(b"a\r\nb"))),
            (b"$-1\r\n", Reply::Bulk(None)),
            (b"*0\r\n", Reply::Array(0, b"")),
            (b"*2\r\n$1\r\na\r\n:3\r\n", Reply::Array(2, b"$1\r\na\r\n:3\r\n")),
        ] {
            let mut more = bytes.to_vec();
            more.extend_from_slice(b":1\r\n");
            assert_eq!(parse(&more), Ok(Some((reply, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{cut} bytes of {reply:?}");
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for wrong in
            [&b"HTTP/1.1 200 OK\r\n"[..], b":x\r\n", b"$2\r\nabc\r\n", b"*-1\r\n", b"*1\r\n*0\r\n", b"\r\n"]
        {
            assert_eq!(parse(wrong), Err(NotResp), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn an_array_gives_its_strings() {
        assert_eq!(strings(b"$1\r\na\r\n$0\r\n\r\n"), Some(vec![&b"a"[..], b""]));
        assert_eq!(strings(b":1\r\n"), None);
    }
}
