//! fjall's worker compacts the store after each ingestion. It ends for good at the first compaction that fails, for
//! want of room or otherwise. Then tables would pile up until a restart, each checkpoint adding some: more to read
//! for every profile, and ever more disk. So where an ingestion has gone by without a compaction after it, the
//! next one brings its own.

use super::unfinished::Before;
use super::{Store, failed};
use crate::ProfilesError;
use fjall::AbstractTree;
use fjall::compaction::Leveled;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What was seen of the worker. Written to by one write at a time.
#[derive(Default)]
pub(super) struct WorkerWatch {
    /// One more than the compactions that were completed when the worker was last asked for one; 0 before.
    asked_at: AtomicU64,
    /// It was asked and did nothing.
    is_gone: AtomicBool,
}

impl Store {
    /// Looks whether the worker did what the last write asked it for. One that is only late is stood in for once,
    /// which does no harm: compactions do not get in each other's way.
    pub(super) fn watch_worker(&self) {
        let completed = self.db.compactions_completed() as u64;
        let is_idle = self.db.active_compactions() == 0;
        self.worker.is_gone.store(is_idle && self.worker.asked_at.load(Relaxed) == completed + 1, Relaxed);
    }

    /// A write has ended well, and so has asked for a compaction.
    pub(super) fn worker_was_asked(&self, before: &Before) {
        self.worker.asked_at.store(before.compactions as u64 + 1, Relaxed);
    }

    /// Compacts if the worker does not. The caller holds `iterators`: what is older than the newest entry has no
    /// reader.
    pub(super) fn compact_in_place_of_worker(&self) -> Result<(), ProfilesError> {
        if !self.worker.is_gone.load(Relaxed) {
            return Ok(());
        }
        self.check_version()?;
        let before = self.before_write()?;
        // The strategy that fjall uses where none is asked for.
        let compacted = self.profiles.tree.compact(Arc::new(Leveled::default()), self.db.visible_seqno());
        if compacted.is_err() {
            self.remove_leftovers(&before);
        }
        compacted.map_err(fjall::Error::from).map_err(failed("compacting it"))
    }
}
