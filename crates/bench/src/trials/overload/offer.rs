//! Offering bodies until they are taken, with a journal of what was acknowledged.

use crate::calls::Bodies;
use crate::client::{Call, Connection, Target, is_ok_with, refused};
use crate::error::Error;
use crate::journal::{Fate, Journal, Tally};
use crate::latencies::Latencies;
use crate::population::dice;
use hyper::StatusCode;
use ia_testkit::{Dice, Reply};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Bodies, and what became of each.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) bodies: Bodies,
    journal: Mutex<Journal>,
    crash_is_near: AtomicBool,
}

/// What the answers were like.
#[derive(Debug)]
pub(super) struct Offered {
    /// Of the answers that are OK.
    pub acknowledged: Latencies,
    /// Of the 503s.
    pub refused: Latencies,
    /// 503s that do not say when to try again.
    pub without_retry_after: u64,
    /// Answers that are neither.
    pub errors: u64,
    pub first_error: Option<String>,
    /// What the first 503 said.
    pub first_refusal: Option<String>,
}

/// How long a refused client waits: between this and half as long again, or all that were refused together
/// would come back together.
struct Pauses {
    least: Duration,
    dice: Dice,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        self.least + self.least / 2 * self.dice.below(100) as u32 / 100
    }
}

impl Offer {
    /// Nothing is sent yet.
    pub(super) fn new(bodies: Bodies) -> Arc<Offer> {
        let journal = Mutex::new(Journal::new(bodies.count()));
        Arc::new(Offer { bodies, journal, crash_is_near: AtomicBool::new(false) })
    }

    /// From now on connections may break.
    pub(super) fn expect_crash(&self) {
        self.crash_is_near.store(true, Ordering::SeqCst);
    }

    /// Sends over `connections` connections for that long. Each sends its body until it is acknowledged, with
    /// a pause after a 503.
    pub(super) async fn run(
        self: &Arc<Offer>,
        target: &Target,
        connections: usize,
        duration: Duration,
        pause: Duration,
    ) -> Result<Offered, Error> {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(target).await?);
        }
        let deadline = Instant::now() + duration;
        let mut workers = JoinSet::new();
        for (number, connection) in open.into_iter().enumerate() {
            let pauses = Pauses { least: pause, dice: dice(number as u64) };
            workers.spawn(Arc::clone(self).work(connection, deadline, pauses));
        }
        let mut all = Offered::nothing();
        while let Some(ended) = workers.join_next().await {
            all.add(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        }
        Ok(all)
    }

    async fn work(
        self: Arc<Offer>,
        mut connection: Connection,
        deadline: Instant,
        mut pauses: Pauses,
    ) -> Offered {
        let mut offered = Offered::nothing();
        while Instant::now() < deadline {
            let Some(body) = self.journal().hand_out() else { return offered };
            let call = self.call(body);
            loop {
                let begun = Instant::now();
                match connection.call(&call).await {
                    Ok(received) => {
                        let is_acknowledged = offered.judge(&received, begun.elapsed());
                        if is_acknowledged {
                            self.journal().settle(body, Fate::Acknowledged);
                            break;
                        }
                        let next = Instant::now() + pauses.next();
                        if next >= deadline {
                            self.journal().settle(body, Fate::Refused);
                            return offered;
                        }
                        tokio::time::sleep_until(next.into()).await;
                    }
                    // Its fate stays unknown.
                    Err(_) if self.crash_is_near.load(Ordering::SeqCst) => return offered,
                    Err(error) => {
                        offered.fault(&Error::http("POST /rt-segment")(error));
                        return offered;
                    }
                }
            }
        }
        offered
    }

    fn call(&self, body: usize) -> Call {
        Call::post("/rt-segment", self.bodies.add(body))
    }

    /// How many bodies there are of each fate; those that were never sent are not counted.
    pub(super) fn tally(&self) -> Tally {
        Tally { unsent: 0, ..self.journal().tally() }
    }

    /// The fates of all bodies up to the last that was sent, and of the next, which must not be there.
    pub(super) fn fates_of_sent(&self) -> Vec<Fate> {
        let journal = self.journal();
        let sent = journal.fates().iter().take_while(|&&fate| fate != Fate::Unsent).count();
        journal.fates()[..(sent + 1).min(self.bodies.count())].to_vec()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offered {
    fn nothing() -> Offered {
        Offered {
            acknowledged: Latencies::new(),
            refused: Latencies::new(),
            without_retry_after: 0,
            errors: 0,
            first_error: None,
            first_refusal: None,
        }
    }

    /// Counts an answer; says whether it is OK.
    fn judge(&mut self, received: &Reply, took: Duration) -> bool {
        if is_ok_with(received, r#""warnings":[]"#) {
            self.acknowledged.record(took);
            return true;
        }
        let what = "POST /rt-segment";
        if received.status == StatusCode::SERVICE_UNAVAILABLE {
            self.refused.record(took);
            self.without_retry_after += u64::from(!received.says_retry_after);
            self.first_refusal.get_or_insert_with(|| refused(received, what).to_string());
        } else {
            self.fault(&refused(received, what));
        }
        false
    }

    fn fault(&mut self, error: &Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.chain());
    }

    fn add(&mut self, other: Offered) {
        self.acknowledged.add(&other.acknowledged);
        self.refused.add(&other.refused);
        self.without_retry_after += other.without_retry_after;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{Population, WRITTEN};

    fn received(status: u16, says_retry_after: bool, start: &'static str) -> Reply {
        Reply { status: StatusCode::from_u16(status).unwrap(), says_retry_after, start: start.into() }
    }

    #[test]
    fn answers_are_told_apart() {
        let mut offered = Offered::nothing();
        let took = Duration::from_millis(5);
        assert!(offered.judge(&received(200, false, r#"{"status":"OK","warnings":[]}"#), took));
        assert!(!offered.judge(&received(503, true, "wait"), took));
        assert!(!offered.judge(&received(503, false, "wait"), took));
        assert!(!offered.judge(&received(500, false, "oops"), took));
        let mut sum = Offered::nothing();
        sum.add(offered);
        assert_eq!((sum.acknowledged.count(), sum.refused.count(), sum.without_retry_after), (1, 2, 1));
        assert_eq!(sum.errors, 1);
        assert!(sum.first_error.unwrap().contains("500"));
    }

    #[test]
    fn pauses_are_as_long_as_asked_and_differ() {
        let mut pauses = Pauses { least: Duration::from_secs(1), dice: dice(1) };
        let drawn: Vec<Duration> = (0..20).map(|_| pauses.next()).collect();
        assert!(drawn.iter().all(|pause| (1000..1500).contains(&pause.as_millis())), "{drawn:?}");
        assert!(drawn.iter().any(|&pause| pause != drawn[0]));
        let mut none = Pauses { least: Duration::ZERO, dice: dice(1) };
        assert_eq!(none.next(), Duration::ZERO);
    }

    #[test]
    fn what_was_sent_is_looked_for_and_the_next_body_too() {
        let bodies = Bodies::new(Population::new(WRITTEN, 5000), 1);
        let offer = Offer::new(bodies);
        assert_eq!(offer.fates_of_sent(), [Fate::Unsent]);
        for _ in 0..2 {
            offer.journal().hand_out();
        }
        offer.journal().settle(1, Fate::Refused);
        assert_eq!(offer.fates_of_sent(), [Fate::Unknown, Fate::Refused, Fate::Unsent]);
        assert_eq!(offer.tally().unsent, 0);
    }
}
