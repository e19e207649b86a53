//! What the commit and the budgets synchronise with: the standard library and tokio. With the feature `shuttle` it is
//! a scheduler that tries interleavings (`write/concurrency.rs`), which knows no time.

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
        /// All tasks of a schedule run on one thread of the machine.
        static LOOKS: Cell<u32> = const { Cell::new(0) };
    }

    /// A clock that goes on with each look at it.
    #[derive(Clone, Copy)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Instant {
            LOOKS.set(LOOKS.get().wrapping_add(1));
            Instant(Duration::from_micros(400) * LOOKS.get())
        }
    }

    impl Sub for Instant {
        type Output = Duration;

        fn sub(self, earlier: Instant) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
    }
}
