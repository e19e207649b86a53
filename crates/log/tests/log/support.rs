//! The small language of these tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ia_log::faults::FaultyDisk;
use ia_log::{AppendError, DiskLog, Entry, Log, LogError, LogOptions, LogState, RealDisk, Recovery};
use tempfile::TempDir;

/// How long a wait for the log's thread may take before the test is given up.
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

/// The answer to an append, some time.
pub(crate) struct Answer(Receiver<Result<u64, AppendError>>);

impl Answer {
    /// Waits for it.
    pub(crate) fn wait(&self) -> Result<u64, AppendError> {
        self.0.recv_timeout(PATIENCE).expect("an answer to the append")
    }

    /// What there is now.
    pub(crate) fn now(&self) -> Option<Result<u64, AppendError>> {
        self.0.try_recv().ok()
    }
}

/// What every log can do, for tests.
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
        let deadline = Instant::now() + PATIENCE;
        while !matches!(self.state(), LogState::Latched { .. }) {
            assert!(Instant::now() < deadline, "waited in vain for a latch");
            std::thread::yield_now();
        }
    }

    fn wait_for_state(&self, state: &LogState) {
        let deadline = Instant::now() + PATIENCE;
        while self.state() != *state {
            assert!(Instant::now() < deadline, "waited in vain for {state:?}");
            std::thread::yield_now();
        }
    }
}

impl<L: Log + ?Sized> LogExt for L {}

/// A directory with a log on a disk that can fail.
pub(crate) struct Bed {
    pub(crate) dir: TempDir,
    pub(crate) disk: FaultyDisk,
    pub(crate) options: LogOptions,
}

impl Bed {
    pub(crate) fn new() -> Bed {
        Bed { dir: TempDir::new().unwrap(), disk: FaultyDisk::new(RealDisk), options: small() }
    }

    /// A bed in memory, where there is a place: flushes cost nothing there.
    pub(crate) fn in_memory() -> Bed {
        Bed { dir: TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap(), ..Bed::new() }
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

    /// A bed with the bytes that the disk holds now: what a killed process leaves.
    pub(crate) fn after_a_kill(&self) -> Bed {
        let beside = self.dir.path().parent().expect("a folder for temporary ones");
        let dir = TempDir::new_in(beside).unwrap();
        let copy = Bed { dir, disk: FaultyDisk::new(RealDisk), options: self.options.clone() };
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
