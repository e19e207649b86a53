//! Rate limits: a maximum in any window of a fixed length.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// The number of keys at which idle ones are removed.
const SWEEP_AT: usize = 10_000;

/// An exact sliding window for each key. Keys come from outside, so keys whose window has passed are removed to
/// limit the table's size.
pub struct RateLimiter<K> {
    window_ms: u64,
    table: Mutex<Table<K>>,
}

struct Table<K> {
    windows: HashMap<K, Window>,
    sweep_at: usize,
}

#[derive(Default)]
struct Window {
    /// Time in milliseconds and weight of what was taken, oldest first.
    taken: VecDeque<(u64, u32)>,
    sum: u64,
}

/// The limit is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Whole seconds until there is room again, at least 1.
    pub retry_after_seconds: u64,
}

impl<K: Hash + Eq> RateLimiter<K> {
    /// A limiter with windows of `window_ms` milliseconds.
    pub fn per_ms(window_ms: u64) -> RateLimiter<K> {
        let table = Table { windows: HashMap::new(), sweep_at: SWEEP_AT };
        RateLimiter { window_ms, table: Mutex::new(table) }
    }

    /// Takes `weight` out of the `limit` of `key`, or nothing if it does not fit. A limit of 0 means no limit.
    ///
    /// A weight over the whole limit passes while the window is empty: otherwise it could never pass.
    pub fn take(&self, key: K, weight: u32, limit: u32, now_ms: u64) -> Result<(), Exceeded> {
        if limit == 0 || weight == 0 {
            return Ok(());
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.windows.len() >= table.sweep_at {
            table.windows.retain(|_, window| window.is_busy(now_ms, self.window_ms));
            table.sweep_at = (table.windows.len() * 2).max(SWEEP_AT);
        }
        let window = table.windows.entry(key).or_default();
        window.forget_before(now_ms, self.window_ms);
        if window.sum > 0 && window.sum + u64::from(weight) > u64::from(limit) {
            let (oldest_ms, _) = window.taken[0];
            let wait_ms = (oldest_ms + self.window_ms).saturating_sub(now_ms);
            return Err(Exceeded { retry_after_seconds: wait_ms.div_ceil(1000).max(1) });
        }
        match window.taken.back_mut() {
            // One entry a millisecond bounds the queue at any limit.
            Some((taken_ms, taken)) if *taken_ms == now_ms => *taken += weight,
            _ => window.taken.push_back((now_ms, weight)),
        }
        window.sum += u64::from(weight);
        Ok(())
    }

    /// Returns a weight of 1 from the newest entry of `key`.
    pub fn give_back(&self, key: &K) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = table.windows.get_mut(key)
            && let Some((_, taken)) = window.taken.back_mut()
        {
            *taken -= 1;
            if *taken == 0 {
                window.taken.pop_back();
            }
            window.sum -= 1;
        }
    }
}

impl Window {
    fn forget_before(&mut self, now_ms: u64, window_ms: u64) {
        while let Some(&(taken_ms, weight)) = self.taken.front() {
            // A clock that is set back must not keep a window full.
            if taken_ms <= now_ms && now_ms < taken_ms + window_ms {
                break;
            }
            self.sum -= u64::from(weight);
            self.taken.pop_front();
        }
    }

    fn is_busy(&self, now_ms: u64, window_ms: u64) -> bool {
        self.taken.back().is_some_and(|&(taken_ms, _)| taken_ms <= now_ms && now_ms < taken_ms + window_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_holds_more_than_the_limit() {
        let limiter = RateLimiter::per_ms(1000);
        for now_ms in [0, 400, 800] {
            assert_eq!(limiter.take("a", 1, 3, now_ms), Ok(()));
        }
        assert_eq!(limiter.take("a", 1, 3, 999), Err(Exceeded { retry_after_seconds: 1 }));
        assert_eq!(limiter.take("b", 1, 3, 999), Ok(()), "keys do not share");
        assert_eq!(limiter.take("a", 1, 3, 1000), Ok(()));
        assert!(limiter.take("a", 1, 3, 1399).is_err());
        assert_eq!(limiter.take("a", 1, 0, 1399), Ok(()), "0 lifts the limit");
    }

    #[test]
    fn weights_add_up_and_one_over_the_limit_passes_alone() {
        let limiter = RateLimiter::per_ms(1000);
        assert_eq!(limiter.take("a", 700, 1000, 0), Ok(()));
        assert!(limiter.take("a", 301, 1000, 0).is_err());
        assert_eq!(limiter.take("a", 300, 1000, 0), Ok(()));
        assert_eq!(limiter.take("a", 5000, 1000, 1000), Ok(()));
        assert!(limiter.take("a", 1, 1000, 1999).is_err());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let limiter = RateLimiter::per_ms(1000);
        limiter.take("a", 1, 1, 0).unwrap();
        limiter.give_back(&"a");
        assert_eq!(limiter.take("a", 1, 1, 0), Ok(()));
        assert!(limiter.take("a", 1, 1, 0).is_err());
    }

    #[test]
    fn idle_keys_are_swept_out() {
        let limiter = RateLimiter::per_ms(10);
        for key in 0..3 * SWEEP_AT as u64 {
            limiter.take(key, 1, 1, key).unwrap();
        }
        assert!(limiter.table.lock().unwrap().windows.len() <= SWEEP_AT);
    }
}
