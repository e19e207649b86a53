//! Processes that stand still while another is measured, or while something is prepared.

use crate::error::Error;
use ia_testkit::Process;
use rustix::process::Signal;

/// Processes that are stopped (SIGSTOP), and go on when this is dropped.
#[derive(Debug)]
pub(crate) struct Halted<'a>(Vec<&'a Process>);

impl<'a> Halted<'a> {
    /// Stops them.
    pub(crate) fn all(processes: impl IntoIterator<Item = &'a Process>) -> Result<Halted<'a>, Error> {
        let mut halted = Halted(Vec::new());
        for process in processes {
            process.signal(Signal::STOP)?;
            halted.0.push(process);
        }
        Ok(halted)
    }
}

impl Drop for Halted<'_> {
    fn drop(&mut self) {
        for process in &self.0 {
            // One that is gone fails the next call to it.
            drop(process.signal(Signal::CONT));
        }
    }
}
