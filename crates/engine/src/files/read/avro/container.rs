//! The frame of a file: its head with the schema and the codec, and blocks of records with a marker behind each.

use super::Limits;
use super::cursor::{Broken, MAX_LONG_BYTES, add_seven_bits, unzigzag};
use super::schema::MAX_SCHEMA_BYTES;
use crate::files::read::FileFault;
use crate::files::read::input::fault_of;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use std::io::{BufRead, ErrorKind, Read};

/// The first bytes of a file.
pub(super) const MAGIC: [u8; 4] = *b"Obj\x01";

/// All that stands in front of the first block, but for the schema.
const MAX_HEAD_BYTES: usize = 1 << 20;

const MAX_NAME_BYTES: usize = 1 << 10;

const SYNC_BYTES: usize = 16;

const DAMAGED: &str = "avro-error";

/// How blocks are packed.
#[derive(Debug)]
enum Codec {
    Null,
    /// With an object that is used again for each block.
    Deflate(Box<Decompress>),
    /// With the CRC-32 of the content behind it.
    Snappy,
}

/// A file behind its head.
pub(super) struct Container {
    input: Input,
    codec: Codec,
    sync: [u8; SYNC_BYTES],
    limits: Limits,
    /// How many blocks were read.
    blocks: u64,
    /// Where the block began that was read last.
    block_offset: u64,
    decoded_bytes: u64,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
}

/// What the head says.
pub(super) struct Head {
    pub(super) container: Container,
    /// JSON.
    pub(super) schema: Vec<u8>,
}

/// Why a part of the file cannot be read.
enum Unreadable {
    Damaged(&'static str),
    Fault(FileFault),
}

impl From<Broken> for Unreadable {
    fn from(Broken(what): Broken) -> Unreadable {
        Unreadable::Damaged(what)
    }
}

impl Container {
    /// Reads the head.
    pub(super) fn open(input: Box<dyn BufRead + Send>, limits: Limits) -> Result<Head, FileFault> {
        let mut input = Input { inner: input, offset: 0 };
        let fields = read_head(&mut input).map_err(|unreadable| match unreadable {
            Unreadable::Damaged(what) => {
                FileFault::Damaged { code: DAMAGED, detail: format!("in the head of the file {what}") }
            }
            Unreadable::Fault(fault) => fault,
        })?;
        let schema = fields.schema.ok_or_else(|| FileFault::Damaged {
            code: "avro-schema-error",
            detail: "the file has no schema".to_owned(),
        })?;
        let codec = match fields.codec.as_deref() {
            None | Some(b"" | b"null") => Codec::Null,
            Some(b"deflate") => Codec::Deflate(Box::new(Decompress::new(false))),
            Some(b"snappy") => Codec::Snappy,
            Some(other) => {
                let known = ["bzip2", "xz", "lzma", "zstandard", "lz4"];
                let name = known.iter().find(|name| name.as_bytes() == other).unwrap_or(&"unknown");
                return Err(FileFault::Damaged {
                    code: "avro-unsupported-codec",
                    detail: format!("the codec is {name}; null, deflate and snappy are supported"),
                });
            }
        };
        let container = Container {
            input,
            codec,
            sync: fields.sync,
            limits,
            blocks: 0,
            block_offset: 0,
            decoded_bytes: 0,
            packed: Vec::new(),
            unpacked: Vec::new(),
        };
        Ok(Head { container, schema })
    }

    /// Reads the next block that has records. Returns how many; 0 at the end of the file.
    pub(super) fn next_block(&mut self) -> Result<u64, FileFault> {
        while !self.input.is_at_end()? {
            self.block_offset = self.input.offset;
            let count = self.read_block();
            self.blocks += 1;
            match count {
                Ok(0) => {}
                Ok(count) => return Ok(count),
                Err(Unreadable::Damaged(what)) => return Err(self.damaged(what)),
                Err(Unreadable::Fault(fault)) => return Err(fault),
            }
        }
        Ok(0)
    }

    /// The records of the block that was read last.
    pub(super) fn block(&self) -> &[u8] {
        match self.codec {
            Codec::Null => &self.packed,
            Codec::Deflate(_) | Codec::Snappy => &self.unpacked,
        }
    }

