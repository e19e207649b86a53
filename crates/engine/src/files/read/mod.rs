//! Reads files of memberships, entry by entry: lines of text, or records of Avro.

pub(crate) mod avro;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub(crate) mod open;
pub(crate) mod signature;
pub(crate) mod text;

mod input;

use crate::ingest::structure::SegmentName;
use std::fmt;

/// How many segments an entry may have. One with more is a format fault.
pub(crate) const MAX_SEGMENTS_PER_ENTRY: usize = 1800;

/// Reads a file from its start.
pub(crate) trait FileReader: Send {
    /// Reads up to `max_entries` entries and passes each to `sink`, in the order of the file. Empty lines are no
    /// entries. Returns how many were read; 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// Where the rest of the file cannot be read. Nothing more can be read then.
    fn read(&mut self, max_entries: usize, sink: &mut dyn EntrySink) -> Result<usize, FileFault>;
}

/// Takes the entries of a file.
pub(crate) trait EntrySink {
    /// A user with its segments, of which there is at least one.
    fn user(&mut self, user: FileUser<'_>, blocks: &[FileBlock<'_>], entry: &dyn fmt::Display);

    /// An entry that is none, and why, in the style of `failed with an illegal number of fields`.
    fn format_fault(&mut self, reason: &'static str, entry: &dyn fmt::Display);
}

/// How an entry names its user. Whether the id is well formed is not asked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileUser<'f> {
    /// As in a POST: an id, and the name of its domain. Without one it is an id of the platform, or of the member where
    /// the member has ids of its own.
    Named {
        /// Of [`ia_model::Domain::from_name`].
        domain: Option<&'f str>,
        /// As it stands in the file, with white space around.
        id: &'f str,
    },
    /// An id of the platform, whatever ids the member has.
    Platform(u64),
    /// An id in the name space of a member; 0 is the sender's own.
    External {
        /// Whose name space.
        member: u32,
        /// The id.
        id: &'f str,
    },
    /// An extended id.
    Extended {
        /// Who gives such ids, a domain name.
        source: &'f str,
        /// The id.
        id: &'f str,
    },
    /// A kind of id that is not supported, or none at all.
    Invalid,
}

/// What an entry asks for one segment. The numbers are as in the file: their ranges are not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileBlock<'f> {
    /// Which segment. An id that is none is 0.
    pub(crate) segment: SegmentName<'f>,
    /// 0 where there is none.
    pub(crate) value: i64,
    /// Minutes; `None` is the default of the segment, -1 removes.
    pub(crate) expiration: Option<i64>,
    /// Seconds since 1970 from which `expiration` counts; 0 is now.
    pub(crate) timestamp: i64,
}

/// Why a file, or the rest of it, cannot be read. The message is the `error_code` of the job: words with hyphens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileFault {
    /// The disk under the spooled file fails, or the file is gone. The job waits and is tried again.
    #[error("the file cannot be read")]
    Io(#[source] std::io::Error),
    /// The content is damaged or cut off: `gzip-error`, `avro-error` and the like, and what was found, for the log.
    #[error("{code}")]
    Damaged {
        /// The `error_code` of the job.
        code: &'static str,
        /// A sentence about the place and the damage, without any content of the file.
        detail: String,
    },
    /// It has more decoded bytes than are allowed.
    #[error("file-too-large")]
    TooLarge,
}
