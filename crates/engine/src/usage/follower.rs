use super::lines;
use ia_catalog::CatalogError;
use ia_catalog::usage::{Counters, ErasedId, HourDelta, HourRow, LINES_PER_HOUR, UsageStore};
use ia_model::record::Ingest;
use ia_model::{Change, MemberId, Record, time};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{RwLock, RwLockReadGuard};

/// Adds up records in memory and writes the sums, with the log position that they cover, in one
/// transaction: whatever crashes, each record counts once.
pub struct UsageFollower {
    store: Arc<dyn UsageStore>,
    pending: Mutex<Pending>,
    /// Held for writing while what is pending moves into the store, so that positions reach it in order;
    /// held for reading while a report adds the two up, so that nothing is counted twice or missed.
    moving: RwLock<()>,
}

#[derive(Default)]
struct Pending {
    /// The position of the last record seen.
    observed: u64,
    /// The position that the store covers.
    stored: u64,
    hours: Hours,
    /// Whose ids are to leave the lines.
    erased: Vec<ErasedId>,
    newest_erase: u64,
    /// A write that failed. It may have happened all the same: a failed commit says nothing about the disk.
    in_doubt: Option<Doubt>,
}

/// What was to be written, and the position that it was to cover.
struct Doubt {
    position: u64,
    hours: Hours,
    erased: Vec<ErasedId>,
}

type Hours = BTreeMap<(MemberId, u64), Hour>;

#[derive(Default)]
struct Hour {
    counters: Counters,
    /// The newest; deques, because each record pushes an old one out.
    error_lines: VecDeque<String>,
    segment_lines: VecDeque<String>,
    /// The newest records of all, whose lines (all of them segment lines) nobody has asked for yet.
    without_lines: VecDeque<Box<Ingest>>,
}

/// Only records with fewer pairs are kept: lines are bounded, records are not.
const MAX_KEPT_PAIRS: usize = 16;

impl UsageFollower {
    /// A follower that goes on where `store` stands.
    pub async fn open(store: Arc<dyn UsageStore>) -> Result<UsageFollower, CatalogError> {
        let position = store.position().await?;
        let pending = Pending { observed: position, stored: position, ..Pending::default() };
        Ok(UsageFollower { store, pending: Mutex::new(pending), moving: RwLock::new(()) })
    }

    /// Counts one record. Called in log order, each position once.
    pub fn observe(&self, position: u64, record: Record) {
        let mut pending = self.pending();
        debug_assert!(position > pending.observed, "records come in log order");
        pending.observed = position;
        match record {
            Record::Ingest(ingest) => {
                let hour = (ingest.member, time::start_of_hour(ingest.accepted_at_ms));
                pending.hours.entry(hour).or_default().add(ingest);
            }
            Record::Erase(erase) => {
                pending.newest_erase = position;
                pending.erased.push(ErasedId { member: erase.member, id: erase.user.id() });
            }
            Record::Link(_) => {}
        }
    }

    /// The position up to which everything is counted in the store: the log before it may go.
    pub fn covered_position(&self) -> u64 {
        self.pending().stored
    }

    /// The newest position at which a user was erased, as far as the log was read; 0 where there is none.
    pub fn newest_erase(&self) -> u64 {
        self.pending().newest_erase
    }

    /// The log has an erase at `position` that is counted already.
    pub fn note_erase(&self, position: u64) {
        let mut pending = self.pending();
        pending.newest_erase = pending.newest_erase.max(position);
    }

    /// Goes on behind `position`, without what came before it.
    pub fn skip_to(&self, position: u64) {
        let mut pending = self.pending();
        pending.observed = position;
        pending.stored = position;
    }

