//! The jobs of files, in the file of the usage statistics.

use super::SqliteUsage;
use super::statement::{Numbers as _, malformed, page, signed};
use crate::CatalogError;
use crate::file_jobs::{FILE_JOB, FileDeletion, FileJob, FileJobStore, FileProgress, FileUse, Phase};
use crate::listing::sql::List;
use crate::listing::{Direction, ListQuery, Page};
use crate::usage::Scrubber;
use async_trait::async_trait;
use ia_model::record::{FileCounts, RefusedSegment, SegmentFault};
use ia_model::{MemberId, SegmentId};
use sea_query::{Condition, Expr, ExprTrait as _};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

/// The details as JSON.
#[derive(Serialize, Deserialize, Default)]
struct Details {
    /// Kind of fault, segment.
    refused: Vec<(u8, u64)>,
    /// Segment, users added, users removed.
    segments: Vec<(u32, u64, u64)>,
    error_lines: Vec<String>,
}

impl Details {
    fn of(progress: &FileProgress) -> Details {
        let refused = progress.refused.iter().map(|refused| (refused.fault as u8, refused.segment));
        let segments =
            progress.segments.iter().map(|(segment, &(added, removed))| (segment.0, added, removed));
        Details {
            refused: refused.collect(),
            segments: segments.collect(),
            error_lines: progress.error_lines.iter().cloned().collect(),
        }
    }
}

const UPDATE: &str = "UPDATE file_jobs SET phase = $2, error_code = $3, percent_complete = $4, \
     last_modified = $5, start_time = $6, uploaded_time = $7, validated_time = $8, completed_time = $9, \
     sent_bytes = $10, sha256 = $11, parts = $12, entries = $13, num_valid = $14, num_valid_user = $15, \
     num_invalid_user = $16, num_invalid_format = $17, num_invalid_timestamp = $18, num_other_error = $19, \
     num_invalid_segment = $20, num_unauth_segment = $21, num_inactive_segment = $22, \
     num_past_expiration = $23 WHERE id = $1";

const DETAILS: &str = "INSERT INTO file_job_details (job, details, checksum) VALUES ($1, $2, $3) \
     ON CONFLICT (job) DO UPDATE SET details = excluded.details, checksum = excluded.checksum";

/// The number of a deletion from all members' segments.
const ALL_MEMBERS: i64 = 0;

#[async_trait]
impl FileJobStore for SqliteUsage {
    async fn create_job(
        &self,
        job_id: &str,
        member: MemberId,
        replaced: Option<SegmentId>,
        now_ms: u64,
    ) -> Result<FileJob, CatalogError> {
        let failed = self.database.error("making a job");
        let mut transaction = self.database.begin_write().await?;
        let row = sqlx::query(
            "INSERT INTO file_jobs (job_id, member_id, replaced, phase, percent_complete, created_on, \
                 last_modified, sent_bytes, parts, entries, num_valid, num_valid_user, num_invalid_user, \
                 num_invalid_format, num_invalid_timestamp, num_other_error, num_invalid_segment, \
                 num_unauth_segment, num_inactive_segment, num_past_expiration) \
             VALUES ($1, $2, $3, $4, 0, $5, $5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) RETURNING *",
        )
        .bind(job_id)
        .bind(i64::from(member.0))
        .bind(replaced.map(|segment| i64::from(segment.0)))
        .bind(Phase::Starting.name())
        .bind(signed(now_ms))
        .fetch_one(&mut *transaction)
        .await
        .map_err(&failed)?;
        let job = job_of(&row, Details::default()).map_err(&failed)?;
        self.database.commit(transaction).await?;
        Ok(job)
    }

    async fn put_jobs(&self, jobs: &[FileJob]) -> Result<(), CatalogError> {
        let failed = self.database.error("writing jobs");
        let mut transaction = self.database.begin_write().await?;
        for job in jobs {
            put(&mut transaction, job).await.map_err(&failed)?;
        }
        self.database.commit(transaction).await
    }

