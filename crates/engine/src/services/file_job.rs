//! What answers show of the jobs of files.

use super::{
    AnswerFields, AnswerObject, RequestFields, RequestObject, ResourceKind, ServiceError, answer_fields,
    rules,
};
use ia_catalog::file_jobs::{FILE_JOB, FileJob};
use ia_catalog::listing::Resource;
use ia_model::record::SegmentFault;
use ia_model::time::format_utc;
use serde_json::{Value, json};
use utoipa::openapi::schema::Schema;

/// The most lines of a job's segment log.
const MAX_SEGMENT_LINES: usize = 200;

/// `/batch-segment`
pub struct FileJobs;

/// A body says nothing of a job.
#[derive(Debug, Clone, Default)]
pub struct NoFields;

impl RequestFields for NoFields {
    const NAMES: &'static [&'static str] = &[];

    fn read(_: &RequestObject) -> Result<NoFields, ServiceError> {
        Ok(NoFields)
    }

    fn schema() -> Schema {
        utoipa::openapi::ObjectBuilder::new().into()
    }
}

impl ResourceKind for FileJobs {
    const NAME: &'static str = "FileJob";
    const TABLE: &'static Resource = &FILE_JOB;
    const TAKES_SEVERAL: bool = false;
    type Request = NoFields;
    type Answer = ShownJob;

    fn example() -> Value {
        json!({})
    }
}

/// A job, and how much of it is shown.
#[derive(Debug, Clone)]
pub struct ShownJob {
    /// The job.
    pub job: FileJob,
    /// How many lines of its error log, the newest ones.
    pub error_lines: usize,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

impl ShownJob {
    /// From the end of the upload to the end of the job, or until now; 0 before.
    fn processing_ms(&self) -> u64 {
        let job = &self.job;
        let until_ms = match job.completed_ms {
            Some(completed_ms) => completed_ms,
            None if job.phase.is_final() => job.modified_ms,
            None => self.now_ms,
        };
        job.uploaded_ms.map_or(0, |uploaded_ms| until_ms.saturating_sub(uploaded_ms))
    }

    fn refused(&self, fault: SegmentFault) -> u64 {
        self.job.progress.refused.iter().filter(|refused| refused.fault == fault).count() as u64
    }

    fn error_log(&self) -> String {
        let lines = &self.job.progress.error_lines;
        let newest = lines.iter().skip(lines.len().saturating_sub(self.error_lines));
        newest.map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Segments with the users added, most users first; then those with users removed.
    fn segment_log(&self) -> String {
        let sorted = |count: fn(&(u64, u64)) -> u64, prefix: &str| {
            let counts =
                self.job.progress.segments.iter().map(|(segment, counts)| (count(counts), segment.0));
            let mut counts: Vec<(u64, u32)> = counts.filter(|(users, _)| *users > 0).collect();
            counts.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
            let line = |(users, segment): (u64, u32)| format!("{prefix}{segment}:{users}");
            counts.into_iter().take(MAX_SEGMENT_LINES).map(line).collect::<Vec<_>>()
        };
        let mut lines = sorted(|counts| counts.0, "");
        lines.extend(sorted(|counts| counts.1, "removed:"));
        lines.join("\n")
    }

    /// The job as answers show it: times that are not reached are left out.
    pub fn shown(self) -> AnswerObject {
        let mut object = self.show();
        object
            .0
            .retain(|(name, value)| !(value.is_null() && (name.ends_with("_time") || *name == "replace")));
        object
    }
}

answer_fields! {
    /// The job of a file; `fields` leaves some of it out. A time that is not reached is left out.
    shown: ShownJob {
        id: u64 = shown.job.id,
        /// 40 letters and digits.
        job_id: String = shown.job.job_id.clone(),
        member_id: u32 = shown.job.member.0,
        /// `starting`, `uploading`, `validating`, `processing`, `completed` or `error`.
        phase: &'static str = shown.job.phase.name(),
        /// 0 to 100, of the whole; 100 only when the job is completed.
        percent_complete: u8 = shown.job.percent,
        /// Why the job ended in `error`, of the file and never of a line.
        error_code: Option<String> = shown.job.error_code.clone(),
        created_on: String = format_utc(shown.job.created_ms) => rules::time(),
        last_modified: String = format_utc(shown.job.modified_ms) => rules::time(),
        /// When the first byte of the file came.
        start_time: Option<String> = rules::time_of(shown.job.started_ms) => rules::time(),
        /// When the file was on stable storage.
        uploaded_time: Option<String> = rules::time_of(shown.job.uploaded_ms) => rules::time(),
        /// When it was known that the file can be read.
        validated_time: Option<String> = rules::time_of(shown.job.validated_ms) => rules::time(),
        /// When all of it was durable and targetable.
        completed_time: Option<String> = rules::time_of(shown.job.completed_ms) => rules::time(),
        /// Whole minutes since the end of the upload, or until the end of the job.
        time_to_process: u64 = shown.processing_ms() / 60_000,
        /// The same in seconds.
        seconds_to_process: f64 = shown.processing_ms() as f64 / 1000.0,
        /// Pairs of user and segment that were applied.
        num_valid: u64 = shown.job.progress.counts.valid,
        num_valid_user: u64 = shown.job.progress.counts.valid_users,
        num_invalid_user: u64 = shown.job.progress.counts.invalid_users,
        /// Lines.
        num_invalid_format: u64 = shown.job.progress.counts.invalid_formats,
        /// Different segments that do not exist.
        num_invalid_segment: u64 = shown.refused(SegmentFault::Invalid),
        /// Different segments that the member may not write to.
        num_unauth_segment: u64 = shown.refused(SegmentFault::Unauthorized),
        /// Different segments that are switched off.
        num_inactive_segment: u64 = shown.refused(SegmentFault::Inactive),
        /// Different segments with memberships that had ended already.
        num_past_expiration: u64 = shown.refused(SegmentFault::PastExpiration),
        num_invalid_timestamp: u64 = shown.job.progress.counts.invalid_timestamps,
        num_other_error: u64 = shown.job.progress.counts.other_errors,
        /// The newest refused lines, one a line: `<counter>-<line>`.
        error_log_lines: String = shown.error_log(),
        /// `<segment>:<users>` added, most users first, one a line; `removed:<segment>:<users>`.
        segment_log_lines: String = shown.segment_log(),
        /// The segment that the file replaces.
        replace: Option<u32> = shown.job.replaced.map(|segment| segment.0),
    }
}
