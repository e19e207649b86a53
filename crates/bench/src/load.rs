//! Loading a population, with a journal of what was acknowledged.

use crate::calls::Bodies;
use crate::client::{Call, Connection, Target, is_ok_with, refused};
use crate::error::Error;
use crate::journal::{Fate, Journal, Tally};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A load: its bodies, its journal, and how far it is.
#[derive(Debug)]
pub(crate) struct Load {
    /// What is loaded.
    pub(crate) bodies: Bodies,
    journal: Mutex<Journal>,
    acknowledged: watch::Sender<usize>,
    first_refusal: Mutex<Option<Error>>,
    crash_is_near: AtomicBool,
}

impl Load {
    /// A load of which nothing is sent.
    pub(crate) fn new(bodies: Bodies) -> Arc<Load> {
        Arc::new(Load {
            bodies,
            journal: Mutex::new(Journal::new(bodies.count())),
            acknowledged: watch::Sender::new(0),
            first_refusal: Mutex::new(None),
            crash_is_near: AtomicBool::new(false),
        })
    }

    /// Sends what is not acknowledged over `connections` connections, each body once. Ends early when a
    /// crash is announced; a connection that breaks without such is an error.
    pub(crate) async fn run(self: &Arc<Load>, target: &Target, connections: usize) -> Result<(), Error> {
        self.crash_is_near.store(false, Ordering::SeqCst);
        self.journal().rewind();
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let connection = Connection::open(target).await?;
            workers.spawn(Arc::clone(self).work(connection));
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        }
        Ok(())
    }

    /// [`Load::run`], and every body must be acknowledged in the end.
    pub(crate) async fn run_to_the_end(
        self: &Arc<Load>,
        target: &Target,
        connections: usize,
    ) -> Result<(), Error> {
        self.run(target, connections).await?;
        let tally = self.tally();
        if tally.acknowledged == self.bodies.count() {
            return Ok(());
        }
        let refusal = self.first_refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(refusal.unwrap_or_else(|| Error::broken(format!("the load did not come to its end: {tally:?}"))))
    }

    /// From now on no body is sent, and connections may break.
    pub(crate) fn expect_crash(&self) {
        self.crash_is_near.store(true, Ordering::SeqCst);
    }

    /// Returns once that many bodies are acknowledged.
    pub(crate) async fn reaches(&self, bodies: usize) {
        let reached = self.acknowledged.subscribe().wait_for(|&count| count >= bodies).await.map(drop);
        reached.expect("the sender lives as long as the load");
    }

    /// The fates of all bodies.
    pub(crate) fn fates(&self) -> Vec<Fate> {
        self.journal().fates().to_vec()
    }

    /// How many bodies there are of each fate.
    pub(crate) fn tally(&self) -> Tally {
        self.journal().tally()
    }

    /// For the progress line.
    pub(crate) fn progress(&self) -> String {
        format!("loading: {} of {} bodies", *self.acknowledged.borrow(), self.bodies.count())
    }

    async fn work(self: Arc<Load>, mut connection: Connection) -> Result<(), Error> {
        while let Some(body) = self.hand_out() {
            let call = Call::post("/rt-segment", self.bodies.add(body));
            match connection.call(&call).await {
                Ok(received) if is_ok_with(&received, r#""warnings":[]"#) => {
                    self.journal().settle(body, Fate::Acknowledged);
                    self.acknowledged.send_modify(|count| *count += 1);
                }
                Ok(received) => {
                    self.journal().settle(body, Fate::Refused);
                    let mut first = self.first_refusal.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert_with(|| refused(&received, "POST /rt-segment"));
                }
                // Its fate stays unknown.
                Err(_) if self.crash_is_near.load(Ordering::SeqCst) => return Ok(()),
                Err(error) => return Err(Error::http("POST /rt-segment")(error)),
            }
        }
        Ok(())
    }

    fn hand_out(&self) -> Option<usize> {
        if self.crash_is_near.load(Ordering::SeqCst) { None } else { self.journal().hand_out() }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
