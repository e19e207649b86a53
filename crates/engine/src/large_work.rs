//! Threads for large requests: an async worker that parses a megabyte cannot answer other requests meanwhile.

use crate::threads::{Urgency, WorkThreads};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// No machine has memory for more at once: a request of a megabyte takes up to 120 MiB.
const MAX_LARGE_REQUESTS: usize = 1 << 16;

/// Limits the memory and the threads that large requests take.
pub struct LargeWork {
    permits: Arc<Semaphore>,
    threads: WorkThreads,
}

/// The right to work on one large request. Dropping it returns the right.
pub struct LargePermit(OwnedSemaphorePermit);

impl LargeWork {
    /// Threads for up to `max_requests` at once. Fails if the system cannot start them.
    pub(crate) fn start(max_requests: usize) -> std::io::Result<LargeWork> {
        let max_requests = max_requests.min(MAX_LARGE_REQUESTS);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads =
            WorkThreads::start("ia-large", max_requests.min(2 * cores), max_requests, Urgency::Low)?;
        Ok(LargeWork { permits: Arc::new(Semaphore::new(max_requests)), threads })
    }

    /// Waits for a permit if the request is large; a small one needs none.
    pub async fn permit(&self, is_large: bool) -> Option<LargePermit> {
        if !is_large {
            return None;
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        Some(LargePermit(permit.expect("the semaphore is never closed")))
    }

    /// Runs `work` on a thread for large requests if there is a permit, otherwise at once.
    pub async fn run<T: Send + 'static>(
        &self,
        permit: Option<LargePermit>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let Some(LargePermit(permit)) = permit else { return work() };
        let worked = self.threads.run(move || {
            // Moved in, because the work goes on when the client disconnects.
            let _permit = permit;
            work()
        });
        worked.await.expect("the queue has room for every permit")
    }
}
