//! Where a body ends, and its data. As strict as [`super::head`], for the same reason.

use super::Refused;
use super::head::{BodyLength, field};
use bytes::{Bytes, BytesMut};

/// The longest head of a chunk, and the longest trailer, with its line ends.
const MAX_CHUNK_HEAD_BYTES: usize = 4 << 10;
const MAX_TRAILER_BYTES: usize = 8 << 10;

/// More digits than any size of a chunk needs.
const MAX_SIZE_DIGITS: usize = 16;

/// No body is so large that a chunk of it could be larger.
const MAX_CHUNK_BYTES: u64 = u32::MAX as u64;

/// Takes a body from the bytes that come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyDecoder {
    /// Bytes of a body without chunks that are to come.
    Length(u64),
    ChunkHead,
    /// Bytes of a chunk that are to come.
    Chunk(u64),
    /// The line end after the data of a chunk.
    ChunkEnd,
    /// Bytes of the trailer that were read.
    Trailer(usize),
    Ended,
    /// Nothing more is taken: what follows a fault could be anything.
    Refused(Refused),
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Data(Bytes),
    Incomplete,
    Ended,
}

impl BodyDecoder {
    pub(super) fn new(length: BodyLength) -> BodyDecoder {
        match length {
            BodyLength::Bytes(length) => BodyDecoder::Length(length).or_ended(),
            BodyLength::Chunked => BodyDecoder::ChunkHead,
        }
    }

    /// Takes what can be taken from the front of `received`. After a fault it fails for good.
    pub(super) fn decode(&mut self, received: &mut BytesMut) -> Result<Decoded, Refused> {
        let decoded = self.step(received);
        if let Err(refused) = decoded {
            *self = BodyDecoder::Refused(refused);
        }
        decoded
    }

    fn step(&mut self, received: &mut BytesMut) -> Result<Decoded, Refused> {
        loop {
            match *self {
                BodyDecoder::Ended => return Ok(Decoded::Ended),
                BodyDecoder::Refused(refused) => return Err(refused),
                _ if received.is_empty() => return Ok(Decoded::Incomplete),
                BodyDecoder::Length(left) => {
                    let (data, left) = take(received, left);
                    *self = BodyDecoder::Length(left).or_ended();
                    return Ok(Decoded::Data(data));
                }
                BodyDecoder::Chunk(left) => {
                    let (data, left) = take(received, left);
                    *self = if left == 0 { BodyDecoder::ChunkEnd } else { BodyDecoder::Chunk(left) };
                    return Ok(Decoded::Data(data));
                }
                BodyDecoder::ChunkEnd => match line(received, 2)? {
                    Some(end) if end.is_empty() => *self = BodyDecoder::ChunkHead,
                    Some(_) => return Err(Refused::Malformed),
                    None => return Ok(Decoded::Incomplete),
                },
                BodyDecoder::ChunkHead => match line(received, MAX_CHUNK_HEAD_BYTES)? {
                    Some(head) => {
                        *self = match chunk_bytes(&head)? {
                            0 => BodyDecoder::Trailer(0),
                            length => BodyDecoder::Chunk(length),
                        }
                    }
                    None => return Ok(Decoded::Incomplete),
                },
                BodyDecoder::Trailer(read) => match line(received, MAX_TRAILER_BYTES - read)? {
                    Some(end) if end.is_empty() => *self = BodyDecoder::Ended,
                    Some(trailer) => {
                        field(&trailer)?;
                        *self = BodyDecoder::Trailer(read + trailer.len() + 2);
                    }
                    None => return Ok(Decoded::Incomplete),
                },
            }
        }
    }

    fn or_ended(self) -> BodyDecoder {
        if self == BodyDecoder::Length(0) { BodyDecoder::Ended } else { self }
    }
}

fn take(received: &mut BytesMut, left: u64) -> (Bytes, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(received.len());
    (received.split_to(taken).freeze(), left - taken as u64)
}

/// Takes a line of at most `max_bytes` with its CR LF, and returns it without; `None` while it is not complete.
fn line(received: &mut BytesMut, max_bytes: usize) -> Result<Option<BytesMut>, Refused> {
    let end = received.iter().take(max_bytes).position(|&byte| byte == b'\n');
    let Some(end) = end else {
        return if received.len() < max_bytes { Ok(None) } else { Err(Refused::TooLarge) };
    };
    let mut line = received.split_to(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err(Refused::Malformed);
    }
    line.truncate(end - 1);
    Ok(Some(line))
}

/// The size in the head of a chunk, without its line end: hex digits, and extensions that nobody reads.
fn chunk_bytes(line: &[u8]) -> Result<u64, Refused> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let is_text = extension.iter().all(|&byte| byte == b'\t' || (b' '..0x7f).contains(&byte));
    // Spaces alone after the size are no extension.
    let is_extension = extension.is_empty() || extension.trim_ascii_start().first() == Some(&b';');
    if !is_text || !is_extension || !(1..=MAX_SIZE_DIGITS).contains(&digits) {
        return Err(Refused::Malformed);
    }
    let size = std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
    size.filter(|&size| size <= MAX_CHUNK_BYTES).ok_or(Refused::Malformed)
}
