//! The usage statistics: counts of accepted and refused data, by member and hour.
//!
//! They follow the log: counters and the position that they cover move in one transaction, so that after
//! any crash every record is counted exactly once.

mod scrub;

pub use scrub::{ErasedId, Scrubber};

use crate::CatalogError;
use async_trait::async_trait;
use ia_model::MemberId;
use std::ops::Range;

/// How many lines of each kind are kept for a member and hour: the newest.
pub const LINES_PER_HOUR: usize = 200;

/// The counters of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Users, counted once a request.
    pub valid_users: u64,
    /// Users whose id is not acceptable, or not known in strict mode.
    pub invalid_users: u64,
    /// User-segment pairs that were added, counted once a request.
    pub valid_adds: u64,
    /// User-segment pairs that were removed, counted once a request.
    pub valid_removes: u64,
    /// Pairs whose segment the member may not write.
    pub unauth_segments: u64,
    /// Pairs whose segment is switched off.
    pub inactive_segments: u64,
    /// Pairs whose segment does not exist.
    pub invalid_segments: u64,
    /// Pairs that failed for another reason.
    pub other_errors: u64,
}

impl Counters {
    /// Adds `other`; a counter stops at the end of its range.
    pub fn add(&mut self, other: &Counters) {
        let mut values = self.values();
        for (value, more) in values.iter_mut().zip(other.values()) {
            *value = value.saturating_add(more);
        }
        *self = Counters::from_values(values);
    }

    pub(crate) fn values(&self) -> [u64; 8] {
        let Counters {
            valid_users,
            invalid_users,
            valid_adds,
            valid_removes,
            unauth_segments,
            inactive_segments,
            invalid_segments,
            other_errors,
        } = *self;
        [
            valid_users,
            invalid_users,
            valid_adds,
            valid_removes,
            unauth_segments,
            inactive_segments,
            invalid_segments,
            other_errors,
        ]
    }

    pub(crate) fn from_values(values: [u64; 8]) -> Counters {
        let [
            valid_users,
            invalid_users,
            valid_adds,
            valid_removes,
            unauth_segments,
            inactive_segments,
            invalid_segments,
            other_errors,
        ] = values;
        Counters {
            valid_users,
            invalid_users,
            valid_adds,
            valid_removes,
            unauth_segments,
            inactive_segments,
            invalid_segments,
            other_errors,
        }
    }
}

/// The additions of some records to a member's hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourDelta {
    /// The member.
    pub member: MemberId,
    /// The start of the hour in which the requests were accepted, milliseconds since 1970.
    pub hour_start_ms: u64,
    /// Added to the counters.
    pub counters: Counters,
    /// New lines about what was refused, oldest first.
    pub error_lines: Vec<String>,
    /// New lines about what was accepted, oldest first.
    pub segment_lines: Vec<String>,
}

/// A member's hour as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourRow {
    /// The start of the hour, milliseconds since 1970.
    pub hour_start_ms: u64,
    /// The sums.
    pub counters: Counters,
    /// The newest lines about what was refused, oldest first.
    pub error_lines: Vec<String>,
    /// The newest lines about what was accepted, oldest first.
    pub segment_lines: Vec<String>,
}

/// Keeps the usage statistics.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// The position of the log up to which all records are counted; 0 at first.
    async fn position(&self) -> Result<u64, CatalogError>;

    /// Adds `deltas`, notes whose ids are `erased`, and moves the position, all or nothing; durable on return.
    ///
    /// Fails with `Conflict`, changing nothing, unless `position` is above the present one: the records
    /// up to it are counted already.
    async fn commit_erasing(
        &self,
        position: u64,
        deltas: &[HourDelta],
        erased: &[ErasedId],
    ) -> Result<(), CatalogError>;

    /// The same where nobody is erased.
    async fn commit(&self, position: u64, deltas: &[HourDelta]) -> Result<(), CatalogError> {
        self.commit_erasing(position, deltas, &[]).await
    }

    /// Takes the ids that [`UsageStore::commit_erasing`] noted as erased out of the lines, those of the same commit
    /// included, and forgets the notes. On return no byte of them is in the store. Says how many lines were
    /// rewritten. Reads all lines of the members in question; does nothing where nothing is noted.
    async fn scrub(&self) -> Result<u64, CatalogError>;

    /// The hours of a member that start in `hours` (milliseconds since 1970) and had traffic, oldest first.
    async fn report(&self, member: MemberId, hours: Range<u64>) -> Result<Vec<HourRow>, CatalogError>;

    /// The sums over the hours that [`UsageStore::report`] would give, without reading their lines.
    async fn totals(&self, member: MemberId, hours: Range<u64>) -> Result<Counters, CatalogError>;

    /// Forgets all hours that start before `hour_start_ms`; says how many those were.
    async fn purge_before(&self, hour_start_ms: u64) -> Result<u64, CatalogError>;
}

pub(crate) fn not_rising(position: u64, stored: u64) -> CatalogError {
    CatalogError::conflict("position", format!("{position} is not above {stored}, which is counted already"))
}

/// The last of `lines`, as many as an hour keeps.
pub(crate) fn newest(lines: &[String]) -> &[String] {
    &lines[lines.len().saturating_sub(LINES_PER_HOUR)..]
}

/// Adds the lines of one commit and drops what is too old then.
pub(crate) fn append(lines: &mut Vec<String>, new: &[String]) {
    lines.extend_from_slice(new);
    lines.drain(..lines.len().saturating_sub(LINES_PER_HOUR));
}
