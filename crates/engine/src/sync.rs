//! The synchronisation types of the commit and the budgets: those of the standard library and tokio. With the feature
//! `shuttle` they are those of a scheduler that tries interleavings (`write/concurrency.rs`) and has no clock.

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    sync::{atomic, mpsc},
    thread,
    time::Instant,
};
#[cfg(not(feature = "shuttle"))]
pub(crate) use tokio::spawn;

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    future::spawn,
    sync::{atomic, mpsc},
    thread,
};
#[cfg(feature = "shuttle")]
pub(crate) use simulated::Instant;

#[cfg(feature = "shuttle")]
mod simulated {
    use std::cell::Cell;
    use std::ops::Sub;
    use std::time::Duration;

    thread_local! {
        /// Calls of [`Instant::now`]. All tasks of a schedule run on one thread of the machine.
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    /// A clock that advances with each call of [`Instant::now`].
    #[derive(Clone, Copy)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Instant {
            CALLS.set(CALLS.get().wrapping_add(1));
            Instant(Duration::from_micros(400) * CALLS.get())
        }
    }

    impl Sub for Instant {
        type Output = Duration;

        fn sub(self, earlier: Instant) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
    }
}
