//! The one line on standard output that a test leaves.

use std::fmt::Display;
use std::io::Write;

/// `figure: <name>: key=value key=value`
#[derive(Debug)]
pub(crate) struct Figure {
    line: String,
}

impl Figure {
    /// A figure without values.
    pub(crate) fn new(name: &str) -> Figure {
        Figure { line: format!("figure: {name}:") }
    }

    /// Adds a value.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Display) -> Figure {
        self.line.push_str(&format!(" {key}={value}"));
        self
    }

    /// Prints the line.
    pub(crate) fn print(&self) {
        // Where standard output is gone, the exit code tells.
        let _ = writeln!(std::io::stdout(), "{}", self.line);
    }
}

/// Says on standard error how far a run is.
pub(crate) fn progress(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "ia-torture: {text}");
}