    async fn job(&self, job_id: &str) -> Result<Option<FileJob>, CatalogError> {
        let failed = self.database.error("reading a job");
        let mut transaction = self.database.begin_read().await?;
        let read = async {
            let row = sqlx::query("SELECT * FROM file_jobs WHERE job_id = $1")
                .bind(job_id)
                .fetch_optional(&mut *transaction)
                .await?;
            match row {
                Some(row) => Ok(Some(with_details(&mut transaction, &row).await?)),
                None => Ok(None),
            }
        };
        read.await.map_err(failed)
    }

    async fn jobs(&self, member: Option<MemberId>, query: &ListQuery) -> Result<Page<FileJob>, CatalogError> {
        let failed = self.database.error("reading jobs");
        let mut query = query.clone();
        if query.sort.is_empty() {
            query.sort.push((FILE_JOB.known_field("id"), Direction::Descending));
        }
        let of_member = member.map(|member| Expr::col("member_id").eq(member.0));
        let visible = Condition::all().add_option(of_member);
        let list = List { resource: &FILE_JOB, table: "file_jobs", visible, partly: None, query: &query };
        let mut transaction = self.database.begin_read().await?;
        let Page { items: rows, count } = page(&mut transaction, &list).await.map_err(&failed)?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            items.push(with_details(&mut transaction, row).await.map_err(&failed)?);
        }
        Ok(Page { items, count })
    }

    async fn unfinished_jobs(&self) -> Result<Vec<FileJob>, CatalogError> {
        let failed = self.database.error("reading unfinished jobs");
        let mut transaction = self.database.begin_read().await?;
        let rows =
            sqlx::query("SELECT * FROM file_jobs WHERE phase NOT IN ('completed', 'error') ORDER BY id")
                .fetch_all(&mut *transaction)
                .await
                .map_err(&failed)?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            jobs.push(with_details(&mut transaction, row).await.map_err(&failed)?);
        }
        Ok(jobs)
    }

    async fn use_since(&self, member: MemberId, since_ms: u64) -> Result<FileUse, CatalogError> {
        let failed = self.database.error("adding up a member's files");
        // Rows, not their sums: none can overflow.
        let rows = sqlx::query(
            "SELECT sent_bytes, entries, start_time FROM file_jobs WHERE member_id = $1 AND start_time >= $2",
        )
        .bind(i64::from(member.0))
        .bind(signed(since_ms))
        .fetch_all(self.database.pool())
        .await
        .map_err(&failed)?;
        let mut used = FileUse::default();
        for row in &rows {
            let start = row.u64("start_time").map_err(&failed)?;
            used.bytes = used.bytes.saturating_add(row.u64("sent_bytes").map_err(&failed)?);
            used.entries = used.entries.saturating_add(row.u64("entries").map_err(&failed)?);
            used.oldest_ms = Some(used.oldest_ms.map_or(start, |oldest| Ord::min(oldest, start)));
        }
        Ok(used)
    }

    async fn purge_jobs(&self, created_before_ms: u64) -> Result<u64, CatalogError> {
        // The details go with their jobs.
        let purged =
            sqlx::query("DELETE FROM file_jobs WHERE created_on < $1 AND phase IN ('completed', 'error')")
                .bind(signed(created_before_ms))
                .execute(self.database.pool())
                .await
                .map_err(self.database.error("forgetting old jobs"))?;
        Ok(purged.rows_affected())
    }

    async fn note_deletions(&self, deletions: &[FileDeletion]) -> Result<(), CatalogError> {
        let failed = self.database.error("noting deletions for files");
        let mut transaction = self.database.begin_write().await?;
        for FileDeletion { hash, member, deleted_ms } in deletions {
            sqlx::query(
                "INSERT INTO file_deletions (hash, member_id, deleted_on) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(format!("{:032x}", u128::from_be_bytes(*hash)))
            .bind(member.map_or(ALL_MEMBERS, |member| i64::from(member.0)))
            .bind(signed(*deleted_ms))
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        }
        self.database.commit(transaction).await
    }

    async fn deletions(&self) -> Result<Vec<FileDeletion>, CatalogError> {
        let failed = self.database.error("reading deletions for files");
        let rows = sqlx::query("SELECT * FROM file_deletions")
            .fetch_all(self.database.pool())
            .await
            .map_err(&failed)?;
        rows.iter().map(deletion_of).collect::<Result<_, _>>().map_err(failed)
    }

    async fn purge_deletions(&self, deleted_before_ms: u64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM file_deletions WHERE deleted_on < $1")
            .bind(signed(deleted_before_ms))
            .execute(self.database.pool())
            .await
            .map(drop)
            .map_err(self.database.error("forgetting deletions for files"))
    }
}

