//! Whether two series of times can be told apart: the rank test of Mann and Whitney.

use std::time::Duration;

/// The test's z. Two series from one distribution lie beyond ±3.3 once in a thousand times.
pub(crate) fn z(a: &[Duration], b: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> =
        a.iter().map(|&time| (time, true)).chain(b.iter().map(|&time| (time, false))).collect();
    all.sort_unstable();
    // Times of a nanosecond clock hardly ever tie; those that do have ranks next to each other.
    let rank_sum: f64 = (1..).zip(&all).filter(|(_, (_, is_a))| *is_a).map(|(rank, _)| f64::from(rank)).sum();
    let (m, n) = (a.len() as f64, b.len() as f64);
    let mean = m * (m + n + 1.0) / 2.0;
    let deviation = (m * n * (m + n + 1.0) / 12.0).sqrt();
    (rank_sum - mean) / deviation
}

/// The value below which that part of a series lies.
pub(crate) fn quantile(times: &mut [Duration], part: f64) -> Duration {
    if times.is_empty() {
        return Duration::ZERO;
    }
    times.sort_unstable();
    let index = ((times.len() - 1) as f64 * part).round() as usize;
    times[index]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_testkit::Dice;

    fn series(dice: &mut Dice, count: usize, shift_us: u64) -> Vec<Duration> {
        (0..count).map(|_| Duration::from_micros(20_000 + dice.below(2_000) + shift_us)).collect()
    }

    #[test]
    fn a_shift_of_a_tenth_of_the_spread_is_seen_and_none_is_not() {
        let mut dice = Dice::new(1);
        let (a, b, shifted) =
            (series(&mut dice, 500, 0), series(&mut dice, 500, 0), series(&mut dice, 500, 300));
        assert!(z(&a, &b).abs() < 3.3, "{}", z(&a, &b));
        assert!(z(&a, &shifted) < -3.3, "{}", z(&a, &shifted));
    }

    #[test]
    fn quantiles_are_of_the_series() {
        let mut times: Vec<Duration> = (1..=101).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut times, 0.5), Duration::from_millis(51));
        assert_eq!(quantile(&mut times, 1.0), Duration::from_millis(101));
        assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
    }
}
