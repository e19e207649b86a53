//! Fixed threads for long work.
//!
//! The async runtime starts and ends its blocking threads, and work moves from one to the next. A password hash then
//! leaves 19 MiB in each thread's heap, and a body of a megabyte finds nothing of the last one in the processor's
//! cache. Fixed threads limit the memory and keep the cache warm. They can also have a lower priority than the threads
//! that answer short requests: 10 for large requests and password hashes, 5 for the applier. The applier and the threads
//! for large requests also offer the processor every hundred users or so. Otherwise the kernel lets them use a time slice
//! of milliseconds while a short read waits.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads with one bounded queue. When this is dropped they finish their jobs and end.
pub(crate) struct WorkThreads {
    jobs: SyncSender<Job>,
    #[cfg(test)]
    queue: std::sync::Weak<Mutex<Receiver<Job>>>,
}

/// The share of a busy processor that a thread gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A third of the share of a normal thread, plus idle time. It may still use up a time slice of some milliseconds
    /// first, so the work has to yield as well.
    Lower,
    /// A tenth, otherwise the same.
    Low,
}

impl Urgency {
    /// Sets the priority of the calling thread.
    pub(crate) fn set_for_this_thread(self) {
        let niceness = match self {
            Urgency::Lower => 5,
            Urgency::Low => 10,
        };
        if let Err(error) = rustix::process::nice(niceness) {
            tracing::warn!(%error, "the system refused a lower priority: background work competes with requests");
        }
    }
}

/// Runs `work`, which may read the disk, on a blocking thread of the runtime. A panic in it continues in the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
}

/// Lets other threads run after every so many items of a long job. Its time slice is some milliseconds, and a short
/// request that came in meanwhile would wait for the end of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    items_per_turn: u32,
    items: u32,
}

impl Turns {
    /// A turn for others after each `items_per_turn` items.
    pub(crate) fn every(items_per_turn: u32) -> Turns {
        Turns { items_per_turn, items: 0 }
    }

    /// No turns: for a job that is as urgent as what waits.
    pub(crate) fn never() -> Turns {
        Turns::every(u32::MAX)
    }

    /// Counts an item that is done.
    pub(crate) fn count(&mut self) {
        self.items += 1;
        if self.items == self.items_per_turn {
            self.items = 0;
            std::thread::yield_now();
        }
    }
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl WorkThreads {
    /// Starts `threads` threads named `name`, with a queue of up to `max_queued` jobs.
    pub(crate) fn start(
        name: &str,
        threads: usize,
        max_queued: usize,
        urgency: Urgency,
    ) -> io::Result<WorkThreads> {
        let (jobs, queue) = sync_channel(max_queued);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            let work = move || {
                urgency.set_for_this_thread();
                run_jobs(&queue);
            };
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(work)?;
        }
        Ok(WorkThreads {
            jobs,
            #[cfg(test)]
            queue: Arc::downgrade(&queue),
        })
    }

    /// Runs `job` on one of the threads. A panic in it continues in the caller, not in the thread. A job is not run
    /// if its caller has gone before its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, QueueFull> {
        let (reply, answer) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        let job = Box::new(move || {
            if !reply.is_closed() {
                // Nothing of a job that panicked is used again: `job` owns everything it touches.
                let outcome = catch_unwind(AssertUnwindSafe(job));
                let _ = reply.send(outcome);
            }
        });
        // A full queue is the only possible error: the threads end only after `self`.
        self.jobs.try_send(job).map_err(|_| QueueFull)?;
        let outcome = answer.await.expect("every job that is queued answers while its caller waits");
        Ok(outcome.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

fn run_jobs(queue: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is released before the job runs.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    /// Keeps the only thread busy until the sender is dropped.
    async fn busy_thread(threads: &Arc<WorkThreads>) -> std::sync::mpsc::Sender<()> {
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = oneshot::channel();
        let threads = Arc::clone(threads);
        tokio::spawn(async move {
            let job = move || {
                let _ = begun.send(());
                let _ = held.recv();
            };
            threads.run(job).await
        });
        has_begun.await.unwrap();
        let_go
    }

    #[tokio::test]
    async fn no_more_jobs_than_threads_run_at_once() {
        let threads = WorkThreads::start("ia-hash", 2, 64, Urgency::Low).unwrap();
        let running = Arc::new(AtomicUsize::new(0));
        let job = |n: usize| {
            let running = Arc::clone(&running);
            threads.run(move || {
                assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                assert!(std::thread::current().name().unwrap().starts_with("ia-hash-"));
                std::thread::sleep(Duration::from_millis(1));
                running.fetch_sub(1, Ordering::SeqCst);
                n
            })
        };
        let (a, b, c, d) = tokio::join!(job(1), job(2), job(3), job(4));
        assert_eq!([a, b, c, d], [Ok(1), Ok(2), Ok(3), Ok(4)]);
    }

    #[tokio::test]
    async fn a_panic_goes_to_the_caller_and_the_thread_lives_on() {
        let threads = Arc::new(WorkThreads::start("ia-test", 1, 1, Urgency::Low).unwrap());
        for _ in 0..3 {
            let threads = Arc::clone(&threads);
            let caller = tokio::spawn(async move { threads.run(|| panic!("a bug in a hash")).await });
            let panic = caller.await.unwrap_err().into_panic();
            assert_eq!(*panic.downcast::<&str>().unwrap(), "a bug in a hash");
        }
        assert_eq!(threads.run(|| 5).await, Ok(5));
    }

    #[tokio::test]
    async fn a_full_queue_takes_no_more_and_jobs_of_callers_that_left_are_not_run() {
        let threads = Arc::new(WorkThreads::start("ia-test", 1, 1, Urgency::Low).unwrap());
        let let_go = busy_thread(&threads).await;
        let has_run = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&has_run);
        let mut queued = Box::pin(threads.run(move || flag.store(true, Ordering::SeqCst)));
        assert!(tokio::time::timeout(Duration::ZERO, &mut queued).await.is_err());
        assert_eq!(threads.run(|| 5).await, Err(QueueFull));
        drop(queued);
        drop(let_go);
        while threads.run(|| 5).await == Err(QueueFull) {
            tokio::task::yield_now().await;
        }
        assert!(!has_run.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn the_threads_end_with_their_owner() {
        let threads = WorkThreads::start("ia-test", 2, 1, Urgency::Low).unwrap();
        assert_eq!(threads.run(|| 5).await, Ok(5));
        let queue = threads.queue.clone();
        assert!(queue.upgrade().is_some());
        drop(threads);
        while queue.upgrade().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
