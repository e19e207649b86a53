//! A limit in bytes on what is held at one time: records that wait for the log, request bodies in memory.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// A fixed number of bytes, shared by all [`Reservation`]s.
#[derive(Debug)]
pub struct ByteBudget {
    held_bytes: AtomicUsize,
    max_bytes: usize,
}

/// Bytes taken from a [`ByteBudget`]. Dropping it returns them.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteBudget {
    /// A budget of `max_bytes` bytes.
    pub fn new(max_bytes: usize) -> Arc<ByteBudget> {
        Arc::new(ByteBudget { held_bytes: AtomicUsize::new(0), max_bytes })
    }

    /// An empty reservation.
    pub fn share(self: &Arc<ByteBudget>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }

    /// Whether `bytes` more would fit now.
    pub fn has_room(&self, bytes: usize) -> bool {
        let held = self.held_bytes();
        held == 0 || held.saturating_add(bytes) <= self.max_bytes
    }

    /// The bytes that are taken now.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// Takes `bytes` more, or nothing and returns false if they do not fit. The only reservation that holds bytes
    /// always gets more: otherwise it could never go on.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let before = self.budget.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == self.bytes || before + bytes <= self.budget.max_bytes;
        if fits {
            self.bytes += bytes;
        } else {
            self.budget.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Resizes to `bytes`: returns the surplus, or takes what is missing as [`Reservation::grow`] does.
    #[must_use]
    pub fn resize(&mut self, bytes: usize) -> bool {
        if let Some(surplus) = self.bytes.checked_sub(bytes) {
            self.budget.held_bytes.fetch_sub(surplus, Ordering::Relaxed);
            self.bytes = bytes;
            true
        } else {
            self.grow(bytes - self.bytes)
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_becomes_what_is_needed_if_there_is_room() {
        let budget = ByteBudget::new(100);
        let (mut a, mut b) = (budget.share(), budget.share());
        assert!(a.grow(60) && b.grow(30));
        assert!(a.resize(20));
        assert!(b.resize(80));
        assert!(!a.resize(21));
        assert_eq!(budget.held_bytes(), 100);
        assert!(budget.has_room(0) && !budget.has_room(1) && !budget.has_room(usize::MAX));
        drop(b);
        assert!(budget.has_room(80) && !budget.has_room(81));
        assert_eq!(budget.held_bytes(), 20);
    }

    #[test]
    fn shares_keep_within_the_budget_and_give_back() {
        let budget = ByteBudget::new(100);
        let (mut a, mut b) = (budget.share(), budget.share());
        assert!(a.grow(60));
        assert!(!b.grow(50));
        assert!(b.grow(40));
        assert!(!a.grow(1));
        drop(b);
        assert!(a.grow(500), "alone");
        assert_eq!(budget.held_bytes(), 560);
        drop(a);
        assert_eq!(budget.held_bytes(), 0);
    }
}
