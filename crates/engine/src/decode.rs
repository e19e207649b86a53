//! Unpacks request bodies: from the bytes on the wire to the bytes of the JSON.

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// The first bytes of every gzip stream. No text in UTF-8 begins with them.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Some editors and languages write it in front of UTF-8. It is no part of the text.
pub(crate) const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// How a body is compressed, by its `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not said to be compressed.
    Identity,
    /// With gzip.
    Gzip,
}

/// The first bytes of every zstd frame.
pub(crate) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether it begins as zlib (deflate) does, at the usual levels.
pub(crate) fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [0x78, 0x01 | 0x9c | 0xda, ..])
}

/// Whether it begins with the byte order mark of UTF-16 or of UTF-32.
pub(crate) fn has_wide_mark(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..])
}

/// A body as it was sent.
#[derive(Debug)]
pub struct RawBody {
    /// The bytes on the wire; without compression at most `max_bytes`.
    pub bytes: Bytes,
    /// How they are said to be compressed.
    pub encoding: Encoding,
    /// The limit of the decoded body.
    pub max_bytes: usize,
}

/// A body that cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not a gzip stream, or the stream is cut short.
    #[error("The request body is not valid gzip")]
    NotGzip,
    /// The decoded body is over the limit.
    #[error("The request body is larger than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
}

impl RawBody {
    /// Whether it is unpacked: also without a `Content-Encoding` where it begins as gzip does.
    pub fn is_packed(&self) -> bool {
        self.encoding == Encoding::Gzip || self.bytes.starts_with(&GZIP_MAGIC)
    }

    /// The decoded body, without a byte order mark. Unpacking stops at the limit, however much would follow.
    pub fn decode(self) -> Result<Bytes, DecodeError> {
        let decoded = if self.is_packed() { self.unpacked()? } else { self.bytes };
        let mark = if decoded.starts_with(&BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Ok(decoded.slice(mark..))
    }

    fn unpacked(&self) -> Result<Bytes, DecodeError> {
        let mut decoded = Vec::new();
        MultiGzDecoder::new(self.bytes.as_ref())
            .take(self.max_bytes as u64 + 1)
            .read_to_end(&mut decoded)
            .map_err(|_| DecodeError::NotGzip)?;
        if decoded.len() > self.max_bytes {
            return Err(DecodeError::TooLarge { max_bytes: self.max_bytes });
        }
        Ok(decoded.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap().into()
    }

    fn decode(bytes: Bytes, max_bytes: usize) -> Result<Bytes, DecodeError> {
        RawBody { bytes, encoding: Encoding::Gzip, max_bytes }.decode()
    }

    #[test]
    fn gzip_is_found_without_a_header_and_a_byte_order_mark_is_skipped() {
        let unmarked = |bytes, max_bytes| RawBody { bytes, encoding: Encoding::Identity, max_bytes }.decode();
        assert_eq!(unmarked(gzip(b"{}"), 99).unwrap(), "{}");
        assert!(matches!(unmarked(gzip(b"abcd"), 3), Err(DecodeError::TooLarge { max_bytes: 3 })));
        assert!(matches!(unmarked(gzip(b"abc").slice(..9), 99), Err(DecodeError::NotGzip)));
        assert_eq!(unmarked("\u{feff}{}".into(), 99).unwrap(), "{}");
        assert_eq!(unmarked(gzip("\u{feff}{}".as_bytes()), 99).unwrap(), "{}");
        assert_eq!(unmarked("\u{feff}".into(), 99).unwrap(), "");
        let twice = gzip(&gzip(b"{}"));
        assert!(unmarked(twice, 99).unwrap().starts_with(&GZIP_MAGIC), "unpacked once");
    }

    #[test]
    fn gzip_is_unpacked_up_to_the_bound() {
        assert_eq!(decode(gzip(b"abc"), 3).unwrap(), "abc");
        assert!(matches!(decode(gzip(b"abcd"), 3), Err(DecodeError::TooLarge { max_bytes: 3 })));
        let bomb = gzip(&vec![b' '; 50 << 20]);
        assert!(bomb.len() < 100 << 10);
        assert!(matches!(decode(bomb, 1 << 20), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn what_is_no_gzip_is_refused() {
        let packed = gzip(b"abc");
        assert!(matches!(decode(packed.slice(..packed.len() - 1), 99), Err(DecodeError::NotGzip)));
        assert!(matches!(decode("abc".into(), 99), Err(DecodeError::NotGzip)));
        assert!(matches!(decode(Bytes::new(), 99), Err(DecodeError::NotGzip)));
    }
}
