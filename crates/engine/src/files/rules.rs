//! The limits of files: those of the server, and those of a member's set-up.

use super::read::open::FileLimits;
use crate::file_jobs::MAX_ERROR_LINES;
use crate::ingest::ExpirationRules;
use ia_catalog::BatchFiles;

/// The operator's rules for files; `None` is no limit.
#[derive(Debug, Clone, Copy)]
pub struct FileRules {
    /// Bytes of an upload, as sent.
    pub max_upload_bytes: u64,
    /// Bytes of a file when it is unpacked.
    pub max_decoded_bytes: u64,
    /// Days for which jobs are kept.
    pub keep_days: u32,
    /// How many large files are read at once, and as many small ones.
    pub files_at_once: usize,
    /// Unfinished jobs of a member.
    pub waiting_jobs: usize,
    /// Bytes that a member may upload, where its set-up says nothing.
    pub bytes: Rate,
    /// Lines that a member may upload, where its set-up says nothing.
    pub lines: Rate,
    /// Uploads of a member at once, where its set-up says nothing.
    pub uploads_at_once: Option<u64>,
    /// Lines of a job's error log, where the member's set-up says nothing.
    pub error_lines: u64,
    /// How long memberships live.
    pub expiration: ExpirationRules,
}

/// How much is allowed in a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// In the last hour.
    pub an_hour: Option<u64>,
    /// In the last 24 hours.
    pub a_day: Option<u64>,
}

impl FileRules {
    pub(super) fn read_limits(&self) -> FileLimits {
        FileLimits { max_decoded_bytes: self.max_decoded_bytes }
    }

    /// Bytes and lines that a member with this set-up may upload.
    pub(super) fn rates(&self, set_up: &BatchFiles) -> [Rate; 2] {
        [
            Rate {
                an_hour: set_up.hourly_byte_limit.or(self.bytes.an_hour),
                a_day: set_up.daily_byte_limit.or(self.bytes.a_day),
            },
            Rate {
                an_hour: set_up.hourly_num_lines_limit.or(self.lines.an_hour),
                a_day: set_up.daily_num_lines_limit.or(self.lines.a_day),
            },
        ]
    }

    pub(super) fn uploads_at_once(&self, set_up: &BatchFiles) -> Option<u64> {
        set_up.max_concurrent_uploads.or(self.uploads_at_once)
    }

    pub(super) fn error_lines(&self, set_up: &BatchFiles) -> usize {
        let lines = set_up.num_error_log_lines.unwrap_or(self.error_lines);
        usize::try_from(lines).unwrap_or(MAX_ERROR_LINES).min(MAX_ERROR_LINES)
    }

    pub(super) fn refused_before_error(&self, set_up: &BatchFiles) -> Option<u64> {
        // 0 is what clients send for what they were not given.
        set_up.num_invalid_before_error.filter(|&most| most > 0)
    }
}
