//! Reads a log without changing it, also while a writer runs.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::format::{FORMAT_VERSION, Kind};
use crate::recovery::list_segments;
use crate::scan::{Scanner, Step, read_header};
use crate::{Access, Disk, DiskFile, Fault, LogError};

/// How often a bad frame in the newest file is read again before it counts as bad: a writer may be in the
/// middle of writing it.
const REREADS: usize = 5;
/// None under fuzzing, which feeds damage by the thousand.
const REREAD_PAUSE: Duration = Duration::from_millis(if cfg!(feature = "fuzz") { 0 } else { 2 });

/// An item of a log. Offsets are in bytes from the beginning of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file begins; the next items belong to it.
    File {
        /// Its path.
        path: PathBuf,
        /// Its format version.
        version: u32,
        /// The position of its first record.
        first_position: u64,
        /// Its size, reserved room included.
        bytes: u64,
    },
    /// A sound record.
    Record {
        /// The beginning of its frame.
        offset: u64,
        /// Its position.
        position: u64,
        /// The bytes that were appended.
        payload: Vec<u8>,
    },
    /// A sound mark, behind the last record.
    Mark {
        /// Its beginning.
        offset: u64,
        /// The position of the next record; all before it are flushed.
        next_position: u64,
        /// The log goes on in the next file.
        sealed: bool,
    },
    /// The file's records end here; only zeros follow.
    End {
        /// The end.
        offset: u64,
        /// The position of the next record.
        next_position: u64,
    },
    /// The newest file ends in the remains of a write that is not proven to be flushed. A start cuts them
    /// off; a running writer may still be writing them.
    Torn {
        /// Their beginning.
        offset: u64,
        /// Their length.
        bytes: u64,
        /// The fault of the first of them.
        fault: Fault,
    },
    /// Damage; a start would refuse the log. The rest of the file is skipped.
    Damaged {
        /// Its beginning.
        offset: u64,
        /// The fault.
        fault: Fault,
    },
}

/// Goes through a log's directory, file by file and record by record.
///
/// It takes no lock, writes nothing and opens files for reading only. It leaves out files that a running
/// writer trims away before their turn or begins after the start. After an error it goes on with the next
/// file.
pub struct Inspector {
    disk: Arc<dyn Disk>,
    files: VecDeque<(u64, PathBuf)>,
    current: Option<Current>,
}

struct Current {
    path: PathBuf,
    scanner: Scanner,
    /// The first position of the next file; `None` for the newest.
    next_first: Option<u64>,
    ended: bool,
}

impl Inspector {
    /// Lists the files in `dir`; a directory that does not exist is an error.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>) -> Result<Inspector, LogError> {
        let files = list_segments(&*disk, dir)?.segments.into();
        Ok(Inspector { disk, files, current: None })
    }

    /// `None` for a file that was trimmed away in the meantime.
    fn open_file(&mut self, first_position: u64, path: PathBuf) -> Result<Option<Found>, LogError> {
        let file: Arc<dyn DiskFile> = match self.disk.open(&path, Access::Read) {
            Ok(file) => file.into(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LogError::io("open", path)(error)),
        };
        let bytes = file.size().map_err(LogError::io("examine", &path))?;
        let header = read_header(&*file, &path, first_position)?;
        let scanner = Scanner::new(file, &header).map_err(LogError::io("read", &path))?;
        let next_first = self.files.front().map(|&(first, _)| first);
        self.current = Some(Current { path: path.clone(), scanner, next_first, ended: false });
        Ok(Some(Found::File { path, version: FORMAT_VERSION, first_position, bytes }))
    }

    fn find(&mut self) -> Result<Option<Found>, LogError> {
        loop {
            if let Some(mut current) = self.current.take() {
                let found = current.next().map_err(LogError::io("read", &current.path))?;
                if found.is_some() {
                    self.current = Some(current);
                    return Ok(found);
                }
            }
            let Some((first_position, path)) = self.files.pop_front() else { return Ok(None) };
            let found = self.open_file(first_position, path)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
}

impl Current {
    fn next(&mut self) -> io::Result<Option<Found>> {
        if self.ended {
            return Ok(None);
        }
        let mut rereads = 0;
        loop {
            let found = self.look()?;
            let suspect = matches!(found, Found::Torn { .. } | Found::Damaged { .. });
            if !suspect || self.next_first.is_some() || rereads == REREADS {
                self.ended = !matches!(found, Found::Record { .. });
                return Ok(Some(found));
            }
            // The bytes read ahead may be older than later ones, or half of a running write.
            thread::sleep(REREAD_PAUSE);
            self.scanner.refresh()?;
            rereads += 1;
        }
    }

    fn look(&mut self) -> io::Result<Found> {
        let (offset, next_position) = (self.scanner.offset(), self.scanner.position());
        let fault = match self.scanner.step()? {
            Step::Record(_) => {
                let payload = self.scanner.payload()?.to_vec();
                return Ok(Found::Record { offset, position: next_position, payload });
            }
            Step::Mark(kind) if self.next_first.is_none_or(|next_first| next_first == next_position) => {
                return Ok(Found::Mark { offset, next_position, sealed: kind == Kind::Sealed });
            }
            // A crash, or a running writer, between making the next file and ending this one.
            Step::Unwritten if self.next_first == Some(next_position) => {
                return Ok(Found::End { offset, next_position });
            }
            stop => stop.fault(),
        };
        if self.next_first.is_some() || self.scanner.find_proof_of_flush()?.is_some() {
            return Ok(Found::Damaged { offset, fault });
        }
        match self.scanner.end_of_content()? - offset {
            0 => Ok(Found::End { offset, next_position }),
            bytes => Ok(Found::Torn { offset, bytes, fault }),
        }
    }
}

impl Iterator for Inspector {
    type Item = Result<Found, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.find().transpose()
    }
}
