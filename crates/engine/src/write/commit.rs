//! Commit: into the log, onto stable storage, into the profiles, and only then an answer.

use crate::alarm::Alarm;
use crate::budget::{ByteBudget, Reservation};
use crate::metrics::AppliedMetrics;
use crate::opt_outs::InForce;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{self, Instant, mpsc};
use crate::threads::Urgency;
use crate::usage::UsageFollower;
use ia_log::{AppendError, Log, LogState};
use ia_model::Record;
use ia_profiles::{Profiles, ProfilesError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Why a record was not committed. Nothing of it is visible.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// More bytes wait for the log and the profiles than the bound allows.
    #[error("the backlog of writes is full")]
    Backlog,
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// An earlier record could not be applied, so none after it may be.
    #[error("the profiles could not take an earlier record")]
    Broken,
}

/// The views that follow the log record by record.
pub(crate) struct Followers {
    /// Who is in which segment.
    pub(crate) profiles: Arc<dyn Profiles>,
    /// What each member sent.
    pub(crate) usage: Arc<UsageFollower>,
    /// What is told to Prometheus.
    pub(crate) metrics: AppliedMetrics,
}

impl Followers {
    fn apply(&self, position: u64, record: Record) -> Result<(), ProfilesError> {
        let applied = self.profiles.apply(position, &record)?;
        self.usage.observe(position, record);
        self.metrics.applied(&applied);
        Ok(())
    }
}

/// A record in both forms that a commit needs. Encoding a large one takes as long as a hundred small requests, so
/// it is not for an async worker.
pub(crate) struct Encoded {
    record: Record,
    payload: Vec<u8>,
    opt_outs: Option<InForce>,
}

impl Encoded {
    /// Encodes a record.
    pub(crate) fn new(record: Record) -> Encoded {
        Encoded { payload: record.encode(), record, opt_outs: None }
    }

    /// With the opt-outs that it was resolved with, which are held until it is applied, also when the caller has
    /// gone away by then: a new opt-out waits for it, to see and to undo it.
    pub(crate) fn resolved_with(self, opt_outs: InForce) -> Encoded {
        Encoded { opt_outs: Some(opt_outs), ..self }
    }

    /// How long it is in the log.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len()
    }
}

/// The write side: one log writer thread, one applier thread, a bound in bytes over both.
pub(crate) struct Committer {
    log: Arc<dyn Log>,
    to_applier: mpsc::Sender<Job>,
    backlog: Arc<ByteBudget>,
    alarm: Alarm,
}

/// What the record of a body of that length takes, as long as it is not known: enough for most. One that needs
/// more has to find more room when it is committed.
fn expected_bytes(body_bytes: usize) -> usize {
    body_bytes / 8
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
    answer: oneshot::Sender<Result<u64, CommitError>>,
    share: Reservation,
    opt_outs: Option<InForce>,
}

impl Committer {
    /// Starts the applier thread, from within the runtime; [`Committer::stop`] ends it. When a record cannot
    /// be applied, it raises `alarm`, and no write succeeds from then on.
    pub(crate) fn start(
        log: Arc<dyn Log>,
        followers: Followers,
        max_backlog_bytes: usize,
        alarm: Alarm,
    ) -> std::io::Result<(Committer, JoinHandle<()>)> {
        let (to_applier, from_log) = mpsc::channel();
        let applier_alarm = alarm.clone();
        let (to_answer, answers) = unbounded_channel();
        let applier = thread::Builder::new().name("applier".to_owned()).spawn(move || {
            let _watch = applier_alarm.watch("applier thread");
            Urgency::Lower.take_on();
            apply_in_order(&from_log, &followers, &applier_alarm, &to_answer);
        })?;
        sync::spawn(answer_all(answers));
        let backlog = ByteBudget::new(max_backlog_bytes);
        Ok((Committer { log, to_applier, backlog, alarm }, applier))
    }

    /// Fails where there is no room now for the record of a body of that length: to be asked before it comes in.
    /// Nothing is held, or who sends slowly would keep others out.
    pub(crate) fn check_room(&self, body_bytes: usize) -> Result<(), CommitError> {
        if self.backlog.has_room(expected_bytes(body_bytes)) { Ok(()) } else { Err(CommitError::Backlog) }
    }

    /// Room in the backlog for the record of a body of that length, as it was sent, from before it is parsed until
    /// the record is applied: under an overload a refusal does not wait behind work that ends in refusals too.
    pub(crate) fn reserve(&self, body_bytes: usize) -> Result<Reservation, CommitError> {
        let mut share = self.backlog.share();
        if share.grow(expected_bytes(body_bytes)) { Ok(share) } else { Err(CommitError::Backlog) }
    }

