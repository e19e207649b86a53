//! What a file is, by its first bytes: text, Avro, or something that is named in the error.

use super::{FileFault, avro};
use crate::decode;

/// How many bytes of a file are looked at.
pub(super) const START_BYTES: usize = 512;

/// Formats of files that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// Lines of text.
    Text,
    /// An Avro object container file.
    Avro,
}

/// Each begins with bytes that no line of a user begins with.
const COMPRESSED: [(&[u8], &str); 9] = [
    (&decode::GZIP_MAGIC, "gzip a second time; only one layer is unpacked"),
    (&decode::ZSTD_MAGIC, "zstd; only gzip is unpacked"),
    (b"PK\x03\x04", "zip; only gzip is unpacked"),
    (b"PK\x05\x06", "zip; only gzip is unpacked"),
    (b"7z\xbc\xaf\x27\x1c", "7z; only gzip is unpacked"),
    (b"\xfd7zXZ\0", "xz; only gzip is unpacked"),
    (b"\x04\x22\x4d\x18", "lz4; only gzip is unpacked"),
    (b"\xff\x06\0\0sNaPpY", "snappy; only gzip is unpacked"),
    (b"\x1f\x9d", "compress; only gzip is unpacked"),
];

/// Finds what a file is. `start` is its first [`START_BYTES`] bytes, unpacked, or all of a shorter one. What is nothing
/// known is text.
pub(super) fn format_of(start: &[u8]) -> Result<FileFormat, FileFault> {
    if start.starts_with(&avro::MAGIC) {
        return Ok(FileFormat::Avro);
    }
    let packer = COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic)).map(|&(_, name)| name);
    if let Some(name) = packer.or_else(|| packed_otherwise(start)) {
        return Err(fault("unsupported-compression", &format!("the file is compressed with {name}")));
    }
    if decode::has_wide_mark(start) || is_wide(start) {
        return Err(fault(
            "unsupported-encoding",
            "the file is UTF-16 or UTF-32; UTF-8 or Latin-1 is expected",
        ));
    }
    let text = start.strip_prefix(&decode::BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    match other_format(start, text) {
        Some(name) => Err(fault(
            "unsupported-format",
            &format!("the file is {name}; lines of text or Avro are expected"),
        )),
        None => Ok(FileFormat::Text),
    }
}

fn fault(code: &'static str, detail: &str) -> FileFault {
    FileFault::Damaged { code, detail: detail.to_owned() }
}

fn packed_otherwise(start: &[u8]) -> Option<&'static str> {
    let is_bzip2 = matches!(start, [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]);
    if is_bzip2 {
        return Some("bzip2; only gzip is unpacked");
    }
    decode::is_zlib(start).then_some("zlib (deflate); only gzip is unpacked")
}

/// ASCII in UTF-16 or UTF-32 without a byte order mark: every second byte is zero, or three of four are.
fn is_wide(start: &[u8]) -> bool {
    let is_letter = |index: &usize| start[*index] != 0;
    let letters: Vec<usize> = (0..start.len().min(8)).filter(is_letter).collect();
    matches!(*letters, [0, 2, 4, 6] | [1, 3, 5, 7] | [0, 4] | [3, 7])
}

/// `text` is `start` without what may stand before a document.
fn other_format(start: &[u8], text: &[u8]) -> Option<&'static str> {
    let then =
        |rest: &[u8], signs: &[u8]| rest.trim_ascii_start().first().is_some_and(|sign| signs.contains(sign));
    Some(match text {
        // A UUID may stand in braces, so a brace alone says nothing.
        [b'{', rest @ ..] if then(rest, b"\"}") => "JSON",
        [b'[', rest @ ..] if then(rest, b"{[\"]") => "JSON",
        [b'<', b'?' | b'!' | b'a'..=b'z' | b'A'..=b'Z', ..] => "XML or HTML",
        [b'-', b'-', ..] if memchr::memmem::find(text, b"Content-Disposition:").is_some() => {
            "a multipart form, which should be the file itself"
        }
        _ if matches!(start, [b'P', b'A', b'R', b'1', 0..=0x1f, ..] | b"PAR1") => "Parquet",
        _ if start.get(257..262) == Some(b"ustar") => "a tar archive",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(start: &[u8]) -> &'static str {
        match format_of(start) {
            Ok(FileFormat::Text) => "text",
            Ok(FileFormat::Avro) => "avro",
            Err(FileFault::Damaged { code, .. }) => code,
            Err(fault) => panic!("{fault}"),
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        let mut tar = [0; START_BYTES];
        tar[257..262].copy_from_slice(b"ustar");
        tar[..5].copy_from_slice(b"a.txt");
        let utf16: Vec<u8> = "12345:100".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16_be: Vec<u8> = "12345:100".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let utf32: Vec<u8> = "12345:100".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let cases: [(&[u8], &str); 27] = [
            (b"Obj\x01\x04", "avro"),
            (b"\x1f\x8b\x08", "unsupported-compression"),
            (b"\x28\xb5\x2f\xfd\x04", "unsupported-compression"),
            (b"PK\x03\x04\x14", "unsupported-compression"),
            (b"BZh91AY&SY", "unsupported-compression"),
            (b"\xfd7zXZ\0\0", "unsupported-compression"),
            (b"x\x9c\xab", "unsupported-compression"),
            (b"\xff\xfe1\0", "unsupported-encoding"),
            (b"\xfe\xff\x001", "unsupported-encoding"),
            (&utf16, "unsupported-encoding"),
            (&utf16_be, "unsupported-encoding"),
            (&utf32, "unsupported-encoding"),
            (b"{\"rt_segment\": []}", "unsupported-format"),
            (b"\xef\xbb\xbf\n[\n  {\"user_id\"", "unsupported-format"),
            (b"<?xml version", "unsupported-format"),
            (b"<html>", "unsupported-format"),
            (b"--x\r\nContent-Disposition: form-data; name=\"file\"", "unsupported-format"),
            (b"PAR1\x15\x04", "unsupported-format"),
            (&tar, "unsupported-format"),
            (b"", "text"),
            (b"12345:100,5,0", "text"),
            (b"{AEBE52E7-03EE-455A-B3C4-E57283966239}:100^3", "text"),
            (b"PAR1:100", "text"),
            (b"BZh9:100", "text"),
            (b"x:100", "text"),
            (b"\0a:100", "text"),
            (b"--1:100", "text"),
        ];
        for (start, expected) in cases {
            assert_eq!(code_of(start), expected, "{}", start.escape_ascii());
            for length in 0..start.len() {
                code_of(&start[..length]);
            }
        }
    }
}
