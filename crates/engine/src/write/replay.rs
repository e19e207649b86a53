//! Brings the views up to date with the log at a start.

use crate::usage::UsageFollower;
use ia_log::Log;
use ia_model::Record;
use ia_profiles::{Profiles, ProfilesError};
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a data directory cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// A view covers more than the log holds.
    #[error(
        "the {view} cover position {covered}, but the log ends at {end}: the data directory mixes files of different times; restore all of it from one backup"
    )]
    Ahead {
        /// Which view.
        view: &'static str,
        /// The position that it covers.
        covered: u64,
        /// The log's last position.
        end: u64,
    },
    /// The log no longer holds records that the profiles need.
    #[error(
        "the profiles cover position {covered}, but the log starts at {first}: the records between are gone; restore the data directory from a backup"
    )]
    Gap {
        /// The position that the profiles cover.
        covered: u64,
        /// The log's first position.
        first: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ia_log::LogError),
    /// A record cannot be decoded.
    #[error("the record at position {position} cannot be read")]
    Record {
        /// Its position.
        position: u64,
        /// What is wrong with it.
        source: ia_model::RecordError,
    },
    /// The profiles cannot take a record.
    #[error(
        "the profiles cannot take the record at position {position}; restore the data directory from a backup"
    )]
    Profiles {
        /// Its position.
        position: u64,
        /// The reason.
        source: ProfilesError,
    },
    /// The server was told to stop.
    #[error("stopped while the log was replayed")]
    Stopped,
}

/// Applies the log to the views; each starts after the position that it covers. Returns the number of records that
/// were applied. Gives up when `stop` turns true.
///
/// If the log starts after the position of the statistics, some of them are lost. That is logged, and the server
/// starts all the same. If it starts after the position of the profiles, this is an error.
///
/// It also reports the erases that the views have applied already: the log still holds them.
pub(crate) fn replay(
    log: &dyn Log,
    profiles: &dyn Profiles,
    usage: &UsageFollower,
    stop: &AtomicBool,
) -> Result<u64, ReplayError> {
    let (first, end) = (log.first_position(), log.next_position() - 1);
    let covered_by_profiles = profiles.checkpointed_position();
    for (view, covered) in [("profiles", covered_by_profiles), ("usage statistics", usage.covered_position())]
    {
        if covered > end {
            return Err(ReplayError::Ahead { view, covered, end });
        }
    }
    if covered_by_profiles + 1 < first {
        return Err(ReplayError::Gap { covered: covered_by_profiles, first });
    }
    if usage.covered_position() + 1 < first {
        let covered = usage.covered_position();
        tracing::error!(
            covered,
            first,
            "usage statistics for records before the log's first position are lost"
        );
        usage.skip_to(first - 1);
    }
    let covered_by_usage = usage.covered_position();
    let mut records = 0;
    for entry in log.read_from(first)? {
        if stop.load(Ordering::Relaxed) {
            return Err(ReplayError::Stopped);
        }
        let entry = entry?;
        let position = entry.position;
        if position <= covered_by_profiles && position <= covered_by_usage {
            if Record::is_erase(&entry.payload) {
                usage.report_erase(position);
            }
            continue;
        }
        let record =
            Record::decode(&entry.payload).map_err(|source| ReplayError::Record { position, source })?;
        if position > covered_by_profiles {
            profiles.apply(position, &record).map_err(|source| ReplayError::Profiles { position, source })?;
        }
        if position > covered_by_usage {
            usage.observe(position, record);
        } else if matches!(record, Record::Erase(_)) {
            usage.report_erase(position);
        }
        records += 1;
    }
    let settled = || {
        let position = profiles.applied_position();
        profiles.settle().map_err(|source| ReplayError::Profiles { position, source })
    };
    while settled()?.is_some() {
        if stop.load(Ordering::Relaxed) {
            return Err(ReplayError::Stopped);
        }
    }
    Ok(records)
}
