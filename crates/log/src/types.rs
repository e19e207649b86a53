//! The log's public types: the trait, its options and its reports.

use std::sync::Arc;
use std::time::Duration;

use crate::format::{FILE_HEADER_BYTES, FORMAT_MAX_PAYLOAD_BYTES, FRAME_HEADER_BYTES, MARK_BYTES};
use crate::{AppendError, LogError};

/// Receives the position of the record once it is durable, or the reason why it will never be.
pub type Completion = Box<dyn FnOnce(Result<u64, AppendError>) + Send>;

/// Entries in the order of their positions. Ends after the first error.
pub type Entries = Box<dyn Iterator<Item = Result<Entry, LogError>> + Send>;

/// A durable, ordered list of byte strings.
///
/// Positions start at 1 and rise by one for every record.
pub trait Log: Send + Sync {
    /// Queues a payload.
    ///
    /// `Err`: nothing was queued and `done` is dropped without being called. `Ok`: `done` is called
    /// exactly once, on the log's own thread and perhaps before this call returns; successes come in
    /// the order of the positions, and only after the flush that covers the record. A completion must
    /// be quick, since the next flush waits for it; it may append.
    ///
    /// A completion with an error other than [`AppendError::Latched`] promises that the record will
    /// not appear, now or after a restart. After a latch the disk may hold it or not.
    fn append(&self, payload: Vec<u8>, done: Completion) -> Result<(), AppendError>;

    /// The entries from `position` on (inclusive) that are durable at the time of this call.
    ///
    /// [`LogError::Trimmed`] when `position` is older than the oldest held, [`LogError::BeyondEnd`] when it is
    /// more than one past the newest: the caller has seen records that this log never had.
    fn read_from(&self, position: u64) -> Result<Entries, LogError>;

    /// The position that the next durable record gets; 1 for a new log.
    fn next_position(&self) -> u64;

    /// The oldest position still held; equal to [`Log::next_position`] when nothing is held.
    fn first_position(&self) -> u64;

    /// Removes records before `position`, in whole files, and returns the number of files removed.
    ///
    /// The newest file always stays. The caller passes the position of the slowest follower.
    fn trim_before(&self, position: u64) -> Result<u64, LogError>;

    /// Ends the newest file, so that [`Log::trim_before`] can remove it once the followers have read it.
    /// Appends wait meanwhile, for some milliseconds.
    ///
    /// `Err`: `done` is dropped without being called. `Ok`: `done` is called exactly once, with the position
    /// that the next record gets, at which a new file begins; or with [`AppendError::DiskFull`], after which the
    /// log is as before, or [`AppendError::Latched`].
    fn seal(&self, done: Completion) -> Result<(), AppendError>;

    /// Whether appends can succeed now.
    fn state(&self) -> LogState;

    /// Figures for metrics.
    fn stats(&self) -> LogStats;
}

/// A record with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its position; the first is 1.
    pub position: u64,
    /// The bytes that were appended.
    pub payload: Vec<u8>,
}

/// The options of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The size at which a new file is begun. A single record that is larger gets a larger file.
    pub segment_bytes: u64,
    /// The limit on payloads that wait or are being written, each with the 24 bytes of its frame.
    pub max_queue_bytes: usize,
    /// The largest payload that is taken.
    pub max_payload_bytes: usize,
    /// How often a full disk is tried again while nothing is appended.
    pub full_probe_interval: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            segment_bytes: 64 << 20,
            max_queue_bytes: 64 << 20,
            max_payload_bytes: 32 << 20,
            full_probe_interval: Duration::from_secs(1),
        }
    }
}

impl LogOptions {
    pub(crate) fn check(&self) -> Result<(), LogError> {
        if self.segment_bytes < FILE_HEADER_BYTES + MARK_BYTES {
            return Err(LogError::InvalidOptions("segment_bytes has no room for a file's header and a mark"));
        }
        if self.max_payload_bytes > FORMAT_MAX_PAYLOAD_BYTES {
            return Err(LogError::InvalidOptions("max_payload_bytes is more than the format can hold"));
        }
        if self.max_payload_bytes.saturating_add(FRAME_HEADER_BYTES) > self.max_queue_bytes {
            // The answer to such a payload would be "try again", for ever.
            return Err(LogError::InvalidOptions("max_payload_bytes does not fit max_queue_bytes"));
        }
        Ok(())
    }
}

/// Whether appends can succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// Appends can succeed.
    Writable,
    /// The disk or the quota is full. Every append tries again, and the log itself from time to time.
    Full,
    /// Stable storage failed. Appends fail until the log is opened anew; reads go on.
    Latched {
        /// The failure, for the operator.
        reason: Arc<str>,
    },
}

/// Figures of a log at one moment, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Records that wait for their completion.
    pub queued_records: usize,
    /// Their bytes, as counted against [`LogOptions::max_queue_bytes`].
    pub queued_bytes: usize,
    /// Files on disk.
    pub files: usize,
    /// Their sizes together, preallocated room included.
    pub bytes_on_disk: u64,
    /// The oldest position held.
    pub first_position: u64,
    /// The position that the next durable record gets.
    pub next_position: u64,
}

/// The report of opening a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The oldest position held.
    pub first_position: u64,
    /// The position that the next record gets.
    pub next_position: u64,
    /// Files held.
    pub files: usize,
    /// Records held, every one checked and now on stable storage.
    pub records: u64,
    /// Their payload bytes.
    pub payload_bytes: u64,
    /// Bytes of an unfinished write that were cut off, from the end of the last good frame to the last
    /// byte that was not zero.
    pub torn_bytes: u64,
    /// Bytes at the end that were not proven to be flushed; they were written and flushed again.
    pub rewritten_bytes: u64,
    /// Files that a crash left unfinished, outside of the log; they were removed.
    pub leftover_files: usize,
}

/// Receives a call for every flush, on the log's thread.
pub trait Observer: Send + Sync {
    /// `records` with `bytes` (frames included) became durable: `write` is the time spent in the write
    /// and `flush` the time spent in the flush.
    fn flushed(&self, records: usize, bytes: usize, write: Duration, flush: Duration);
}

/// Observes nothing.
impl Observer for () {
    fn flushed(&self, _: usize, _: usize, _: Duration, _: Duration) {}
}
