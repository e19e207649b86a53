//! What the parser of JSON refuses and the contract does not: numbers beyond 64-bit floats, and escapes of half a
//! surrogate pair, as careless clients make when they cut a text. Either is a wrong value in its place, which
//! spoils a block or a user; to the parser it spoils the request.

/// So many digits are too many for any integer that means something, and few enough for any float.
const KEPT_DIGITS: usize = 20;

/// Half a pair becomes the character that stands for what is none.
const REPLACEMENT: &[u8] = br"\ufffd";

/// The same JSON with such numbers cut to floats and such escapes replaced; `None` where there are none. What is
/// no JSON stays none.
pub(super) fn repair(json: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(&byte) = json.get(at).filter(|&&byte| byte != b'"') {
                    let (length, is_sound) = if byte == b'\\' { escape(&json[at..]) } else { (1, true) };
                    if !is_sound {
                        out.extend_from_slice(&json[copied..at]);
                        out.extend_from_slice(REPLACEMENT);
                        copied = at + length;
                    }
                    at += length;
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let length = json[at..].iter().take_while(|&&byte| is_of_number(byte)).count();
                let number = &json[at..at + length];
                if is_beyond_floats(number) {
                    out.extend_from_slice(&json[copied..at]);
                    cut(number, &mut out);
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&json[copied..]);
    Some(out)
}

/// How long the escape at the front is, with the one that it is a pair with, and whether it is more than half.
fn escape(text: &[u8]) -> (usize, bool) {
    match code_unit(text) {
        None => (2, true),
        Some(0xD800..=0xDBFF) => match text.get(6..).and_then(code_unit) {
            Some(0xDC00..=0xDFFF) => (12, true),
            _ => (6, false),
        },
        Some(0xDC00..=0xDFFF) => (6, false),
        Some(_) => (6, true),
    }
}

/// The value of an escape with four hex digits.
fn code_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    std::str::from_utf8(digits).ok().filter(|_| is_hex).and_then(|hex| u16::from_str_radix(hex, 16).ok())
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E')
}

fn is_beyond_floats(number: &[u8]) -> bool {
    // Most are short.
    let can_be = number.len() > 300 || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    let value = std::str::from_utf8(number).ok().filter(|_| can_be).and_then(|text| text.parse::<f64>().ok());
    value.is_some_and(f64::is_infinite)
}

/// Appends a float of the same form. Only digits go, and some always stay, so that it is as well formed as before.
fn cut(number: &[u8], out: &mut Vec<u8>) {
    let (sign, rest) = number.split_at(usize::from(number.first() == Some(&b'-')));
    let (digits, rest) = rest.split_at(rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let (fraction, exponent) =
        rest.split_at(rest.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).count());
    out.extend_from_slice(sign);
    out.extend_from_slice(&digits[..digits.len().min(KEPT_DIGITS)]);
    out.extend_from_slice(fraction);
    match exponent {
        [] => out.extend_from_slice(b"e0"),
        _ => out.extend(exponent.iter().map(|&byte| if byte.is_ascii_digit() { b'0' } else { byte })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn repaired(json: &str) -> Option<String> {
        repair(json.as_bytes()).map(|json| String::from_utf8(json).unwrap())
    }

    #[test]
    fn only_what_the_parser_cannot_hold_is_changed() {
        let huge = format!("[{}]", "9".repeat(400));
        let cases = [
            (r#"["\ud83d"]"#, Some(r#"["\ufffd"]"#)),
            (
                r#"["\ude00\ud83d\ude00\ud83d\ud83d\ude00"]"#,
                Some(r#"["\ufffd\ud83d\ude00\ufffd\ud83d\ude00"]"#),
            ),
            (r#"{"\uDC00x": "\\ud83d"}"#, Some(r#"{"\ufffdx": "\\ud83d"}"#)),
            (r#"["\\\ud83d\"1e400", 1e400]"#, Some(r#"["\\\ufffd\"1e400", 1e000]"#)),
            ("[-1.5E+999, 2]", Some("[-1.5E+000, 2]")),
            (&huge, Some("[99999999999999999999e0]")),
            (r#"["\ud83d\ude00", "\u0041", 1e308, -0, 1e-400, "1e400"]"#, None),
            (r#"["\"#, None),
            (r#"["\u12"#, None),
            ("[1e, -, 1e+, 5.]", None),
        ];
        for (json, expected) in cases {
            assert_eq!(repaired(json).as_deref(), expected, "{json}");
            if let Some(json) = expected {
                serde_json::from_str::<Value>(json).unwrap();
            }
        }
        for no_json in ["[1.e400]", "[01e400]", "[1e400e]", "[1e400 \"\\ud83d]"] {
            let repaired = repaired(no_json).unwrap_or_else(|| no_json.to_owned());
            assert!(serde_json::from_str::<Value>(&repaired).is_err(), "{repaired}");
        }
    }

    proptest! {
        /// The parser takes every repaired JSON, and what it took before is not touched.
        #[test]
        fn what_is_repaired_is_json(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\ude00""#, r#""\\ud83d""#, "1e400", "-2.5E+400", "0", "1.5",
                    r#"{"a\ud83d": 1e999}"#, "[]", "null", r#""\"""#, "12345678901234567890123",
                ]),
                1..8,
            ),
        ) {
            let json = format!("[{}]", parts.join(", "));
            let before: Result<Value, _> = serde_json::from_str(&json);
            match repaired(&json) {
                None => prop_assert!(before.is_ok()),
                Some(repaired) => {
                    prop_assert!(before.is_err());
                    let after: Value = serde_json::from_str(&repaired).unwrap();
                    prop_assert_eq!(after.as_array().unwrap().len(), parts.len());
                }
            }
        }
    }
}
