//! Opens files of any kind that can be read, and checks them.

use super::input::Input;
use super::signature::{FileFormat, START_BYTES, format_of};
use super::text::{TextLayout, TextReader};
use super::{FileFault, FileReader, MAX_SEGMENTS_PER_ENTRY, avro};
use std::io::{BufRead, BufReader, Cursor, Read};

/// Bounds of what is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileLimits {
    /// How many bytes a file may have unpacked. A small file may unpack to thousands of times its size.
    pub(crate) max_decoded_bytes: u64,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSummary {
    /// How many lines, with the empty ones, or Avro records.
    pub(crate) entries: u64,
}

/// Opens a file, gzip or not, which is found by its first bytes. Lines of text are in `layout`.
///
/// # Errors
///
/// Where it is nothing that can be read. `unsupported-compression`, `unsupported-encoding` and `unsupported-format` are
/// other kinds of files.
pub(crate) fn open(
    file: Box<dyn Read + Send>,
    layout: &TextLayout,
    limits: FileLimits,
) -> Result<Box<dyn FileReader>, FileFault> {
    let opened = begin(file, limits)?;
    match opened.format {
        FileFormat::Text => Ok(Box::new(TextReader::new(opened.input, &opened.start, layout.clone()))),
        FileFormat::Avro => avro::open(opened.whole(), avro_limits(limits)),
    }
}

/// Reads a file to its end, to see whether all of it can be read: that it unpacks, that its checksums are right and that
/// it keeps to the limits. Lines of text are not looked at: faults in them are counted while they are applied.
///
/// # Errors
///
/// What reading the file would end with.
pub(crate) fn check(file: Box<dyn Read + Send>, limits: FileLimits) -> Result<FileSummary, FileFault> {
    let opened = begin(file, limits)?;
    match opened.format {
        FileFormat::Text => {
            let Opened { mut input, start, .. } = opened;
            let mut entries = 0;
            let mut last_byte = b'\n';
            let mut buffer = vec![0; CHECK_BUFFER_BYTES];
            buffer[..start.len()].copy_from_slice(&start);
            let mut read = start.len();
            while read > 0 {
                entries += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
                last_byte = buffer[read - 1];
                read = input.next(&mut buffer)?;
            }
            entries += u64::from(last_byte != b'\n');
            Ok(FileSummary { entries })
        }
        FileFormat::Avro => Ok(FileSummary { entries: avro::check(opened.whole(), avro_limits(limits))? }),
    }
}

/// Small enough to stay in the cache of one core.
const CHECK_BUFFER_BYTES: usize = 64 << 10;

struct Opened {
    format: FileFormat,
    /// Behind `start`.
    input: Input,
    start: Vec<u8>,
}

fn begin(file: Box<dyn Read + Send>, limits: FileLimits) -> Result<Opened, FileFault> {
    let mut input = Input::open(file, limits.max_decoded_bytes)?;
    let mut start = vec![0; START_BYTES];
    let length = input.fill(&mut start)?;
    start.truncate(length);
    Ok(Opened { format: format_of(&start)?, input, start })
}

impl Opened {
    /// All of it, for the reader of Avro files, which bounds what blocks unpack to by itself.
    fn whole(self) -> Box<dyn BufRead + Send> {
        let rest = BufReader::with_capacity(CHECK_BUFFER_BYTES, self.input);
        Box::new(Cursor::new(self.start).chain(rest))
    }
}

fn avro_limits(limits: FileLimits) -> avro::Limits {
    avro::Limits {
        max_decoded_bytes: limits.max_decoded_bytes,
        max_block_bytes: avro::Limits::MAX_BLOCK_BYTES,
        max_segments: MAX_SEGMENTS_PER_ENTRY,
    }
}
