//! Calls at a fixed rate, whatever the server does.
//!
//! A closed loop sends less when the server is slow, and so never sees how long others would have waited.
//! Here the moments of all calls are set beforehand, and the time of each is counted from its moment, also
//! when all connections were busy then.

use crate::client::{Connection, Target};
use crate::drive::{Failure, Lane, Measured};
use crate::error::Error;
use crate::workload::{Pool, Prepared};
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

/// A moment at which something is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Counted from 0.
    pub number: u64,
    /// When it is due.
    pub due: Instant,
}

/// Evenly spaced moments.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    start: Instant,
    per_second: f64,
    /// How many there are.
    count: u64,
}

impl Schedule {
    fn new(start: Instant, per_second: f64, duration: Duration) -> Schedule {
        // Never nothing: a run without a call measures nothing.
        let count = (per_second * duration.as_secs_f64()).ceil().max(1.0) as u64;
        Schedule { start, per_second, count }
    }

    /// Each is reckoned from the start, so that errors do not add up.
    fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    /// How many are due by then, of those that exist.
    fn due_by(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.start).as_secs_f64() * self.per_second;
        (passed as u64 + 1).min(self.count)
    }
}

/// Hands out the moments of a schedule to any number of workers, each once and when it is due.
#[derive(Debug)]
pub(crate) struct Arrivals {
    schedule: Schedule,
    due: Semaphore,
    next: AtomicU64,
}

impl Arrivals {
    /// Begins at once. A thread of its own keeps the time: the runtime's timers are only good to a
    /// millisecond.
    pub(crate) fn begin(per_second: f64, duration: Duration) -> Result<Arc<Arrivals>, Error> {
        let arrivals = Arc::new(Arrivals {
            schedule: Schedule::new(Instant::now(), per_second, duration),
            due: Semaphore::new(0),
            next: AtomicU64::new(0),
        });
        let paced = Arc::downgrade(&arrivals);
        let thread = std::thread::Builder::new().name("pacer".to_owned()).spawn(move || pace(&paced));
        thread.map_err(Error::io("start a thread"))?;
        Ok(arrivals)
    }

    /// The next moment, once it has come; `None` after the last.
    pub(crate) async fn next(&self) -> Option<Arrival> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.schedule.count {
            return None;
        }
        self.due.acquire().await.expect("the semaphore is never closed").forget();
        Some(Arrival { number, due: self.schedule.due(number) })
    }
}

