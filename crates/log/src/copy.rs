//! Copies a log, also while a writer runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::format::{self, FILE_HEADER_BYTES, FileHeader, Kind, MARK_BYTES};
use crate::recovery::list_segments;
use crate::scan::{Scanner, Step, read_header};
use crate::{Access, Disk, DiskFile, Fault, LogError};

/// How long to wait for the writer's mark that the end of the file is flushed. A writer that still runs
/// leaves it within a flush.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);
/// How often the same bad frame is read before it counts as damage: a writer may be in the middle of it.
const REREADS: usize = 20;
const CHUNK_BYTES: usize = 1 << 20;

/// The content of a copy of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCopy {
    /// The oldest position in it.
    pub first_position: u64,
    /// The position after its newest.
    pub next_position: u64,
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Copies the log in `from` into the directory `to`, which it makes, and makes the copy durable. `progress`
/// gets the bytes of each copied piece.
///
/// All frames are checked. The copy ends at a flushed record, at or behind the end that the log has at the
/// call; so it holds all records acknowledged before, and nothing of a failed write. Records that are not
/// proven to be flushed are copied only when their writer has ended (a start would take them) or is stuck.
///
/// It takes no lock. The caller makes sure that nobody trims the log meanwhile; a file that disappears is
/// an error.
pub fn copy(
    from: &Path,
    to: &Path,
    disk: &Arc<dyn Disk>,
    mut progress: impl FnMut(u64),
) -> Result<LogCopy, LogError> {
    let files = list_segments(&**disk, from)?.segments;
    let Some(&(first_position, _)) = files.first() else {
        return Err(LogError::NoLog { dir: from.to_owned() });
    };
    disk.create_dir(to).map_err(LogError::io("create the directory", to))?;
    let mut copied = LogCopy { first_position, next_position: first_position, files: files.len(), bytes: 0 };
    for (index, (first, path)) in files.iter().enumerate() {
        let source = Source::open(&**disk, path, *first)?;
        let next_first = files.get(index + 1).map(|&(next_first, _)| next_first);
        let end = match next_first {
            Some(next_first) => source.older_end(next_first)?,
            None => source.newest_end()?,
        };
        let target = to.join(format::file_name(*first));
        copied.bytes += source.copy(&end, next_first.is_some(), &**disk, &target, &mut progress)?;
        copied.next_position = end.next_position;
    }
    disk.sync_dir(to).map_err(LogError::io("flush", to))?;
    Ok(copied)
}

/// A file of the copied log.
struct Source {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: FileHeader,
}

/// A place between two frames.
#[derive(Debug, Clone, Copy)]
struct End {
    offset: u64,
    next_position: u64,
    /// The checksum of the frame before.
    previous: u32,
}

/// The result of a walk over a file.
struct Walk {
    /// Behind the last sound record.
    sound: End,
    /// Behind the last record that is proven to be flushed.
    proven: End,
    stop: Step,
    scanner: Scanner,
}

impl Source {
    fn open(disk: &dyn Disk, path: &Path, first_position: u64) -> Result<Source, LogError> {
        let file: Arc<dyn DiskFile> =
            disk.open(path, Access::Read).map_err(LogError::io("open", path))?.into();
        let header = read_header(&*file, path, first_position)?;
        Ok(Source { path: path.to_owned(), file, header })
    }

    fn walk(&self) -> Result<Walk, LogError> {
        let failed = |error| LogError::io("read", &self.path)(error);
        let mut scanner = Scanner::new(Arc::clone(&self.file), &self.header).map_err(failed)?;
        let end = |scanner: &Scanner| End {
            offset: scanner.offset(),
            next_position: scanner.position(),
            previous: scanner.previous(),
        };
        let mut proven = end(&scanner);
        let stop = loop {
            let before = end(&scanner);
            match scanner.step().map_err(failed)? {
                // The records before this write had been flushed.
                Step::Record(frame) if frame.index_in_batch == 0 => proven = before,
                Step::Record(_) => {}
                stop => break stop,
            }
        };
        let sound = end(&scanner);
        let is_marked = matches!(stop, Step::Mark(_));
        Ok(Walk { sound, proven: if is_marked { sound } else { proven }, stop, scanner })
    }

    /// The end of a file that has a successor: all its records were flushed before the successor was made.
    fn older_end(&self, next_first: u64) -> Result<End, LogError> {
        let walk = self.walk()?;
        if walk.sound.next_position == next_first {
            Ok(walk.sound)
        } else if walk.stop == Step::Mark(Kind::Sealed) {
            let expected = walk.sound.next_position;
            Err(LogError::MissingFile { file: self.path.clone(), expected })
        } else {
            Err(self.corrupt(&walk))
        }
    }

    /// An end at or behind everything acknowledged so far.
    fn newest_end(&self) -> Result<End, LogError> {
        let started = Instant::now();
        let first = self.walk()?.sound;
        let mut met = 0;
        loop {
            let mut walk = self.walk()?;
            let is_proven = walk.proven.next_position >= first.next_position;
            let has_moved = walk.sound.offset > first.offset;
            if matches!(walk.stop, Step::Mark(_)) || (is_proven && has_moved) {
                return Ok(walk.proven);
            }
            if self.is_damaged(&mut walk)? {
                met += 1;
                if met == REREADS {
                    return Err(self.corrupt(&walk));
                }
            } else if is_proven || started.elapsed() >= PATIENCE {
                return Ok(walk.sound);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Whether a frame behind the stop proves that a record there was flushed.
    fn is_damaged(&self, walk: &mut Walk) -> Result<bool, LogError> {
        Ok(walk.scanner.find_proof_of_flush().map_err(LogError::io("read", &self.path))?.is_some())
    }

    fn corrupt(&self, walk: &Walk) -> LogError {
        let (offset, fault) = (walk.sound.offset, walk.stop.fault());
        LogError::Corrupt { file: self.path.clone(), offset, fault }
    }

    /// Copies the file up to `end` and puts a mark behind it. Returns the size of the copy.
    fn copy(
        &self,
        end: &End,
        is_sealed: bool,
        disk: &dyn Disk,
        target: &Path,
        progress: &mut impl FnMut(u64),
    ) -> Result<u64, LogError> {
        let copy = disk.create(target).map_err(LogError::io("create", target))?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < end.offset {
            let length = CHUNK_BYTES.min(usize::try_from(end.offset - offset).unwrap_or(usize::MAX));
            let read = self.file.read_at(&mut buffer[..length], offset);
            let read = match read {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.map_err(LogError::io("read", &self.path))?,
            };
            if read == 0 {
                return Err(LogError::Corrupt { file: self.path.clone(), offset, fault: Fault::Missing });
            }
            copy.write_at(&buffer[..read], offset).map_err(LogError::io("write to", target))?;
            offset += read as u64;
            progress(read as u64);
        }
        let mut bytes = end.offset;
        // A file without records has no mark, unless another follows it.
        if is_sealed || end.offset > FILE_HEADER_BYTES {
            let mark = format::encode_mark(self.header.seed(), end.previous, end.next_position, is_sealed);
            copy.write_at(&mark, end.offset).map_err(LogError::io("write to", target))?;
            bytes += MARK_BYTES;
        }
        copy.flush().map_err(LogError::io("flush", target))?;
        Ok(bytes)
    }
}
