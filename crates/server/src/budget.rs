//! A bound in bytes over things that come and go: what waits for the log, what bodies are held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// So many bytes and no more, shared by all who take a [`Share`].
#[derive(Debug)]
pub(crate) struct ByteBudget {
    held_bytes: AtomicUsize,
    max_bytes: usize,
    /// Something did not fit, and nothing has been given back since.
    refused: AtomicBool,
}

/// A part of a [`ByteBudget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteBudget {
    /// A budget of that many bytes.
    pub(crate) fn new(max_bytes: usize) -> Arc<ByteBudget> {
        Arc::new(ByteBudget { held_bytes: AtomicUsize::new(0), max_bytes, refused: AtomicBool::new(false) })
    }

    /// A share of nothing yet.
    pub(crate) fn share(self: &Arc<ByteBudget>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    /// What is taken at present.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Whether something did not fit, and nothing has been given back since: the next would not fit either,
    /// so that what it costs to find out can be saved.
    pub(crate) fn is_exhausted(&self) -> bool {
        // What is held will be given back: a refusal that crossed with the last giving back does not stay.
        self.refused.load(Ordering::Relaxed) && self.held_bytes() > 0
    }
}

impl Share {
    /// Takes `bytes` more, or nothing when they do not fit. Who is alone gets all that it asks for: it
    /// could never go on otherwise.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let before = self.budget.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == self.bytes || before + bytes <= self.budget.max_bytes;
        if fits {
            self.bytes += bytes;
        } else {
            self.budget.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.budget.refused.store(true, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            self.budget.refused.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_until_something_is_given_back() {
        let budget = ByteBudget::new(100);
        let (mut a, mut b, mut c) = (budget.share(), budget.share(), budget.share());
        assert!(a.grow(60) && b.grow(30));
        assert!(!budget.is_exhausted());
        assert!(!c.grow(20));
        assert!(budget.is_exhausted());
        drop(c);
        assert!(budget.is_exhausted(), "a share of nothing gives nothing back");
        drop(b);
        assert!(!budget.is_exhausted());
        assert!(!budget.share().grow(50));
        drop(a);
        assert!(!budget.is_exhausted());
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
