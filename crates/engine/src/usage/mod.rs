//! Usage statistics: follows the log and counts what each member sent in each hour.

mod follower;
#[cfg(test)]
pub(crate) mod in_memory;
mod lines;
mod report;

pub use follower::UsageFollower;
pub use report::{HeldReport, Range, RangeError, Report, Reports};
