//! Usage statistics: a follower of the log that adds up what each member sent in each hour.

mod follower;
#[cfg(test)]
pub(crate) mod in_memory;
mod lines;
mod report;

pub(crate) use follower::UsageFollower;
pub(crate) use report::{Range, RangeError, Report, report};
