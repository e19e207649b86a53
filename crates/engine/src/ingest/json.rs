//! A strict reader of JSON text: one pass, no tree, no allocation.
//!
//! It takes exactly what `serde_json` takes, which the fuzz target `request` checks. Numbers with a fraction or an
//! exponent and strings with escapes are rare in requests: `serde_json` itself reads those.

use ia_model::lenient;
use std::borrow::Cow;

/// How deeply arrays and objects may be nested; `serde_json` has the same limit.
const MAX_DEPTH: usize = 127;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotJson;

/// What reading a part of the text gives.
pub(super) type Read<T> = Result<T, NotJson>;

/// A string as it was sent. Its escapes are known to be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'r> {
    /// Where it has escapes, with the quotation marks.
    raw: &'r str,
    has_escapes: bool,
}

impl<'r> Text<'r> {
    /// A string in which a backslash is a backslash.
    pub(crate) fn verbatim(text: &'r str) -> Text<'r> {
        Text { raw: text, has_escapes: false }
    }

    /// The string that is meant.
    pub(crate) fn decode(self) -> Cow<'r, str> {
        if self.has_escapes {
            Cow::Owned(decode_escapes(self.raw).expect("the reader has checked the escapes"))
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    /// The string that is meant, without white space around.
    pub(crate) fn trimmed(self) -> Cow<'r, str> {
        match self.decode() {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        }
    }
}

#[cold]
fn decode_escapes(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// The value of a field. `null` is the same as no field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Scalar<'r> {
    /// Not there, or null.
    #[default]
    Absent,
    /// An integer of 64 bits.
    Int(i64),
    /// An integer from 2^63 to 2^64-1.
    BigInt,
    /// An integer of 64 bits that was written with a point or an exponent.
    WholeFloat(i64),
    /// A string.
    Text(Text<'r>),
    /// Anything else.
    Other,
}

/// A position in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<'r> {
    text: &'r str,
    at: usize,
}

impl<'r> Json<'r> {
    /// At the front of a text.
    pub(super) fn new(text: &'r str) -> Json<'r> {
        Json { text, at: 0 }
    }

    /// Where the reader is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start`, which a read has passed, to where the reader is.
    pub(super) fn since(&self, start: usize) -> &'r str {
        &self.text[start..self.at]
    }

    /// The text from `start`, which a read has passed.
    pub(super) fn from(&self, start: usize) -> &'r str {
        &self.text[start..]
    }

