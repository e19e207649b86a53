//! Removes erased ids from the disk with the next checkpoint.
//!
//! The id of an erased user is in the log (in the records about the user and in the erase), in the tables of the
//! profiles, and in lines of the statistics. Before a checkpoint, this module ends the log's newest file, so that all
//! files up to the erase can be removed. The checkpoint rewrites the tables (`ia_profiles`). Then this module scrubs
//! the lines. Each checkpoint repeats the steps, also after a restart, until the log holds no erase.

use crate::alarm::Alarm;
use crate::usage::UsageFollower;
use ia_log::Log;
use ia_profiles::Profiles;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::Handle;

/// How often to check whether the sealed part of the log is applied. It takes milliseconds.
const APPLY_POLL: Duration = Duration::from_millis(1);

/// Removes erased ids from the disk.
pub(crate) struct Erasures {
    log: Arc<dyn Log>,
    profiles: Arc<dyn Profiles>,
    usage: Arc<UsageFollower>,
    alarm: Alarm,
    /// Records before this position are in files that can be removed.
    sealed_before: AtomicU64,
    runtime: Handle,
}

impl Erasures {
    /// Panics outside the runtime, which scrubs the statistics.
    pub(crate) fn new(
        log: Arc<dyn Log>,
        profiles: Arc<dyn Profiles>,
        usage: Arc<UsageFollower>,
        alarm: Alarm,
    ) -> Erasures {
        Erasures { log, profiles, usage, alarm, sealed_before: AtomicU64::new(0), runtime: Handle::current() }
    }

    /// Whether the log holds an erase, and so the id of an erased user.
    pub(crate) fn is_due(&self) -> bool {
        self.usage.newest_erase() >= self.log.first_position()
    }

    /// If the log's newest file holds an erase, ends the file and waits until all its records are applied. After a
    /// failure the next checkpoint tries again.
    pub(crate) fn seal_log(&self) {
        if !self.is_due() || self.usage.newest_erase() < self.sealed_before.load(Ordering::SeqCst) {
            return;
        }
        let (sender, receiver) = mpsc::channel();
        let queued = self.log.seal(Box::new(move |sealed| drop(sender.send(sealed))));
        // The sender is dropped without a message only when the log's thread has ended.
        let sealed = queued.and_then(|()| receiver.recv().unwrap_or(Err(ia_log::AppendError::Closed)));
        match sealed {
            Ok(next_position) => {
                self.sealed_before.store(next_position, Ordering::SeqCst);
                while self.profiles.applied_position() + 1 < next_position && self.alarm.reason().is_none() {
                    std::thread::sleep(APPLY_POLL);
                }
            }
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(
                    error = cause,
                    "cannot seal the log file that holds erased ids; the next checkpoint tries again"
                );
            }
        }
    }

    /// Removes erased ids from the statistics; false after a failure. The log then keeps its erases, and the next
    /// checkpoint tries again. Blocks, so not for an async worker.
    pub(crate) fn scrub_statistics(&self) -> bool {
        match self.runtime.block_on(self.usage.scrub()) {
            Ok(lines) => {
                if lines > 0 {
                    tracing::info!(lines, "erased ids are removed from the usage statistics");
                }
                true
            }
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(error = cause, "cannot remove erased ids from the usage statistics");
                false
            }
        }
    }
}
