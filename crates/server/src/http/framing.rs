//! Where requests begin and end on an HTTP/1 connection, judged before hyper sees the bytes.
//!
//! hyper takes forms of which a proxy before this server may make something else: lines that end with LF alone,
//! a length beside chunks, codings before "chunked", one length sent twice. Two parsers that disagree about where
//! a request ends are how a request is hidden in another's body. So what RFC 9112 lets a server refuse for that
//! reason is refused: only bytes that can be read in one way get through.

mod fields;

use fields::{BodyLength, body_length};

/// The longest head of a chunk, and the longest trailer, with its line ends.
const MAX_CHUNK_HEAD_BYTES: usize = 4 << 10;
const MAX_TRAILER_BYTES: usize = 8 << 10;

/// More digits than any size of a chunk needs.
const MAX_SIZE_DIGITS: usize = 16;

/// No body is so large that a chunk of it could be larger.
const MAX_CHUNK_BYTES: u64 = u32::MAX as u64;

/// Follows the requests of a connection.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    max_head_bytes: usize,
    /// The head, the head of a chunk, or the trailer that is being read.
    part: Vec<u8>,
    refused: Option<Refused>,
}

/// Why nothing of a connection is let through any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It could be understood in two ways, or not at all.
    Ambiguous,
    /// A head, the head of a chunk or a trailer is over its limit.
    TooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of a body, or of a chunk, are to come.
    Body(u64),
    Chunk(u64),
    /// The line end after the data of a chunk.
    ChunkEnd,
    ChunkHead,
    Trailer,
}

impl Framing {
    /// Nothing but a fault, wherever a head or the head of a chunk is read.
    pub(super) const REFUSAL: u8 = 0;

    /// At the beginning of a connection. Longer heads are refused.
    pub(super) fn new(max_head_bytes: usize) -> Framing {
        Framing { state: State::Head, max_head_bytes, part: Vec::new(), refused: None }
    }

    /// Why nothing of the connection is let through any more; `None` while all is.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Looks at bytes that came in. From the first on that is not acceptable, all are overwritten with what
    /// every parser refuses at that place.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) {
        let mut rest = &mut bytes[..];
        while !rest.is_empty() && self.refused.is_none() {
            match self.step(rest) {
                Ok(taken) => rest = &mut rest[taken..],
                Err((taken, refused)) => {
                    rest = &mut rest[taken..];
                    self.refused = Some(refused);
                    self.part = Vec::new();
                }
            }
        }
        rest.fill(Framing::REFUSAL);
    }

    /// Takes some of `bytes`; how many, also of those before a fault.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, (usize, Refused)> {
        match self.state {
            State::Body(left) => {
                let (taken, left) = skip(bytes, left);
                self.state = if left == 0 { State::Head } else { State::Body(left) };
                Ok(taken)
            }
            State::Chunk(left) => {
                let (taken, left) = skip(bytes, left);
                self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                Ok(taken)
            }
            State::ChunkEnd => {
                let expected = b"\r\n"[self.part.len()];
                self.part.push(bytes[0]);
                if bytes[0] != expected {
                    return Err((0, Refused::Ambiguous));
                }
                if expected == b'\n' {
                    self.next_part(State::ChunkHead);
                }
                Ok(1)
            }
            State::Head | State::ChunkHead | State::Trailer => self.line(bytes),
        }
    }

    /// Reads on to the end of a line, and judges what ends with it.
    fn line(&mut self, bytes: &[u8]) -> Result<usize, (usize, Refused)> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        let fault_at = taken - 1;
        let max_bytes = match self.state {
            State::Head => self.max_head_bytes,
            State::ChunkHead => MAX_CHUNK_HEAD_BYTES,
            _ => MAX_TRAILER_BYTES,
        };
        if self.part.len() + taken > max_bytes {
            return Err((0, Refused::TooLarge));
        }
        self.part.extend_from_slice(&bytes[..taken]);
        if end.is_some() {
            // The last byte is the one that is overwritten: without it nobody takes what is before for whole.
            self.line_ended().map_err(|fault| (fault_at, fault))?;
        }
        Ok(taken)
    }

    fn line_ended(&mut self) -> Result<(), Refused> {
        if !self.part.ends_with(b"\r\n") {
            return Err(Refused::Ambiguous);
        }
        let next = match self.state {
            // Empty lines before a request are no part of it.
            State::Head if self.part == b"\r\n" => State::Head,
            State::Head if !self.part.ends_with(b"\r\n\r\n") => return Ok(()),
            State::Head => match body_length(&self.part[..self.part.len() - 2])? {
                BodyLength::Bytes(0) => State::Head,
                BodyLength::Bytes(length) => State::Body(length),
                BodyLength::Chunked => State::ChunkHead,
            },
            State::ChunkHead => match chunk_bytes(&self.part[..self.part.len() - 2])? {
                0 => State::Trailer,
                length => State::Chunk(length),
            },
            State::Trailer if self.part == b"\r\n" => State::Head,
            State::Trailer if !self.part.ends_with(b"\r\n\r\n") => return Ok(()),
            State::Trailer => {
                fields::check_all(&self.part[..self.part.len() - 2])?;
                State::Head
            }
            _ => return Err(Refused::Ambiguous),
        };
        self.next_part(next);
        Ok(())
    }

    fn next_part(&mut self, state: State) {
        self.state = state;
        // A connection that waits holds nothing.
        self.part = Vec::new();
    }
}

fn skip(bytes: &[u8], left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (taken, left - taken as u64)
}

/// The size in the head of a chunk, without its line end: hex digits, and extensions that nobody reads.
fn chunk_bytes(line: &[u8]) -> Result<u64, Refused> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let is_text = extension.iter().all(|&byte| byte == b'\t' || (b' '..0x7f).contains(&byte));
    let is_extension = extension.trim_ascii_start().first().is_none_or(|&byte| byte == b';');
    // Spaces alone after the size are no extension.
    let is_nothing = extension.is_empty();
    if !is_text || !is_extension || (!is_nothing && extension.trim_ascii().is_empty()) {
        return Err(Refused::Ambiguous);
    }
    if !(1..=MAX_SIZE_DIGITS).contains(&digits) {
        return Err(Refused::Ambiguous);
    }
    let size = std::str::from_utf8(size).map_err(|_| Refused::Ambiguous)?;
    let size = u64::from_str_radix(size, 16).map_err(|_| Refused::Ambiguous)?;
    if size <= MAX_CHUNK_BYTES { Ok(size) } else { Err(Refused::Ambiguous) }
}

#[cfg(test)]
mod tests;
