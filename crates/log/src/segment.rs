//! The active file: the newest one, which takes appends.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{self, FILE_HEADER_BYTES, FileHeader, MARK_BYTES};
use crate::shared::Segment;
use crate::{Disk, DiskFile, LogError};

/// Why something could not be made durable.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The disk is full; nothing was lost and a later try can succeed.
    Full(LogError),
    /// Stable storage cannot be trusted any more.
    Fatal(LogError),
}

impl Failure {
    fn of(error: LogError) -> Failure {
        if error.is_disk_full() { Failure::Full(error) } else { Failure::Fatal(error) }
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
        let wrap = LogError::io(action, path);
        move |error| Failure::of(wrap(error))
    }

    /// After such an error even a full disk cannot be trusted.
    fn fatal(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
        let wrap = LogError::io(action, path);
        move |error| Failure::Fatal(wrap(error))
    }

    pub(crate) fn into_error(self) -> LogError {
        match self {
            Failure::Full(error) | Failure::Fatal(error) => error,
        }
    }
}

/// The active file, open for writing.
pub(crate) struct Active {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The start value of every checksum, from the file's header.
    pub(crate) seed: u32,
    /// The offset of the next frame: the end of the last durable one.
    pub(crate) tail: u64,
    /// The checksum of the last durable frame.
    pub(crate) previous: u32,
    /// The current size of the file; room is reserved up to here.
    pub(crate) allocated: u64,
    /// The size to which the file may grow.
    pub(crate) capacity: u64,
}

impl Active {
    /// Makes a file ready for use and durable, with its name.
    pub(crate) fn create(
        disk: &dyn Disk,
        dir: &Path,
        first_position: u64,
        capacity: u64,
    ) -> Result<Active, Failure> {
        let unfinished = dir.join(format::unfinished_file_name(first_position));
        let made = Active::create_unfinished(disk, dir, &unfinished, first_position, capacity);
        if made.is_err() {
            // The disk is probably full, and this frees room. If the file stays, the next start removes it.
            let _ = disk.remove(&unfinished);
        }
        made
    }

    fn create_unfinished(
        disk: &dyn Disk,
        dir: &Path,
        unfinished: &Path,
        first_position: u64,
        capacity: u64,
    ) -> Result<Active, Failure> {
        let path = dir.join(format::file_name(first_position));
        let salt = RandomState::new().hash_one(first_position);
        let header = FileHeader { first_position, salt };
        let file: Arc<dyn DiskFile> =
            disk.create(unfinished).map_err(Failure::io("create", unfinished))?.into();
        file.allocate(capacity).map_err(Failure::io("reserve room for", unfinished))?;
        file.write_at(&header.encode(), 0).map_err(Failure::io("write to", unfinished))?;
        file.flush().map_err(Failure::fatal("flush", unfinished))?;
        disk.rename(unfinished, &path).map_err(Failure::io("rename", unfinished))?;
        disk.sync_dir(dir).map_err(Failure::fatal("flush", dir))?;
        let seed = header.seed();
        let tail = FILE_HEADER_BYTES;
        Ok(Active { path, file, seed, tail, previous: seed, allocated: capacity, capacity })
    }

    /// The shared entry of this file while it is new.
    pub(crate) fn new_segment(&self, first_position: u64) -> Segment {
        Segment { first_position, path: self.path.clone(), bytes: self.allocated, index: Vec::new() }
    }

    /// Whether it holds no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.tail == FILE_HEADER_BYTES
    }

    /// How many bytes of frames fit, with room left for a mark.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.capacity.saturating_sub(self.tail + MARK_BYTES)
    }

    /// Reserves room up to the capacity, unless that is done.
    pub(crate) fn allocate(&mut self) -> Result<(), Failure> {
        if self.allocated >= self.capacity {
            return Ok(());
        }
        let reserved = self.file.allocate(self.capacity);
        if let Err(error) = reserved {
            // Others can use the room that was reserved before the disk was full. The bytes are zero either
            // way, so nothing depends on this.
            let _ = self.file.set_size(self.allocated);
            return Err(Failure::of(LogError::io("reserve room in", &self.path)(error)));
        }
        self.allocated = self.capacity;
        Ok(())
    }

    /// Writes frames behind the tail, without moving it. On a full disk, cuts the file back before it
    /// returns.
    pub(crate) fn write(&mut self, frames: &[u8]) -> Result<(), Failure> {
        let Err(error) = self.file.write_at(frames, self.tail) else { return Ok(()) };
        let error = LogError::io("write to", &self.path)(error);
        if !error.is_disk_full() {
            return Err(Failure::Fatal(error));
        }
        // A part may have been written. It must be removed durably before the failure is reported: a start
        // after a crash would take it for records.
        self.cut()?;
        self.file.flush().map_err(Failure::fatal("flush", &self.path))?;
        Err(Failure::Full(error))
    }

    /// Makes written frames durable.
    pub(crate) fn flush(&self) -> Result<(), LogError> {
        self.file.flush().map_err(LogError::io("flush", &self.path))
    }

    /// Drops the bytes behind the tail.
    pub(crate) fn cut(&mut self) -> Result<(), Failure> {
        let cut = self.file.set_size(self.tail);
        self.allocated = self.tail;
        cut.map_err(Failure::fatal("cut", &self.path))
    }

    /// Writes a mark behind the tail: all records before `next_position` are flushed. The mark itself is not:
    /// it only helps a later start to tell damage from an unfinished write.
    pub(crate) fn mark(&mut self, next_position: u64) -> Result<(), Failure> {
        let mark = format::encode_mark(self.seed, self.previous, next_position, false);
        let wrote = self.file.write_at(&mark, self.tail);
        self.allocated = self.allocated.max(self.tail + MARK_BYTES);
        wrote.map_err(Failure::io("write to", &self.path))
    }

    /// Ends the file: the log goes on at `next_position` in another one, which must be durable. Even after a
    /// failure no frame fits any more: frames belong in the other file.
    pub(crate) fn seal(&mut self, next_position: u64) -> Result<(), Failure> {
        self.capacity = self.tail;
        let mark = format::encode_mark(self.seed, self.previous, next_position, true);
        // Some file systems need room even to change written bytes.
        self.file.write_at(&mark, self.tail).map_err(Failure::io("write to", &self.path))?;
        self.allocated = self.tail + MARK_BYTES;
        self.file.set_size(self.allocated).map_err(Failure::io("cut", &self.path))?;
        self.flush().map_err(Failure::Fatal)
    }
}
