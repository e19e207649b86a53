//! Pieces of JSON for answers that are written by hand.

/// Appends a number.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a string, in its quotes.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    // Without an early end, so that the compiler looks at many bytes at once.
    let is_plain =
        text.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("writing a string to a Vec does not fail");
    }
}
