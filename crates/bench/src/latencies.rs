//! How long answers took.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// Latencies in microseconds, up to two minutes, to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

/// What many latencies say together, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Micros {
    /// Half of the answers took no longer.
    pub p50: u64,
    /// 99 of a hundred took no longer.
    pub p99: u64,
    /// 999 of a thousand took no longer.
    pub p999: u64,
    /// None took longer.
    pub max: u64,
    /// How many there are.
    pub count: u64,
}

impl Latencies {
    const LONGEST_MICROS: u64 = 120_000_000;

    /// None yet.
    pub(crate) fn new() -> Latencies {
        let made = Histogram::new_with_bounds(1, Latencies::LONGEST_MICROS, 3);
        Latencies(made.expect("the bounds are sound"))
    }

    /// Adds one; one that is too long counts as the longest.
    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds those of another.
    pub(crate) fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What they say together.
    pub(crate) fn micros(&self) -> Micros {
        let quantile = |share| self.0.value_at_quantile(share);
        let (p50, p99, p999) = (quantile(0.5), quantile(0.99), quantile(0.999));
        Micros { p50, p99, p999, max: self.0.max(), count: self.count() }
    }
}

impl Micros {
    /// The columns of [`Micros::cells`], which are in milliseconds.
    pub(crate) const HEADING: [&'static str; 4] = ["p50", "p99", "p99.9", "max"];

    /// For a table.
    pub(crate) fn cells(&self) -> [String; 4] {
        [self.p50, self.p99, self.p999, self.max].map(|micros| format!("{:.2}", micros as f64 / 1e3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_answers() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros));
        }
        let micros = latencies.micros();
        assert_eq!((micros.p50, micros.p99, micros.max, micros.count), (500, 990, 1000, 1000));
        assert_eq!(micros.cells()[1], "0.99");
        // Out of range is the longest, not a panic and not forgotten.
        latencies.record(Duration::from_secs(3600));
        assert!(latencies.micros().max >= Latencies::LONGEST_MICROS);
    }
}
