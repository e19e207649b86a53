//! What clients send where JSON is expected. An error that names it saves its reader an afternoon.

use crate::decode;
use serde::de::IgnoredAny;

/// Says what a body is that is no JSON object, and what is wanted; `None` where it looks like nothing known. Reads all
/// of it: to be asked only after a parser has failed.
pub fn recognize(body: &[u8]) -> Option<&'static str> {
    let text = body.trim_ascii_start();
    Some(match text {
        [0, _, ..] | [_, 0, ..] => "The request body is UTF-16 or UTF-32; a JSON object in UTF-8 is expected",
        _ if decode::has_wide_mark(text) => {
            "The request body is UTF-16 or UTF-32; a JSON object in UTF-8 is expected"
        }
        _ if text.starts_with(&decode::GZIP_MAGIC) => {
            "The request body is compressed twice; only one layer of gzip is understood"
        }
        _ if text.starts_with(&decode::ZSTD_MAGIC) => {
            "The request body is compressed with zstd; only gzip is understood"
        }
        _ if decode::is_zlib(text) => {
            "The request body is compressed with zlib (deflate); only gzip is understood"
        }
        [b'<', ..] => "The request body is XML or HTML; a JSON object is expected",
        [b'-', b'-', ..] => {
            "The request body is a multipart form; a JSON object is expected as the body itself"
        }
        [b'[', b'o', b'b', b'j', b'e', b'c', b't', ..] => {
            "The request body is the text '[object Object]'; write the object as JSON first (JSON.stringify)"
        }
        [b'{', rest @ ..] if rest.trim_ascii_start().starts_with(b"'") => {
            "The request body has names in single quotes, which is not JSON; write it with a JSON library (json.dumps)"
        }
        [b'"', ..] if holds_json(text) => {
            "The request body is a JSON string; one JSON object is expected, so it was written as JSON once too often"
        }
        _ if is_form(text) => {
            "The request body is form-encoded; a JSON object is expected as the body itself"
        }
        _ if has_more_values(text) => {
            "The request body has more than one JSON value, such as a line for each; one JSON object is expected"
        }
        _ => return word_in_place_of_a_value(text),
    })
}

/// Words of other languages, which templates and careless printers leave in a body.
const WORDS: [(&[u8], &str); 4] = [
    (b"None", "The request body has None in the place of a value, which is not JSON; write null"),
    (b"True", "The request body has True in the place of a value, which is not JSON; write true"),
    (b"False", "The request body has False in the place of a value, which is not JSON; write false"),
    (b"undefined", "The request body has undefined in the place of a value, which is not JSON; write null"),
];

fn word_in_place_of_a_value(text: &[u8]) -> Option<&'static str> {
    let error = serde_json::from_slice::<IgnoredAny>(text).err()?;
    // Both count from 1.
    let line = text.split(|&byte| byte == b'\n').nth(error.line().checked_sub(1)?)?;
    let rest = line.get(error.column().checked_sub(1)?..)?;
    WORDS.into_iter().find_map(|(word, message)| rest.starts_with(word).then_some(message))
}

/// Whether it is a string with the text of an object or array.
fn holds_json(text: &[u8]) -> bool {
    let string = serde_json::from_slice::<String>(text);
    string.is_ok_and(|string| string.trim_start().starts_with(['{', '[']))
}

/// `name=value`, or an escaped `{`.
fn is_form(text: &[u8]) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-%+[]".contains(byte);
    let name = text.iter().take_while(|byte| is_of_name(byte)).count();
    let is_escaped = text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"%7b"));
    is_escaped || (name > 0 && text.get(name) == Some(&b'='))
}

fn has_more_values(text: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    let has_first = values.next().is_some_and(|value| value.is_ok());
    has_first && matches!(text[values.byte_offset()..].trim_ascii_start(), [b'{' | b'[', ..])
}

#[cfg(test)]
mod tests {
    use super::recognize;

    #[test]
    fn what_is_not_json_is_named() {
        let utf16: Vec<u8> = r#"{"a": 1}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [b"\xfe\xff\0{".as_slice(), b"\0}"].concat();
        let cases: [(&[u8], &str); 24] = [
            (&utf16, "UTF-16"),
            (&marked, "UTF-16"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"\xff\xfe\0\0{\0\0\0", "UTF-32"),
            (b"\x1f\x8b\x08", "twice"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd"),
            (b"x\x9c\xab", "zlib"),
            (b"\n<?xml version=\"1.0\"?>", "XML"),
            (b"--boundary\r\nContent-Disposition: form-data", "multipart"),
            (b"[object Object]", "JSON.stringify"),
            (b"{ 'rt_segment': []}", "single quotes"),
            (br#""{\"rt_segment\":[]}""#, "once too often"),
            (b"rt_segment=%5B%5D", "form-encoded"),
            (b"data[rt_segment][0][user_id]=1", "form-encoded"),
            (b"%7B%22rt_segment%22%3A%5B%5D%7D", "form-encoded"),
            (b"%7B%22rt_segment%22%3A%5B%5D%7D=", "form-encoded"),
            (b"{\"a\": 1}\n{\"a\": 2}\n", "one JSON object"),
            (b"{}{}", "one JSON object"),
            (b"{\"a\": 1}\r\n\r\n{\"a\": ", "one JSON object"),
            (b"[1]\n[2]", "one JSON object"),
            (b"1 {}", "one JSON object"),
            (b"{\"a\": [1,\n None]}", "None"),
            (b" {\"a\": True}", "write true"),
            (b"{\"a\":undefined}", "undefined"),
        ];
        for (body, expected) in cases {
            let said = recognize(body).unwrap_or_default();
            assert!(said.contains(expected), "{}: {said:?}", body.escape_ascii());
        }
    }

    #[test]
    fn other_faults_keep_their_own_message() {
        for body in [
            "",
            " ",
            "{",
            "{\"a\" 1}",
            "[1,]",
            "{}}",
            "{} x",
            "nul",
            "\"",
            "hello",
            "=1",
            "{\"a=b\": }",
            "\"delete\"",
        ] {
            assert_eq!(recognize(body.as_bytes()), None, "{body}");
        }
    }
}
