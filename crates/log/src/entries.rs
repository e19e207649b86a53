//! Reading from a position on.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::format::FILE_HEADER_BYTES;
use crate::scan::{Scanner, Step, read_header};
use crate::shared::Shared;
use crate::{Access, Disk, DiskFile, Entry, Fault, LogError};

/// The entries of a log on a disk between two positions.
pub(crate) struct DiskEntries {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    /// First positions with paths, the current file not included.
    files: VecDeque<(u64, PathBuf)>,
    current: Option<(PathBuf, Scanner)>,
    /// Position and offset of a frame in the first file, at or before the wanted position.
    start: Option<(u64, u64)>,
    wanted: u64,
    /// One past the last entry. Later bytes must not be read: they may not be durable.
    end: u64,
}

impl DiskEntries {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        disk: Arc<dyn Disk>,
        position: u64,
    ) -> Result<DiskEntries, LogError> {
        let inner = shared.lock();
        let (first, end) = (inner.first_position(), inner.next_position);
        LogError::check_position(position, first, end)?;
        let skipped = inner.segments.partition_point(|segment| segment.first_position <= position) - 1;
        let index = &inner.segments[skipped].index;
        let known = index.partition_point(|&(known, _)| known <= position);
        let start = known.checked_sub(1).map(|place| index[place]);
        let files = inner.segments.iter().skip(skipped);
        let files = files.map(|segment| (segment.first_position, segment.path.clone())).collect();
        Ok(DiskEntries { shared: shared.clone(), disk, files, current: None, start, wanted: position, end })
    }

    /// Opens the next file if none is open.
    fn scanner(&mut self) -> Result<&mut (PathBuf, Scanner), LogError> {
        if self.current.is_none() {
            // The caller stops at `end`, and files reach up to it.
            let (first, path) = self.files.pop_front().expect("a file for every durable position");
            let (position, offset) = self.start.take().unwrap_or((first, FILE_HEADER_BYTES));
            let file: Arc<dyn DiskFile> = match self.disk.open(&path, Access::Read) {
                Ok(file) => file.into(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(self.trimmed_or(LogError::io("open", path)(error)));
                }
                Err(error) => return Err(LogError::io("open", path)(error)),
            };
            let header = read_header(&*file, &path, first)?;
            let scanner =
                Scanner::at(file, &header, offset, position).map_err(LogError::io("read", &path))?;
            self.current = Some((path, scanner));
        }
        Ok(self.current.as_mut().expect("it was just opened"))
    }

    fn trimmed_or(&self, other: LogError) -> LogError {
        let first = self.shared.lock().first_position();
        if self.wanted < first { LogError::Trimmed { position: self.wanted, first } } else { other }
    }

    fn next_entry(&mut self) -> Result<Entry, LogError> {
        loop {
            let wanted = self.wanted;
            let next_file = self.files.front().map(|&(first, _)| first);
            let (path, scanner) = self.scanner()?;
            let (position, offset) = (scanner.position(), scanner.offset());
            let corrupt = |fault| LogError::Corrupt { file: path.clone(), offset, fault };
            match scanner.step().map_err(LogError::io("read", &*path))? {
                Step::Record(_) if position < wanted => {}
                Step::Record(_) => {
                    let payload = scanner.payload().map_err(LogError::io("read", &*path))?.to_vec();
                    self.wanted += 1;
                    return Ok(Entry { position, payload });
                }
                Step::Bad(fault) => return Err(corrupt(fault)),
                Step::Mark(_) | Step::Unwritten if next_file == Some(position) => self.current = None,
                Step::Mark(_) | Step::Unwritten => return Err(corrupt(Fault::Missing)),
            }
        }
    }
}

impl Iterator for DiskEntries {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.wanted >= self.end {
            return None;
        }
        let entry = self.next_entry();
        if entry.is_err() {
            self.end = self.wanted;
        }
        Some(entry)
    }
}
