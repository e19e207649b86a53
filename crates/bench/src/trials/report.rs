//! What `trials` tells, as text and as JSON.

use super::plan::Trial;
use super::{activation, growth, mixed, overload, sustained};
use crate::disk;
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
}
