//! Walks over the frames of one file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::format::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, FrameHeader, HeaderFault, Kind};
use crate::{DiskFile, Fault, LogError};

/// How much is read from the disk at a time, unless a frame is larger.
const CHUNK_BYTES: usize = 256 << 10;

/// The bytes at the scanner's offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The expected record, sound. The scanner has gone past it; see [`Scanner::payload`].
    Record(FrameHeader),
    /// A sound mark for the expected position. The scanner stays before it.
    Mark(Kind),
    /// Zeros, or the end of the file. The scanner stays.
    Unwritten,
    /// Anything else. The scanner stays.
    Bad(Fault),
}

impl Step {
    /// The fault of a file that ends here and must not.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Step::Bad(fault) => fault,
            Step::Record(_) | Step::Mark(_) | Step::Unwritten => Fault::Missing,
        }
    }
}

/// Reads and checks frame after frame.
pub(crate) struct Scanner {
    window: Window,
    seed: u32,
    offset: u64,
    expected: u64,
    /// The checksum of the frame before, unless the walk began in the middle.
    previous: Option<u32>,
    payload: (u64, usize),
}

impl Scanner {
    /// Starts at the first frame of the file.
    pub(crate) fn new(file: Arc<dyn DiskFile>, header: &FileHeader) -> io::Result<Scanner> {
        let seed = header.seed();
        let mut scanner = Scanner::at(file, header, FILE_HEADER_BYTES, header.first_position)?;
        scanner.previous = Some(seed);
        Ok(scanner)
    }

    /// Starts at a frame with a known offset and position.
    pub(crate) fn at(
        file: Arc<dyn DiskFile>,
        header: &FileHeader,
        offset: u64,
        position: u64,
    ) -> io::Result<Scanner> {
        let window = Window::new(file)?;
        Ok(Scanner {
            window,
            seed: header.seed(),
            offset,
            expected: position,
            previous: None,
            payload: (0, 0),
        })
    }

    /// The offset of the next frame.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The position of the next record.
    pub(crate) fn position(&self) -> u64 {
        self.expected
    }

    /// The checksum of the frame before; known only after [`Scanner::new`].
    pub(crate) fn previous(&self) -> u32 {
        self.previous.unwrap_or(self.seed)
    }

    /// The payload of the record that [`Scanner::step`] has just returned.
    pub(crate) fn payload(&mut self) -> io::Result<&[u8]> {
        self.window.bytes(self.payload.0, self.payload.1)
    }

    /// Forgets the bytes that were read ahead: another thread may have written since.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        self.window.refresh()
    }

    /// Looks at the next frame and goes past it if it is a sound record.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let (offset, expected) = (self.offset, self.expected);
        let header_bytes = self.window.bytes(offset, FRAME_HEADER_BYTES)?;
        if header_bytes.iter().all(|&byte| byte == 0) {
            return Ok(Step::Unwritten);
        }
        if header_bytes.len() < FRAME_HEADER_BYTES {
            return Ok(Step::Bad(Fault::Overrun));
        }
        let Some(header) = FrameHeader::decode(header_bytes) else {
            return Ok(Step::Bad(Fault::Overrun));
        };
        if let Err(fault) = self.window.verify(self.seed, offset, &header)? {
            return Ok(Step::Bad(fault));
        }
        if header.position != expected {
            return Ok(Step::Bad(Fault::Position { found: header.position, expected }));
        }
        // Frames of a failed write can lie behind a later, shorter one at the same place, with positions that
        // happen to fit. They name a different predecessor.
        if self.previous.is_some_and(|previous| previous != header.previous) {
            return Ok(Step::Bad(Fault::Chain));
        }
        let Kind::Record(length) = header.kind else {
            return Ok(Step::Mark(header.kind));
        };
        self.payload = (offset + FRAME_HEADER_BYTES as u64, length);
        self.offset = offset + header.frame_bytes();
        self.expected = expected + 1;
        self.previous = Some(header.checksum);
        Ok(Step::Record(header))
    }

    /// Looks behind the scanner's offset for a sound frame which proves that the record expected there was
    /// flushed.
    ///
    /// A frame of the same write proves nothing: a power cut keeps any part of an unfinished write.
    pub(crate) fn find_proof_of_flush(&mut self) -> io::Result<Option<u64>> {
        let end = self.end_of_content()?;
        // No file holds more records than bytes, so damage rarely costs a checksum.
        let positions = self.expected + 1..=self.expected.saturating_add(self.window.file_bytes);
        let mut chunk_start = self.offset;
        while chunk_start < end {
            let chunk = self.window.bytes(chunk_start, CHUNK_BYTES)?.to_vec();
            for (index, bytes) in chunk.windows(FRAME_HEADER_BYTES).enumerate() {
                let Some(header) = FrameHeader::decode(bytes) else { continue };
                let offset = chunk_start + index as u64;
                let plausible =
                    positions.contains(&header.position) && header.flushed_before() > self.expected;
                if plausible && self.window.verify(self.seed, offset, &header)?.is_ok() {
                    return Ok(Some(offset));
                }
            }
            if chunk.len() < CHUNK_BYTES {
                break;
            }
            chunk_start += (CHUNK_BYTES - FRAME_HEADER_BYTES + 1) as u64;
        }
        Ok(None)
    }

    /// One past the last byte that is not zero, but not before the scanner's offset.
    pub(crate) fn end_of_content(&mut self) -> io::Result<u64> {
        let zeros = [0; CHUNK_BYTES];
        let mut end = self.offset;
        let mut offset = self.offset;
        loop {
            let chunk = self.window.bytes(offset, CHUNK_BYTES)?;
            if chunk.is_empty() {
                return Ok(end);
            }
            if *chunk != zeros[..chunk.len()] {
                let last = chunk.iter().rposition(|&byte| byte != 0).expect("a byte that is not zero");
                end = offset + last as u64 + 1;
            }
            offset += chunk.len() as u64;
        }
    }
}

