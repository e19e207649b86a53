//! The usage statistics, in a file of their own.

use super::database::{Database, Step};
use super::statement::{malformed, signed as clamped};
use crate::CatalogError;
use crate::usage::{
    Counters, ErasedId, HourDelta, HourRow, LINES_PER_HOUR, Scrubber, UsageStore, append, newest, not_rising,
};
use async_trait::async_trait;
use ia_model::MemberId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use std::ops::Range;
use std::path::Path;

const STEPS: &[Step] = &[
    ("usage", include_str!("../../migrations/usage/0001_usage.sql")),
    ("every value twice", include_str!("../../migrations/usage/0002_every_value_twice.sql")),
    ("erased ids", include_str!("../../migrations/usage/0003_erased_ids.sql")),
    ("jobs of files", include_str!("../../migrations/usage/0004_file_jobs.sql")),
];

/// A member's hours, as [`hour_of`] reads them.
const HOURS: &str = "SELECT hour_start, valid_users, invalid_users, valid_adds, valid_removes, \
         unauth_segments, inactive_segments, invalid_segments, other_errors, error_lines, segment_lines \
     FROM usage_hours WHERE member_id = $1 AND hour_start >= $2 AND hour_start < $3 ORDER BY hour_start";

/// How many rows of lines are looked through in one transaction.
const ROWS_PER_TURN: i64 = 500;

/// The usage statistics in a SQLite file of their own.
#[derive(Debug, Clone)]
pub struct SqliteUsage {
    pub(super) database: Database,
}

impl SqliteUsage {
    /// Opens the file, creates it (mode 0600) if there is none, and brings its tables up to date.
    ///
    /// Fails with `Damaged` or `UnknownSchema`, naming the file, when it cannot be used. All of it is
    /// looked at but the texts of the lines, which are checked when they are read.
    pub async fn open(path: &Path) -> Result<SqliteUsage, CatalogError> {
        let database = Database::open(path, STEPS).await?;
        database.check().await?;
        // A crash may have left what was scrubbed in the WAL.
        database.fold().await;
        Ok(SqliteUsage { database })
    }

    /// Copies the statistics in `from` into the new file `to`, also while other processes use them. The
    /// caller makes the copy durable.
    pub async fn copy(from: &Path, to: &Path) -> Result<(), CatalogError> {
        Database::copy(from, to).await
    }

    /// Closes the file. Other clones are closed with it.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[async_trait]
impl UsageStore for SqliteUsage {
    async fn position(&self) -> Result<u64, CatalogError> {
        let position: i64 = sqlx::query_scalar("SELECT position FROM usage_position")
            .fetch_one(self.database.pool())
            .await
            .map_err(self.database.error("reading the position of the statistics"))?;
        Ok(unsigned(position))
    }

