//! Commit: into the log, onto stable storage, into the profiles, and only then an answer.

use crate::budget::{ByteBudget, Share};
use crate::usage::UsageFollower;
use ia_log::{AppendError, Log, LogState};
use ia_model::Record;
use ia_profiles::{Applied, Profiles, ProfilesError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Why a record was not committed. Nothing of it is visible.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// More bytes wait for the log and the profiles than the bound allows.
    #[error("the backlog of writes is full")]
    Backlog,
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// An earlier record could not be applied, so none after it may be.
    #[error("the profiles could not take an earlier record; a restart replays it from the log")]
    Broken,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// What became of a committed record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    /// Where it stands in the log.
    pub position: u64,
    /// What it did to memberships.
    pub applied: Applied,
}

/// The write side: one log writer thread, one applier thread, a bound in bytes over both.
pub(crate) struct Committer {
    log: Arc<dyn Log>,
    to_applier: mpsc::Sender<Job>,
    backlog: Arc<ByteBudget>,
    broken: Arc<AtomicBool>,
}

/// Work for the applier thread.
enum Job {
    Apply(Durable),
    Stop,
}

/// A record that is on stable storage and waits to be applied.
struct Durable {
    position: u64,
    record: Record,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
    share: Share,
}

impl Committer {
    /// Starts the applier thread; [`Committer::stop`] ends it.
    pub(crate) fn start(
        log: Arc<dyn Log>,
        profiles: Arc<dyn Profiles>,
        usage: Arc<UsageFollower>,
        max_backlog_bytes: usize,
    ) -> std::io::Result<(Committer, JoinHandle<()>)> {
        let (to_applier, from_log) = mpsc::channel();
        let broken = Arc::new(AtomicBool::new(false));
        let latch = Arc::clone(&broken);
        let applier = std::thread::Builder::new()
            .name("applier".to_owned())
            .spawn(move || apply_in_order(&from_log, profiles.as_ref(), &usage, &latch))?;
        let backlog = ByteBudget::new(max_backlog_bytes);
        Ok((Committer { log, to_applier, backlog, broken }, applier))
    }

    /// Makes `record` durable and visible. Returns after both, or with an error after which nothing of
    /// it is visible. If the caller goes away meanwhile, the record is committed whole or not at all.
    pub(crate) async fn commit(&self, record: Record) -> Result<Committed, CommitError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(CommitError::Broken);
        }
        let payload = record.encode();
        let mut share = self.backlog.share();
        if !share.grow(payload.len()) {
            return Err(CommitError::Backlog);
        }
        let (answer, answered) = oneshot::channel();
        let to_applier = self.to_applier.clone();
        self.log.append(
            payload,
            Box::new(move |written| match written {
                Ok(position) => {
                    // Fails only when the applier thread is gone; the answer is dropped with it.
                    let _ = to_applier.send(Job::Apply(Durable { position, record, answer, share }));
                }
                Err(error) => {
                    let _ = answer.send(Err(error.into()));
                }
            }),
        )?;
        answered.await.unwrap_or(Err(CommitError::Stopping))
    }

    /// Ends the applier thread once it has applied what the log has handed over. Close the log first.
    pub(crate) fn stop(&self) {
        // Fails only when the thread is gone already.
        let _ = self.to_applier.send(Job::Stop);
    }

    /// Bytes that wait to become durable and visible.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.backlog.held_bytes()
    }

    /// Why writes fail at present; `None` while they succeed.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.broken.load(Ordering::Acquire) {
            return Some(CommitError::Broken.to_string());
        }
        match self.log.state() {
            LogState::Writable => None,
            LogState::Full => Some("the disk under the log is full".to_owned()),
            LogState::Latched { reason } => Some(format!("the log is out of service: {reason}")),
        }
    }
}

fn apply_in_order(
    from_log: &mpsc::Receiver<Job>,
    profiles: &dyn Profiles,
    usage: &UsageFollower,
    broken: &AtomicBool,
) {
    while let Ok(Job::Apply(Durable { position, record, answer, share })) = from_log.recv() {
        let result = if broken.load(Ordering::Acquire) {
            Err(CommitError::Broken)
        } else {
            apply(position, &record, profiles, usage).map_err(|error| {
                broken.store(true, Ordering::Release);
                tracing::error!(
                    position,
                    error = &error as &dyn std::error::Error,
                    "a record cannot be applied; writes stop"
                );
                CommitError::Broken
            })
        };
        // Given back first: who has an answer may count on the room. The caller may have gone away.
        drop(share);
        let _ = answer.send(result);
    }
}

/// Applies one record to every view of the log. Replay and the applier share it.
fn apply(
    position: u64,
    record: &Record,
    profiles: &dyn Profiles,
    usage: &UsageFollower,
) -> Result<Committed, ProfilesError> {
    let applied = profiles.apply(position, record)?;
    usage.observe(position, record);
    Ok(Committed { position, applied })
}

/// Why a data directory cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// A view covers more than the log holds.
    #[error(
        "the {view} cover position {covered}, but the log ends at {end}: the data directory mixes files of different times; restore all of it from one backup"
    )]
    Ahead {
        /// Which view.
        view: &'static str,
        /// What it covers.
        covered: u64,
        /// The log's last position.
        end: u64,
    },
    /// The log no longer holds what a view needs.
    #[error(
        "the {view} cover position {covered}, but the log starts at {first}: the records between are gone; restore the data directory from a backup"
    )]
    Gap {
        /// Which view.
        view: &'static str,
        /// What it covers.
        covered: u64,
        /// The log's first position.
        first: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ia_log::LogError),
    /// A record of a known position cannot be read.
    #[error("the record at position {position} cannot be read")]
    Record {
        /// Its position.
        position: u64,
        /// What is wrong with it.
        source: ia_model::RecordError,
    },
    /// The profiles cannot take a record.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

/// Brings the views up to the end of the log; each starts behind the position that it covers.
///
/// Returns how many records were read.
pub(crate) fn replay(
    log: &dyn Log,
    profiles: &dyn Profiles,
    usage: &UsageFollower,
) -> Result<u64, ReplayError> {
    let (first, end) = (log.first_position(), log.next_position() - 1);
    let covered_by_profiles = profiles.checkpointed_position();
    for (view, covered) in [("profiles", covered_by_profiles), ("usage statistics", usage.covered_position())]
    {
        if covered > end {
            return Err(ReplayError::Ahead { view, covered, end });
        }
        if covered + 1 < first {
            return Err(ReplayError::Gap { view, covered, first });
        }
    }
    let covered_by_usage = usage.covered_position();
    let from = covered_by_profiles.min(covered_by_usage) + 1;
    let mut records = 0;
    for entry in log.read_from(from)? {
        let entry = entry?;
        let position = entry.position;
        let record =
            Record::decode(&entry.payload).map_err(|source| ReplayError::Record { position, source })?;
        if position > covered_by_profiles {
            profiles.apply(position, &record)?;
        }
        if position > covered_by_usage {
            usage.observe(position, &record);
        }
        records += 1;
    }
    Ok(records)
}
