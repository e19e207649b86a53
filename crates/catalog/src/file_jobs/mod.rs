//! The jobs of files of memberships: what is kept of each, and the store of them.

use crate::CatalogError;
use crate::listing::{Field, Kind, ListQuery, Page, Resource};
use async_trait::async_trait;
use ia_model::record::{FileCounts, RefusedSegment};
use ia_model::{MemberId, SegmentId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The fields of a job on the wire.
pub static FILE_JOB: Resource = Resource {
    singular: "batch_segment_upload_job",
    plural: "batch_segment_upload_job",
    other_keys: None,
    fields: &[
        Field::new("id", Kind::Integer).by("id").read_only(),
        Field::new("job_id", Kind::Word).by_lower("job_id").read_only().searched(),
        Field::new("member_id", Kind::Integer).by("member_id").read_only(),
        Field::new("phase", Kind::Choice(&Phase::NAMES)).by("phase").read_only(),
        Field::new("percent_complete", Kind::Integer).by("percent_complete").read_only(),
        Field::new("error_code", Kind::Word).by_lower("error_code").read_only(),
        Field::new("created_on", Kind::Time).by_second("created_on").read_only(),
        Field::new("last_modified", Kind::Time).by_second("last_modified").read_only(),
        Field::new("start_time", Kind::Time).by_second("start_time").read_only(),
        Field::new("uploaded_time", Kind::Time).by_second("uploaded_time").read_only(),
        Field::new("validated_time", Kind::Time).by_second("validated_time").read_only(),
        Field::new("completed_time", Kind::Time).by_second("completed_time").read_only(),
        Field::new("time_to_process", Kind::Integer).read_only(),
        Field::new("seconds_to_process", Kind::Decimal).read_only(),
        Field::new("num_valid", Kind::Integer).by("num_valid").read_only(),
        Field::new("num_valid_user", Kind::Integer).by("num_valid_user").read_only(),
        Field::new("num_invalid_user", Kind::Integer).by("num_invalid_user").read_only(),
        Field::new("num_invalid_format", Kind::Integer).by("num_invalid_format").read_only(),
        Field::new("num_invalid_segment", Kind::Integer).by("num_invalid_segment").read_only(),
        Field::new("num_unauth_segment", Kind::Integer).by("num_unauth_segment").read_only(),
        Field::new("num_inactive_segment", Kind::Integer).by("num_inactive_segment").read_only(),
        Field::new("num_past_expiration", Kind::Integer).by("num_past_expiration").read_only(),
        Field::new("num_invalid_timestamp", Kind::Integer).by("num_invalid_timestamp").read_only(),
        Field::new("num_other_error", Kind::Integer).by("num_other_error").read_only(),
        Field::new("error_log_lines", Kind::Text).read_only(),
        Field::new("segment_log_lines", Kind::Text).read_only(),
        Field::new("replace", Kind::Integer).by("replaced").read_only(),
    ],
};

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for its file.
    Starting,
    /// The file comes in.
    Uploading,
    /// The file is durable; whether it can be read is being found out.
    Validating,
    /// It is read and applied.
    Processing,
    /// All of it is applied.
    Completed,
    /// It was given up.
    Error,
}

impl Phase {
    /// The names of all, in their order.
    pub const NAMES: [&'static str; 6] =
        ["starting", "uploading", "validating", "processing", "completed", "error"];

    const ALL: [Phase; 6] = [
        Phase::Starting,
        Phase::Uploading,
        Phase::Validating,
        Phase::Processing,
        Phase::Completed,
        Phase::Error,
    ];

    /// Its name on the wire and in the store.
    pub fn name(self) -> &'static str {
        Phase::NAMES[self as usize]
    }

