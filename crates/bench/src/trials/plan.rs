//! Which trials run, and how long and how hard.

use crate::arguments::seconds;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::time::Duration;

/// The trials, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trial {
    /// From the first byte of a POST to the first read that shows it, at half of the highest rate.
    Activation,
    /// Reads at a fixed rate, alone and beside ingest.
    Mixed,
    /// Rates, memory and starts with more and more users.
    Growth,
    /// Minutes of ingest with checkpoints: its rate over time, and stalls.
    Sustained,
    /// More writes than a slow disk takes. Needs strace.
    Overload,
}

impl Trial {
    /// The name on the command line and in reports.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The calls whose half rate is the load of `activation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Load {
    /// Bodies of 1,000 users with 10 segments each.
    Bulk10,
    /// Bodies of 1 user with 2 segments.
    Small,
}

impl Load {
    /// The name of the workload.
    pub(crate) fn workload(self) -> &'static str {
        match self {
            Load::Bulk10 => "bulk10",
            Load::Small => "small",
        }
    }
}

/// What is tried. The fields are options of the command line.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// Run only these trials [default: all].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub only: Vec<Trial>,
    /// Seconds of each measurement, except those of `sustained`.
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    /// Users that writes and reads draw from, except in `growth`.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    pub users: u64,
    /// Connections of closed loops with small calls; those with large ones use up to 8.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u16).range(1..=8192))]
    pub connections: u16,
    /// Memory for the prepared bodies of a workload, in MiB.
    #[arg(long, default_value = "1024", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub pool_mib: u64,
    /// activation: what loads the server, at half of the highest rate that it is measured to take.
    #[arg(long, value_enum, default_value = "bulk10")]
    pub load: Load,
    /// activation: milliseconds from one probe to the next.
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub probe_every_ms: u32,
    /// mixed, overload: reads a second.
    #[arg(long, default_value = "2000", value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub reads_per_second: u32,
    /// mixed, overload: connections of the reads.
    #[arg(long, default_value = "16", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub read_connections: u16,
    /// mixed: rounds; the median of their ratios counts.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: u16,
    /// growth: how many users are held, one run each.
    #[arg(long, value_delimiter = ',', value_name = "USERS", default_value = "100000,1000000,10000000",
        value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    pub sizes: Vec<u64>,
    /// sustained: how long.
    #[arg(long, default_value = "300", value_parser = seconds)]
    pub sustain_seconds: Duration,
    /// overload: milliseconds that every flush takes longer than the disk needs.
    #[arg(long, default_value = "500", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub flush_delay_ms: u32,
    /// overload: connections that send bodies of 1,000 users with 10 segments, and again when refused.
    #[arg(long, default_value = "192", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub overload_connections: u16,
    /// overload: milliseconds that a refused client waits at least, and half as long again at the most. The
    /// server asks for a second. With 0 they come back at once, and the time to a 503 is that of the queue
    /// that they make for each other.
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub retry_after_ms: u32,
    /// overload: the server's `log.max_backlog_bytes`, in MiB. The shipped 64 MiB would need more than a
    /// thousand connections to fill.
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub overload_backlog_mib: u32,
}

impl Plan {
    /// The trials to run, each once, in order.
    pub(super) fn trials(&self) -> Vec<Trial> {
        let mut trials =
            if self.only.is_empty() { Trial::value_variants().to_vec() } else { self.only.clone() };
        trials.sort_unstable();
        trials.dedup();
        trials
    }

    /// How long a refused client waits at least.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(self.retry_after_ms.into())
    }

    /// Bytes for the prepared bodies of a workload.
    pub(super) fn pool_bytes(&self) -> u64 {
        self.pool_mib << 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        plan: Plan,
    }

    fn plan(words: &[&str]) -> Plan {
        Line::parse_from(["trials"].iter().chain(words)).plan
    }

    #[test]
    fn trials_run_once_and_in_order() {
        use Trial::{Activation, Growth, Mixed, Overload, Sustained};
        assert_eq!(plan(&[]).trials(), [Activation, Mixed, Growth, Sustained, Overload]);
        assert_eq!(plan(&["--only", "overload,mixed,overload"]).trials(), [Mixed, Overload]);
    }

    #[test]
    fn sizes_are_a_list() {
        assert_eq!(plan(&[]).sizes, [100_000, 1_000_000, 10_000_000]);
        assert_eq!(plan(&["--sizes", "5000,7000"]).sizes, [5000, 7000]);
    }
}