    /// The fault that in the block that was read last there is such a damage.
    pub(super) fn damaged(&self, what: &str) -> FileFault {
        let (number, offset) = (self.blocks, self.block_offset);
        FileFault::Damaged { code: DAMAGED, detail: format!("block {number} at byte {offset}: {what}") }
    }

    fn read_block(&mut self) -> Result<u64, Unreadable> {
        let count = u64::try_from(self.input.long()?);
        let count = count.map_err(|_| Unreadable::Damaged("its count of records is negative"))?;
        let size = self.input.long()?;
        let size = usize::try_from(size).map_err(|_| Unreadable::Damaged("its size is negative"))?;
        // What does not get smaller by packing gets hardly larger.
        if size > self.limits.max_block_bytes + 1024 {
            return Err(self.too_large());
        }
        self.packed.clear();
        self.input.append(size, &mut self.packed)?;
        let mut sync = [0; SYNC_BYTES];
        self.input.fill(&mut sync)?;
        if sync != self.sync {
            return Err(Unreadable::Damaged("the marker behind it is another than in the head of the file"));
        }
        self.unpack()?;
        let bytes = self.block().len();
        if bytes > self.limits.max_block_bytes {
            return Err(self.too_large());
        }
        if count > bytes as u64 {
            return Err(Unreadable::Damaged("it has more records than bytes"));
        }
        if count == 0 && bytes > 0 {
            return Err(Unreadable::Damaged("it has bytes and no records"));
        }
        self.decoded_bytes += bytes as u64;
        if self.decoded_bytes > self.limits.max_decoded_bytes {
            return Err(Unreadable::Fault(FileFault::TooLarge));
        }
        Ok(count)
    }

    fn too_large(&self) -> Unreadable {
        Unreadable::Fault(FileFault::Damaged {
            code: "avro-block-too-large",
            detail: format!(
                "block {} at byte {} has more than {} bytes",
                self.blocks + 1,
                self.block_offset,
                self.limits.max_block_bytes
            ),
        })
    }

