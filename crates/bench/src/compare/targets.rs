//! What the project holds itself to. A miss is shown and fails nothing: speed depends on the machine.

use serde::Serialize;

/// The most memory a membership may take, as a share of what Redis takes for it.
pub(super) const MEMORY_PER_REDIS_AT_MOST: f64 = 1.0 / 3.0;

/// Reads of which half are of unknown users must be as fast as others, but for the noise of a machine.
pub(super) const UNKNOWN_PER_READ_AT_LEAST: f64 = 0.95;

/// A user of a read of many must come as cheap as this.
pub(super) const READ_MANY_PER_READ_AT_LEAST: f64 = 10.0;

/// Bounds of the ratios of a workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Targets {
    /// Items a second, over those of Redis.
    pub per_redis_at_least: Option<f64>,
    /// The same over those of the ceiling.
    pub per_ceiling_at_least: Option<f64>,
}

impl Targets {
    /// Those of a workload, by its name.
    pub(super) fn of(workload: &str) -> Targets {
        let (redis, ceiling) = match workload {
            "bulk10" => (Some(3.0), Some(0.45)),
            "bulk1" => (Some(4.0), Some(0.35)),
            "small" => (Some(1.0), Some(0.6)),
            "read" => (Some(1.0), None),
            _ => (None, None),
        };
        Targets { per_redis_at_least: redis, per_ceiling_at_least: ceiling }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Workload;

    #[test]
    fn targets_are_those_of_workloads_that_exist() {
        let with_targets: Vec<&str> = Workload::all(64)
            .iter()
            .map(|workload| workload.name)
            .filter(|name| Targets::of(name) != Targets::default())
            .collect();
        assert_eq!(with_targets, ["bulk10", "bulk1", "small", "read"]);
    }
}