    async fn commit_erasing(
        &self,
        position: u64,
        deltas: &[HourDelta],
        erased: &[ErasedId],
    ) -> Result<(), CatalogError> {
        let failed = self.database.error("adding to the statistics");
        let mut transaction = self.database.begin_write().await?;
        let stored: i64 = sqlx::query_scalar("SELECT position FROM usage_position")
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        if position <= unsigned(stored) {
            return Err(not_rising(position, unsigned(stored)));
        }
        sqlx::query("UPDATE usage_position SET position = $1")
            .bind(signed(position, "position")?)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        for delta in deltas {
            let hour = Hour { member: delta.member, start_ms: signed(delta.hour_start_ms, "hour_start_ms")? };
            hour.add(&mut transaction, delta).await.map_err(&failed)?;
        }
        for ErasedId { member, id } in erased {
            sqlx::query("INSERT INTO usage_erased (member_id, id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(member.map_or(ALL_MEMBERS, |member| i64::from(member.0)))
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
        }
        self.database.commit(transaction).await
    }

    async fn scrub(&self) -> Result<u64, CatalogError> {
        let failed = self.database.error("taking erased ids out of the statistics");
        let erased: Vec<(i64, String)> = sqlx::query_as("SELECT member_id, id FROM usage_erased")
            .fetch_all(self.database.pool())
            .await
            .map_err(&failed)?;
        if erased.is_empty() {
            return Ok(0);
        }
        let ids = erased.iter().map(|(member, id)| ErasedId {
            // A number out of range is no member's.
            member: u32::try_from(*member).ok().filter(|&member| member > 0).map(MemberId),
            id: id.clone(),
        });
        let mut rewritten = 0;
        for (scope, scrubber) in Scrubber::by_member(ids.collect()) {
            rewritten += self.scrub_lines(scope, &scrubber).await?;
            rewritten += self.scrub_jobs(scope, &scrubber).await?;
        }
        // The pages that held them, in the file and in the WAL, before the notes go: what is noted is tried again.
        self.database.fold_all().await?;
        let mut transaction = self.database.begin_write().await?;
        for (member, id) in &erased {
            sqlx::query("DELETE FROM usage_erased WHERE member_id = $1 AND id = $2")
                .bind(member)
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
        }
        self.database.commit(transaction).await?;
        self.database.fold_all().await?;
        Ok(rewritten)
    }

    async fn report(&self, member: MemberId, hours: Range<u64>) -> Result<Vec<HourRow>, CatalogError> {
        let failed = self.database.error("reading the statistics");
        // Counters and lines must be of one moment.
        let mut transaction = self.database.begin_read().await?;
        let rows = sqlx::query(HOURS)
            .bind(i64::from(member.0))
            .bind(clamped(hours.start))
            .bind(clamped(hours.end))
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
        let mut report = Vec::with_capacity(rows.len());
        // One hour and kind after the other: only its own JSON is in memory beside the report.
        for row in &rows {
            let mut hour = hour_of(row).map_err(&failed)?;
            let key = Hour { member, start_ms: row.try_get(0).map_err(&failed)? };
            let (errors, segments) = line_ends(row).map_err(&failed)?;
            hour.error_lines = key.lines(&mut transaction, "error", errors).await.map_err(&failed)?;
            hour.segment_lines = key.lines(&mut transaction, "segment", segments).await.map_err(&failed)?;
            report.push(hour);
        }
        Ok(report)
    }

    async fn totals(&self, member: MemberId, hours: Range<u64>) -> Result<Counters, CatalogError> {
        let failed = self.database.error("adding up the statistics");
        // One statement sees one moment. It reads rows, not their sums, so that none can overflow.
        let rows = sqlx::query(HOURS)
            .bind(i64::from(member.0))
            .bind(clamped(hours.start))
            .bind(clamped(hours.end))
            .fetch_all(self.database.pool())
            .await
            .map_err(&failed)?;
        let mut totals = Counters::default();
        for row in &rows {
            totals.add(&hour_of(row).map_err(&failed)?.counters);
        }
        Ok(totals)
    }

    async fn purge_before(&self, hour_start_ms: u64) -> Result<u64, CatalogError> {
        // The lines go with their hours.
        let purged = sqlx::query("DELETE FROM usage_hours WHERE hour_start < $1")
            .bind(clamped(hour_start_ms))
            .execute(self.database.pool())
            .await
            .map_err(self.database.error("forgetting old statistics"))?;
        Ok(purged.rows_affected())
    }
}

/// The member of an id that is erased for all members.
const ALL_MEMBERS: i64 = 0;

impl SqliteUsage {
    /// Rewrites the lines of `scope`, some rows at a time, so that a commit waits for one turn at most. Returns how many
    /// lines changed.
    async fn scrub_lines(&self, scope: Option<MemberId>, scrubber: &Scrubber) -> Result<u64, CatalogError> {
        let failed = self.database.error("taking erased ids out of the statistics");
        let (mut after, mut rewritten) = (i64::MIN, 0);
        loop {
            let rows: Vec<(i64, String)> = sqlx::query_as(
                "SELECT rowid, lines FROM usage_lines WHERE rowid > $1 AND ($2 = 0 OR member_id = $2) \
                 ORDER BY rowid LIMIT $3",
            )
            .bind(after)
            .bind(scope.map_or(ALL_MEMBERS, |member| i64::from(member.0)))
            .bind(ROWS_PER_TURN)
            .fetch_all(self.database.pool())
            .await
            .map_err(&failed)?;
            let Some(&(last, _)) = rows.last() else { return Ok(rewritten) };
            after = last;
            let found: Vec<_> = rows.into_iter().filter(|(_, json)| scrubber.may_be_in(json)).collect();
            if found.is_empty() {
                continue;
            }
            let mut transaction = self.database.begin_write().await?;
            for (row, before) in found {
                let (json, lines) = scrubber.without_ids_in(&before);
                // The old text is compared, since a row may have gone and its number be another's by now.
                let done = sqlx::query(
                    "UPDATE usage_lines SET lines = $2, checksum = $3 WHERE rowid = $1 AND lines = $4",
                )
                .bind(row)
                .bind(&json)
                .bind(i64::from(crc32c::crc32c(json.as_bytes())))
                .bind(&before)
                .execute(&mut *transaction)
                .await
                .map_err(&failed)?;
                rewritten += lines * done.rows_affected();
            }
            self.database.commit(transaction).await?;
        }
    }
}

/// A row to add to, or whose lines to read.
#[derive(Clone, Copy)]
struct Hour {
    member: MemberId,
    start_ms: i64,
}

impl Hour {
    async fn add(self, connection: &mut SqliteConnection, delta: &HourDelta) -> Result<(), sqlx::Error> {
        let (error_lines, segment_lines) = (newest(&delta.error_lines), newest(&delta.segment_lines));
        let mut upsert = sqlx::query_as(
            "INSERT INTO usage_hours (member_id, hour_start, error_lines, segment_lines, valid_users, \
                 invalid_users, valid_adds, valid_removes, unauth_segments, inactive_segments, \
                 invalid_segments, other_errors) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
             ON CONFLICT (member_id, hour_start) DO UPDATE SET \
                 error_lines = usage_hours.error_lines + excluded.error_lines, \
                 segment_lines = usage_hours.segment_lines + excluded.segment_lines, \
                 valid_users = usage_hours.valid_users + excluded.valid_users, \
                 invalid_users = usage_hours.invalid_users + excluded.invalid_users, \
                 valid_adds = usage_hours.valid_adds + excluded.valid_adds, \
                 valid_removes = usage_hours.valid_removes + excluded.valid_removes, \
                 unauth_segments = usage_hours.unauth_segments + excluded.unauth_segments, \
                 inactive_segments = usage_hours.inactive_segments + excluded.inactive_segments, \
                 invalid_segments = usage_hours.invalid_segments + excluded.invalid_segments, \
                 other_errors = usage_hours.other_errors + excluded.other_errors \
             RETURNING error_lines, segment_lines",
        )
        .bind(i64::from(self.member.0))
        .bind(self.start_ms)
        .bind(error_lines.len() as i64)
        .bind(segment_lines.len() as i64);
        for value in delta.counters.values() {
            upsert = upsert.bind(clamped(value));
        }
        let (errors, segments): (i64, i64) = upsert.fetch_one(&mut *connection).await?;
        self.append(connection, "error", errors, error_lines).await?;
        self.append(connection, "segment", segments, segment_lines).await
    }