    /// Writes what is pending. On failure it stays pending and the next flush takes it along.
    pub async fn flush(&self) -> Result<(), CatalogError> {
        let _nobody_reads = self.moving.write().await;
        self.settle().await?;
        let (position, mut hours, erased) = {
            let mut pending = self.pending();
            if pending.observed == pending.stored {
                return Ok(());
            }
            (pending.observed, std::mem::take(&mut pending.hours), std::mem::take(&mut pending.erased))
        };
        let deltas: Vec<HourDelta> =
            hours.iter_mut().map(|(&(member, start), hour)| hour.delta(member, start)).collect();
        let written = self.store.commit_erasing(position, &deltas, &erased).await;
        let mut pending = self.pending();
        match written {
            Ok(()) => pending.stored = position,
            Err(_) => pending.in_doubt = Some(Doubt { position, hours, erased }),
        }
        written
    }

    /// Writes what is pending, and takes the ids of all who were erased out of the lines. On failure that is
    /// tried again by the next call, also after a restart.
    pub async fn scrub(&self) -> Result<u64, CatalogError> {
        self.flush().await?;
        self.store.scrub().await
    }

    /// Finds out whether a write that failed has happened: counted once, either way. The caller holds
    /// `moving` for writing.
    async fn settle(&self) -> Result<(), CatalogError> {
        if self.pending().in_doubt.is_none() {
            return Ok(());
        }
        let stored = self.store.position().await?;
        let mut pending = self.pending();
        let Some(Doubt { position, hours, erased }) = pending.in_doubt.take() else { return Ok(()) };
        if stored >= position {
            pending.stored = position;
        } else {
            for (key, mut earlier) in hours {
                earlier.append(pending.hours.remove(&key).unwrap_or_default());
                pending.hours.insert(key, earlier);
            }
            pending.erased.extend(erased);
        }
        Ok(())
    }

    /// Waits until nothing moves and nothing is in doubt.
    async fn read(&self) -> Result<RwLockReadGuard<'_, ()>, CatalogError> {
        let guard = self.moving.read().await;
        if self.pending().in_doubt.is_none() {
            return Ok(guard);
        }
        drop(guard);
        let guard = self.moving.write().await;
        self.settle().await?;
        Ok(guard.downgrade())
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the hours that started before `unix_ms`.
    pub async fn purge_before(&self, unix_ms: u64) -> Result<(), CatalogError> {
        self.store.purge_before(unix_ms).await.map(drop)
    }

    /// The hours of a member that start in `hours` and had traffic, oldest first. Every record observed
    /// before this call is in them, so every answered POST is.
    pub async fn hours(&self, member: MemberId, hours: Range<u64>) -> Result<Vec<HourRow>, CatalogError> {
        let _nothing_moves = self.read().await?;
        let mut rows = self.store.report(member, hours.clone()).await?;
        let mut pending = self.pending();
        for (&(_, start), hour) in pending.hours.range_mut((member, hours.start)..(member, hours.end)) {
            let delta = hour.delta(member, start);
            let index = rows.partition_point(|row| row.hour_start_ms < start);
            match rows.get_mut(index).filter(|row| row.hour_start_ms == start) {
                Some(row) => {
                    row.counters.add(&delta.counters);
                    append_lines(&mut row.error_lines, delta.error_lines);
                    append_lines(&mut row.segment_lines, delta.segment_lines);
                }
                None => {
                    let HourDelta { hour_start_ms, counters, error_lines, segment_lines, .. } = delta;
                    rows.insert(index, HourRow { hour_start_ms, counters, error_lines, segment_lines });
                }
            }
        }
        Ok(rows)
    }

    /// The sum of [`UsageFollower::hours`], without reading their lines.
    pub async fn totals(&self, member: MemberId, hours: Range<u64>) -> Result<Counters, CatalogError> {
        let _nothing_moves = self.read().await?;
        let mut sum = self.store.totals(member, hours.clone()).await?;
        let pending = self.pending();
        for hour in pending.hours.range((member, hours.start)..(member, hours.end)).map(|(_, hour)| hour) {
            sum.add(&hour.counters);
        }
        Ok(sum)
    }
}