    /// The next byte that is not white space.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Read<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return Ok(byte),
                None => return Err(NotJson),
            }
        }
    }

    /// The byte after the one that the reader is at.
    #[inline(always)]
    pub(super) fn second(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at + 1).copied()
    }

    /// Fails where anything but white space is left.
    pub(super) fn end(&mut self) -> Read<()> {
        if self.peek().is_ok() { Err(NotJson) } else { Ok(()) }
    }

    /// Steps over the bracket that opens an array or object. Whether it has a first entry; without one it is left
    /// again.
    #[inline(always)]
    pub(super) fn enter(&mut self, close: u8) -> Read<bool> {
        self.at += 1;
        let is_empty = self.peek()? == close;
        self.at += usize::from(is_empty);
        Ok(!is_empty)
    }

    /// Whether the array or object has a further entry; without one it is left.
    #[inline(always)]
    pub(super) fn next(&mut self, close: u8) -> Read<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Ok(true),
            _ if byte == close => Ok(false),
            _ => Err(NotJson),
        }
    }

    /// Steps over `token` where it is next.
    #[inline(always)]
    pub(super) fn take(&mut self, token: &'static str) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_next = rest.starts_with(token.as_bytes());
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    /// The key of an entry; [`Json::colon`] comes next.
    pub(super) fn key(&mut self) -> Read<Text<'r>> {
        if self.peek()? == b'"' { self.string() } else { Err(NotJson) }
    }

    /// Steps over the colon between a key and its value.
    #[inline(always)]
    pub(super) fn colon(&mut self) -> Read<()> {
        let is_colon = self.peek()? == b':';
        self.at += 1;
        if is_colon { Ok(()) } else { Err(NotJson) }
    }

    /// A value of any type, inside of `open` arrays and objects.
    #[inline(always)]
    pub(super) fn scalar(&mut self, open: usize) -> Read<Scalar<'r>> {
        match self.peek()? {
            b'0'..=b'9' | b'-' => self.number(),
            b'"' => self.string().map(Scalar::Text),
            b'n' if self.take("null") => Ok(Scalar::Absent),
            _ => self.step_over(open).map(|()| Scalar::Other),
        }
    }

    /// Like [`Json::skip`], where that is rare.
    #[inline(always)]
    pub(super) fn step_over(&mut self, open: usize) -> Read<()> {
        self.at = self.after_value(open)?;
        Ok(())
    }

    /// By value, so that the reader itself can be in registers.
    #[cold]
    #[inline(never)]
    fn after_value(mut self, open: usize) -> Read<usize> {
        self.skip(open)?;
        Ok(self.at)
    }

    /// Steps over a value of any type, inside of `open` arrays and objects.
    pub(super) fn skip(&mut self, open: usize) -> Read<()> {
        let is_sound = match self.peek()? {
            b'"' => self.string().is_ok(),
            b'0'..=b'9' | b'-' => self.number().is_ok(),
            b't' => self.take("true"),
            b'f' => self.take("false"),
            b'n' => self.take("null"),
            b'[' if open < MAX_DEPTH => {
                let mut more = self.enter(b']')?;
                while more {
                    self.skip(open + 1)?;
                    more = self.next(b']')?;
                }
                true
            }
            b'{' if open < MAX_DEPTH => {
                let mut more = self.enter(b'}')?;
                while more {
                    self.key()?;
                    self.colon()?;
                    self.skip(open + 1)?;
                    more = self.next(b'}')?;
                }
                true
            }
            _ => false,
        };
        if is_sound { Ok(()) } else { Err(NotJson) }
    }

    /// A string; the reader is at its quotation mark.
    #[inline(always)]
    fn string(&mut self) -> Read<Text<'r>> {
        let start = self.at + 1;
        let end = start + length_before_special(&self.text.as_bytes()[start..]);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Text::verbatim(&self.text[start..end]));
        }
        let (text, at) = self.string_with_escapes(start)?;
        self.at = at;
        Ok(text)
    }

    #[cold]
    #[inline(never)]
    fn string_with_escapes(self, start: usize) -> Read<(Text<'r>, usize)> {
        let bytes = self.text.as_bytes();
        let mut end = start;
        loop {
            end += length_before_special(bytes.get(end..).ok_or(NotJson)?);
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                _ => return Err(NotJson),
            }
        }
        let raw = &self.text[start - 1..=end];
        decode_escapes(raw).ok_or(NotJson)?;
        Ok((Text { raw, has_escapes: true }, end + 1))
    }

    /// A number; the reader is at its first byte.
    #[inline(always)]
    fn number(&mut self) -> Read<Scalar<'r>> {
        let bytes = self.text.as_bytes();
        let is_negative = bytes[self.at] == b'-';
        let start = self.at + usize::from(is_negative);
        let mut at = start;
        let mut value = 0_u64;
        while let Some(digit @ 0..=9) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        let digits = at - start;
        let is_plain = matches!(digits, 1..=SAFE_DIGITS)
            && !matches!(bytes.get(at), Some(b'.' | b'e' | b'E'))
            // A zero in front is wrong, and -0 is a float.
            && (bytes[start] != b'0' || (digits == 1 && !is_negative));
        match i64::try_from(value) {
            Ok(value) if is_plain => {
                self.at = at;
                Ok(Scalar::Int(if is_negative { -value } else { value }))
            }
            _ => {
                let (number, at) = self.unusual_number()?;
                self.at = at;
                Ok(number)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn unusual_number(self) -> Read<(Scalar<'r>, usize)> {
        let rest = &self.text[self.at..];
        let is_of_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let length = rest.bytes().take_while(is_of_number).count();
        let number: serde_json::Number = serde_json::from_str(&rest[..length]).map_err(|_| NotJson)?;
        let scalar = match number.as_i64() {
            Some(int) => Scalar::Int(int),
            None if number.is_u64() => Scalar::BigInt,
            // By its text: a float would round it.
            None => lenient::integer(&rest[..length]).map_or(Scalar::Other, Scalar::WholeFloat),
        };
        Ok((scalar, self.at + length))
    }
}

/// That many digits always fit into 64 bits.
const SAFE_DIGITS: usize = 19;

/// How many bytes there are before a quotation mark, a backslash or a control character, or before the end.
#[inline(always)]
fn length_before_special(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, &word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(word));
        if special != 0 {
            return 8 * index + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    8 * words.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// Sets the highest bit of the first byte that is special, and perhaps of some after it.
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word;
    let equal = |byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    (less(word, 0x20) | equal(b'"') | equal(b'\\')) & (ONES * 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn is_json(text: &str) -> bool {
        let mut json = Json::new(text);
        json.skip(0).and_then(|()| json.end()).is_ok()
    }

    #[test]
    fn nesting_is_bounded_as_by_serde_json() {
        for depth in [1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 100_000] {
            for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
                let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                assert_eq!(is_json(&text), depth <= MAX_DEPTH);
                assert_eq!(serde_json::from_str::<Value>(&text).is_ok(), depth <= MAX_DEPTH);
            }
        }
    }

    #[test]
    fn a_string_ends_where_it_ends_at_any_length() {
        for length in 0..40 {
            let filler = "x".repeat(length);
            for special in
                ["\"", "\\n\"", "\\\"\"", "\\u00e9\"", "é\"", "\u{7f}\"", "\n\"", "\0\"", "\\x\"", ""]
            {
                let text = format!("\"{filler}{special}");
                let expected: Option<String> = serde_json::from_str(&text).ok();
                let read = Json::new(&text).scalar(0).ok().map(|scalar| match scalar {
                    Scalar::Text(text) => text.decode().into_owned(),
                    _ => panic!("a string was sent"),
                });
                assert_eq!(read, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn integers_of_64_bits_are_told_from_other_numbers() {
        fn int(text: &str) -> Read<Scalar<'_>> {
            Json::new(text).scalar(0)
        }
        for value in [0, 7, -1, 2_147_483_647, 999_999_999_999_999_999, i64::MAX, i64::MIN, -i64::MAX] {
            assert_eq!(int(&value.to_string()), Ok(Scalar::Int(value)));
        }
        for big in ["9223372036854775808", "9999999999999999999", "18446744073709551615"] {
            assert_eq!(int(big), Ok(Scalar::BigInt));
        }
        for (whole, value) in
            [("1.0", 1), ("1e2", 100), ("-0", 0), ("9007199254740993.0", 9_007_199_254_740_993)]
        {
            assert_eq!(int(whole), Ok(Scalar::WholeFloat(value)));
        }
        for other in
            ["18446744073709551616", "-9223372036854775809", "0.5", "1440.00000000000000000001", "1e19"]
        {
            assert_eq!(int(other), Ok(Scalar::Other));
        }
        for wrong in ["-", "01", "-01", "1.", "1e", "1e999", "--1", "1e+"] {
            assert!(int(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn json_is_what_serde_json_takes(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", " ", "\n", "\"a\"", "\"\\u00e9\"", "\"\\ud83d\"", "\"", "\\", "1", "-1",
                    "0", "1.5e3", "1e999", "null", "true", "false", "nul", "\"a\":", "{\"b\":1}", "[]", "{}", "é",
                ]),
                0..9,
            ),
        ) {
            for text in [parts.concat(), format!("[{}]", parts.join(",")), format!("{{\"a\":{}}}", parts.concat())] {
                prop_assert_eq!(is_json(&text), serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
