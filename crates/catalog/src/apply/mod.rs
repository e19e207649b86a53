//! How a catalog file becomes changes of rows, whichever store holds them.

mod passwords;
mod plan;
mod report;

pub(crate) use passwords::SettledPasswords;
pub(crate) use plan::{Plan, plan};
pub use report::{ApplyReport, Tally};
