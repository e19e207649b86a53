//! Times, sizes and faults, as all trials measure and show them.

use crate::drive::{Latencies, Measured};
use crate::error::Error;
use serde::Serialize;
use std::fmt;

/// Of times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Micros {
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    /// How many times there are.
    pub count: u64,
}

/// Requests that were not answered as they should.
#[derive(Debug, Default, Serialize)]
pub(super) struct Faults {
    pub errors: u64,
    pub first_error: Option<String>,
}

impl Micros {
    pub(super) fn of(latencies: &Latencies) -> Micros {
        Micros {
            p50: latencies.quantile_micros(0.5),
            p99: latencies.quantile_micros(0.99),
            p999: latencies.quantile_micros(0.999),
            max: latencies.max_micros(),
            count: latencies.count(),
        }
    }

    /// The columns that [`Micros::fmt`] fills.
    pub(super) const HEADING: &'static str = "  p50 ms    p99 ms  p99.9 ms    max ms    count";
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for micros in [self.p50, self.p99, self.p999, self.max] {
            write!(f, "{:>8.2}  ", ms(micros))?;
        }
        write!(f, "{:>7}", self.count)
    }
}

/// Milliseconds from microseconds.
pub(super) fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// For tables.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

/// The middle one, the upper of the two middle ones where there are two. There must be one.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl Faults {
    /// Takes over those of a measurement.
    pub(super) fn add(&mut self, measured: &Measured) {
        self.errors += measured.errors;
        if self.first_error.is_none() {
            self.first_error = measured.first_error.as_ref().map(Error::chain);
        }
    }

    pub(super) fn none(&self) -> bool {
        self.errors == 0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.first_error {
            None => Ok(()),
            Some(error) => writeln!(f, "  {} ERRORS; the first: {error}", self.errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn figures_line_up_with_their_heading() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_micros(12_340));
        let text = Micros::of(&latencies).to_string();
        assert_eq!(text.len(), Micros::HEADING.len(), "{text:?}");
        assert!(text.starts_with("   12.34"), "{text:?}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}
