//! Threads, locks and the clock of this crate, from the standard library. With the feature `shuttle` they come
//! from a scheduler that tries interleavings (`tests/concurrency.rs`), and time is simulated.

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    sync::{Arc, Mutex, MutexGuard},
    thread,
};
#[cfg(feature = "shuttle")]
pub(crate) use simulated::{Condvar, Instant, advance};
#[cfg(feature = "shuttle")]
pub(crate) use std::sync::PoisonError;

/// The parts that shuttle lacks: it does not model time, and its timed waits never time out.
#[cfg(feature = "shuttle")]
mod simulated {
    use shuttle::sync::{LockResult, MutexGuard};
    use std::cell::Cell;
    use std::ops::{Add, Sub};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, PoisonError};
    use std::time::Duration;

    thread_local! {
        /// All tasks of a schedule run on one thread of the machine.
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Lets time pass.
    pub(crate) fn advance(by: Duration) {
        NOW.set(NOW.get() + by);
    }

    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Instant {
            Instant(NOW.get())
        }

        pub(crate) fn elapsed(&self) -> Duration {
            NOW.get() - self.0
        }

        pub(crate) fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
            self.0.checked_sub(earlier.0)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Instant;

        fn add(self, duration: Duration) -> Instant {
            Instant(self.0 + duration)
        }
    }

    impl Sub for Instant {
        type Output = Duration;

        fn sub(self, earlier: Instant) -> Duration {
            self.0 - earlier.0
        }
    }

    /// A wait this long counts as a wait for ever, so that a missing wake-up shows.
    const FOR_EVER: Duration = Duration::from_secs(3600);

    pub(crate) struct Condvar(Arc<shuttle::sync::Condvar>);

    pub(crate) struct WaitTimeoutResult(bool);

    impl WaitTimeoutResult {
        pub(crate) fn timed_out(&self) -> bool {
            self.0
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(Arc::default())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
            self.0.wait(guard)
        }

        /// The timeout is a thread of its own, which may run before or after any other wake-up of the caller.
        pub(crate) fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            duration: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
            let (is_over, is_awake) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            if duration < FOR_EVER {
                let (is_over, is_awake) = (Arc::clone(&is_over), Arc::clone(&is_awake));
                let waiting = Arc::clone(&self.0);
                shuttle::thread::spawn(move || {
                    shuttle::thread::yield_now();
                    advance(duration);
                    // The caller may not have begun to wait.
                    while !is_awake.load(Ordering::SeqCst) {
                        is_over.store(true, Ordering::SeqCst);
                        waiting.notify_all();
                        shuttle::thread::yield_now();
                    }
                });
            }
            let guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
            is_awake.store(true, Ordering::SeqCst);
            Ok((guard, WaitTimeoutResult(is_over.load(Ordering::SeqCst))))
        }
    }
}
