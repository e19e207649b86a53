//! Commits records: into the log, onto stable storage, into the profiles, and only then answers.

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
    /// The limit of bytes that wait for the log and the profiles is reached.
    #[error("the backlog of writes is full")]
    Backlog,
    /// The log did not take the record.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// An earlier record could not be applied, so no later one may be.
    #[error("the profiles could not take an earlier record")]
    Broken,
}

/// The views that apply the log record by record.
pub(crate) struct Followers {
    /// The memberships of each user.
    pub(crate) profiles: Arc<dyn Profiles>,
    /// The usage statistics of each member.
    pub(crate) usage: Arc<UsageFollower>,
    /// Counters for Prometheus.
    pub(crate) metrics: AppliedMetrics,
}

impl Followers {
    fn apply(&self, position: u64, record: Record) -> Result<(), ProfilesError> {
        let applied = self.profiles.apply(position, &record)?;
        self.usage.observe(position, record);
        self.metrics.applied(&applied);
        Ok(())
    }

    /// Settles some more users of a replaced segment. Returns whether there may be others.
    fn settle(&self) -> Result<bool, ProfilesError> {
        let settled = self.profiles.settle()?;
        settled.iter().for_each(|applied| self.metrics.applied(applied));
        Ok(settled.is_some())
    }
}

/// A record and its encoded bytes. Encoding a large one takes as long as a hundred small requests, so it is not for
/// an async worker.
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

    /// Adds the opt-outs with which the record was resolved. They are kept until it is applied, even if the client
    /// disconnects, so that a later opt-out waits for the record and undoes it.
    pub(crate) fn resolved_with(self, opt_outs: InForce) -> Encoded {
        Encoded { opt_outs: Some(opt_outs), ..self }
    }

    /// Its size in the log, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len()
    }
}

/// The write side: one log writer thread, one applier thread, and a limit in bytes over both.
pub(crate) struct Committer {
    log: Arc<dyn Log>,
    to_applier: mpsc::Sender<Job>,
    backlog: Arc<ByteBudget>,
    alarm: Alarm,
}

/// An estimate of the record's size before the body is parsed, enough for most. A record that needs more reserves it
/// in [`Committer::commit`].
fn expected_bytes(body_bytes: usize) -> usize {
    body_bytes / 8
}

/// A record on its way.
pub(crate) struct Submitted(oneshot::Receiver<Result<u64, CommitError>>);

impl Submitted {
    /// Waits until the record is visible, and returns its position in the log.
    pub(crate) async fn done(self) -> Result<u64, CommitError> {
        // A dropped answer means that the applier thread has ended.
        self.0.await.unwrap_or(Err(CommitError::Broken))
    }
}

/// Work for the applier thread.
enum Job {
    Apply(Durable),
    Stop,
}

/// A record on stable storage that waits to be applied.
struct Durable {
    position: u64,
    record: Record,
    answer: oneshot::Sender<Result<u64, CommitError>>,
    reservation: Reservation,
    opt_outs: Option<InForce>,
}

impl Committer {
    /// Starts the applier thread, which [`Committer::stop`] ends. Must be called within the runtime. If a record
    /// cannot be applied, the thread raises `alarm`, and every later write fails.
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
            Urgency::Lower.set_for_this_thread();
            apply_in_order(&from_log, &followers, &applier_alarm, &to_answer);
        })?;
        sync::spawn(answer_all(answers));
        let backlog = ByteBudget::new(max_backlog_bytes);
        Ok((Committer { log, to_applier, backlog, alarm }, applier))
    }

    /// Fails if there is no room now for the record of a body of `body_bytes`. Called before the body is received;
    /// it reserves nothing, otherwise slow clients would keep others out.
    pub(crate) fn check_room(&self, body_bytes: usize) -> Result<(), CommitError> {
        if self.backlog.has_room(expected_bytes(body_bytes)) { Ok(()) } else { Err(CommitError::Backlog) }
    }

    /// Reserves room in the backlog for the record of a body of `body_bytes` on the wire, from before parsing until
    /// the record is applied. Under overload a refusal then comes at once, not after the work.
    pub(crate) fn reserve(&self, body_bytes: usize) -> Result<Reservation, CommitError> {
        let mut reservation = self.backlog.share();
        if reservation.grow(expected_bytes(body_bytes)) { Ok(reservation) } else { Err(CommitError::Backlog) }
    }

    /// Reserves room for a record of that many bytes.
    pub(crate) fn reserve_exactly(&self, bytes: usize) -> Result<Reservation, CommitError> {
        let mut reservation = self.backlog.share();
        if reservation.grow(bytes) { Ok(reservation) } else { Err(CommitError::Backlog) }
    }

    /// Makes a record durable and visible, and returns its position in the log. `reservation` is the room reserved for
    /// it. After an error nothing of the record is visible; after [`CommitError::Broken`] or a latched log it may be
    /// visible after a restart. If the client disconnects, the record is committed whole or not at all.
    pub(crate) async fn commit(&self, record: Encoded, reservation: Reservation) -> Result<u64, CommitError> {
        self.submit(record, reservation, || {})?.done().await
    }

    /// The same for a caller that goes on meanwhile. `on_durable` is called, on the log's thread, once the record is on
    /// stable storage: a record that is submitted afterwards comes behind it in the log.
    pub(crate) fn submit(
        &self,
        record: Encoded,
        mut reservation: Reservation,
        on_durable: impl FnOnce() + Send + 'static,
    ) -> Result<Submitted, CommitError> {
        if self.alarm.reason().is_some() {
            return Err(CommitError::Broken);
        }
        let Encoded { record, payload, opt_outs } = record;
        if !reservation.resize(payload.len()) {
            return Err(CommitError::Backlog);
        }
        let (answer, answered) = oneshot::channel();
        let to_applier = self.to_applier.clone();
        self.log.append(
            payload,
            Box::new(move |written| match written {
                Ok(position) => {
                    on_durable();
                    // Fails only when the applier thread has ended; this drops the answer.
                    let _ = to_applier.send(Job::Apply(Durable {
                        position,
                        record,
                        answer,
                        reservation,
                        opt_outs,
                    }));
                }
                Err(error) => {
                    let _ = answer.send(Err(error.into()));
                }
            }),
        )?;
        Ok(Submitted(answered))
    }

    /// Ends the applier thread after it has applied all records from the log. Close the log first.
    pub(crate) fn stop(&self) {
        // Fails only when the thread has ended already.
        let _ = self.to_applier.send(Job::Stop);
    }

    /// Bytes of records that wait to become durable and visible.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.backlog.held_bytes()
    }

    /// Why writes fail now; `None` while they succeed.
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

