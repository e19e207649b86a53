//! Keeping connections busy for a while, and timing every answer.

use crate::client::{Connection, Target};
use crate::error::Error;
use crate::latencies::Latencies;
use crate::workload::{Pool, Prepared};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Answers that were right.
    pub answered: u64,
    /// Answers that were not, and requests that got none.
    pub errors: u64,
    /// The first of those.
    pub first_error: Option<Error>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of the right answers.
    pub latencies: Latencies,
}

impl Measured {
    /// Of no run, or of one that sent nothing yet.
    pub(crate) fn nothing() -> Measured {
        Measured {
            answered: 0,
            errors: 0,
            first_error: None,
            elapsed: Duration::ZERO,
            latencies: Latencies::new(),
        }
    }

    /// Adds what came out of another run, one after this: its time too. Errors are not kept.
    pub(crate) fn count(&mut self, other: &Measured) {
        self.answered += other.answered;
        self.elapsed += other.elapsed;
        self.latencies.add(&other.latencies);
    }

    /// Adds what came out of another worker of the same run; the time that elapsed is the caller's to set.
    pub(crate) fn add(&mut self, other: Measured) {
        self.answered += other.answered;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.latencies.add(&other.latencies);
    }

    /// Counts a request that was not answered as it should.
    pub(crate) fn fail(&mut self, error: Error) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }
}

/// One connection to a server, on which calls are made one after the other.
pub(crate) trait Lane: Sized + Send + 'static {
    /// Where it leads.
    type Target: Clone + Send + Sync;
    /// What is sent, and what must come back.
    type Call: Send + Sync + 'static;

    /// Connects.
    fn open(target: &Self::Target) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Makes a call and judges its answer.
    fn ask(&mut self, call: &Self::Call) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A call that failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Its answer is not the right one.
    Wrong(Error),
    /// The connection is of no more use.
    Broken(Error),
}

impl Failure {
    /// Why, where both fail a run.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Failure::Wrong(error) | Failure::Broken(error) => error,
        }
    }
}

impl Lane for Connection {
    type Target = Target;
    type Call = Prepared;

    fn open(target: &Target) -> impl Future<Output = Result<Connection, Error>> + Send {
        Connection::open(target)
    }

    async fn ask(&mut self, Prepared { call, mark }: &Prepared) -> Result<(), Failure> {
        self.call_ok(call, mark).await.map_err(|error| match error {
            Error::Http { .. } => Failure::Broken(error),
            error => Failure::Wrong(error),
        })
    }
}

/// A pool of calls on its way to a target. Where one run stops in the pool, the next goes on; after the last
/// call it starts over.
#[derive(Debug)]
pub(crate) struct Driver<L: Lane = Connection> {
    target: L::Target,
    calls: Arc<[L::Call]>,
    sent: Arc<AtomicUsize>,
}

impl Driver {
    /// Nothing is sent yet.
    pub(crate) fn new(target: &Target, pool: &Pool) -> Driver {
        Driver::to(target, Arc::clone(&pool.calls))
    }
}

impl<L: Lane> Driver<L> {
    /// Nothing is sent yet.
    pub(crate) fn to(target: &L::Target, calls: Arc<[L::Call]>) -> Driver<L> {
        Driver { target: target.clone(), calls, sent: Arc::default() }
    }

    /// How many requests were sent, for the progress line.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends over `connections` connections for that long, then waits for what is under way: every request
    /// that was sent is counted, and its time too.
    pub(crate) async fn run(&self, connections: usize, duration: Duration) -> Result<Measured, Error> {
        self.run_to(usize::MAX, connections, duration).await
    }

    /// [`Driver::run`], and ends when each call of the pool was sent once.
    pub(crate) async fn run_once(&self, connections: usize, duration: Duration) -> Result<Measured, Error> {
        self.run_to(self.calls.len(), connections, duration).await
    }

    async fn run_to(&self, last: usize, connections: usize, duration: Duration) -> Result<Measured, Error> {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(L::open(&self.target).await?);
        }
        let started = Instant::now();
        let deadline = started + duration;
        let mut workers = JoinSet::new();
        for lane in open {
            workers.spawn(work(lane, Arc::clone(&self.calls), Arc::clone(&self.sent), last, deadline));
        }
        let mut measured = Measured::nothing();
        while let Some(ended) = workers.join_next().await {
            measured.add(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        }
        measured.elapsed = started.elapsed();
        Ok(measured)
    }
}

async fn work<L: Lane>(
    mut lane: L,
    calls: Arc<[L::Call]>,
    sent: Arc<AtomicUsize>,
    last: usize,
    deadline: Instant,
) -> Measured {
    let mut measured = Measured::nothing();
    loop {
        let started = Instant::now();
        if started >= deadline {
            return measured;
        }
        let next = sent.fetch_add(1, Ordering::Relaxed);
        if next >= last {
            return measured;
        }
        match lane.ask(&calls[next % calls.len()]).await {
            Ok(()) => {
                measured.answered += 1;
                measured.latencies.record(started.elapsed());
            }
            Err(Failure::Wrong(error)) => measured.fail(error),
            Err(Failure::Broken(error)) => {
                measured.fail(error);
                return measured;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Keeps what it is asked.
    struct Kept(Arc<Mutex<Vec<usize>>>);

    impl Lane for Kept {
        type Target = Arc<Mutex<Vec<usize>>>;
        type Call = usize;

        async fn open(target: &Self::Target) -> Result<Kept, Error> {
            Ok(Kept(Arc::clone(target)))
        }

        async fn ask(&mut self, call: &usize) -> Result<(), Failure> {
            self.0.lock().unwrap().push(*call);
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_pool_is_sent_once_or_again_and_again() {
        let kept = Arc::default();
        let driver = Driver::<Kept>::to(&kept, (0..100).collect());
        let measured = driver.run_once(3, Duration::from_secs(60)).await.unwrap();
        assert_eq!(measured.answered, 100);
        let mut asked = std::mem::take(&mut *kept.lock().unwrap());
        asked.sort_unstable();
        assert_eq!(asked, (0..100).collect::<Vec<_>>());
        assert_eq!(driver.run_once(3, Duration::from_secs(60)).await.unwrap().answered, 0, "none is left");
        driver.run(3, Duration::from_millis(50)).await.unwrap();
        assert!(kept.lock().unwrap().len() > 100);
    }

    #[test]
    fn measurements_add_up_and_keep_the_first_error() {
        let mut sum = Measured::nothing();
        for number in 0u64..3 {
            let mut one = Measured::nothing();
            one.answered = 2;
            one.latencies.record(Duration::from_micros(10 * (number + 1)));
            one.fail(Error::broken(format!("number {number}")));
            sum.add(one);
        }
        assert_eq!((sum.answered, sum.errors), (6, 3));
        assert_eq!(sum.first_error.unwrap().to_string(), "number 0");
        assert_eq!(sum.latencies.micros().max, 30);
    }
}
