//! What was erased leaves the disk with the next checkpoint.
//!
//! The id of an erased user is in the log (in what was sent of it and in the erase itself), in the tables of the
//! profiles, and in lines of the statistics. The checkpoint rewrites the tables (`ia_profiles`). Before it, the log's
//! newest file is ended here, so that all of the log up to the erase can go after it, and the lines are scrubbed.
//! Each step is repeated by the next checkpoint, also after a restart, until the log is free of erases.

use crate::alarm::Alarm;
use crate::usage::UsageFollower;
use ia_log::Log;
use ia_profiles::Profiles;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::Handle;

/// How often it is asked whether what the log had is applied: a matter of milliseconds.
const APPLY_POLL: Duration = Duration::from_millis(1);

/// Takes erased ids off the disk.
pub(crate) struct Erasures {
    log: Arc<dyn Log>,
    profiles: Arc<dyn Profiles>,
    usage: Arc<UsageFollower>,
    alarm: Alarm,
    /// What lies before this position is in files that can go.
    sealed_before: AtomicU64,
    runtime: Handle,
}

impl Erasures {
    /// To be made within the runtime, on which the statistics are scrubbed.
    pub(crate) fn new(
        log: Arc<dyn Log>,
        profiles: Arc<dyn Profiles>,
        usage: Arc<UsageFollower>,
        alarm: Alarm,
    ) -> Erasures {
        Erasures { log, profiles, usage, alarm, sealed_before: AtomicU64::new(0), runtime: Handle::current() }
    }

    /// Whether the log holds an erase, and with it the id of a user that is to be forgotten.
    pub(crate) fn is_due(&self) -> bool {
        self.usage.newest_erase() >= self.log.first_position()
    }

    /// Ends the log's newest file where there is an erase in it, and waits until all that is in it is applied. Where
    /// that fails, the next checkpoint tries again.
    pub(crate) fn seal_log(&self) {
        if !self.is_due() || self.usage.newest_erase() < self.sealed_before.load(Ordering::SeqCst) {
            return;
        }
        let (sender, receiver) = mpsc::channel();
        let asked = self.log.seal(Box::new(move |sealed| drop(sender.send(sealed))));
        // The sender is dropped without a word only when the log's thread is gone.
        let sealed = asked.and_then(|()| receiver.recv().unwrap_or(Err(ia_log::AppendError::Closed)));
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
                    "the log with what was erased cannot be ended; it will be tried again"
                );
            }
        }
    }

    /// Takes erased ids out of the statistics. After a failure the log keeps its erases, and the next checkpoint
    /// tries again. Blocks: not for an async worker.
    pub(crate) fn scrub_statistics(&self) -> bool {
        match self.runtime.block_on(self.usage.scrub()) {
            Ok(lines) => {
                if lines > 0 {
                    tracing::info!(lines, "erased ids are out of the usage statistics");
                }
                true
            }
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(error = cause, "erased ids could not be taken out of the usage statistics");
                false
            }
        }
    }
}
