//! The bytes of file headers and frames; `docs/FORMAT.md` describes them.

use crate::Fault;

/// The version of the log's format that this program writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The size of a file's header.
pub(crate) const FILE_HEADER_BYTES: u64 = 32;
/// The size of a frame's header, and of a whole mark.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;
/// The room that is kept for a mark behind the last frame.
pub(crate) const MARK_BYTES: u64 = FRAME_HEADER_BYTES as u64;
/// The largest payload that the format can hold; larger lengths are marks.
pub(crate) const FORMAT_MAX_PAYLOAD_BYTES: usize = 0xffff_ff00;

const MAGIC: [u8; 8] = *b"IA-LOG\r\n";
const LENGTH_OF_FLUSHED_MARK: u32 = u32::MAX;
const LENGTH_OF_SEALED_MARK: u32 = u32::MAX - 1;

/// The suffix of a log file's name, after the twenty digits of its first position.
const SUFFIX: &str = ".log";
/// The suffix of a file that is not yet part of the log.
const UNFINISHED_SUFFIX: &str = ".log.new";
const DIGITS: usize = 20;

/// The header of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) first_position: u64,
    /// Random. It enters every checksum of the file, so that no payload can look like a frame.
    pub(crate) salt: u64,
}

/// Why bytes are not a file header of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Invalid,
    UnknownVersion(u32),
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_BYTES as usize] {
        let mut bytes = [0; FILE_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_position.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = header_checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<FileHeader, HeaderFault> {
        if bytes.len() < FILE_HEADER_BYTES as usize || bytes[..8] != MAGIC {
            return Err(HeaderFault::Invalid);
        }
        // Before the checksum: a later version may place or compute it differently.
        match u32_at(bytes, 8) {
            FORMAT_VERSION => {}
            // There is no such version: the header was never written to its end.
            0 => return Err(HeaderFault::Invalid),
            version => return Err(HeaderFault::UnknownVersion(version)),
        }
        if u32_at(bytes, 12) != header_checksum(bytes) {
            return Err(HeaderFault::Invalid);
        }
        Ok(FileHeader { first_position: u64_at(bytes, 16), salt: u64_at(bytes, 24) })
    }

    /// The start value of every checksum in the file, and the predecessor that the first frame names.
    pub(crate) fn seed(&self) -> u32 {
        header_checksum(&self.encode())
    }
}

fn header_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..32])
}

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record with a payload of this many bytes.
    Record(usize),
    /// All records before it were flushed when it was written.
    Flushed,
    /// The same, and the log goes on in the next file.
    Sealed,
}

/// The header of a frame, not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) checksum: u32,
    pub(crate) kind: Kind,
    pub(crate) position: u64,
    /// The number of frames of the same write before this one.
    pub(crate) index_in_batch: u32,
    /// The checksum of the frame before it, of the file header for the first.
    pub(crate) previous: u32,
}

impl FrameHeader {
    /// `bytes` holds at least a header. `None` for a length that the format does not allow.
    pub(crate) fn decode(bytes: &[u8]) -> Option<FrameHeader> {
        let kind = match u32_at(bytes, 4) {
            LENGTH_OF_FLUSHED_MARK => Kind::Flushed,
            LENGTH_OF_SEALED_MARK => Kind::Sealed,
            length if length as usize <= FORMAT_MAX_PAYLOAD_BYTES => Kind::Record(length as usize),
            _ => return None,
        };
        Some(FrameHeader {
            checksum: u32_at(bytes, 0),
            kind,
            position: u64_at(bytes, 8),
            index_in_batch: u32_at(bytes, 16),
            previous: u32_at(bytes, 20),
        })
    }

    /// The size of the whole frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        match self.kind {
            Kind::Record(length) => (FRAME_HEADER_BYTES + length) as u64,
            Kind::Flushed | Kind::Sealed => MARK_BYTES,
        }
    }

    /// All records before this position were flushed when the frame was written.
    pub(crate) fn flushed_before(&self) -> u64 {
        self.position.saturating_sub(u64::from(self.index_in_batch))
    }

    /// Checks the sum over `frame`, the bytes of the whole frame.
    pub(crate) fn verify(&self, seed: u32, frame: &[u8]) -> Result<(), Fault> {
        if crc32c::crc32c_append(seed, &frame[4..]) == self.checksum { Ok(()) } else { Err(Fault::Checksum) }
    }
}

/// Appends the frame of a record to `out` and returns its checksum.
pub(crate) fn encode_record(
    out: &mut Vec<u8>,
    seed: u32,
    previous: u32,
    position: u64,
    index_in_batch: u32,
    payload: &[u8],
) -> u32 {
    let header = encode_header(payload.len() as u32, position, index_in_batch, previous);
    let checksum = crc32c::crc32c_append(crc32c::crc32c_append(seed, &header[4..]), payload);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&header[4..]);
    out.extend_from_slice(payload);
    checksum
}

/// A mark: all records before `position` are flushed.
pub(crate) fn encode_mark(seed: u32, previous: u32, position: u64, sealed: bool) -> [u8; FRAME_HEADER_BYTES] {
    let length = if sealed { LENGTH_OF_SEALED_MARK } else { LENGTH_OF_FLUSHED_MARK };
    let mut bytes = encode_header(length, position, 0, previous);
    let checksum = crc32c::crc32c_append(seed, &bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn encode_header(length: u32, position: u64, index: u32, previous: u32) -> [u8; FRAME_HEADER_BYTES] {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.to_le_bytes());
    bytes[16..20].copy_from_slice(&index.to_le_bytes());
    bytes[20..24].copy_from_slice(&previous.to_le_bytes());
    bytes
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

/// The name of the file whose first record is at `first_position`.
pub(crate) fn file_name(first_position: u64) -> String {
    format!("{first_position:020}{SUFFIX}")
}

/// The name that the file has until it is ready for use.
pub(crate) fn unfinished_file_name(first_position: u64) -> String {
    format!("{first_position:020}{UNFINISHED_SUFFIX}")
}

/// The meaning of a name in the log's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// A file of the log, by its first position.
    Segment(u64),
    /// Left over from an interrupted rotation.
    Unfinished,
    /// Has a log file's suffix without its digits.
    Misnamed,
    /// Something else.
    Foreign,
}

pub(crate) fn parse_name(name: &str) -> Name {
    let number = |digits: &str| {
        let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|&first| plain && first > 0)
    };
    if let Some(digits) = name.strip_suffix(UNFINISHED_SUFFIX) {
        return if number(digits).is_some() { Name::Unfinished } else { Name::Foreign };
    }
    match name.strip_suffix(SUFFIX) {
        Some(digits) => number(digits).map_or(Name::Misnamed, Name::Segment),
        None => Name::Foreign,
    }
}
