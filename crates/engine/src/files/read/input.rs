//! The bytes of a file, unpacked and counted.

use super::FileFault;
use crate::decode::GZIP_MAGIC;
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};

/// How much of the file is read at once.
const FILE_BUFFER_BYTES: usize = 64 << 10;

/// The file as it lies on the disk. Remembers whether the disk failed: damage is told from that.
struct Source {
    file: Box<dyn Read + Send>,
    has_failed: bool,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer);
        self.has_failed = read.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        read
    }
}

type Buffered = BufReader<Source>;

enum Packing {
    None(Buffered),
    Gzip(Box<GzDecoder<Buffered>>),
    /// Behind the last member.
    End,
}

/// Unpacks a file, if it is gzip, up to a bound. Its errors have a [`FileFault`] inside, see [`fault_of`].
pub(super) struct Input {
    packing: Packing,
    /// How many bytes may still come.
    room: u64,
}

impl Input {
    /// Begins to read `file`, which may give up to `max_decoded_bytes` unpacked.
    pub(super) fn open(file: Box<dyn Read + Send>, max_decoded_bytes: u64) -> Result<Input, FileFault> {
        let mut file = file;
        let mut start = Vec::new();
        file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start).map_err(FileFault::Io)?;
        let is_gzip = start == GZIP_MAGIC;
        let source = Source { file: Box::new(io::Cursor::new(start).chain(file)), has_failed: false };
        let file = BufReader::with_capacity(FILE_BUFFER_BYTES, source);
        let packing =
            if is_gzip { Packing::Gzip(Box::new(GzDecoder::new(file))) } else { Packing::None(file) };
        Ok(Input { packing, room: max_decoded_bytes })
    }

    /// As many bytes as there are, up to the length of `buffer`.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, FileFault> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.next(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Reads the next bytes; 0 at the end, where all members of a gzip file have been checked.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Result<usize, FileFault> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.unpacked(buffer)?;
        self.room = self.room.checked_sub(read as u64).ok_or(FileFault::TooLarge)?;
        Ok(read)
    }

    fn unpacked(&mut self, buffer: &mut [u8]) -> Result<usize, FileFault> {
        loop {
            match &mut self.packing {
                Packing::None(file) => return retried(|| file.read(buffer)).map_err(FileFault::Io),
                Packing::End => return Ok(0),
                Packing::Gzip(member) => match retried(|| member.read(buffer)) {
                    Ok(0) => self.end_member()?,
                    Ok(read) => return Ok(read),
                    Err(error) if member.get_ref().get_ref().has_failed => return Err(FileFault::Io(error)),
                    Err(error) => return Err(gzip_error(error.to_string())),
                },
            }
        }
    }

    /// A file may have several members, as `cat a.gz b.gz` makes it, and zeros behind the last one, as tapes and blocks
    /// of disks leave them. Anything else there is damage: `gzip -t` warns of it, but some of the file may be lost.
    fn end_member(&mut self) -> Result<(), FileFault> {
        let Packing::Gzip(member) = std::mem::replace(&mut self.packing, Packing::End) else { return Ok(()) };
        let mut file = member.into_inner();
        match peek(&mut file)? {
            None => return Ok(()),
            Some(byte) if byte == GZIP_MAGIC[0] => {
                self.packing = Packing::Gzip(Box::new(GzDecoder::new(file)));
                return Ok(());
            }
            Some(_) => {}
        }
        while peek(&mut file)?.is_some() {
            let rest = file.buffer();
            if rest.iter().any(|&byte| byte != 0) {
                return Err(gzip_error("there are other bytes behind the last member".to_owned()));
            }
            let length = rest.len();
            file.consume(length);
        }
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(io::Error::other)
    }
}

/// The fault in an error of an [`Input`]; another error is one of the disk.
pub(super) fn fault_of(error: io::Error) -> FileFault {
    error.downcast::<FileFault>().unwrap_or_else(FileFault::Io)
}

/// The next byte; `None` at the end.
fn peek(file: &mut Buffered) -> Result<Option<u8>, FileFault> {
    retried(|| file.fill_buf().map(|buffer| buffer.first().copied())).map_err(FileFault::Io)
}

fn retried<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn gzip_error(detail: String) -> FileFault {
    FileFault::Damaged { code: "gzip-error", detail }
}