impl SqliteUsage {
    /// Takes erased ids out of the error lines of jobs of `scope`, and returns how many lines went.
    pub(super) async fn scrub_jobs(
        &self,
        scope: Option<MemberId>,
        scrubber: &Scrubber,
    ) -> Result<u64, CatalogError> {
        let failed = self.database.error("taking erased ids out of the jobs");
        let mut transaction = self.database.begin_write().await?;
        let rows = sqlx::query(
            "SELECT job, details, checksum FROM file_job_details JOIN file_jobs ON id = job \
             WHERE $1 = 0 OR member_id = $1",
        )
        .bind(scope.map_or(ALL_MEMBERS, |member| i64::from(member.0)))
        .fetch_all(&mut *transaction)
        .await
        .map_err(&failed)?;
        let mut scrubbed = 0;
        for row in &rows {
            let mut details = details_of(row).map_err(&failed)?;
            let before = details.error_lines.len();
            details.error_lines.retain(|line| !scrubber.is_in_job_line(line));
            if details.error_lines.len() < before {
                scrubbed += (before - details.error_lines.len()) as u64;
                let job: i64 = row.try_get("job").map_err(&failed)?;
                put_details(&mut transaction, job, &details).await.map_err(&failed)?;
            }
        }
        self.database.commit(transaction).await?;
        Ok(scrubbed)
    }
}

async fn put(connection: &mut SqliteConnection, job: &FileJob) -> Result<(), sqlx::Error> {
    let FileProgress { parts, entries, counts, refused, .. } = &job.progress;
    let refused_for = |fault| refused.iter().filter(|refused| refused.fault == fault).count() as i64;
    let mut update = sqlx::query(UPDATE)
        .bind(signed(job.id))
        .bind(job.phase.name())
        .bind(job.error_code.as_deref())
        .bind(i64::from(job.percent))
        .bind(signed(job.modified_ms))
        .bind(job.started_ms.map(signed))
        .bind(job.uploaded_ms.map(signed))
        .bind(job.validated_ms.map(signed))
        .bind(job.completed_ms.map(signed))
        .bind(signed(job.sent_bytes))
        .bind(job.sha256.as_deref())
        .bind(i64::from(*parts))
        .bind(signed(*entries));
    for count in counts.values() {
        update = update.bind(signed(count));
    }
    for fault in [
        SegmentFault::Invalid,
        SegmentFault::Unauthorized,
        SegmentFault::Inactive,
        SegmentFault::PastExpiration,
    ] {
        update = update.bind(refused_for(fault));
    }
    update.execute(&mut *connection).await?;
    put_details(connection, signed(job.id), &Details::of(&job.progress)).await
}

async fn put_details(
    connection: &mut SqliteConnection,
    job: i64,
    details: &Details,
) -> Result<(), sqlx::Error> {
    let json = serde_json::to_string(details).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let checksum = i64::from(crc32c::crc32c(json.as_bytes()));
    sqlx::query(DETAILS).bind(job).bind(&json).bind(checksum).execute(connection).await?;
    Ok(())
}

async fn with_details(connection: &mut SqliteConnection, row: &SqliteRow) -> Result<FileJob, sqlx::Error> {
    let job: i64 = row.try_get("id")?;
    let details = sqlx::query("SELECT details, checksum FROM file_job_details WHERE job = $1")
        .bind(job)
        .fetch_optional(connection)
        .await?;
    job_of(row, details.as_ref().map(details_of).transpose()?.unwrap_or_default())
}

