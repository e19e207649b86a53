//! Opening: reads every frame, cuts an unfinished write, refuses damage.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{self, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, Kind, MARK_BYTES, Name};
use crate::scan::{Scanner, Step, read_header};
use crate::segment::{Active, Failure};
use crate::shared::{INDEX_SPACING_BYTES, Segment};
use crate::{Access, Disk, DiskFile, Fault, LogError, LogOptions, Recovery};

/// An opened log, ready for its thread.
pub(crate) struct Opened {
    pub(crate) active: Active,
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) recovery: Recovery,
    /// No room could be reserved.
    pub(crate) disk_is_full: bool,
}

/// The caller holds the directory's lock.
pub(crate) fn open(disk: &dyn Disk, dir: &Path, options: &LogOptions) -> Result<Opened, LogError> {
    let mut recovery = Recovery::default();
    let listed = list_segments(disk, dir)?;
    for path in &listed.unfinished {
        tracing::warn!(file = %path.display(), "removing what an interrupted rotation of the log left");
        disk.remove(path).map_err(LogError::io("remove", path))?;
        recovery.leftover_files += 1;
    }
    let mut opening =
        Opening { disk, dir, options, recovery, segments: VecDeque::new(), disk_is_full: false };
    let active = opening.recover(&listed.segments)?;
    let mut recovery = opening.recovery;
    recovery.files = opening.segments.len();
    recovery.first_position = opening.segments[0].first_position;
    disk.sync_dir(dir).map_err(LogError::io("flush", dir))?;
    Ok(Opened { active, segments: opening.segments, recovery, disk_is_full: opening.disk_is_full })
}

/// The log files in a directory.
pub(crate) struct LogFiles {
    /// First positions with paths, in order.
    pub(crate) segments: Vec<(u64, PathBuf)>,
    pub(crate) unfinished: Vec<PathBuf>,
}

/// Sorts the names in the log's directory.
pub(crate) fn list_segments(disk: &dyn Disk, dir: &Path) -> Result<LogFiles, LogError> {
    let mut listed = LogFiles { segments: Vec::new(), unfinished: Vec::new() };
    for name in disk.list(dir).map_err(LogError::io("list", dir))? {
        let path = dir.join(&name);
        match format::parse_name(&name.to_string_lossy()) {
            Name::Segment(first_position) => listed.segments.push((first_position, path)),
            Name::Unfinished => listed.unfinished.push(path),
            Name::Misnamed => return Err(LogError::ForeignFile { path }),
            Name::Foreign => tracing::warn!(file = %path.display(), "not a file of the log; left alone"),
        }
    }
    listed.segments.sort();
    Ok(listed)
}

struct Opening<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    options: &'a LogOptions,
    recovery: Recovery,
    segments: VecDeque<Segment>,
    disk_is_full: bool,
}

/// A file up to the end of its sound frames.
struct CheckedFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: FileHeader,
    scanner: Scanner,
    /// The step that ended the walk.
    stop: Step,
    /// The offset of the first frame of the last write.
    last_batch_offset: u64,
}

impl CheckedFile {
    fn corrupt(&self, offset: u64, fault: Fault) -> LogError {
        LogError::Corrupt { file: self.path.clone(), offset, fault }
    }

    fn is_sealed(&self) -> bool {
        self.stop == Step::Mark(Kind::Sealed)
    }

    /// The error for a file that ends here and must not.
    fn corrupt_at_stop(&self) -> LogError {
        self.corrupt(self.scanner.offset(), self.stop.fault())
    }

    fn io(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> LogError {
        LogError::io(action, &self.path)
    }

    fn into_active(self, capacity: u64) -> Result<Active, LogError> {
        let allocated = self.file.size().map_err(self.io("examine"))?;
        Ok(Active {
            seed: self.header.seed(),
            tail: self.scanner.offset(),
            previous: self.scanner.previous(),
            allocated,
            capacity,
            path: self.path,
            file: self.file,
        })
    }
}

impl Opening<'_> {
    fn recover(&mut self, listed: &[(u64, PathBuf)]) -> Result<Active, LogError> {
        let Some(((last_first, last_path), older)) = listed.split_last() else {
            return self.create(1);
        };
        let mut predecessor: Option<CheckedFile> = None;
        for (index, (first, path)) in older.iter().enumerate() {
            if let Some(unsealed) = predecessor.filter(|walked| !walked.is_sealed()) {
                return Err(unsealed.corrupt_at_stop());
            }
            let next_first = listed[index + 1].0;
            predecessor = Some(self.recover_older(*first, path, next_first)?);
        }
        let active = self.recover_last(*last_first, last_path, predecessor.as_ref())?;
        if let Some(predecessor) = predecessor
            && active.is_empty()
        {
            // The crash may have come after the last file was made, before this one was durably ended. A
            // readable seal may still be in memory only.
            let mut sealed = predecessor.into_active(0)?;
            sealed.seal(*last_first).map_err(Failure::into_error)?;
            let index = self.segments.len() - 2;
            self.segments[index].bytes = sealed.allocated;
        }
        Ok(active)
    }

    fn create(&mut self, first_position: u64) -> Result<Active, LogError> {
        let active = Active::create(self.disk, self.dir, first_position, self.options.segment_bytes)
            .map_err(Failure::into_error)?;
        self.segments.push_back(active.new_segment(first_position));
        self.recovery.next_position = first_position;
        Ok(active)
    }

