//! One line that says how far a run is, for a person at a terminal.

use std::future::Future;
use std::io::{IsTerminal, Write, stderr};
use std::pin::pin;
use std::time::Duration;

/// How often the line is drawn: seldom enough to cost the measurement nothing.
const REDRAW: Duration = Duration::from_millis(250);

/// Shown on standard error while it is a terminal; elsewhere nothing is.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// For this process.
    pub(crate) fn new() -> Progress {
        Progress { shown: stderr().is_terminal() }
    }

    /// Replaces the line.
    pub(crate) fn show(&self, text: &str) {
        if self.shown {
            // A terminal that went away is no reason to stop a measurement.
            let _ = write!(stderr(), "\r\x1b[K{text}").and_then(|()| stderr().flush());
        }
    }

    /// Shows what `text` says while `work` goes on.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>, text: impl Fn() -> String) -> T {
        if !self.shown {
            return work.await;
        }
        let mut work = pin!(work);
        let mut redraw = tokio::time::interval(REDRAW);
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