    pub(crate) fn from_name(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether nothing more happens to the job.
    pub fn is_final(self) -> bool {
        matches!(self, Phase::Completed | Phase::Error)
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileJob {
    /// Its number, from 1; never used again.
    pub id: u64,
    /// 40 letters and digits that nobody guesses. Who knows them may upload the file.
    pub job_id: String,
    /// Whose it is.
    pub member: MemberId,
    /// The segment whose members the file replaces.
    pub replaced: Option<SegmentId>,
    /// How far it is.
    pub phase: Phase,
    /// What ended it, of the file and never of a line.
    pub error_code: Option<String>,
    /// 0 to 100, of the whole job.
    pub percent: u8,
    /// When it was made. This and the other times are milliseconds since 1970.
    pub created_ms: u64,
    /// When it last changed.
    pub modified_ms: u64,
    /// When the first byte came.
    pub started_ms: Option<u64>,
    /// When the last byte was durable.
    pub uploaded_ms: Option<u64>,
    /// When it was known that the file can be read.
    pub validated_ms: Option<u64>,
    /// When all of it was applied.
    pub completed_ms: Option<u64>,
    /// Bytes of the file as they were sent.
    pub sent_bytes: u64,
    /// The SHA-256 of these bytes, 64 hex digits, once all have come.
    pub sha256: Option<String>,
    /// What the log has of it.
    pub progress: FileProgress,
}

/// What the log has of a job, added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileProgress {
    /// How many parts are applied.
    pub parts: u32,
    /// How many entries of the file these have.
    pub entries: u64,
    /// The sum of their counts.
    pub counts: FileCounts,
    /// Different segments that were refused, [`MAX_REFUSED`] at most.
    pub refused: BTreeSet<RefusedSegment>,
    /// Users added and removed, by segment, of [`MAX_SEGMENTS`] segments at most.
    pub segments: BTreeMap<SegmentId, (u64, u64)>,
    /// The newest refused entries, oldest first.
    pub error_lines: VecDeque<String>,
}

/// How many different refused segments of a job are told apart.
pub const MAX_REFUSED: usize = 10_000;

/// Of how many segments a job counts the users.
pub const MAX_SEGMENTS: usize = 10_000;

/// The deletion of a person that files which wait must heed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileDeletion {
    /// A hash of the user, as [`SuppressedUser`](crate::SuppressedUser) has it.
    pub hash: [u8; 16],
    /// In whose segments; `None` is all.
    pub member: Option<MemberId>,
    /// When, in milliseconds since 1970. Files whose upload began later do not heed it.
    pub deleted_ms: u64,
}

/// What a member's files have used of its limits since a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileUse {
    /// Bytes as they were sent.
    pub bytes: u64,
    /// Lines, or Avro records.
    pub entries: u64,
    /// When the oldest of these files began, in milliseconds since 1970.
    pub oldest_ms: Option<u64>,
}

/// Keeps the jobs of files.
#[async_trait]
pub trait FileJobStore: Send + Sync {
    /// Makes a job in [`Phase::Starting`], and gives it its number.
    async fn create_job(
        &self,
        job_id: &str,
        member: MemberId,
        replaced: Option<SegmentId>,
        now_ms: u64,
    ) -> Result<FileJob, CatalogError>;

    /// Stores these jobs as they are, all or none. Their rows exist.
    async fn put_jobs(&self, jobs: &[FileJob]) -> Result<(), CatalogError>;

    /// The job of that id.
    async fn job(&self, job_id: &str) -> Result<Option<FileJob>, CatalogError>;

    /// A page of the jobs of a member, or of all; the newest first where the query has no order.
    async fn jobs(&self, member: Option<MemberId>, query: &ListQuery) -> Result<Page<FileJob>, CatalogError>;

    /// All jobs that are not in a final phase, the oldest first.
    async fn unfinished_jobs(&self) -> Result<Vec<FileJob>, CatalogError>;

    /// What the files of `member` have used whose upload began at `since_ms` or later.
    async fn use_since(&self, member: MemberId, since_ms: u64) -> Result<FileUse, CatalogError>;

    /// Forgets finished jobs that were made before `created_before_ms`.
    async fn purge_jobs(&self, created_before_ms: u64) -> Result<u64, CatalogError>;

    /// Notes deletions, durably.
    async fn note_deletions(&self, deletions: &[FileDeletion]) -> Result<(), CatalogError>;

    /// All deletions that are noted.
    async fn deletions(&self) -> Result<Vec<FileDeletion>, CatalogError>;

    /// Forgets deletions from before `deleted_before_ms`.
    async fn purge_deletions(&self, deleted_before_ms: u64) -> Result<(), CatalogError>;
}
