use super::lines;
use ia_catalog::CatalogError;
use ia_catalog::usage::{Counters, HourDelta, LINES_PER_HOUR, UsageStore};
use ia_model::record::Ingest;
use ia_model::{Change, MemberId, Record, time};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Adds up records in memory and writes the sums, with the log position that they cover, in one
/// transaction: whatever crashes, each record counts once.
pub(crate) struct UsageFollower {
    store: Arc<dyn UsageStore>,
    pending: Mutex<Pending>,
    /// Serialises flushes, so that positions reach the store in order.
    flushing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Pending {
    /// The position of the last record seen.
    observed: u64,
    /// The position that the store covers.
    stored: u64,
    hours: BTreeMap<(MemberId, u64), Hour>,
}

#[derive(Default)]
struct Hour {
    counters: Counters,
    error_lines: VecDeque<String>,
    segment_lines: VecDeque<String>,
}

impl UsageFollower {
    /// A follower that goes on where `store` stands.
    pub(crate) async fn open(store: Arc<dyn UsageStore>) -> Result<UsageFollower, CatalogError> {
        let position = store.position().await?;
        let pending = Pending { observed: position, stored: position, hours: BTreeMap::new() };
        Ok(UsageFollower { store, pending: Mutex::new(pending), flushing: tokio::sync::Mutex::new(()) })
    }

    /// Counts one record. Called in log order, each position once.
    pub(crate) fn observe(&self, position: u64, record: &Record) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(position > pending.observed, "records come in log order");
        pending.observed = position;
        if let Record::Ingest(ingest) = record {
            let hour = (ingest.member, time::start_of_hour(ingest.accepted_at_ms));
            pending.hours.entry(hour).or_default().add(ingest);
        }
    }

    /// The position up to which everything is counted in the store: the log before it may go.
    pub(crate) fn covered_position(&self) -> u64 {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).stored
    }

    /// Writes what is pending. On failure it stays pending and the next flush takes it along.
    pub(crate) async fn flush(&self) -> Result<(), CatalogError> {
        let _one_at_a_time = self.flushing.lock().await;
        let (position, hours) = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            if pending.observed == pending.stored {
                return Ok(());
            }
            (pending.observed, std::mem::take(&mut pending.hours))
        };
        let deltas: Vec<HourDelta> =
            hours.iter().map(|(&(member, start), hour)| hour.delta(member, start)).collect();
        let written = self.store.commit(position, &deltas).await;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => pending.stored = position,
            Err(_) => {
                for (key, mut earlier) in hours {
                    let later = pending.hours.remove(&key).unwrap_or_default();
                    earlier.append(later);
                    pending.hours.insert(key, earlier);
                }
            }
        }
        written
    }

    /// Forgets the hours that started before `unix_ms`.
    pub(crate) async fn purge_before(&self, unix_ms: u64) -> Result<(), CatalogError> {
        self.store.purge_before(unix_ms).await.map(drop)
    }

    /// The store that reports read from.
    pub(crate) fn store(&self) -> &dyn UsageStore {
        self.store.as_ref()
    }
}

impl Hour {
    fn add(&mut self, ingest: &Ingest) {
        let operations = ingest.batch.operations();
        let removes = operations.iter().filter(|operation| operation.change == Change::Remove).count() as u64;
        self.append(Hour {
            counters: Counters {
                valid_users: ingest.batch.users() as u64,
                invalid_users: u64::from(ingest.usage.invalid_users.count),
                valid_adds: operations.len() as u64 - removes,
                valid_removes: removes,
                unauth_segments: u64::from(ingest.usage.unauthorized.count),
                inactive_segments: u64::from(ingest.usage.inactive.count),
                invalid_segments: u64::from(ingest.usage.invalid.count),
                other_errors: u64::from(ingest.usage.other.count),
            },
            error_lines: lines::error_lines(ingest).into(),
            segment_lines: lines::segment_lines(ingest).into(),
        });
    }

    fn append(&mut self, later: Hour) {
        self.counters.add(&later.counters);
        for (lines, more) in
            [(&mut self.error_lines, later.error_lines), (&mut self.segment_lines, later.segment_lines)]
        {
            lines.extend(more);
            lines.drain(..lines.len().saturating_sub(LINES_PER_HOUR));
        }
    }

    fn delta(&self, member: MemberId, hour_start_ms: u64) -> HourDelta {
        HourDelta {
            member,
            hour_start_ms,
            counters: self.counters,
            error_lines: self.error_lines.iter().cloned().collect(),
            segment_lines: self.segment_lines.iter().cloned().collect(),
        }
    }
}
