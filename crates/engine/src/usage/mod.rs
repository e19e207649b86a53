//! Usage statistics: follows the log and counts what each member sent in each hour.

mod follower;
mod lines;
mod report;

pub use follower::UsageFollower;
pub use report::{HeldReport, Range, RangeError, Report, Reports};