    /// Numbers `lines` so that the last one is `end - 1`, and drops the rows whose lines are all too old now.
    async fn append(
        self,
        connection: &mut SqliteConnection,
        kind: &str,
        end: i64,
        lines: &[String],
    ) -> Result<(), sqlx::Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let count = lines.len() as i64;
        let json = serde_json::to_string(lines).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(
            "INSERT INTO usage_lines (member_id, hour_start, kind, number, count, lines, checksum) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(i64::from(self.member.0))
        .bind(self.start_ms)
        .bind(kind)
        .bind(end - count)
        .bind(count)
        .bind(&json)
        .bind(i64::from(crc32c::crc32c(json.as_bytes())))
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "DELETE FROM usage_lines WHERE member_id = $1 AND hour_start = $2 AND kind = $3 AND number + count <= $4",
        )
        .bind(i64::from(self.member.0))
        .bind(self.start_ms)
        .bind(kind)
        .bind(end - LINES_PER_HOUR as i64)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// The newest of the lines before number `end`, oldest first. Rows that hold none of these are not read.
    async fn lines(
        self,
        connection: &mut SqliteConnection,
        kind: &str,
        end: i64,
    ) -> Result<Vec<String>, sqlx::Error> {
        let mut lines = Vec::new();
        if end == 0 {
            return Ok(lines);
        }
        let rows: Vec<(String, Option<i64>)> = sqlx::query_as(
            "SELECT lines, checksum FROM usage_lines \
             WHERE member_id = $1 AND hour_start = $2 AND kind = $3 AND number + count > $4 ORDER BY number",
        )
        .bind(i64::from(self.member.0))
        .bind(self.start_ms)
        .bind(kind)
        .bind(end - LINES_PER_HOUR as i64)
        .fetch_all(connection)
        .await?;
        for (json, checksum) in rows {
            if checksum.is_some_and(|checksum| checksum != i64::from(crc32c::crc32c(json.as_bytes()))) {
                return Err(malformed("the checksum of the lines does not match"));
            }
            let new: Vec<String> = serde_json::from_str(&json).map_err(malformed)?;
            append(&mut lines, &new);
        }
        Ok(lines)
    }
}

fn hour_of(row: &SqliteRow) -> Result<HourRow, sqlx::Error> {
    let mut values = [0; 8];
    for (index, value) in values.iter_mut().enumerate() {
        *value = unsigned(row.try_get(index + 1)?);
    }
    Ok(HourRow {
        hour_start_ms: unsigned(row.try_get(0)?),
        counters: Counters::from_values(values),
        error_lines: Vec::new(),
        segment_lines: Vec::new(),
    })
}

/// How many lines of each kind there ever were in an hour: refused, accepted.
fn line_ends(row: &SqliteRow) -> Result<(i64, i64), sqlx::Error> {
    Ok((row.try_get(9)?, row.try_get(10)?))
}

fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}

fn signed(value: u64, path: &str) -> Result<i64, CatalogError> {
    i64::try_from(value).map_err(|_| CatalogError::invalid(path, "the value is over 2^63-1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: MemberId = MemberId(958);

    fn delta(lines: usize) -> HourDelta {
        HourDelta {
            member: MEMBER,
            hour_start_ms: 0,
            counters: Counters { valid_users: 1, ..Counters::default() },
            error_lines: vec!["x".repeat(1000); lines],
            segment_lines: Vec::new(),
        }
    }

    async fn stored(usage: &SqliteUsage) -> (u64, u64) {
        let counters = usage.totals(MEMBER, 0..u64::MAX).await.unwrap();
        (usage.position().await.unwrap(), counters.valid_users)
    }

    #[tokio::test]
    async fn a_full_disk_neither_loses_nor_doubles_what_is_counted() {
        let directory = tempfile::TempDir::new().unwrap();
        let usage = SqliteUsage::open(&directory.path().join("usage.db")).await.unwrap();
        usage.commit(1, &[delta(0)]).await.unwrap();

        usage.database.set_full(true).await;
        // More often than there are connections, each of which could be spoilt.
        for _ in 0..10 {
            let error = usage.commit(2, &[delta(100)]).await.unwrap_err();
            assert!(error.is_retryable(), "{error:?}");
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("full"), "{cause}");
            assert_eq!(stored(&usage).await, (1, 1), "reading goes on, nothing was counted");
        }

        usage.database.set_full(false).await;
        usage.commit(2, &[delta(100)]).await.unwrap();
        usage.commit(2, &[delta(100)]).await.unwrap_err();
        assert_eq!(stored(&usage).await, (2, 2));
        for position in 3..20 {
            usage.commit(position, &[delta(1)]).await.unwrap();
            assert_eq!(stored(&usage).await, (position, position));
        }
    }

    /// The report's memory is bounded by the lines that it shows, whatever else the table holds.
    #[tokio::test]
    async fn a_report_reads_no_row_whose_lines_are_all_too_old() {
        let directory = tempfile::TempDir::new().unwrap();
        let usage = SqliteUsage::open(&directory.path().join("usage.db")).await.unwrap();
        for position in 1..=3 {
            usage.commit(position, &[delta(90)]).await.unwrap();
        }
        sqlx::query(
            "INSERT INTO usage_lines (member_id, hour_start, kind, number, count, lines) \
             VALUES ($1, 0, 'error', -5, 75, 'not JSON')",
        )
        .bind(i64::from(MEMBER.0))
        .execute(usage.database.pool())
        .await
        .unwrap();
        let report = usage.report(MEMBER, 0..u64::MAX).await.unwrap();
        assert_eq!(report[0].error_lines.len(), LINES_PER_HOUR);
    }
}
