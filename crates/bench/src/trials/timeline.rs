//! When answers came, and when they did not.

use serde::Serialize;
use std::time::Duration;

/// The longest edge and window, in seconds.
const EDGE_SECONDS: usize = 60;
const WINDOW_SECONDS: usize = 10;

/// The moments of answers, from the start of a run.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    answers: Vec<Duration>,
}

/// A rate over time, in answers a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Course {
    /// In every whole second.
    pub per_second: Vec<u64>,
    /// How many seconds the two edges are long: 60, or half of the run when that is less.
    pub edge_seconds: usize,
    pub first_edge: f64,
    pub last_edge: f64,
    /// How many seconds the window is long: 10, or the edge when that is less.
    pub window_seconds: usize,
    /// The lowest in any window, and the second at which it began.
    pub lowest_window: f64,
    pub lowest_window_at: usize,
    /// The longest time without any answer, and when it began.
    pub longest_stall_ms: f64,
    pub longest_stall_at_seconds: f64,
}

impl Timeline {
    /// Of answers in any order.
    pub(super) fn new(mut answers: Vec<Duration>) -> Timeline {
        answers.sort_unstable();
        Timeline { answers }
    }

    /// Over the whole seconds of `total`; a run of less than a second is one second.
    pub(super) fn course(&self, total: Duration) -> Course {
        let seconds = (total.as_secs() as usize).max(1);
        let mut per_second = vec![0u64; seconds];
        for answer in &self.answers {
            if let Some(count) = per_second.get_mut(answer.as_secs() as usize) {
                *count += 1;
            }
        }
        let edge_seconds = (seconds / 2).clamp(1, EDGE_SECONDS);
        let window_seconds = edge_seconds.min(WINDOW_SECONDS);
        let rate = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        let (lowest_window_at, lowest_window) = per_second
            .windows(window_seconds)
            .map(rate)
            .enumerate()
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .expect("a window is never longer than the run");
        let (longest_stall_at, longest_stall) = self.longest_stall(total);
        Course {
            edge_seconds,
            first_edge: rate(&per_second[..edge_seconds]),
            last_edge: rate(&per_second[seconds - edge_seconds..]),
            window_seconds,
            lowest_window,
            lowest_window_at,
            longest_stall_ms: longest_stall.as_secs_f64() * 1e3,
            longest_stall_at_seconds: longest_stall_at.as_secs_f64(),
            per_second,
        }
    }

    /// When the longest time without an answer began, and how long it was. The waits for the first answer
    /// and from the last one to the end count too.
    fn longest_stall(&self, total: Duration) -> (Duration, Duration) {
        let starts = std::iter::once(Duration::ZERO).chain(self.answers.iter().copied());
        let ends = self.answers.iter().copied().chain([total]);
        starts
            .zip(ends)
            .map(|(start, end)| (start, end.saturating_sub(start)))
            .max_by_key(|&(_, length)| length)
            .expect("the time before the end is always there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_longest_stall_may_be_anywhere() {
        let stall = |answers: &[u64], total| {
            let timeline = Timeline::new(answers.iter().copied().map(ms).collect());
            let course = timeline.course(ms(total));
            (course.longest_stall_at_seconds, course.longest_stall_ms)
        };
        assert_eq!(stall(&[100, 200, 700, 800], 1000), (0.2, 500.0));
        assert_eq!(stall(&[400, 500, 600], 900), (0.0, 400.0));
        assert_eq!(stall(&[100, 300, 200], 1000), (0.3, 700.0));
        assert_eq!(stall(&[], 1000), (0.0, 1000.0));
        // What came after the end is no stall before it.
        assert_eq!(stall(&[100, 1500], 1000).0, 0.1);
    }

    #[test]
    fn edges_and_windows_are_rates() {
        // 200 seconds at 10 a second; from 100 to 110 at 2, from 150 on at 5.
        let rate = |second: u64| match second {
            100..110 => 2,
            150.. => 5,
            _ => 10,
        };
        let answers = (0..200).flat_map(|second| (0..rate(second)).map(move |n| ms(second * 1000 + n * 7)));
        let course = Timeline::new(answers.collect()).course(ms(200_400));
        assert_eq!(course.per_second.len(), 200);
        assert_eq!((course.edge_seconds, course.window_seconds), (60, 10));
        assert_eq!(course.first_edge, 10.0);
        assert_eq!(course.last_edge, (10.0 * 10.0 + 50.0 * 5.0) / 60.0);
        assert_eq!((course.lowest_window_at, course.lowest_window), (100, 2.0));
    }

    #[test]
    fn a_short_run_has_short_edges() {
        let course = Timeline::new(vec![ms(100), ms(1100), ms(1200), ms(2100)]).course(ms(3010));
        assert_eq!((course.edge_seconds, course.window_seconds), (1, 1));
        assert_eq!((course.first_edge, course.last_edge, course.lowest_window), (1.0, 1.0, 1.0));
        let course = Timeline::new(vec![ms(100)]).course(ms(300));
        assert_eq!((course.per_second, course.edge_seconds), (vec![1], 1));
    }
}