/// The part of a file that was read last.
struct Window {
    file: Arc<dyn DiskFile>,
    file_bytes: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    fn new(file: Arc<dyn DiskFile>) -> io::Result<Window> {
        let file_bytes = file.size()?;
        Ok(Window { file, file_bytes, start: 0, buffer: Vec::new() })
    }

    fn refresh(&mut self) -> io::Result<()> {
        self.file_bytes = self.file.size()?;
        self.buffer.clear();
        Ok(())
    }

    /// `length` bytes from `offset` on, fewer at the end of the file.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let left = self.file_bytes.saturating_sub(offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let held = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let held = held.filter(|skip| skip + length <= self.buffer.len());
        let skip = match held {
            Some(skip) => skip,
            None => {
                self.fill(offset, length)?;
                0
            }
        };
        let end = self.buffer.len().min(skip + length);
        Ok(&self.buffer[skip..end])
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let left = usize::try_from(self.file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.start = offset;
        self.buffer.clear();
        self.buffer.resize(length.max(CHUNK_BYTES).min(left), 0);
        // After an error the zeros of the buffer must not count as read.
        let filled = read_fully(&*self.file, &mut self.buffer, offset);
        self.buffer.truncate(*filled.as_ref().unwrap_or(&0));
        filled.map(drop)
    }

    fn verify(&mut self, seed: u32, offset: u64, header: &FrameHeader) -> io::Result<Result<(), Fault>> {
        let frame_bytes = header.frame_bytes();
        if frame_bytes > self.file_bytes.saturating_sub(offset) {
            return Ok(Err(Fault::Overrun));
        }
        let frame = self.bytes(offset, frame_bytes as usize)?;
        if frame.len() < frame_bytes as usize {
            return Ok(Err(Fault::Overrun));
        }
        Ok(header.verify(seed, frame))
    }
}

/// Reads the header of a file; an error gives the reason to refuse it.
pub(crate) fn read_header(
    file: &dyn DiskFile,
    path: &Path,
    first_position: u64,
) -> Result<FileHeader, LogError> {
    let mut bytes = [0; FILE_HEADER_BYTES as usize];
    let filled = read_fully(file, &mut bytes, 0).map_err(LogError::io("read", path))?;
    let fault = match FileHeader::decode(&bytes[..filled]) {
        Ok(header) if header.first_position == first_position => return Ok(header),
        Ok(header) => Fault::FirstPosition(header.first_position),
        Err(HeaderFault::Invalid) => Fault::Header,
        Err(HeaderFault::UnknownVersion(version)) => {
            return Err(LogError::UnknownVersion { file: path.to_owned(), version });
        }
    };
    Err(LogError::Corrupt { file: path.to_owned(), offset: 0, fault })
}

fn read_fully(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
