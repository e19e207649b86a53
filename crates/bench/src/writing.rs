//! What a server sends to storage, its log and its store apart, and how often it writes a checkpoint.

use crate::client::Target;
use crate::error::Error;
use ia_testkit::procfs;
use serde::Serialize;

/// The thread of the server that writes the log.
const LOG_THREAD: &str = "log";

/// Counted since the server's start, or between two moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Writing {
    /// By the thread of the log, as the kernel counts it: whole pages.
    pub(crate) log_bytes: u64,
    /// By all others: checkpoints and the merging of tables, and a little for the databases.
    pub(crate) store_bytes: u64,
    /// Checkpoints that ended.
    pub(crate) checkpoints: u64,
}

impl Writing {
    /// Since the server's start.
    pub(crate) async fn now(target: &Target) -> Result<Writing, Error> {
        // In this order, so that the whole is not less than its part.
        let log_bytes = procfs::written_bytes_of_threads(target.pid, LOG_THREAD)?;
        let all_bytes = procfs::written_bytes(target.pid)?;
        let checkpoints = target.metrics().await?.get("checkpoint_seconds_count")?;
        Ok(Writing { log_bytes, store_bytes: all_bytes.saturating_sub(log_bytes), checkpoints })
    }

    /// What was written since an earlier moment.
    pub(crate) fn since(self, before: Writing) -> Writing {
        Writing {
            log_bytes: self.log_bytes.saturating_sub(before.log_bytes),
            store_bytes: self.store_bytes.saturating_sub(before.store_bytes),
            checkpoints: self.checkpoints.saturating_sub(before.checkpoints),
        }
    }

    /// Both together.
    pub(crate) fn add(&mut self, other: Writing) {
        self.log_bytes += other.log_bytes;
        self.store_bytes += other.store_bytes;
        self.checkpoints += other.checkpoints;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_between_two_moments_adds_up() {
        let before = Writing { log_bytes: 10, store_bytes: 20, checkpoints: 1 };
        let after = Writing { log_bytes: 15, store_bytes: 60, checkpoints: 3 };
        let mut sum = after.since(before);
        assert_eq!(sum, Writing { log_bytes: 5, store_bytes: 40, checkpoints: 2 });
        sum.add(before);
        assert_eq!(sum, after);
    }
}
