//! Writes small files, for tests and for the fuzz target.

use super::MAGIC;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::Write;

pub(crate) const SYNC: [u8; 16] = *b"between all ends";

/// The form of an `int` or a `long`.
pub(crate) fn long(value: i64) -> Vec<u8> {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// The form of `bytes` or of a `string`.
pub(crate) fn text(content: &[u8]) -> Vec<u8> {
    [long(content.len() as i64).as_slice(), content].concat()
}

/// A file of blocks, each with its count of records and their bytes, which are packed here.
pub(crate) fn container(schema: &[u8], codec: &str, blocks: &[(i64, &[u8])]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    file.extend(long(2));
    for (key, value) in [("avro.schema", schema), ("avro.codec", codec.as_bytes())] {
        file.extend(text(key.as_bytes()));
        file.extend(text(value));
    }
    file.extend(long(0));
    file.extend(SYNC);
    for (count, bytes) in blocks {
        file.extend(block(codec, *count, bytes));
    }
    file
}

/// A block that says that it has so many records.
pub(crate) fn block(codec: &str, count: i64, bytes: &[u8]) -> Vec<u8> {
    [long(count).as_slice(), &text(&pack(codec, bytes)), &SYNC].concat()
}

fn pack(codec: &str, bytes: &[u8]) -> Vec<u8> {
    match codec {
        "deflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).expect("room in memory");
            encoder.finish().expect("room in memory")
        }
        "snappy" => {
            let mut packed = snap::raw::Encoder::new().compress_vec(bytes).expect("room in memory");
            let mut crc = Crc::new();
            crc.update(bytes);
            packed.extend(crc.sum().to_be_bytes());
            packed
        }
        _ => bytes.to_vec(),
    }
}
