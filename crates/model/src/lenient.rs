//! Integers as clients write them.

/// Reads a decimal number that has a whole value: `1440`, `1440.0`, `1.44e3`, with white space around. Data frames and
/// some languages print integers so.
///
/// `None` for a fraction, for anything else, and for what does not fit. Exact: no float is involved.
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| unusual_integer(text))
}

/// [`integer`] from 0 to 4294967295, such as an id or a place in a list.
pub fn unsigned(text: &str) -> Option<u32> {
    integer(text).and_then(|value| u32::try_from(value).ok())
}

#[cold]
fn unusual_integer(text: &str) -> Option<i64> {
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let digits = || whole.bytes().chain(fraction.bytes());
    // Without the zeros at both ends, which say only where the point is.
    let Some(first) = digits().position(|digit| digit != b'0') else {
        return exponent_of(exponent).map(|_| 0);
    };
    let zeros_behind = digits().rev().take_while(|&digit| digit == b'0').count();
    let length = whole.len() + fraction.len() - zeros_behind - first;
    let scale = exponent_of(exponent)?
        .checked_add(i64::try_from(zeros_behind).ok()?)?
        .checked_sub(i64::try_from(fraction.len()).ok()?)?;
    // What has a fraction ends here, and so does what has more digits than an `i64`.
    let power = 10_i64.checked_pow(u32::try_from(scale).ok()?)?;
    digits()
        .skip(first)
        .take(length)
        .try_fold(0_i64, |value, digit| {
            let digit = i64::from(digit - b'0');
            // Downwards, since the smallest number has no positive counterpart.
            value.checked_mul(10)?.checked_sub(digit)
        })?
        .checked_mul(power)
        .and_then(|value| if is_negative { Some(value) } else { value.checked_neg() })
}

/// The value of an exponent; one that is too large to be read is `None`.
fn exponent_of(text: &str) -> Option<i64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::integer;
    use proptest::prelude::*;

    #[test]
    fn whole_values_are_read_in_every_form() {
        let cases = [
            ("1440", 1440),
            ("1440.0", 1440),
            ("1440.000", 1440),
            ("1.44e3", 1440),
            ("1.44E+3", 1440),
            ("14400e-1", 1440),
            ("0.144e4", 1440),
            (" 1440\t", 1440),
            ("+7", 7),
            ("007.0", 7),
            ("-1.0", -1),
            ("-0", 0),
            ("-0.0e5", 0),
            ("0e-999", 0),
            ("100000000000000000000000e-20", 1000),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9223372036854775807.0", i64::MAX),
            ("-9223372036854775808.0", i64::MIN),
        ];
        for (text, value) in cases {
            assert_eq!(integer(text), Some(value), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_whole_number_of_64_bits_is_refused() {
        let cases = [
            "",
            " ",
            "-",
            "+",
            ".",
            "1.",
            ".5",
            "0.5",
            "1440.5",
            "1e-1",
            "1440.0000000000000000000001",
            "NaN",
            "nan",
            "inf",
            "Infinity",
            "-Infinity",
            "9223372036854775808",
            "9223372036854775808.0",
            "1e19",
            "1e400",
            "1e",
            "e3",
            "1e3.0",
            "1e99999999999999999999",
            "0e99999999999999999999",
            "0x10",
            "1_000",
            "1,000",
            "1 000",
            "--1",
            "+-1",
            "1e+-1",
            "1.0.0",
            "1e1e1",
            "１２",
            "true",
            "null",
        ];
        for text in cases {
            assert_eq!(integer(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_place_of_the_point_does_not_matter(value in any::<i64>(), zeros in 0_usize..30, up in 0_usize..30) {
            let digits = value.unsigned_abs().to_string();
            let sign = if value < 0 { "-" } else { "" };
            let cut = digits.len() - up.min(digits.len());
            let (front, back) = digits.split_at(cut);
            let front = if front.is_empty() { "0" } else { front };
            let pad = "0".repeat(zeros);
            prop_assert_eq!(integer(&format!("{sign}{pad}{front}.{back}{pad}0e{}", back.len())), Some(value));
            prop_assert_eq!(integer(&format!("{sign}{digits}{pad}e-{zeros}")), Some(value));
            prop_assert_eq!(integer(&format!("{sign}{digits}.{pad}1")), None);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            integer(&text);
        }
    }
}
