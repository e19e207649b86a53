//! fjall's worker compacts the store after each ingestion. It ends for good at the first compaction that fails, on a
//! full disk or otherwise. Then tables would pile up until a restart, some with each checkpoint: more reads for
//! every profile, and ever more disk. So when no compaction has followed an ingestion, the next checkpoint compacts
//! by itself.

use super::unfinished::Before;
use super::{Store, failed};
use crate::ProfilesError;
use fjall::AbstractTree;
use fjall::compaction::Leveled;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Observations of the worker. One write at a time changes them.
#[derive(Default)]
pub(super) struct WorkerWatch {
    /// The compactions that were completed when the worker was last asked for one, plus 1; 0 before.
    asked_at: AtomicU64,
    /// It was asked and did not compact.
    is_gone: AtomicBool,
}

impl Store {
    /// Checks whether the worker has compacted as the last write asked. For a worker that is only late the store
    /// compacts once itself, which does no harm: compactions do not conflict.
    pub(super) fn watch_worker(&self) {
        let completed = self.db.compactions_completed() as u64;
        let is_idle = self.db.active_compactions() == 0;
        self.worker.is_gone.store(is_idle && self.worker.asked_at.load(Relaxed) == completed + 1, Relaxed);
    }

    /// A write has succeeded, and so has asked for a compaction.
    pub(super) fn worker_was_asked(&self, before: &Before) {
        self.worker.asked_at.store(before.compactions as u64 + 1, Relaxed);
    }

    /// Compacts if the worker does not. The caller holds `iterators`: entries older than the newest have no reader.
    pub(super) fn compact_in_place_of_worker(&self) -> Result<(), ProfilesError> {
        if !self.worker.is_gone.load(Relaxed) {
            return Ok(());
        }
        self.check_version()?;
        let before = self.before_write()?;
        // fjall's default strategy.
        let compacted = self.profiles.tree.compact(Arc::new(Leveled::default()), self.db.visible_seqno());
        if compacted.is_err() {
            self.remove_leftovers(&before);
        }
        compacted.map_err(fjall::Error::from).map_err(failed("compacting it"))
    }
}