    fn unpack(&mut self) -> Result<(), Unreadable> {
        let max_bytes = self.limits.max_block_bytes;
        match &mut self.codec {
            Codec::Null => Ok(()),
            Codec::Deflate(inflater) => match inflate(inflater, &self.packed, &mut self.unpacked, max_bytes)?
            {
                Inflated::Whole => Ok(()),
                Inflated::TooLarge => Err(self.too_large()),
            },
            Codec::Snappy => {
                let Some((packed, crc)) = self.packed.split_last_chunk::<4>() else {
                    return Err(Unreadable::Damaged("it is too short for snappy"));
                };
                let no_snappy = Unreadable::Damaged("it cannot be unpacked with snappy");
                let Ok(size) = snap::raw::decompress_len(packed) else { return Err(no_snappy) };
                if size > max_bytes {
                    return Err(self.too_large());
                }
                self.unpacked.resize(size, 0);
                if snap::raw::Decoder::new().decompress(packed, &mut self.unpacked) != Ok(size) {
                    return Err(no_snappy);
                }
                let mut found = Crc::new();
                found.update(&self.unpacked);
                if found.sum() != u32::from_be_bytes(*crc) {
                    return Err(Unreadable::Damaged("its checksum is wrong"));
                }
                Ok(())
            }
        }
    }
}

enum Inflated {
    Whole,
    TooLarge,
}

/// Unpacks all of `packed`, up to `max_bytes`.
///
/// The format asks for a stream without a checksum. The Python libraries `avro` and `fastavro` cut one off a zlib
/// stream and leave the first three of the four bytes of its Adler-32, so that much is checked where it is there.
fn inflate(
    inflater: &mut Decompress,
    packed: &[u8],
    unpacked: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<Inflated, Broken> {
    const CUT_OFF: Broken = Broken("it cannot be unpacked with deflate");
    inflater.reset(false);
    unpacked.clear();
    unpacked.reserve_exact(max_bytes.min(4 * packed.len() + 1024));
    let mut at = 0;
    loop {
        let (read, written) = (inflater.total_in(), unpacked.len());
        let status = inflater.decompress_vec(&packed[at..], unpacked, FlushDecompress::None);
        let taken = (inflater.total_in() - read) as usize;
        at += taken;
        if unpacked.len() > max_bytes {
            return Ok(Inflated::TooLarge);
        }
        match status.map_err(|_| CUT_OFF)? {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError if unpacked.len() == unpacked.capacity() => {
                // One more than is allowed tells what is just as long from what is longer.
                unpacked.reserve_exact(unpacked.len().max(1024).min(max_bytes + 1 - unpacked.len()));
            }
            Status::Ok | Status::BufError if taken == 0 && unpacked.len() == written => return Err(CUT_OFF),
            Status::Ok | Status::BufError => {}
        }
    }
    let rest = &packed[at..];
    match rest.len() {
        0 => Ok(Inflated::Whole),
        3 | 4 if adler2::adler32_slice(unpacked).to_be_bytes().starts_with(rest) => Ok(Inflated::Whole),
        3 | 4 => Err(Broken("its checksum is wrong")),
        _ => Err(Broken("bytes follow what is packed with deflate")),
    }
}

struct HeadFields {
    schema: Option<Vec<u8>>,
    codec: Option<Vec<u8>>,
    sync: [u8; SYNC_BYTES],
}

fn read_head(input: &mut Input) -> Result<HeadFields, Unreadable> {
    let mut magic = [0; MAGIC.len()];
    input.fill(&mut magic)?;
    if magic != MAGIC {
        return Err(Unreadable::Damaged("the first bytes are not those of such a file"));
    }
    let mut fields = HeadFields { schema: None, codec: None, sync: [0; SYNC_BYTES] };
    loop {
        let count = input.long()?;
        if count == 0 {
            break;
        }
        if count < 0 {
            // The size of this part in bytes, which is of no use.
            input.long()?;
        }
        for _ in 0..count.unsigned_abs() {
            let key = input.counted(MAX_NAME_BYTES)?;
            match key.as_slice() {
                b"avro.schema" => fields.schema = Some(input.counted(MAX_SCHEMA_BYTES)?),
                b"avro.codec" => fields.codec = Some(input.counted(MAX_NAME_BYTES)?),
                _ => drop(input.counted(MAX_HEAD_BYTES)?),
            }
            if input.offset > (MAX_HEAD_BYTES + MAX_SCHEMA_BYTES) as u64 {
                return Err(Unreadable::Damaged("there is too much"));
            }
        }
    }
    input.fill(&mut fields.sync)?;
    Ok(fields)
}

/// The bytes of the file, counted.
struct Input {
    inner: Box<dyn BufRead + Send>,
    /// How many were read.
    offset: u64,
}

const CUT_OFF: Unreadable = Unreadable::Damaged("the file is cut off");

impl Input {
    fn is_at_end(&mut self) -> Result<bool, FileFault> {
        loop {
            match self.inner.fill_buf() {
                Ok(bytes) => return Ok(bytes.is_empty()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(fault_of(error)),
            }
        }
    }

    fn long(&mut self) -> Result<i64, Unreadable> {
        let mut value = 0;
        for index in 0..MAX_LONG_BYTES {
            let mut byte = [0];
            self.fill(&mut byte)?;
            if !add_seven_bits(&mut value, index, byte[0])? {
                break;
            }
        }
        Ok(unzigzag(value))
    }

    /// Bytes behind their count, of at most `max_bytes`.
    fn counted(&mut self, max_bytes: usize) -> Result<Vec<u8>, Unreadable> {
        let count = usize::try_from(self.long()?).ok().filter(|&count| count <= max_bytes);
        let mut bytes = Vec::new();
        self.append(count.ok_or(Unreadable::Damaged("a text is too long"))?, &mut bytes)?;
        Ok(bytes)
    }

    /// Appends so many bytes. Memory grows with what is there, not with what is said to be.
    fn append(&mut self, count: usize, bytes: &mut Vec<u8>) -> Result<(), Unreadable> {
        bytes.reserve_exact(count.min(1 << 20));
        let read = self.inner.by_ref().take(count as u64).read_to_end(bytes);
        let read = read.map_err(|error| Unreadable::Fault(fault_of(error)))?;
        self.offset += read as u64;
        if read < count { Err(CUT_OFF) } else { Ok(()) }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Unreadable> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.inner.read(&mut bytes[filled..]) {
                Ok(0) => return Err(CUT_OFF),
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Unreadable::Fault(fault_of(error))),
            }
        }
        self.offset += filled as u64;
        Ok(())
    }
}
