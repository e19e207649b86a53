//! The name of the JavaScript function that receives the browser's id.

use super::BadPixel;

/// The longest name, in characters.
const MAX_CHARS: usize = 64;

/// The name, if it matches `[A-Za-z_$][\w$.]{0,63}`; the error tells the rule.
pub(crate) fn callback(sent: Option<&str>) -> Result<&str, BadPixel> {
    let name = sent.ok_or(BadPixel("'callback' is required".into()))?;
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$';
    let is_name = name.len() <= MAX_CHARS
        && name.bytes().next().is_some_and(is_start)
        && name.bytes().all(|byte| is_start(byte) || byte.is_ascii_digit() || byte == b'.');
    let bad = "'callback' must be the name of a function: 1 to 64 letters, digits, '_', '$' or '.', the first no digit and no '.'";
    if is_name { Ok(name) } else { Err(BadPixel(bad.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_nothing_more() {
        let longest = "x".repeat(64);
        for name in ["f", "_", "$", "a.b.c_1$", "jQuery.cb0", &longest] {
            assert_eq!(callback(Some(name)), Ok(name));
        }
        let too_long = "x".repeat(65);
        for name in [
            "",
            "1f",
            ".f",
            "f()",
            "alert(1)//",
            "f;g",
            "f g",
            "f\n",
            "<script>",
            "f-g",
            "f[0]",
            "f'",
            "f\"",
            "\u{e9}",
            "f\u{2028}",
            "f/**/",
            "a,b",
            &too_long,
        ] {
            assert!(callback(Some(name)).is_err(), "{name:?}");
        }
        assert!(callback(None).is_err());
    }
}
