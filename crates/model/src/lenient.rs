//! Numbers as clients print them.

/// Reads a decimal number that has a whole value: `"1440"`, `"1440.0"`, `"1.44e3"`, with white space around.
///
/// `None` for fractions, anything else, and what does not fit. Exact: it works on the digits.
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let exponent = exponent.map_or(Some(0), self::exponent)?;
    // How many digits stand before the point once the exponent has moved it.
    let before = i64::try_from(whole.len()).ok()?.saturating_add(exponent);
    let mut value: i64 = 0;
    let mut place: i64 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).map(|byte| i64::from(byte - b'0')) {
        if place < before {
            value = value.checked_mul(10)?.checked_sub(digit)?;
        } else if digit != 0 {
            return None;
        }
        place += 1;
    }
    while place < before && value != 0 {
        value = value.checked_mul(10)?;
        place += 1;
    }
    // Built up below zero, where there is one number more.
    if is_negative { Some(value) } else { value.checked_neg() }
}

/// An exponent. One beyond any number of digits is cut off there.
fn exponent(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let most = i64::MAX / 2;
    let exponent = digits.parse::<i64>().unwrap_or(most).min(most);
    Some(if is_negative { -exponent } else { exponent })
}

#[cfg(test)]
mod tests {
    use super::integer;
    use proptest::prelude::*;

    #[test]
    fn a_whole_number_in_any_form() {
        for (text, value) in [
            ("1440", 1440),
            (" 1440\t", 1440),
            ("1440.0", 1440),
            ("1440.", 1440),
            ("1.44e3", 1440),
            ("1.440E+3", 1440),
            ("144000e-2", 1440),
            ("007", 7),
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e99999999999999999999", 0),
            ("0.00e-99999999999999999999", 0),
            ("-1", -1),
            ("-1.0", -1),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808.00", i64::MIN),
            ("9.223372036854775807e18", i64::MAX),
            ("0.00000000000000000000000000000000001e35", 1),
            (&format!("1{}e-5000", "0".repeat(5000)), 1),
            (&format!("{}1", "0".repeat(5000)), 1),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
    }

    #[test]
    fn nothing_else() {
        for text in [
            "",
            " ",
            "-",
            "+1",
            "--1",
            "- 1",
            "1 440",
            "1,440",
            "1_440",
            ".5e1",
            ".",
            "1.5",
            "0.1",
            "1e-1",
            "1440.0000000000000000001",
            "1e",
            "1e+",
            "1e1.0",
            "1e1e1",
            "e3",
            "1.0.0",
            "0x10",
            "NaN",
            "inf",
            "Infinity",
            "null",
            "true",
            "9223372036854775808",
            "-9223372036854775809",
            "1e19",
            "1e400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "\u{661}",
            "\u{ff11}",
            "1\0",
        ] {
            assert_eq!(integer(text), None, "{text:?}");
        }
    }

    proptest! {
        /// Any number, with its point moved and its exponent to match.
        #[test]
        fn moving_the_point_changes_nothing(value in any::<i64>(), left in 0..25usize, zeros in 0..5usize) {
            let sign = if value < 0 { "-" } else { "" };
            let digits = format!("{:025}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(25 - left);
            let whole = if whole.is_empty() { "0" } else { whole };
            let text = format!("{sign}{whole}.{fraction}{}e{left}", "0".repeat(zeros));
            prop_assert_eq!(integer(&text), Some(value));
            prop_assert_eq!(integer(&value.to_string()), Some(value));
        }

        #[test]
        fn a_number_with_a_fraction_is_none(value in any::<i32>(), fraction in "[0-9]{0,30}[1-9]0{0,3}") {
            prop_assert_eq!(integer(&format!("{value}.{fraction}")), None);
        }

        #[test]
        fn any_text_ends_soon(text in "[-+0-9.eE ]{0,40}") {
            let _ = integer(&text);
        }
    }
}