fn details_of(row: &SqliteRow) -> Result<Details, sqlx::Error> {
    let (json, checksum): (&str, i64) = (row.try_get("details")?, row.try_get("checksum")?);
    if checksum != i64::from(crc32c::crc32c(json.as_bytes())) {
        return Err(malformed("the checksum of a job's details does not match"));
    }
    serde_json::from_str(json).map_err(malformed)
}

fn job_of(row: &SqliteRow, details: Details) -> Result<FileJob, sqlx::Error> {
    let phase = Phase::from_name(row.try_get("phase")?).ok_or_else(|| malformed("an unknown phase"))?;
    let refused = details.refused.into_iter().map(|(fault, segment)| {
        let fault = SegmentFault::from_code(fault).ok_or_else(|| malformed("an unknown fault"))?;
        Ok(RefusedSegment { fault, segment })
    });
    let segments = details.segments.into_iter();
    let counts = FileCounts {
        valid: row.u64("num_valid")?,
        valid_users: row.u64("num_valid_user")?,
        invalid_users: row.u64("num_invalid_user")?,
        invalid_formats: row.u64("num_invalid_format")?,
        invalid_timestamps: row.u64("num_invalid_timestamp")?,
        other_errors: row.u64("num_other_error")?,
    };
    Ok(FileJob {
        id: row.u64("id")?,
        job_id: row.try_get("job_id")?,
        member: MemberId(row.u32("member_id")?),
        replaced: row.optional_u32("replaced")?.map(SegmentId),
        phase,
        error_code: row.try_get("error_code")?,
        percent: u8::try_from(row.u64("percent_complete")?).map_err(malformed)?,
        created_ms: row.u64("created_on")?,
        modified_ms: row.u64("last_modified")?,
        started_ms: row.optional_u64("start_time")?,
        uploaded_ms: row.optional_u64("uploaded_time")?,
        validated_ms: row.optional_u64("validated_time")?,
        completed_ms: row.optional_u64("completed_time")?,
        sent_bytes: row.u64("sent_bytes")?,
        sha256: row.try_get("sha256")?,
        progress: FileProgress {
            parts: row.u32("parts")?,
            entries: row.u64("entries")?,
            counts,
            refused: refused.collect::<Result<_, sqlx::Error>>()?,
            segments: segments.map(|(id, added, removed)| (SegmentId(id), (added, removed))).collect(),
            error_lines: details.error_lines.into(),
        },
    })
}

