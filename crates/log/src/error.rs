//! The errors of the log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The queue is full. Worth trying again soon.
    #[error("the log's queue is full")]
    QueueFull,
    /// The disk or the quota is full. Worth trying again once an operator has made room.
    #[error("the disk under the log is full")]
    DiskFull,
    /// Stable storage failed; the disk may hold the record or not.
    #[error("the log is out of service: {reason}")]
    Latched {
        /// The failure, for the operator.
        reason: Arc<str>,
    },
    /// The payload is larger than the limit. Not worth trying again.
    #[error("a payload of {bytes} bytes is larger than the {max_bytes} that the log takes")]
    TooLarge {
        /// The size of the payload.
        bytes: usize,
        /// The largest size allowed.
        max_bytes: usize,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a log cannot be opened, read or trimmed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Another process writes to this log.
    #[error("the log in {dir} is in use by another process")]
    Locked {
        /// The directory of the log.
        dir: PathBuf,
    },
    /// Flushed bytes are not those that were written.
    #[error("{file} is damaged at byte {offset}: {fault}")]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// The beginning of the bad frame or header.
        offset: u64,
        /// The fault.
        fault: Fault,
    },
    /// A newer version of this program wrote the file.
    #[error("{file} has log format version {version}, which this program does not know")]
    UnknownVersion {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The directory holds no log file.
    #[error("there is no log in {dir}")]
    NoLog {
        /// The directory.
        dir: PathBuf,
    },
    /// A file between others, or the newest, is missing.
    #[error("the log file that begins at position {expected} is missing after {file}")]
    MissingFile {
        /// The file before the gap.
        file: PathBuf,
        /// The first position of the missing file.
        expected: u64,
    },
    /// A file in the log's directory ends in `.log` without a log file's digits.
    #[error("{path} is not named like a log file; move it out of the log's directory")]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// The position was trimmed away.
    #[error("position {position} is no longer held; the oldest is {first}")]
    Trimmed {
        /// The position asked for.
        position: u64,
        /// The oldest held.
        first: u64,
    },
    /// The position lies behind the end.
    #[error("position {position} is beyond the end of the log; the next record gets {next}")]
    BeyondEnd {
        /// The position asked for.
        position: u64,
        /// The position that the next record gets.
        next: u64,
    },
    /// The options contradict each other.
    #[error("the options of the log are not usable: {0}")]
    InvalidOptions(&'static str),
}

impl LogError {
    /// For `map_err` on an error of the operating system.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LogError {
        let path = path.into();
        move |source| LogError::Io { action, path, source }
    }

    /// Checks that a log with these positions can be read from `position` on.
    pub(crate) fn check_position(position: u64, first: u64, next: u64) -> Result<(), LogError> {
        if position < first {
            return Err(LogError::Trimmed { position, first });
        }
        if position > next { Err(LogError::BeyondEnd { position, next }) } else { Ok(()) }
    }

    /// Whether room on the disk would have helped.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, LogError::Io { source, .. } if is_disk_full(source))
    }

    /// The message with its sources' messages, on one line.
    pub(crate) fn chain(&self) -> String {
        match self {
            LogError::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

/// Whether room on the disk, or in the quota, would have helped.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The fault of bytes that should be a frame or a file header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file header is cut short, lacks the magic bytes or fails its checksum.
    #[error("the file header is not valid")]
    Header,
    /// The file header names another first position than the file's name.
    #[error("the file header says first position {0}, the file name says otherwise")]
    FirstPosition(u64),
    /// The checksum of the frame does not match.
    #[error("the checksum of the frame does not match")]
    Checksum,
    /// The frame is longer than the rest of the file.
    #[error("the frame runs over the end of the file")]
    Overrun,
    /// The frame is sound and belongs elsewhere.
    #[error("the frame has position {found} where {expected} belongs")]
    Position {
        /// The frame's position.
        found: u64,
        /// The position that belongs here.
        expected: u64,
    },
    /// The frame is sound and was written after a different frame.
    #[error("the frame does not continue the frame before it")]
    Chain,
    /// There is no frame where one must be, since later ones were flushed.
    #[error("a record is missing although later ones exist")]
    Missing,
}
