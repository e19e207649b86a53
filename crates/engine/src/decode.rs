//! Unpacks request bodies: from the bytes on the wire to the bytes of the JSON.

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// How a body is compressed (`Content-Encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not compressed.
    Identity,
    /// With gzip.
    Gzip,
}

/// A body as it was sent.
#[derive(Debug)]
pub struct RawBody {
    /// The bytes on the wire; without compression at most `max_bytes`.
    pub bytes: Bytes,
    /// How they are compressed.
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
    /// The decoded body. Unpacking stops at the limit, however much would follow.
    pub fn decode(self) -> Result<Bytes, DecodeError> {
        match self.encoding {
            Encoding::Identity => Ok(self.bytes),
            Encoding::Gzip => {
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