/// The most answers that are sent together.
const ANSWERS_AT_ONCE: usize = 64;

/// A record with more users takes long to apply, so the answers before it are sent first.
const FEW_USERS: usize = 8;

/// How long an answer may wait for others; the next records may need disk reads.
const LONGEST_WAIT: Duration = Duration::from_millis(1);

/// While records keep coming, some users of a replaced segment are settled this often: a tenth of the applier's time.
const SETTLE_PERIOD: Duration = Duration::from_millis(2);

type Answer = (oneshot::Sender<Result<u64, CommitError>>, Result<u64, CommitError>);

fn apply_in_order(
    from_log: &mpsc::Receiver<Job>,
    followers: &Followers,
    alarm: &Alarm,
    to_answer: &UnboundedSender<Vec<Answer>>,
) {
    let mut answers = Vec::new();
    let mut first_applied = Instant::now();
    let mut last_settled = first_applied;
    loop {
        let job = match from_log.try_recv() {
            Err(mpsc::TryRecvError::Empty) => {
                send_answers(&mut answers, to_answer);
                if settle(followers, alarm) {
                    continue;
                }
                from_log.recv().ok()
            }
            job => job.ok(),
        };
        let Some(Job::Apply(Durable { position, record, answer, reservation, opt_outs })) = job else {
            break;
        };
        if matches!(&record, Record::Ingest(ingest) if ingest.batch.users() > FEW_USERS) {
            send_answers(&mut answers, to_answer);
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
        // Released before the answer, so that a client with an answer can rely on the room.
        drop((reservation, opt_outs));
        let applied = Instant::now();
        if answers.is_empty() {
            first_applied = applied;
        }
        answers.push((answer, result));
        if answers.len() == ANSWERS_AT_ONCE || applied - first_applied >= LONGEST_WAIT {
            send_answers(&mut answers, to_answer);
        }
        if applied - last_settled >= SETTLE_PERIOD {
            settle(followers, alarm);
            last_settled = Instant::now();
        }
    }
    send_answers(&mut answers, to_answer);
}

/// Returns whether there may be more to settle.
fn settle(followers: &Followers, alarm: &Alarm) -> bool {
    if alarm.reason().is_some() {
        return false;
    }
    followers.settle().unwrap_or_else(|error| {
        let cause = &error as &dyn std::error::Error;
        tracing::error!(
            error = cause,
            "the replacement of a segment's members cannot be settled; writes stop"
        );
        alarm.raise(format!("the profiles cannot settle the replacement of a segment's members: {error}"));
        false
    })
}

fn send_answers(answers: &mut Vec<Answer>, to_answer: &UnboundedSender<Vec<Answer>>) {
    if !answers.is_empty() {
        // Fails only when the runtime has ended, together with all callers.
        let _ = to_answer.send(std::mem::take(answers));
    }
}

/// Answers the callers. This is a task of the runtime because each wake-up from outside may also have to wake a
/// worker thread: one for a group of records is enough.
async fn answer_all(mut answers: UnboundedReceiver<Vec<Answer>>) {
    while let Some(answers) = answers.recv().await {
        for (answer, result) in answers {
            // The client may have disconnected.
            let _ = answer.send(result);
        }
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests;