    /// Checks a file that has a successor; its seal may be missing.
    fn recover_older(
        &mut self,
        first_position: u64,
        path: &Path,
        next_first: u64,
    ) -> Result<CheckedFile, LogError> {
        let file = self.open(path)?;
        let header = read_header(&*file, path, first_position)?;
        let walked = self.walk(path, file, header, next_first)?;
        let end = walked.scanner.position();
        if end == next_first {
            Ok(walked)
        } else if walked.is_sealed() {
            Err(LogError::MissingFile { file: path.to_owned(), expected: end })
        } else {
            Err(walked.corrupt_at_stop())
        }
    }

    /// Checks the newest file, and makes it ready for writes once nothing is left to refuse.
    fn recover_last(
        &mut self,
        first_position: u64,
        path: &Path,
        predecessor: Option<&CheckedFile>,
    ) -> Result<Active, LogError> {
        let file = self.open(path)?;
        // No crash leaves a file without its header, which is flushed before the file gets its name. So the
        // content of this file is lost, and may have been acknowledged.
        let header = read_header(&*file, path, first_position)?;
        let mut walked = self.walk(path, file, header, u64::MAX)?;
        let (tail, next_position) = (walked.scanner.offset(), walked.scanner.position());
        if walked.is_sealed() {
            return Err(LogError::MissingFile { file: path.to_owned(), expected: next_position });
        }
        if walked.scanner.find_proof_of_flush().map_err(walked.io("read"))?.is_some() {
            return Err(walked.corrupt_at_stop());
        }
        if let Some(unsealed) = predecessor.filter(|older| !older.is_sealed())
            && tail > FILE_HEADER_BYTES
        {
            return Err(unsealed.corrupt_at_stop());
        }
        self.cut_torn_tail(&mut walked)?;
        self.make_durable(&walked, tail)?;

        let capacity = self.options.segment_bytes.max(tail + MARK_BYTES);
        let mut active = walked.into_active(capacity)?;
        match active.allocate() {
            Ok(()) => {}
            Err(Failure::Full(error)) => {
                tracing::warn!(error = error.chain(), "the log's disk is full");
                self.disk_is_full = true;
            }
            Err(Failure::Fatal(error)) => return Err(error),
        }
        if !active.is_empty() && !self.disk_is_full {
            active.mark(next_position).map_err(Failure::into_error)?;
        }
        self.recovery.next_position = next_position;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes = active.allocated;
        }
        Ok(active)
    }

    /// Removes the remains of an unfinished write, so that a later, shorter write does not end before them.
    fn cut_torn_tail(&mut self, walked: &mut CheckedFile) -> Result<(), LogError> {
        let tail = walked.scanner.offset();
        let sound_end = match walked.stop {
            Step::Mark(_) => tail + MARK_BYTES,
            _ => tail,
        };
        let end = walked.scanner.end_of_content().map_err(walked.io("read"))?;
        if end <= sound_end {
            return Ok(());
        }
        self.recovery.torn_bytes = end - sound_end;
        tracing::warn!(
            file = %walked.path.display(),
            offset = sound_end,
            bytes = end - sound_end,
            next_position = walked.scanner.position(),
            "cutting an unfinished write off the end of the log"
        );
        walked.file.set_size(tail).map_err(walked.io("cut"))
    }

    /// Makes sure that the records read are on stable storage, and not only in memory.
    fn make_durable(&mut self, walked: &CheckedFile, tail: u64) -> Result<(), LogError> {
        let unproven = tail - walked.last_batch_offset;
        if !matches!(walked.stop, Step::Mark(_)) && unproven > 0 {
            // After a failed flush the kernel marks its pages as clean, and a flush would do nothing. Writing
            // them again makes them dirty.
            let mut bytes = vec![0; unproven as usize];
            let mut filled = 0;
            while filled < bytes.len() {
                let offset = walked.last_batch_offset + filled as u64;
                match walked.file.read_at(&mut bytes[filled..], offset).map_err(walked.io("read"))? {
                    0 => return Err(walked.corrupt(offset, Fault::Missing)),
                    read => filled += read,
                }
            }
            walked.file.write_at(&bytes, walked.last_batch_offset).map_err(walked.io("write to"))?;
            self.recovery.rewritten_bytes = unproven;
        }
        walked.file.flush().map_err(walked.io("flush"))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, LogError> {
        Ok(self.disk.open(path, Access::ReadWrite).map_err(LogError::io("open", path))?.into())
    }

    /// Reads the sound frames of a file, which must end before `end_position`.
    fn walk(
        &mut self,
        path: &Path,
        file: Arc<dyn DiskFile>,
        header: FileHeader,
        end_position: u64,
    ) -> Result<CheckedFile, LogError> {
        let mut scanner = Scanner::new(file.clone(), &header).map_err(LogError::io("read", path))?;
        let mut index = Vec::new();
        let mut last_indexed_offset = 0;
        let mut last_batch_offset = FILE_HEADER_BYTES;
        let stop = loop {
            let (offset, position) = (scanner.offset(), scanner.position());
            let step = scanner.step().map_err(LogError::io("read", path))?;
            let Step::Record(frame) = step else { break step };
            if position >= end_position {
                let fault = Fault::Position { found: position, expected: end_position };
                return Err(LogError::Corrupt { file: path.to_owned(), offset, fault });
            }
            if frame.index_in_batch == 0 {
                last_batch_offset = offset;
            }
            if offset - last_indexed_offset >= INDEX_SPACING_BYTES {
                index.push((position, offset));
                last_indexed_offset = offset;
            }
            self.recovery.records += 1;
            self.recovery.payload_bytes += frame.frame_bytes() - FRAME_HEADER_BYTES as u64;
        };
        let bytes = file.size().map_err(LogError::io("examine", path))?;
        let first_position = header.first_position;
        self.segments.push_back(Segment { first_position, path: path.to_owned(), bytes, index });
        Ok(CheckedFile { path: path.to_owned(), file, header, scanner, stop, last_batch_offset })
    }
}
