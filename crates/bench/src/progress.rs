//! One line that says how far a run is, for a person at a terminal.

use std::future::Future;
use std::io::{IsTerminal, Write, stderr};
use std::pin::pin;
use std::time::Duration;

/// How often the line is drawn: seldom enough to cost the measurement nothing.
const REDRAW: Duration = Duration::from_millis(250);

/// How often a line is written where there is no terminal, of work that takes long.
const TELL: Duration = Duration::from_secs(15);

/// Shown on standard error while it is a terminal; elsewhere nothing is, except of work that takes long.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    /// Written in lines where it is not shown.
    told: bool,
}

impl Progress {
    /// For this process.
    pub(crate) fn new() -> Progress {
        Progress { shown: stderr().is_terminal(), told: false }
    }

    /// For work that takes so long that it must be told in a file or a pipe too.
    pub(crate) fn told() -> Progress {
        Progress { told: true, ..Progress::new() }
    }

    /// Replaces the line.
    pub(crate) fn show(&self, text: &str) {
        // A terminal that went away is no reason to stop a measurement.
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K{text}").and_then(|()| stderr().flush());
        } else if self.told && !text.is_empty() {
            let _ = writeln!(stderr(), "{text}");
        }
    }

    /// Shows what `text` says while `work` goes on.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>, text: impl Fn() -> String) -> T {
        if !self.shown && !self.told {
            return work.await;
        }
        let mut work = pin!(work);
        let mut redraw = tokio::time::interval(if self.shown { REDRAW } else { TELL });
        loop {
            tokio::select! {
                result = &mut work => {
                    self.show("");
                    return result;
                }
                _ = redraw.tick() => self.show(&text()),
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}
