//! Keeping connections busy for a while, and timing every answer.

use crate::client::{Connection, Target};
use crate::error::Error;
use crate::workload::{Pool, Prepared};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Latencies in microseconds, up to two minutes, to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    const LONGEST_MICROS: u64 = 120_000_000;

    /// None yet.
    pub(crate) fn new() -> Latencies {
        let made = Histogram::new_with_bounds(1, Latencies::LONGEST_MICROS, 3);
        Latencies(made.expect("the bounds are sound"))
    }

    /// Adds one; one that is too long counts as the longest.
    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds those of another.
    pub(crate) fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Microseconds that this share of the answers took at most.
    pub(crate) fn quantile_micros(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// Microseconds of the slowest answer.
    pub(crate) fn max_micros(&self) -> u64 {
        self.0.max()
    }
}

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
    /// Nothing was sent yet.
    pub(crate) fn nothing() -> Measured {
        Measured {
            answered: 0,
            errors: 0,
            first_error: None,
            elapsed: Duration::ZERO,
            latencies: Latencies::new(),
        }
    }

    /// Adds what another connection measured; the time that elapsed is the caller's to set.
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

/// A pool of calls on its way to a target. Where one run stops in the pool, the next goes on.
#[derive(Debug)]
pub(crate) struct Driver {
    target: Target,
    calls: Arc<[Prepared]>,
    sent: Arc<AtomicUsize>,
}

impl Driver {
    /// Nothing is sent yet.
    pub(crate) fn new(target: &Target, pool: &Pool) -> Driver {
        Driver { target: target.clone(), calls: Arc::clone(&pool.calls), sent: Arc::default() }
    }

    /// How many requests were sent, for the progress line.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends over `connections` connections for that long, then waits for what is under way: every request
    /// that was sent is counted, and its time too.
    pub(crate) async fn run(&self, connections: usize, duration: Duration) -> Result<Measured, Error> {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(&self.target).await?);
        }
        let started = Instant::now();
        let deadline = started + duration;
        let mut workers = JoinSet::new();
        for connection in open {
            let (calls, sent) = (Arc::clone(&self.calls), Arc::clone(&self.sent));
            workers.spawn(work(connection, calls, sent, deadline));
        }
        let mut measured = Measured::nothing();
        while let Some(ended) = workers.join_next().await {
            measured.add(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())));
        }
        measured.elapsed = started.elapsed();
        Ok(measured)
    }
}

async fn work(
    mut connection: Connection,
    calls: Arc<[Prepared]>,
    sent: Arc<AtomicUsize>,
    deadline: Instant,
) -> Measured {
    let mut measured = Measured::nothing();
    loop {
        let started = Instant::now();
        if started >= deadline {
            return measured;
        }
        let Prepared { call, mark } = &calls[sent.fetch_add(1, Ordering::Relaxed) % calls.len()];
        match connection.call(call).await {
            Ok(received) if received.is_ok_with(mark) => {
                measured.answered += 1;
                measured.latencies.record(started.elapsed());
            }
            Ok(received) => measured.fail(received.refused(&format!("{} {}", call.method, call.uri))),
            // The connection is of no more use.
            Err(error) => {
                measured.fail(Error::http(format!("{} {}", call.method, call.uri))(error));
                return measured;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_answers() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        assert_eq!(latencies.quantile_micros(0.5), 500);
        assert_eq!(latencies.quantile_micros(0.99), 990);
        assert_eq!(latencies.max_micros(), 1000);
        // Out of range is the longest, not a panic and not forgotten.
        latencies.record(Duration::from_secs(3600));
        assert!(latencies.max_micros() >= Latencies::LONGEST_MICROS);
    }

    #[test]
    fn measurements_add_up_and_keep_the_first_error() {
        let mut sum = Measured::nothing();
        for number in 0u64..3 {
            let mut one = Measured::nothing();
            one.answered = 2;
            one.latencies.record(Duration::from_micros(10 * (number + 1)));
            one.fail(Error::Broken(format!("number {number}")));
            sum.add(one);
        }
        assert_eq!((sum.answered, sum.errors), (6, 3));
        assert_eq!(sum.first_error.unwrap().to_string(), "number 0");
        assert_eq!(sum.latencies.max_micros(), 30);
    }
}
