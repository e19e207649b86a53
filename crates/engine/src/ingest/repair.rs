//! Values that the JSON parser refuses and the contract does not: numbers beyond 64-bit floats, `NaN` and infinities,
//! which data frames write in the place of a gap, and escapes of half a surrogate pair, which clients send that cut a
//! text carelessly. By the contract they spoil one block or user; to the parser they spoil the request.

use serde::de::IgnoredAny;

/// Replace a number beyond floats. They are out of every range too.
const HUGE: &[u8] = b"1e308";
const NEGATIVE_HUGE: &[u8] = b"-1e308";

/// What is no number but stands in the place of one, and what replaces it: of a type that no field has.
const NO_NUMBERS: [(&[u8], &[u8]); 3] =
    [(b"-Infinity", br#"["-Infinity"]"#), (b"Infinity", br#"["Infinity"]"#), (b"NaN", br#"["NaN"]"#)];

/// Replaces half a pair: the character U+FFFD.
const REPLACEMENT: &[u8] = br"\ufffd";

/// The same text with all of these replaced; `None` where there are none. What is otherwise not JSON stays so.
pub(super) fn repair(text: &str) -> Option<String> {
    let json = text.as_bytes();
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    let mut in_string = false;
    while at < json.len() {
        let (length, replacement) = match json[at] {
            b'"' => {
                in_string = !in_string;
                (1, None)
            }
            b'\\' if in_string => escape(&json[at..]),
            _ if in_string => (1, None),
            b'-' | b'0'..=b'9' | b'I' | b'N' => number(&json[at..]),
            _ => (1, None),
        };
        if let Some(replacement) = replacement {
            out.extend_from_slice(&json[copied..at]);
            out.extend_from_slice(replacement);
            copied = at + length;
        }
        at += length;
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&json[copied..]);
    Some(String::from_utf8(out).expect("only ASCII was replaced, by ASCII"))
}

/// The length of the escape at the front, with its other half where it is a pair, and what replaces it.
fn escape(text: &[u8]) -> (usize, Option<&'static [u8]>) {
    match code_unit(text) {
        None => (2, None),
        Some(0xD800..=0xDBFF) => match text.get(6..).and_then(code_unit) {
            Some(0xDC00..=0xDFFF) => (12, None),
            _ => (6, Some(REPLACEMENT)),
        },
        Some(0xDC00..=0xDFFF) => (6, Some(REPLACEMENT)),
        Some(_) => (6, None),
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

/// The length of what stands at the front in the place of a number, and what replaces it.
fn number(text: &[u8]) -> (usize, Option<&'static [u8]>) {
    if let Some((name, replacement)) = NO_NUMBERS.into_iter().find(|(name, _)| text.starts_with(name)) {
        return (name.len(), Some(replacement));
    }
    let length = text.iter().take_while(|&&byte| is_of_number(byte)).count();
    let replacement = if text[0] == b'-' { NEGATIVE_HUGE } else { HUGE };
    (length.max(1), is_beyond_floats(&text[..length]).then_some(replacement))
}

fn is_beyond_floats(number: &[u8]) -> bool {
    // Few numbers are so long or have an exponent: the others are not parsed.
    let can_be = number.len() > 300 || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    let value = std::str::from_utf8(number).ok().filter(|_| can_be).and_then(|text| text.parse::<f64>().ok());
    // Without a look at its value, the JSON parser takes it.
    value.is_some_and(f64::is_infinite) && serde_json::from_slice::<IgnoredAny>(number).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

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
            (r#"["\\\ud83d\"1e400", 1e400]"#, Some(r#"["\\\ufffd\"1e400", 1e308]"#)),
            ("[-1.5E+999, 2]", Some("[-1e308, 2]")),
            (&huge, Some("[1e308]")),
            (r#"[NaN, "NaN", -Infinity,Infinity]"#, Some(r#"[["NaN"], "NaN", ["-Infinity"],["Infinity"]]"#)),
            (r#"["\ud83d\ude00", "\u0041", 1e308, -0, 1e-400, "1e400"]"#, None),
            (r#"["\"#, None),
            (r#"["\u12"#, None),
            ("[1e, -, 1e+, 5.]", None),
        ];
        for (json, expected) in cases {
            assert_eq!(repair(json).as_deref(), expected, "{json}");
            if let Some(json) = expected {
                serde_json::from_str::<Value>(json).unwrap();
            }
        }
        for no_json in
            ["[1.e400]", "[01e400]", "[1e400e]", "[1e400 \"\\ud83d]", "[1NaN]", "[-NaN]", "[NaN1]", "{NaN:1}"]
        {
            let repaired = repair(no_json).unwrap_or_else(|| no_json.to_owned());
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
                    r#"{"a\ud83d": 1e999}"#, "[]", "null", r#""\"""#, "12345678901234567890123", "NaN", "-Infinity", r#""Infinity""#,
                ]),
                1..8,
            ),
        ) {
            let json = format!("[{}]", parts.join(", "));
            let before: Result<Value, _> = serde_json::from_str(&json);
            match repair(&json) {
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
