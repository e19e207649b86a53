//! A bound in bytes over things that come and go: what waits for the log, what bodies are held.

use crate::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// So many bytes and no more, shared by all who take a [`Reservation`].
#[derive(Debug)]
pub struct ByteBudget {
    held_bytes: AtomicUsize,
    max_bytes: usize,
}

/// A part of a [`ByteBudget`], given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteBudget {
    /// A budget of that many bytes.
    pub fn new(max_bytes: usize) -> Arc<ByteBudget> {
        Arc::new(ByteBudget { held_bytes: AtomicUsize::new(0), max_bytes })
    }

    /// A share of nothing yet.
    pub fn share(self: &Arc<ByteBudget>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }

    /// Whether `bytes` more would fit at this moment.
    pub fn has_room(&self, bytes: usize) -> bool {
        let held = self.held_bytes();
        held == 0 || held.saturating_add(bytes) <= self.max_bytes
    }

    /// What is taken at present.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// Takes `bytes` more, or nothing when they do not fit. Who is alone gets all that it asks for: it
    /// could never go on otherwise.
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

    /// Makes it `bytes`: gives back what is more, or takes what is missing as [`Reservation::grow`] does.
    #[must_use]
    pub fn become_bytes(&mut self, bytes: usize) -> bool {
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
        assert!(a.become_bytes(20));
        assert!(b.become_bytes(80));
        assert!(!a.become_bytes(21));
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
