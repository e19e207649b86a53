//! What `trials` tells, as text and as JSON.

use super::plan::Trial;
use super::{activation, growth, mixed, overload, sustained};
use crate::disk;
use crate::drive::{Latencies, Measured};
use crate::server::Installation;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// What the kernel and a quiet machine need; more than this is somebody else at work.
const NOISY_CORES: f64 = 0.3;

/// The outcome of a run: of each trial that ran.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    server: PathBuf,
    /// The data lay in memory, where a flush costs nothing.
    data_in_memory: bool,
    pub(super) activation: Option<activation::Report>,
    pub(super) mixed: Option<mixed::Report>,
    pub(super) growth: Option<growth::Report>,
    pub(super) sustained: Option<sustained::Report>,
    pub(super) overload: Option<overload::Report>,
    pub(super) circumstances: Vec<Circumstances>,
    pub(super) failures: Vec<Failure>,
}

/// How long a trial took, and how many cores went to the rest of the machine meanwhile, the kernel's own work
/// and a hypervisor's other guests included. Where it is much, the figures of the trial say little.
#[derive(Debug, Serialize)]
pub(super) struct Circumstances {
    pub trial: Trial,
    pub seconds: f64,
    pub other_cores: f64,
}

/// A trial that did not come to its end.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub trial: Trial,
    pub error: String,
}

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
            self.first_error = measured.first_error.as_ref().map(crate::error::Error::chain);
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

impl Report {
    pub(super) fn new(installation: &Installation) -> Report {
        Report {
            server: installation.binary().to_owned(),
            data_in_memory: disk::is_in_memory(&installation.data_dir()),
            activation: None,
            mixed: None,
            growth: None,
            sustained: None,
            overload: None,
            circumstances: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Whether every trial came to its end, with every answer right and nothing lost. A target that is missed
    /// is no fault.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty()
            && self.activation.as_ref().is_none_or(activation::Report::is_good)
            && self.mixed.as_ref().is_none_or(mixed::Report::is_good)
            && self.growth.as_ref().is_none_or(growth::Report::is_good)
            && self.sustained.as_ref().is_none_or(sustained::Report::is_good)
            && self.overload.as_ref().is_none_or(overload::Report::is_good)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.server.display())?;
        if self.data_in_memory {
            writeln!(f, "The data folder lies in memory: flushes cost nothing here. Use --data-dir.")?;
        }
        let parts: [Option<&dyn fmt::Display>; 5] = [
            self.activation.as_ref().map(|part| part as _),
            self.mixed.as_ref().map(|part| part as _),
            self.growth.as_ref().map(|part| part as _),
            self.sustained.as_ref().map(|part| part as _),
            self.overload.as_ref().map(|part| part as _),
        ];
        for part in parts.into_iter().flatten() {
            write!(f, "\n{part}")?;
        }
        writeln!(f)?;
        for Circumstances { trial, seconds, other_cores } in &self.circumstances {
            let name = format!("{trial:?}").to_lowercase();
            let noise =
                if *other_cores > NOISY_CORES { ": TOO MANY for the figures to say much" } else { "" };
            writeln!(f, "{name} took {seconds:.1} s; others used {other_cores:.2} cores meanwhile{noise}")?;
        }
        for Failure { trial, error } in &self.failures {
            write!(f, "\n{trial:?} FAILED: {error}\n")?;
        }
        let verdict = if self.is_good() {
            "Every answer was right, and nothing is lost."
        } else {
            "SOMETHING WENT WRONG, see above."
        };
        write!(f, "\n{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn empty() -> Report {
        Report {
            server: "/x/instant-audience".into(),
            data_in_memory: false,
            activation: None,
            mixed: None,
            growth: None,
            sustained: None,
            overload: None,
            circumstances: Vec::new(),
            failures: Vec::new(),
        }
    }

    #[test]
    fn a_trial_that_fails_is_told_and_fails_the_run() {
        assert!(empty().is_good());
        let failures = vec![Failure { trial: Trial::Overload, error: "no strace".to_owned() }];
        let report = Report { failures, ..empty() };
        assert!(!report.is_good());
        assert!(report.to_string().contains("Overload FAILED: no strace"), "{report}");
    }

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
