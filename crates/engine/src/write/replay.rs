//! Opening: the views catch up with the log.

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
        /// What it covers.
        covered: u64,
        /// The log's last position.
        end: u64,
    },
    /// The log no longer holds what the profiles need.
    #[error(
        "the profiles cover position {covered}, but the log starts at {first}: the records between are gone; restore the data directory from a backup"
    )]
    Gap {
        /// What it covers.
        covered: u64,
        /// The log's first position.
        first: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ia_log::LogError),
    /// A record of a known position cannot be read.
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
        /// Why not.
        source: ProfilesError,
    },
    /// The server was told to stop meanwhile.
    #[error("stopped while the log was replayed")]
    Stopped,
}

/// Brings the views up to the end of the log; each starts behind the position that it covers. Gives up
/// when `stop` turns true.
///
/// Statistics that the log no longer reaches back to are gone, which is told and is no reason to keep the
/// memberships from being served. Profiles that it does not reach back to are.
///
/// Also finds the erases that the views have already: the log is not free of them yet.
///
/// Returns how many records the views took.
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
            "usage statistics are missing what came before the log's first position"
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
                usage.note_erase(position);
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
            usage.note_erase(position);
        }
        records += 1;
    }
    Ok(records)
}