    /// Makes a record durable and visible, in the room that was reserved for it, and returns its position in
    /// the log. After an error nothing of it is visible; after [`CommitError::Broken`] or a latched log it may be there after a restart. If
    /// the caller goes away meanwhile, the record is committed whole or not at all.
    pub(crate) async fn commit(&self, record: Encoded, mut share: Reservation) -> Result<u64, CommitError> {
        if self.alarm.reason().is_some() {
            return Err(CommitError::Broken);
        }
        let Encoded { record, payload, opt_outs } = record;
        if !share.become_bytes(payload.len()) {
            return Err(CommitError::Backlog);
        }
        let (answer, answered) = oneshot::channel();
        let to_applier = self.to_applier.clone();
        self.log.append(
            payload,
            Box::new(move |written| match written {
                Ok(position) => {
                    // Fails only when the applier thread is gone; the answer is dropped with it.
                    let _ =
                        to_applier.send(Job::Apply(Durable { position, record, answer, share, opt_outs }));
                }
                Err(error) => {
                    let _ = answer.send(Err(error.into()));
                }
            }),
        )?;
        // The applier drops what it cannot answer only when it is gone.
        answered.await.unwrap_or(Err(CommitError::Broken))
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
        if let Some(reason) = self.alarm.reason() {
            return Some(reason.to_owned());
        }
        match self.log.state() {
            LogState::Writable => None,
            LogState::Full => Some("the disk under the log is full".to_owned()),
            LogState::Latched { reason } => Some(format!("the log is out of service: {reason}")),
        }
    }
}

/// How many answers are handed over at once.
const ANSWERS_AT_ONCE: usize = 64;

/// A record with more users takes its time: who was applied before it does not wait for it.
const FEW_USERS: usize = 8;

/// How long an applied record may wait for company; the next ones may have to be read from disk.
const LONGEST_WAIT: Duration = Duration::from_millis(1);

type Answer = (oneshot::Sender<Result<u64, CommitError>>, Result<u64, CommitError>);

fn apply_in_order(
    from_log: &mpsc::Receiver<Job>,
    followers: &Followers,
    alarm: &Alarm,
    to_answer: &UnboundedSender<Vec<Answer>>,
) {
    let mut answers = Vec::new();
    let mut first_applied = Instant::now();
    loop {
        let job = match from_log.try_recv() {
            Err(mpsc::TryRecvError::Empty) => {
                hand_over(&mut answers, to_answer);
                from_log.recv().ok()
            }
            job => job.ok(),
        };
        let Some(Job::Apply(Durable { position, record, answer, share, opt_outs })) = job else { break };
        if matches!(&record, Record::Ingest(ingest) if ingest.batch.users() > FEW_USERS) {
            hand_over(&mut answers, to_answer);
        }
        let result = if alarm.reason().is_some() {
            Err(CommitError::Broken)
        } else {
            followers.apply(position, record).map(|()| position).map_err(|error| {
                let cause = &error as &dyn std::error::Error;
                tracing::error!(position, error = cause, "a record cannot be applied; writes stop");
                alarm.raise(format!("the profiles cannot take the record at position {position}: {error}"));
                CommitError::Broken
            })
        };
        // Given back first: who has an answer may count on the room.
        drop((share, opt_outs));
        let applied = Instant::now();
        if answers.is_empty() {
            first_applied = applied;
        }
        answers.push((answer, result));
        if answers.len() == ANSWERS_AT_ONCE || applied - first_applied >= LONGEST_WAIT {
            hand_over(&mut answers, to_answer);
        }
    }
    hand_over(&mut answers, to_answer);
}

fn hand_over(answers: &mut Vec<Answer>, to_answer: &UnboundedSender<Vec<Answer>>) {
    if !answers.is_empty() {
        // Fails only when the runtime is gone, and with it all who wait.
        let _ = to_answer.send(std::mem::take(answers));
    }
}

/// Wakes those who wait for their answers. A task of the runtime does it, because each waking from outside
/// may have to wake a worker as well: one for a group of records is enough.
async fn answer_all(mut answers: UnboundedReceiver<Vec<Answer>>) {
    while let Some(answers) = answers.recv().await {
        for (answer, result) in answers {
            // The caller may have gone away.
            let _ = answer.send(result);
        }
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests;
