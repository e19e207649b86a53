use super::lines;
use crate::file_jobs::Jobs;
use ia_catalog::CatalogError;
use ia_catalog::usage::{Counters, ErasedId, HourDelta, HourRow, LINES_PER_HOUR, UsageStore};
use ia_model::record::Ingest;
use ia_model::{Change, MemberId, Record, time};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{RwLock, RwLockReadGuard};

/// Adds up records in memory and writes the sums, with the log position that they cover, in one transaction. So each
/// record counts once, also after a crash.
pub struct UsageFollower {
    store: Arc<dyn UsageStore>,
    /// What the log says of files is stored before the position that covers it.
    jobs: Option<Arc<Jobs>>,
    pending: Mutex<Pending>,
    /// Locked for writing while pending sums move into the store, so that positions reach it in order. Locked for
    /// reading while a report adds both up, so that nothing is counted twice or missed.
    moving: RwLock<()>,
}

#[derive(Default)]
struct Pending {
    /// The position of the last record seen.
    observed: u64,
    /// The position that the store covers.
    stored: u64,
    hours: Hours,
    /// Ids to remove from the lines.
    erased: Vec<ErasedId>,
    newest_erase: u64,
    /// A failed write, which may have happened all the same: a failed commit says nothing about the disk.
    uncertain: Option<UncertainWrite>,
}

/// The content of a write that may have happened, and the position that it covers.
struct UncertainWrite {
    position: u64,
    hours: Hours,
    erased: Vec<ErasedId>,
}

type Hours = BTreeMap<(MemberId, u64), Hour>;

#[derive(Default)]
struct Hour {
    counters: Counters,
    /// The newest lines. These are deques, because each new line pushes an old one out.
    error_lines: VecDeque<String>,
    segment_lines: VecDeque<String>,
    /// The newest records. Their lines, which are all segment lines, are not written until a report needs them.
    unwritten: VecDeque<Box<Ingest>>,
}

/// Only records with fewer pairs are kept: the size of a line is limited, that of a record is not.
const MAX_KEPT_PAIRS: usize = 16;

impl UsageFollower {
    /// A follower that continues at the position of `store`.
    pub async fn open(store: Arc<dyn UsageStore>) -> Result<UsageFollower, CatalogError> {
        let position = store.position().await?;
        let pending = Pending { observed: position, stored: position, ..Pending::default() };
        Ok(UsageFollower { store, jobs: None, pending: Mutex::new(pending), moving: RwLock::new(()) })
    }

    /// The same, which also tells the jobs of files what the log says of them.
    pub(crate) fn with_jobs(self, jobs: Arc<Jobs>) -> UsageFollower {
        UsageFollower { jobs: Some(jobs), ..self }
    }

    /// Counts one record. Must be called in log order, once for each position.
    pub fn observe(&self, position: u64, record: Record) {
        match (&self.jobs, &record) {
            (Some(jobs), Record::Ingest(ingest)) => jobs.observe(ingest),
            (Some(jobs), Record::Erase(erase)) => jobs.erase(erase),
            _ => {}
        }
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

    /// The position up to which the store counts every record: the log up to it may be removed.
    pub fn covered_position(&self) -> u64 {
        self.pending().stored
    }

    /// The position of the newest erase that was read from the log; 0 if there is none.
    pub fn newest_erase(&self) -> u64 {
        self.pending().newest_erase
    }

    /// Reports an erase at `position` that is counted already but still in the log.
    pub fn report_erase(&self, position: u64) {
        let mut pending = self.pending();
        pending.newest_erase = pending.newest_erase.max(position);
    }

    /// Continues after `position` and leaves out the records up to it.
    pub fn skip_to(&self, position: u64) {
        let mut pending = self.pending();
        pending.observed = position;
        pending.stored = position;
    }

    /// Writes the pending sums. After a failure the next flush writes them.
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
        let written = match &self.jobs {
            Some(jobs) => jobs.flush().await,
            None => Ok(()),
        };
        let written = match written {
            Ok(()) => self.store.commit_erasing(position, &deltas, &erased).await,
            failed => failed,
        };
        let mut pending = self.pending();
        match written {
            Ok(()) => pending.stored = position,
            Err(_) => pending.uncertain = Some(UncertainWrite { position, hours, erased }),
        }
        written
    }

    /// Writes the pending sums and removes the ids of erased users from the lines. Returns the number of changed lines.
    /// After a failure the next call tries again, also after a restart.
    pub async fn scrub(&self) -> Result<u64, CatalogError> {
        self.flush().await?;
        self.store.scrub().await
    }

    /// Finds out whether a failed write has happened, so that it counts once either way. The caller has locked
    /// `moving` for writing.
    async fn settle(&self) -> Result<(), CatalogError> {
        if self.pending().uncertain.is_none() {
            return Ok(());
        }
        let stored = self.store.position().await?;
        let mut pending = self.pending();
        let Some(UncertainWrite { position, hours, erased }) = pending.uncertain.take() else {
            return Ok(());
        };
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

    /// Waits until no sums move into the store and no write is uncertain.
    async fn read(&self) -> Result<RwLockReadGuard<'_, ()>, CatalogError> {
        let guard = self.moving.read().await;
        if self.pending().uncertain.is_none() {
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

    /// Deletes the hours that started before `unix_ms`.
    pub async fn purge_before(&self, unix_ms: u64) -> Result<(), CatalogError> {
        self.store.purge_before(unix_ms).await.map(drop)
    }

    /// The hours of a member that start in `hours` (milliseconds since 1970) and had traffic, oldest first. They
    /// include every record observed before this call, and so every answered POST.
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

    /// The sum of [`UsageFollower::hours`], without the lines.
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
            // Each record gives at least one line, so older records would give none of the kept lines.
            if self.unwritten.len() == LINES_PER_HOUR {
                self.unwritten.pop_front();
            }
            self.unwritten.push_back(ingest);
        } else {
            self.write_lines();
            push_lines(&mut self.error_lines, lines::error_lines(&ingest));
            push_lines(&mut self.segment_lines, lines::segment_lines(&ingest));
        }
    }

    /// Writes the lines of the kept records.
    fn write_lines(&mut self) {
        for ingest in self.unwritten.drain(..) {
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
        self.unwritten = later.unwritten;
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
            file: None,
        }))
    }

    /// A record of `users` users in one segment, with a refused user if `refused`.
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
            prop_assert!(late.unwritten.len() <= LINES_PER_HOUR);
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