fn pace(arrivals: &Weak<Arrivals>) {
    let mut released = 0;
    // Ends when nobody waits any more.
    while let Some(arrivals) = arrivals.upgrade() {
        let due = arrivals.schedule.due_by(Instant::now());
        arrivals.due.add_permits((due - released) as usize);
        released = due;
        if released == arrivals.schedule.count {
            return;
        }
        let next = arrivals.schedule.due(released);
        drop(arrivals);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Prepared calls at a fixed rate.
#[derive(Debug, Clone)]
pub(crate) struct OpenLoop {
    target: Target,
    calls: Arc<[Prepared]>,
    per_second: f64,
    connections: usize,
    sent: Arc<AtomicUsize>,
}

impl OpenLoop {
    /// Nothing is sent yet. `connections` bounds how many calls are under way.
    pub(crate) fn new(target: &Target, pool: &Pool, per_second: f64, connections: usize) -> OpenLoop {
        let calls = Arc::clone(&pool.calls);
        OpenLoop { target: target.clone(), calls, per_second, connections, sent: Arc::default() }
    }

    /// Sends for that long, then waits for what is under way. Where one run stops in the pool, the next
    /// goes on.
    pub(crate) async fn run(&self, duration: Duration) -> Result<Measured, Error> {
        let mut open = Vec::new();
        for _ in 0..self.connections {
            open.push(Connection::open(&self.target).await?);
        }
        let started = Instant::now();
        let arrivals = Arrivals::begin(self.per_second, duration)?;
        let mut workers = JoinSet::new();
        for connection in open {
            let (calls, sent) = (Arc::clone(&self.calls), Arc::clone(&self.sent));
            workers.spawn(work(connection, calls, sent, Arc::clone(&arrivals)));
        }
        let mut measured = Measured::nothing();
        while let Some(ended) = workers.join_next().await {
            measured.add(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        }
        measured.elapsed = started.elapsed();
        Ok(measured)
    }

    /// [`OpenLoop::run`] apart from what else this process sends: a large body that is being written must
    /// not delay the reading of a small answer, or the clock would show the bench, not the server.
    pub(crate) async fn run_apart(&self, duration: Duration) -> Result<Measured, Error> {
        let this = self.clone();
        apart(async move || this.run(duration).await).await?
    }
}

async fn work(
    mut connection: Connection,
    calls: Arc<[Prepared]>,
    sent: Arc<AtomicUsize>,
    arrivals: Arc<Arrivals>,
) -> Measured {
    let mut measured = Measured::nothing();
    while let Some(arrival) = arrivals.next().await {
        match connection.ask(&calls[sent.fetch_add(1, Ordering::Relaxed) % calls.len()]).await {
            Ok(()) => {
                measured.answered += 1;
                measured.latencies.record(arrival.due.elapsed());
            }
            Err(Failure::Wrong(error)) => measured.fail(error),
            Err(Failure::Broken(error)) => {
                measured.fail(error);
                return measured;
            }
        }
    }
    measured
}

/// Does `work` on a thread and a runtime of its own. It is dropped when this is.
pub(crate) async fn apart<T: Send + 'static, F: Future<Output = T>>(
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T, Error> {
    let (mut done, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name("apart".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let worked = match runtime.map_err(Error::io("start the async runtime")) {
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    outcome = work() => Ok(outcome),
                    () = done.closed() => Err(ia_testkit::Error::Interrupted.into()),
                }
            }),
            Err(error) => Err(error),
        };
        // Nobody is left to tell when the receiver is gone.
        let _ = done.send(worked);
    });
    thread.map_err(Error::io("start a thread"))?;
    outcome.await.unwrap_or_else(|_| Err(Error::broken("a thread of the bench panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_evenly_spaced_from_the_start() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 2000.0, Duration::from_millis(1500));
        assert_eq!(schedule.count, 3000);
        assert_eq!(schedule.due(0), start);
        assert_eq!(schedule.due(2000), start + Duration::from_secs(1));
        assert_eq!(schedule.due(2999), start + Duration::from_micros(1_499_500));
    }

    #[test]
    fn what_is_due_is_counted_and_never_more_than_there_is() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 10.0, Duration::from_secs(1));
        assert_eq!(schedule.due_by(start), 1);
        assert_eq!(schedule.due_by(start + Duration::from_millis(99)), 1);
        assert_eq!(schedule.due_by(start + Duration::from_millis(250)), 3);
        assert_eq!(schedule.due_by(start + Duration::from_secs(9)), 10);
        assert_eq!(Schedule::new(start, 0.1, Duration::from_secs(1)).count, 1);
    }

    #[tokio::test]
    async fn every_moment_is_handed_out_once_and_not_before_it_is_due() {
        let arrivals = Arrivals::begin(5000.0, Duration::from_millis(100)).unwrap();
        let mut workers = JoinSet::new();
        for _ in 0..4 {
            let arrivals = Arc::clone(&arrivals);
            workers.spawn(async move {
                let mut taken = Vec::new();
                while let Some(arrival) = arrivals.next().await {
                    assert!(Instant::now() >= arrivals.schedule.due(0));
                    taken.push(arrival.number);
                }
                taken
            });
        }
        let mut numbers = workers.join_all().await.concat();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>());
        assert!(Instant::now() >= arrivals.schedule.due(499));
    }

    #[tokio::test]
    async fn work_apart_comes_back() {
        assert_eq!(apart(async || 7).await.unwrap(), 7);
    }
}
