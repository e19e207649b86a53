//! A log on a disk that can fail, and short calls on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ia_log::faults::{Call, FaultyDisk};
use ia_log::{AppendError, DiskLog, Entry, Log, LogError, LogOptions, LogState, RealDisk, Recovery};
use tempfile::TempDir;

/// The longest wait for the log's thread before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Options that make files and waits small.
pub(crate) fn small() -> LogOptions {
    LogOptions {
        segment_bytes: 4096,
        max_queue_bytes: 1 << 20,
        max_payload_bytes: 64 << 10,
        full_probe_interval: Duration::from_millis(5),
    }
}

/// The answer to an append, now or later.
pub(crate) struct Answer(Receiver<Result<u64, AppendError>>);

impl Answer {
    /// Waits for it.
    pub(crate) fn wait(&self) -> Result<u64, AppendError> {
        self.0.recv_timeout(PATIENCE).expect("an answer to the append")
    }

    /// The answer, if there is one yet.
    pub(crate) fn now(&self) -> Option<Result<u64, AppendError>> {
        self.0.try_recv().ok()
    }
}

/// Short calls on any log.
pub(crate) trait LogExt: Log {
    fn submit(&self, payload: impl Into<Vec<u8>>) -> Answer {
        let (sender, receiver) = channel();
        let done = Box::new(move |result| drop(sender.send(result)));
        self.append(payload.into(), done).expect("room in the queue");
        Answer(receiver)
    }

    fn put(&self, payload: impl Into<Vec<u8>>) -> Result<u64, AppendError> {
        self.submit(payload).wait()
    }

    fn sealed(&self) -> Result<u64, AppendError> {
        let (sender, receiver) = channel();
        self.seal(Box::new(move |result| drop(sender.send(result))))?;
        Answer(receiver).wait()
    }

    fn entries_from(&self, position: u64) -> Result<Vec<Entry>, LogError> {
        self.read_from(position)?.collect()
    }

    /// All payloads, with the positions checked.
    fn payloads(&self) -> Vec<Vec<u8>> {
        let first = self.first_position();
        let entries = self.entries_from(first).expect("a readable log");
        let positions: Vec<u64> = entries.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, (first..self.next_position()).collect::<Vec<_>>());
        entries.into_iter().map(|entry| entry.payload).collect()
    }

    fn wait_for_latch(&self) {
        self.wait_for_state(|state| matches!(state, LogState::Latched { .. }));
    }

    fn wait_for_state(&self, is_reached: impl Fn(&LogState) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_reached(&self.state()) {
            assert!(Instant::now() < deadline, "waited in vain, in {:?}", self.state());
            std::thread::yield_now();
        }
    }
}

impl<L: Log + ?Sized> LogExt for L {}

/// A directory with a log on a disk that can fail.
pub(crate) struct Testbed {
    pub(crate) dir: TempDir,
    pub(crate) disk: FaultyDisk,
    pub(crate) options: LogOptions,
}

impl Testbed {
    pub(crate) fn new() -> Testbed {
        Testbed { dir: TempDir::new().unwrap(), disk: FaultyDisk::new(RealDisk), options: small() }
    }

    /// A testbed in memory if possible, where flushes cost nothing.
    pub(crate) fn in_memory() -> Testbed {
        Testbed { dir: TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap(), ..Testbed::new() }
    }

    /// A testbed with a closed log of 10 records in 5 files.
    pub(crate) fn with_files() -> Testbed {
        let bed = Testbed::new();
        let log = bed.open();
        for n in 0..10u8 {
            log.put(vec![n; 1500]).unwrap();
        }
        assert_eq!(log.stats().files, 5);
        drop(log);
        bed
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub(crate) fn open(&self) -> DiskLog {
        self.try_open().expect("a log that opens").0
    }

    pub(crate) fn try_open(&self) -> Result<(DiskLog, Recovery), LogError> {
        DiskLog::open(self.path(), self.options.clone(), self.disk.as_disk(), Arc::new(()))
    }

    /// Appends a record, and returns when its flush is held; [`FaultyDisk::release`] lets it go on.
    pub(crate) fn submit_held(&self, log: &DiskLog, payload: impl Into<Vec<u8>>) -> Answer {
        self.disk.hold(Call::Flush);
        let answer = log.submit(payload);
        self.disk.wait_until_held();
        answer
    }

    /// A testbed with the bytes that the disk holds now, as a killed process leaves them.
    pub(crate) fn after_a_kill(&self) -> Testbed {
        let beside = self.dir.path().parent().expect("a folder for temporary ones");
        let dir = TempDir::new_in(beside).unwrap();
        let copy = Testbed { dir, disk: FaultyDisk::new(RealDisk), options: self.options.clone() };
        std::fs::create_dir(copy.path()).unwrap();
        for file in files(&self.path()) {
            std::fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
        copy
    }
}

/// The paths in a directory, in order.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
