//! `[files]`

use super::bytes::ByteSize;
use ia_engine::files::{FileRules, Rate};
use ia_engine::ingest::ExpirationRules;
use serde::{Deserialize, Serialize};

/// `[files]`; `default.toml` says what each key means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents the keys, next to their values")]
pub struct Files {
    pub max_upload: ByteSize,
    pub max_unpacked: ByteSize,
    pub keep_days: u32,
    pub at_once: usize,
    pub waiting_jobs_per_member: usize,
    pub uploads_at_once_per_member: u64,
    pub bytes_per_hour: ByteSize,
    pub bytes_per_day: ByteSize,
    pub lines_per_hour: u64,
    pub lines_per_day: u64,
    pub error_log_lines: u64,
}

impl Files {
    /// The rules of the engine.
    pub(super) fn rules(&self, expiration: ExpirationRules) -> FileRules {
        let limit = |most: u64| Some(most).filter(|&most| most > 0);
        FileRules {
            max_upload_bytes: self.max_upload.0,
            max_decoded_bytes: self.max_unpacked.0,
            keep_days: self.keep_days,
            files_at_once: self.at_once,
            waiting_jobs: self.waiting_jobs_per_member,
            bytes: Rate { an_hour: limit(self.bytes_per_hour.0), a_day: limit(self.bytes_per_day.0) },
            lines: Rate { an_hour: limit(self.lines_per_hour), a_day: limit(self.lines_per_day) },
            uploads_at_once: limit(self.uploads_at_once_per_member),
            error_lines: self.error_log_lines,
            expiration,
        }
    }
}