fn deletion_of(row: &SqliteRow) -> Result<FileDeletion, sqlx::Error> {
    let hash = u128::from_str_radix(row.try_get("hash")?, 16).map_err(malformed)?;
    Ok(FileDeletion {
        hash: hash.to_be_bytes(),
        // Nobody has the number 0.
        member: Some(row.u32("member_id")?).filter(|&member| member > 0).map(MemberId),
        deleted_ms: row.u64("deleted_on")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::{Filter, Test, Value};
    use crate::usage::{ErasedId, UsageStore as _};

    const MEMBER: MemberId = MemberId(958);

    async fn store() -> (tempfile::TempDir, SqliteUsage) {
        let directory = tempfile::TempDir::new().unwrap();
        let store = SqliteUsage::open(&directory.path().join("usage.db")).await.unwrap();
        (directory, store)
    }

    fn processed(mut job: FileJob, number: u64) -> FileJob {
        job.phase = Phase::Processing;
        job.percent = 70;
        (job.started_ms, job.uploaded_ms) = (Some(1000 + number), Some(2000 + number));
        (job.sent_bytes, job.sha256) = (10 * number, Some("ab".repeat(32)));
        job.progress = FileProgress {
            parts: 3,
            entries: 5 * number,
            counts: FileCounts::from_values([1, 2, 3, 4, 5, number]),
            refused: [(SegmentFault::Invalid, 7), (SegmentFault::Invalid, 8), (SegmentFault::Inactive, 7)]
                .map(|(fault, segment)| RefusedSegment { fault, segment })
                .into(),
            segments: [(SegmentId(5), (10, 1))].into(),
            error_lines: [
                "num_invalid_user-abc:5",
                "num_invalid_segment-6d92078a-8246-4ba4-ae5b-76104861e7dc:9^3",
                "num_invalid_segment-cart 7:9",
            ]
            .map(str::to_owned)
            .into(),
        };
        job
    }

    #[tokio::test]
    async fn a_job_is_read_as_it_was_written_and_found_by_its_fields() {
        let (_directory, store) = store().await;
        let mut jobs = Vec::new();
        for number in 1..=3 {
            let replaced = (number == 2).then_some(SegmentId(9));
            let id = format!("job{number}");
            let job = store.create_job(&id, MEMBER, replaced, number).await.unwrap();
            assert_eq!(store.job(&id).await.unwrap().as_ref(), Some(&job));
            jobs.push(processed(job, number));
        }
        jobs[0].phase = Phase::Completed;
        jobs[0].completed_ms = Some(5000);
        store.put_jobs(&jobs).await.unwrap();
        assert_eq!(store.job("job2").await.unwrap().as_ref(), Some(&jobs[1]));
        assert_eq!(store.job("job9").await.unwrap(), None);
        assert_eq!(store.unfinished_jobs().await.unwrap(), jobs[1..]);

        let query = ListQuery { num_elements: 2, ..ListQuery::default() };
        let Page { items, count } = store.jobs(Some(MEMBER), &query).await.unwrap();
        assert_eq!((count, items), (3, vec![jobs[2].clone(), jobs[1].clone()]), "the newest first");
        let test = Test::In(vec![Value::text("COMPLETED")]);
        let filter = Filter { field: FILE_JOB.known_field("phase"), test };
        let query = ListQuery { filters: vec![filter], ..query };
        assert_eq!(store.jobs(None, &query).await.unwrap().items, jobs[..1]);
        assert_eq!(store.jobs(Some(MemberId(1)), &query).await.unwrap().count, 0);

        let used = store.use_since(MEMBER, 1002).await.unwrap();
        assert_eq!(used, FileUse { bytes: 50, entries: 25, oldest_ms: Some(1002) });
        assert_eq!(store.purge_jobs(9).await.unwrap(), 1, "only what is finished");
        assert_eq!(store.job("job1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_erased_id_goes_out_of_the_error_log() {
        let (_directory, store) = store().await;
        let job = store.create_job("job", MEMBER, None, 1).await.unwrap();
        store.put_jobs(&[processed(job, 1)]).await.unwrap();
        let erased = |id: &str, member: u32| ErasedId {
            member: (member > 0).then_some(MemberId(member)),
            id: id.to_owned(),
        };
        let lines = async || {
            let job = store.job("job").await.unwrap().unwrap();
            Vec::from(job.progress.error_lines)
        };
        let erase = |ids: [ErasedId; 2], position| {
            let store = store.clone();
            async move {
                store.commit_erasing(position, &[], &ids).await.unwrap();
                store.scrub().await.unwrap()
            }
        };
        // Another member's, and a word that is no id.
        assert_eq!(erase([erased("abc", 1), erased("num", 0)], 1).await, 0);
        assert_eq!(lines().await.len(), 3);
        let uuid = "6D92078A-8246-4BA4-AE5B-76104861E7DC";
        assert_eq!(erase([erased(uuid, 0), erased("cart 7", MEMBER.0)], 2).await, 2);
        assert_eq!(lines().await, ["num_invalid_user-abc:5"]);
    }

    #[tokio::test]
    async fn deletions_are_kept_until_no_file_needs_them() {
        let (_directory, store) = store().await;
        let deletion = |n: u8, member| FileDeletion { hash: [n; 16], member, deleted_ms: u64::from(n) };
        let noted = [deletion(1, None), deletion(2, Some(MEMBER)), deletion(200, None)];
        store.note_deletions(&noted).await.unwrap();
        store.note_deletions(&noted[..1]).await.unwrap();
        assert_eq!(store.deletions().await.unwrap().len(), 3);
        store.purge_deletions(2).await.unwrap();
        let mut left = store.deletions().await.unwrap();
        left.sort_by_key(|deletion| deletion.deleted_ms);
        assert_eq!(left, noted[1..]);
    }
}
