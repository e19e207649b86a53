use super::scrub::Scrubber;
use super::{Counters, ErasedId, HourDelta, HourRow, UsageStore, append, not_rising};
use crate::CatalogError;
use async_trait::async_trait;
use ia_model::MemberId;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The reference implementation: gone with its process.
#[derive(Debug, Default)]
pub struct MemoryUsage {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    position: u64,
    hours: BTreeMap<(MemberId, u64), HourRow>,
    erased: Vec<ErasedId>,
}

impl MemoryUsage {
    /// Empty statistics at position 0.
    pub fn new() -> MemoryUsage {
        MemoryUsage::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl UsageStore for MemoryUsage {
    async fn position(&self) -> Result<u64, CatalogError> {
        Ok(self.inner().position)
    }

    async fn commit_erasing(
        &self,
        position: u64,
        deltas: &[HourDelta],
        erased: &[ErasedId],
    ) -> Result<(), CatalogError> {
        let mut inner = self.inner();
        if position <= inner.position {
            return Err(not_rising(position, inner.position));
        }
        inner.position = position;
        inner.erased.extend_from_slice(erased);
        for delta in deltas {
            let hour_start_ms = delta.hour_start_ms;
            let row = inner.hours.entry((delta.member, hour_start_ms)).or_insert_with(|| HourRow {
                hour_start_ms,
                counters: Counters::default(),
                error_lines: Vec::new(),
                segment_lines: Vec::new(),
            });
            row.counters.add(&delta.counters);
            append(&mut row.error_lines, &delta.error_lines);
            append(&mut row.segment_lines, &delta.segment_lines);
        }
        Ok(())
    }

    async fn scrub(&self) -> Result<u64, CatalogError> {
        let mut inner = self.inner();
        let mut rewritten = 0;
        for (scope, scrubber) in Scrubber::by_member(std::mem::take(&mut inner.erased)) {
            let hours = inner.hours.iter_mut();
            for (_, row) in hours.filter(|((member, _), _)| scope.is_none_or(|scope| scope == *member)) {
                for line in row.error_lines.iter_mut().chain(&mut row.segment_lines) {
                    if let Some(without) = scrubber.without_ids(line) {
                        *line = without;
                        rewritten += 1;
                    }
                }
            }
        }
        Ok(rewritten)
    }

    async fn report(&self, member: MemberId, hours: Range<u64>) -> Result<Vec<HourRow>, CatalogError> {
        let inner = self.inner();
        let rows = inner.hours.iter().filter(|((owner, start), _)| *owner == member && hours.contains(start));
        Ok(rows.map(|(_, row)| row.clone()).collect())
    }

    async fn totals(&self, member: MemberId, hours: Range<u64>) -> Result<Counters, CatalogError> {
        let mut totals = Counters::default();
        for row in self.report(member, hours).await? {
            totals.add(&row.counters);
        }
        Ok(totals)
    }

    async fn purge_before(&self, hour_start_ms: u64) -> Result<u64, CatalogError> {
        let mut inner = self.inner();
        let before = inner.hours.len();
        inner.hours.retain(|(_, start), _| *start >= hour_start_ms);
        Ok((before - inner.hours.len()) as u64)
    }
}
