//! What went wrong in a trial.

use crate::drive::Measured;
use crate::error::Error;
use crate::report::Page;
use serde::Serialize;

/// Requests that were not answered as they should.
#[derive(Debug, Default, Serialize)]
pub(super) struct Faults {
    pub errors: u64,
    pub first_error: Option<String>,
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

    /// Tells of them, if there are any.
    pub(super) fn write(&self, page: &mut Page) {
        if let Some(error) = &self.first_error {
            page.line(format_args!("  {} ERRORS; the first: {error}", self.errors));
        }
    }
}
