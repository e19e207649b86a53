//! Writes Avro object container files: as much of the format as the bench needs.

use super::crowd::Crowd;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::{self, Write};

/// As senders have it, with the kinds of ids that the server takes.
const SCHEMA: &str = r#"{"type":"record","name":"segment_data","fields":[{"name":"uid","type":["long",{"type":"record","name":"device_id","fields":[{"name":"id","type":"string"},{"name":"domain","type":{"type":"enum","name":"domain","symbols":["idfa","sha1udid","md5udid","openudid","aaid","windowsadid","rida","tifa","vida","lgudid"]}}]},{"type":"record","name":"external_id","fields":[{"name":"id","type":"string"},{"name":"member_id","type":"int"}]}]},{"name":"segments","type":{"type":"array","items":{"type":"record","name":"segment","fields":[{"name":"id","type":"int","default":0},{"name":"code","type":"string","default":""},{"name":"member_id","type":"int","default":0},{"name":"expiration","type":"int","default":0},{"name":"timestamp","type":"long","default":0},{"name":"value","type":"int","default":0}]}}}]}"#;

/// Any 16 bytes that separate blocks.
const SYNC: [u8; 16] = *b"ia-bench-of-file";

/// The libraries that senders use end a block at some 16 to 64 KiB unpacked.
const RECORDS_PER_BLOCK: u64 = 1000;

/// The users of a crowd, packed by deflate.
pub(super) fn deflated(crowd: &Crowd) -> io::Result<Vec<u8>> {
    let mut file = b"Obj\x01".to_vec();
    long(&mut file, 2);
    bytes(&mut file, b"avro.schema");
    bytes(&mut file, SCHEMA.as_bytes());
    bytes(&mut file, b"avro.codec");
    bytes(&mut file, b"deflate");
    long(&mut file, 0);
    file.extend_from_slice(&SYNC);
    let mut block = Vec::new();
    let mut first = 0;
    while first < crowd.users() {
        let users = first..(first + RECORDS_PER_BLOCK).min(crowd.users());
        block.clear();
        for user in users.clone() {
            record(&mut block, crowd, user);
        }
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&block)?;
        long(&mut file, signed(users.end - users.start));
        bytes(&mut file, &packed.finish()?);
        file.extend_from_slice(&SYNC);
        first = users.end;
    }
    Ok(file)
}

fn record(out: &mut Vec<u8>, crowd: &Crowd, user: u64) {
    // The first branch of the union.
    long(out, 0);
    long(out, signed(crowd.id(user)));
    let memberships: Vec<_> = crowd.memberships(user).collect();
    long(out, signed(memberships.len() as u64));
    for membership in memberships {
        long(out, membership.segment.into());
        bytes(out, b"");
        long(out, 0);
        long(out, membership.expiration.into());
        long(out, 0);
        long(out, membership.value.into());
    }
    long(out, 0);
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("ids and counts are below 2^63")
}

/// Zigzag, then seven bits a byte, the lowest first.
fn long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn bytes(out: &mut Vec<u8>, content: &[u8]) {
    long(out, signed(content.len() as u64));
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::DeflateDecoder;
    use std::io::Read;

    /// Reads what [`long`] writes.
    fn read_long(input: &mut &[u8]) -> i64 {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let byte = input[0];
            *input = &input[1..];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
            }
        }
    }

    fn read_bytes<'i>(input: &mut &'i [u8]) -> &'i [u8] {
        let length = usize::try_from(read_long(input)).unwrap();
        let (content, rest) = input.split_at(length);
        *input = rest;
        content
    }

    #[test]
    fn numbers_are_written_as_the_format_says() {
        // The examples of the specification.
        for (number, expected) in
            [(0, vec![0]), (-1, vec![1]), (1, vec![2]), (-64, vec![0x7f]), (64, vec![0x80, 1])]
        {
            let mut out = Vec::new();
            long(&mut out, number);
            assert_eq!(out, expected);
        }
        for number in [i64::MIN, -1, 0, 1440, i64::MAX] {
            let mut out = Vec::new();
            long(&mut out, number);
            assert_eq!(read_long(&mut &out[..]), number);
        }
    }

    #[test]
    fn a_file_has_every_membership() {
        serde_json::from_str::<serde_json::Value>(SCHEMA).unwrap();
        let crowd = Crowd::new(1, 2500);
        let file = deflated(&crowd).unwrap();
        let mut input = file.strip_prefix(b"Obj\x01").unwrap();
        assert_eq!(read_long(&mut input), 2);
        let header: Vec<&[u8]> = (0..4).map(|_| read_bytes(&mut input)).collect();
        assert_eq!(header, [b"avro.schema", SCHEMA.as_bytes(), b"avro.codec", b"deflate"]);
        assert_eq!(read_long(&mut input), 0);
        input = input.strip_prefix(&SYNC).unwrap();
        let mut user = 0;
        while !input.is_empty() {
            let count = read_long(&mut input);
            let mut block = Vec::new();
            DeflateDecoder::new(read_bytes(&mut input)).read_to_end(&mut block).unwrap();
            input = input.strip_prefix(&SYNC).unwrap();
            let mut block = &block[..];
            for _ in 0..count {
                assert_eq!((read_long(&mut block), read_long(&mut block)), (0, signed(crowd.id(user))));
                let length = read_long(&mut block);
                let found: Vec<[i64; 3]> = (0..length)
                    .map(|_| {
                        let segment = read_long(&mut block);
                        assert_eq!((read_bytes(&mut block), read_long(&mut block)), (&b""[..], 0));
                        let expiration = read_long(&mut block);
                        assert_eq!(read_long(&mut block), 0);
                        [segment, expiration, read_long(&mut block)]
                    })
                    .collect();
                assert_eq!(read_long(&mut block), 0);
                let expected = crowd.memberships(user);
                let expected: Vec<[i64; 3]> =
                    expected.map(|m| [m.segment, m.expiration, m.value].map(i64::from)).collect();
                assert_eq!(found, expected);
                user += 1;
            }
            assert!(block.is_empty());
        }
        assert_eq!(user, 2500);
    }
}
