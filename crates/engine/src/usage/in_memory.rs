//! Statistics for tests whose scheduler allows no waiting, or that open them very often: the counters and the
//! position. Lines are not kept.

use async_trait::async_trait;
use ia_catalog::CatalogError;
use ia_catalog::usage::{Counters, ErasedId, HourDelta, HourRow, UsageStore};
use ia_model::MemberId;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

#[derive(Default)]
pub(crate) struct CountersInMemory(Mutex<Stored>);

#[derive(Default)]
struct Stored {
    position: u64,
    hours: BTreeMap<(MemberId, u64), Counters>,
}

#[async_trait]
impl UsageStore for CountersInMemory {
    async fn position(&self) -> Result<u64, CatalogError> {
        Ok(self.0.lock().unwrap().position)
    }

    async fn commit_erasing(
        &self,
        position: u64,
        deltas: &[HourDelta],
        _: &[ErasedId],
    ) -> Result<(), CatalogError> {
        let stored = &mut *self.0.lock().unwrap();
        if position <= stored.position {
            return Err(CatalogError::Overtaken("the position".to_owned()));
        }
        stored.position = position;
        for delta in deltas {
            stored.hours.entry((delta.member, delta.hour_start_ms)).or_default().add(&delta.counters);
        }
        Ok(())
    }

    async fn scrub(&self) -> Result<u64, CatalogError> {
        Ok(0)
    }

    async fn report(&self, member: MemberId, hours: Range<u64>) -> Result<Vec<HourRow>, CatalogError> {
        let hours_of_all = &self.0.lock().unwrap().hours;
        let rows = hours_of_all.range((member, hours.start)..(member, hours.end));
        let row = |(&(_, hour_start_ms), &counters): (&(MemberId, u64), &Counters)| HourRow {
            hour_start_ms,
            counters,
            error_lines: Vec::new(),
            segment_lines: Vec::new(),
        };
        Ok(rows.map(row).collect())
    }

    async fn totals(&self, member: MemberId, hours: Range<u64>) -> Result<Counters, CatalogError> {
        let mut totals = Counters::default();
        self.report(member, hours).await?.iter().for_each(|row| totals.add(&row.counters));
        Ok(totals)
    }

    async fn purge_before(&self, hour_start_ms: u64) -> Result<u64, CatalogError> {
        let hours = &mut self.0.lock().unwrap().hours;
        let before = hours.len();
        hours.retain(|(_, start), _| *start >= hour_start_ms);
        Ok((before - hours.len()) as u64)
    }
}
