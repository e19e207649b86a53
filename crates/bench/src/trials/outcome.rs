//! What `trials` tells: of each trial that ran, what came out of it.

use super::plan::Trial;
use crate::latencies::Micros;
use crate::report::{Page, Report, Setup};
use crate::table::Table;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the kernel and a quiet machine need; more than this is somebody else at work.
const NOISY_CORES: f64 = 0.3;

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    #[serde(flatten)]
    pub(super) setup: Setup,
    /// By the name of the trial.
    #[serde(flatten)]
    pub(super) parts: BTreeMap<Trial, Part>,
    pub(super) circumstances: Vec<Circumstances>,
    pub(super) failures: Vec<Failure>,
}

/// What a trial that came to its end tells.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Part {
    figures: Value,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    is_good: bool,
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

impl Part {
    /// Of a trial's report.
    pub(super) fn of(report: &impl Report) -> Part {
        let figures = serde_json::to_value(report).expect("a report holds nothing that JSON cannot say");
        Part { figures, text: report.text(), is_good: report.is_good() }
    }
}

impl Report for Outcome {
    /// Whether every trial came to its end, with every answer right and nothing lost.
    fn is_good(&self) -> bool {
        self.failures.is_empty() && self.parts.values().all(|part| part.is_good)
    }

    fn write(&self, page: &mut Page) {
        self.setup.write(page);
        for part in self.parts.values() {
            page.line(format_args!("\n{}", part.text.trim_end()));
        }
        page.gap();
        for Circumstances { trial, seconds, other_cores } in &self.circumstances {
            let noise =
                if *other_cores > NOISY_CORES { ": TOO MANY for the figures to say much" } else { "" };
            page.line(format_args!(
                "{} took {seconds:.1} s; others used {other_cores:.2} cores meanwhile{noise}",
                trial.name()
            ));
        }
        for Failure { trial, error } in &self.failures {
            page.line(format_args!("\n{} FAILED: {error}", trial.name()));
        }
        page.gap();
        page.line(if self.is_good() {
            "Every answer was right, and nothing is lost."
        } else {
            "SOMETHING WENT WRONG, see above."
        });
    }
}

/// Times with their names, in milliseconds.
pub(super) fn table_of_times<const N: usize>(times: [(&str, &Micros); N]) -> Table {
    let mut table = Table::default();
    table.row(["ms"].into_iter().chain(Micros::HEADING).chain(["count"]));
    for (what, micros) in times {
        let cells = [what.to_owned()].into_iter().chain(micros.cells());
        table.row(cells.chain([micros.count.to_string()]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fast {
        micros: u64,
    }

    impl Report for Fast {
        fn is_good(&self) -> bool {
            self.micros < 10
        }

        fn write(&self, page: &mut Page) {
            page.line("as fast as can be");
        }
    }

    fn outcome(micros: u64) -> Outcome {
        let parts = BTreeMap::from([(Trial::Mixed, Part::of(&Fast { micros }))]);
        Outcome { setup: Setup::example(), parts, circumstances: Vec::new(), failures: Vec::new() }
    }

    #[test]
    fn a_trial_that_fails_is_told_and_fails_the_run() {
        assert!(outcome(7).is_good() && !outcome(11).is_good());
        let failures = vec![Failure { trial: Trial::Overload, error: "no strace".to_owned() }];
        let report = Outcome { failures, ..outcome(7) };
        assert!(!report.is_good());
        assert!(report.text().contains("overload FAILED: no strace"), "{}", report.text());
    }

    #[test]
    fn what_a_trial_tells_is_in_the_text_and_in_the_json() {
        assert!(outcome(7).text().contains("as fast as can be"));
        let json: Value = serde_json::from_str(&outcome(7).json()).unwrap();
        assert_eq!(json["mixed"]["micros"], 7);
        assert_eq!(json["server"], "/x/instant-audience");
    }
}
