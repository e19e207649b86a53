//! How a catalog file becomes changes of rows, whichever store holds them.

mod passwords;
mod plan;
mod report;

pub(crate) use passwords::SettledPasswords;
pub(crate) use plan::{Plan, ends_tokens, new_member, plan, set_limits};
pub use report::{ApplyReport, Tally};
