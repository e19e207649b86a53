//! The log on a disk.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::entries::DiskEntries;
use crate::recovery::{self, Opened};
use crate::shared::Shared;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Mutex, PoisonError};
use crate::writer::Writer;
use crate::{
    AppendError, Completion, Disk, Entries, Log, LogError, LogOptions, LogState, LogStats, Observer, Recovery,
};

/// A log in a directory of its own.
///
/// Dropping it closes it.
pub struct DiskLog {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// One trim at a time.
    trimming: Mutex<()>,
    /// Keeps other writers out.
    _lock: Arc<dyn Send + Sync>,
}

impl DiskLog {
    /// Opens the log in `dir`, which is made if it is missing.
    ///
    /// Every frame is read and checked. An unfinished write at the end is cut off, with a warning that
    /// says how many bytes; damage to anything that was flushed is an error, as are missing files and
    /// files of an unknown version. A second writer gets [`LogError::Locked`]. A full disk is no error
    /// for a log that exists: it opens in [`LogState::Full`].
    pub fn open(
        dir: impl Into<PathBuf>,
        options: LogOptions,
        disk: Arc<dyn Disk>,
        observer: Arc<dyn Observer>,
    ) -> Result<(DiskLog, Recovery), LogError> {
        options.check()?;
        let dir = dir.into();
        disk.create_dir(&dir).map_err(LogError::io("create the directory", &dir))?;
        let lock: Arc<dyn Send + Sync> = match disk.lock_dir(&dir) {
            Ok(lock) => lock.into(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(LogError::Locked { dir }),
            Err(error) => return Err(LogError::io("lock", dir)(error)),
        };
        sync_parent(&*disk, &dir)?;

        let Opened { active, segments, recovery, disk_is_full } = recovery::open(&*disk, &dir, &options)?;
        let last_indexed_offset =
            segments.back().and_then(|segment| segment.index.last()).map_or(0, |&(_, offset)| offset);
        let shared = Arc::new(Shared::new(&options, recovery.next_position, segments));
        if disk_is_full {
            shared.set_state(LogState::Full);
        }
        let writer = Writer {
            shared: shared.clone(),
            disk: disk.clone(),
            dir: dir.clone(),
            options,
            observer,
            active,
            last_indexed_offset,
            blocked_frame_bytes: 0,
            last_batch: 0,
            flush_time: Duration::ZERO,
            buffer: Vec::new(),
        };
        // The thread may outlive this value (see `close`) and still writes then.
        let thread_lock = lock.clone();
        let work = move || {
            writer.run();
            drop(thread_lock);
        };
        let thread = thread::Builder::new()
            .name("log".into())
            .spawn(work)
            .map_err(LogError::io("start the thread of the log in", &dir))?;
        tracing::info!(
            dir = %dir.display(),
            first_position = recovery.first_position,
            next_position = recovery.next_position,
            files = recovery.files,
            torn_bytes = recovery.torn_bytes,
            "the log is open"
        );
        let thread = Mutex::new(Some(thread));
        Ok((DiskLog { shared, disk, dir, thread, trimming: Mutex::new(()), _lock: lock }, recovery))
    }

    /// Takes no more records, makes the queued ones durable, and returns when their completions have run.
    ///
    /// A call from a completion does not wait, since it would wait for itself.
    pub fn close(&self) {
        self.shared.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the log's thread panicked");
        }
    }
}

/// Makes the name of the directory itself durable.
fn sync_parent(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    let parent = match dir.parent() {
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    disk.sync_dir(parent).map_err(LogError::io("flush", parent))
}

impl Log for DiskLog {
    fn append(&self, payload: Vec<u8>, done: Completion) -> Result<(), AppendError> {
        self.shared.append(payload, done)
    }

    fn read_from(&self, position: u64) -> Result<Entries, LogError> {
        Ok(Box::new(DiskEntries::new(&self.shared, self.disk.clone(), position)?))
    }

    fn next_position(&self) -> u64 {
        self.shared.lock().next_position
    }

    fn first_position(&self) -> u64 {
        self.shared.lock().first_position()
    }

    fn trim_before(&self, position: u64) -> Result<u64, LogError> {
        let _one_at_a_time = self.trimming.lock().unwrap_or_else(PoisonError::into_inner);
        let mut removed = 0;
        loop {
            let oldest = {
                let inner = self.shared.lock();
                match inner.segments.get(1) {
                    Some(second) if second.first_position <= position => inner.segments[0].path.clone(),
                    _ => break,
                }
            };
            // Oldest first, so that a crash in between leaves no gap. The log's thread only adds files, so
            // the oldest is still the oldest.
            self.disk.remove(&oldest).map_err(LogError::io("remove", &oldest))?;
            self.shared.lock().segments.pop_front();
            removed += 1;
        }
        if removed > 0 {
            self.disk.sync_dir(&self.dir).map_err(LogError::io("flush", &self.dir))?;
        }
        Ok(removed)
    }

    fn seal(&self, done: Completion) -> Result<(), AppendError> {
        self.shared.seal(done)
    }

    fn state(&self) -> LogState {
        self.shared.state()
    }

    fn stats(&self) -> LogStats {
        self.shared.stats()
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        self.close();
    }
}
