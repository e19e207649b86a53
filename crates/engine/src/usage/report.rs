//! The report of `GET /rt-segment-processed`.

use super::UsageFollower;
use ia_catalog::CatalogError;
use ia_catalog::usage::{Counters, HourRow};
use ia_model::{MemberId, time};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

/// The length of a report without a range.
const DEFAULT_DAYS: u32 = 14;

/// The hours that a report covers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first_hour_ms: u64,
    last_hour_ms: u64,
}

/// Why a range is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The parameter of this name is not a date.
    #[error("'{0}' must be a date like 2026-01-31 13:00:00")]
    NotADate(&'static str),
    /// The range ends before it starts.
    #[error("'start' must not be after 'end'")]
    StartAfterEnd,
}

impl Range {
    /// The hours that are wholly or partly between `start` and `end`. An absent `end` means now, an absent `start` two
    /// weeks before the end.
    pub fn parse(start: Option<&str>, end: Option<&str>, now_ms: u64) -> Result<Range, RangeError> {
        let parse = |name, text: Option<&str>| {
            text.map(|text| time::parse_utc(text).ok_or(RangeError::NotADate(name))).transpose()
        };
        let end = parse("end", end)?;
        let end_ms = end.unwrap_or(now_ms);
        let start_ms = parse("start", start)?.unwrap_or(time::days_before(end_ms, DEFAULT_DAYS));
        if start_ms > end_ms {
            return Err(RangeError::StartAfterEnd);
        }
        Ok(Range { first_hour_ms: time::start_of_hour(start_ms), last_hour_ms: time::start_of_hour(end_ms) })
    }
}

/// The value of `report` in the answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Report {
    /// An entry an hour that had traffic, oldest first.
    Hourly(Vec<Entry>),
    /// The sums over the range.
    Sum(Entry),
}

/// One object of a report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportEntry)]
pub struct Entry {
    #[schema(value_type = u64)]
    member_id: u32,
    /// UTC, `YYYY-MM-DD HH:00:00`
    processed_hour: String,
    num_valid_users: u64,
    num_invalid_users: u64,
    num_valid_adds: u64,
    num_valid_removes: u64,
    num_unauth_segments: u64,
    num_inactive_segments: u64,
    num_invalid_segments: u64,
    num_other_errors: u64,
    /// 100 x valid users / all users, to two decimals.
    match_rate: f64,
    /// The newest lines, joined by line feeds; null in a sum.
    #[schema(required = true)]
    error_log_lines: Option<String>,
    /// As `error_log_lines`.
    #[schema(required = true)]
    segment_log_lines: Option<String>,
}

/// The most hourly reports at once; each can take a hundred megabytes.
const LONG_REPORTS_AT_ONCE: usize = 2;

/// Makes reports.
pub struct Reports {
    usage: Arc<UsageFollower>,
    long_reports: Arc<Semaphore>,
}

/// A report. An hourly one counts against the limit of reports at once until it is dropped.
pub struct HeldReport {
    /// The report.
    pub report: Report,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Reports {
    pub(crate) fn new(usage: Arc<UsageFollower>) -> Reports {
        Reports { usage, long_reports: Arc::new(Semaphore::new(LONG_REPORTS_AT_ONCE)) }
    }

    /// The report of `member`: an entry for each hour, or their sum if `aggregate`. Waits if there are too many
    /// hourly reports.
    pub async fn report(
        &self,
        member: MemberId,
        range: Range,
        aggregate: bool,
    ) -> Result<HeldReport, CatalogError> {
        let hours = range.first_hour_ms..range.last_hour_ms + 1;
        if aggregate {
            let sum = self.usage.totals(member, hours).await?;
            let report = Report::Sum(entry(member, range.last_hour_ms, &sum, None, None));
            return Ok(HeldReport { report, _permit: None });
        }
        let permit = Arc::clone(&self.long_reports).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let rows = self.usage.hours(member, hours).await?;
        let report = Report::Hourly(rows.into_iter().map(|row| hourly(member, row)).collect());
        Ok(HeldReport { report, _permit: Some(permit) })
    }
}

fn hourly(member: MemberId, row: HourRow) -> Entry {
    let lines = |lines: &[String]| Some(lines.join("\n"));
    entry(member, row.hour_start_ms, &row.counters, lines(&row.error_lines), lines(&row.segment_lines))
}

fn entry(
    member: MemberId,
    hour_ms: u64,
    counters: &Counters,
    error_log_lines: Option<String>,
    segment_log_lines: Option<String>,
) -> Entry {
    Entry {
        member_id: member.0,
        processed_hour: time::format_utc(hour_ms),
        num_valid_users: counters.valid_users,
        num_invalid_users: counters.invalid_users,
        num_valid_adds: counters.valid_adds,
        num_valid_removes: counters.valid_removes,
        num_unauth_segments: counters.unauth_segments,
        num_inactive_segments: counters.inactive_segments,
        num_invalid_segments: counters.invalid_segments,
        num_other_errors: counters.other_errors,
        match_rate: match_rate(counters),
        error_log_lines,
        segment_log_lines,
    }
}

/// 100 x valid users / all users, to two decimals; 0.0 without users.
fn match_rate(counters: &Counters) -> f64 {
    let users = counters.valid_users + counters.invalid_users;
    if users == 0 {
        return 0.0;
    }
    (counters.valid_users as f64 * 10_000.0 / users as f64).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_covers_whole_hours_and_defaults_to_two_weeks() {
        let now_ms = time::parse_utc("2026-01-31 13:45:00").unwrap();
        let hour = |text| time::parse_utc(text).unwrap();
        let range = Range::parse(None, None, now_ms).unwrap();
        assert_eq!(range.first_hour_ms, hour("2026-01-17 13:00:00"));
        assert_eq!(range.last_hour_ms, hour("2026-01-31 13:00:00"));
        let range = Range::parse(Some("2026-01-30T10:59:59"), Some("2026-01-31"), now_ms).unwrap();
        assert_eq!(range.first_hour_ms, hour("2026-01-30 10:00:00"));
        assert_eq!(range.last_hour_ms, hour("2026-01-31 00:00:00"));
        assert_eq!(Range::parse(Some("x"), None, now_ms), Err(RangeError::NotADate("start")));
        assert_eq!(Range::parse(None, Some(""), now_ms), Err(RangeError::NotADate("end")));
        assert_eq!(Range::parse(Some("2026-02-01"), None, now_ms), Err(RangeError::StartAfterEnd));
    }

    #[test]
    fn the_match_rate_has_two_decimals() {
        let rate = |valid_users, invalid_users| {
            match_rate(&Counters { valid_users, invalid_users, ..Counters::default() })
        };
        assert_eq!(rate(0, 0), 0.0);
        assert_eq!(rate(2, 1), 66.67);
        assert_eq!(rate(5, 0), 100.0);
    }
}