fn append_lines(lines: &mut Vec<String>, more: Vec<String>) {
    lines.extend(more);
    lines.drain(..lines.len().saturating_sub(LINES_PER_HOUR));
}

fn push_lines(lines: &mut VecDeque<String>, more: impl IntoIterator<Item = String>) {
    for line in more {
        if lines.len() == LINES_PER_HOUR {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

impl Hour {
    fn add(&mut self, ingest: Box<Ingest>) {
        self.count(&ingest);
        let usage = &ingest.usage;
        let refused = usage.invalid_users.count
            + usage.unauthorized.count
            + usage.inactive.count
            + usage.invalid.count
            + usage.other.count;
        let users = 1..MAX_KEPT_PAIRS;
        if refused == 0
            && users.contains(&ingest.batch.users())
            && ingest.batch.operations().len() < MAX_KEPT_PAIRS
        {
            // Each gives a line at least: those before it would be pushed out.
            if self.without_lines.len() == LINES_PER_HOUR {
                self.without_lines.pop_front();
            }
            self.without_lines.push_back(ingest);
        } else {
            self.write_lines();
            push_lines(&mut self.error_lines, lines::error_lines(&ingest));
            push_lines(&mut self.segment_lines, lines::segment_lines(&ingest));
        }
    }

    /// Writes the lines of the records that were kept for them.
    fn write_lines(&mut self) {
        for ingest in self.without_lines.drain(..) {
            push_lines(&mut self.segment_lines, lines::segment_lines(&ingest));
        }
    }

    fn count(&mut self, ingest: &Ingest) {
        let operations = ingest.batch.operations();
        let removes = operations.iter().filter(|operation| operation.change == Change::Remove).count() as u64;
        self.counters.add(&Counters {
            valid_users: ingest.batch.users() as u64,
            invalid_users: u64::from(ingest.usage.invalid_users.count),
            valid_adds: operations.len() as u64 - removes,
            valid_removes: removes,
            unauth_segments: u64::from(ingest.usage.unauthorized.count),
            inactive_segments: u64::from(ingest.usage.inactive.count),
            invalid_segments: u64::from(ingest.usage.invalid.count),
            other_errors: u64::from(ingest.usage.other.count),
        });
    }

    fn append(&mut self, later: Hour) {
        self.counters.add(&later.counters);
        self.write_lines();
        push_lines(&mut self.error_lines, later.error_lines);
        push_lines(&mut self.segment_lines, later.segment_lines);
        self.without_lines = later.without_lines;
    }

    fn delta(&mut self, member: MemberId, hour_start_ms: u64) -> HourDelta {
        self.write_lines();
        HourDelta {
            member,
            hour_start_ms,
            counters: self.counters,
            error_lines: self.error_lines.iter().cloned().collect(),
            segment_lines: self.segment_lines.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::in_memory::CountersInMemory;
    use ia_model::{Batch, Expiry, Operation, SegmentId, UserKey};
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A store whose commits can fail before or after they have happened.
    #[derive(Default)]
    struct Unreliable {
        store: CountersInMemory,
        fails_before: AtomicBool,
        fails_after: AtomicBool,
    }

    #[async_trait::async_trait]
    impl UsageStore for Unreliable {
        async fn position(&self) -> Result<u64, CatalogError> {
            self.store.position().await
        }
        async fn commit_erasing(
            &self,
            position: u64,
            deltas: &[HourDelta],
            erased: &[ErasedId],
        ) -> Result<(), CatalogError> {
            let failure = || Err(CatalogError::NotFound("the disk".to_owned()));
            if self.fails_before.swap(false, Ordering::Relaxed) {
                return failure();
            }
            self.store.commit_erasing(position, deltas, erased).await?;
            if self.fails_after.swap(false, Ordering::Relaxed) { failure() } else { Ok(()) }
        }
        async fn scrub(&self) -> Result<u64, CatalogError> {
            self.store.scrub().await
        }
        async fn report(&self, member: MemberId, hours: Range<u64>) -> Result<Vec<HourRow>, CatalogError> {
            self.store.report(member, hours).await
        }
        async fn totals(&self, member: MemberId, hours: Range<u64>) -> Result<Counters, CatalogError> {
            self.store.totals(member, hours).await
        }
        async fn purge_before(&self, hour_start_ms: u64) -> Result<u64, CatalogError> {
            self.store.purge_before(hour_start_ms).await
        }
    }

    fn record() -> Record {
        let mut batch = Batch::default();
        batch.push(UserKey::platform(1).unwrap(), []);
        Record::Ingest(Box::new(Ingest {
            accepted_at_ms: 0,
            member: MemberId(1),
            request_id: String::new(),
            batch,
            usage: ia_model::record::Usage::default(),
        }))
    }

    /// A record of `users` users in a segment each, or without any and with a refused one.
    fn ingest(number: u64, users: u64, refused: bool) -> Box<Ingest> {
        let Record::Ingest(mut ingest) = record() else { unreachable!() };
        ingest.batch = Batch::default();
        for user in 0..users {
            let expires = Expiry::Never;
            let change =
                if number.is_multiple_of(3) { Change::Remove } else { Change::Add { value: 1, expires } };
            let operation = Operation { segment: SegmentId(7), change };
            ingest.batch.push(UserKey::platform(100 * number + user + 1).unwrap(), [operation]);
        }
        if refused {
            ingest.usage.invalid_users.add(|| format!("user {number}"));
        }
        ingest
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_late_they_are_written(
            records in proptest::collection::vec((0u64..20, proptest::bool::weighted(0.05)), 1..500),
            asked_after in 1usize..300,
        ) {
            let (mut late, mut at_once) = (Hour::default(), Hour::default());
            for (number, &(users, refused)) in (1..).zip(&records) {
                late.add(ingest(number, users, refused));
                at_once.add(ingest(number, users, refused));
                at_once.write_lines();
                if (number as usize).is_multiple_of(asked_after) {
                    late.delta(MemberId(1), 0);
                }
            }
            prop_assert!(late.without_lines.len() <= LINES_PER_HOUR);
            prop_assert_eq!(late.delta(MemberId(1), 0), at_once.delta(MemberId(1), 0));
        }

        #[test]
        fn lines_keep_their_order_when_a_later_part_is_appended(
            records in proptest::collection::vec((0u64..20, proptest::bool::weighted(0.1)), 1..300),
            split in 0usize..300,
        ) {
            let (mut whole, mut parts) = (Hour::default(), [Hour::default(), Hour::default()]);
            for (number, &(users, refused)) in records.iter().enumerate() {
                whole.add(ingest(number as u64, users, refused));
                parts[usize::from(number >= split)].add(ingest(number as u64, users, refused));
            }
            let [mut first, second] = parts;
            first.append(second);
            prop_assert_eq!(first.delta(MemberId(1), 0), whole.delta(MemberId(1), 0));
        }
    }

    #[tokio::test]
    async fn a_failed_write_counts_once_whether_it_happened_or_not() {
        let store = Arc::new(Unreliable::default());
        let usage = UsageFollower::open(Arc::clone(&store) as _).await.unwrap();
        let mut position = 0;
        for switch in [&store.fails_before, &store.fails_after] {
            for settles_by_reading in [true, false] {
                position += 1;
                usage.observe(position, record());
                switch.store(true, Ordering::Relaxed);
                assert!(usage.flush().await.is_err());
                position += 1;
                usage.observe(position, record());
                if settles_by_reading {
                    assert_eq!(usage.totals(MemberId(1), 0..1).await.unwrap().valid_users, position);
                }
                usage.flush().await.unwrap();
                assert_eq!(usage.covered_position(), position);
                assert_eq!(store.totals(MemberId(1), 0..1).await.unwrap().valid_users, position);
                assert_eq!(usage.hours(MemberId(1), 0..1).await.unwrap()[0].counters.valid_users, position);
            }
        }
    }
}
