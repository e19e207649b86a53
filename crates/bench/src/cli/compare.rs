//! The command line of `compare`.

use super::{RunArgs, chosen, save};
use crate::arguments::{exponent, seconds};
use crate::distribution::Distribution;
use crate::error::Error;
use crate::server::data_folder;
use crate::{compare, redis};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// `compare`
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Seconds that each side is measured in a round.
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Rounds of each workload; ratios are medians of them.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Users to draw from, and users that are loaded to be read.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    users: u64,
    /// Draw users from a Zipf distribution with that exponent [default: all alike].
    #[arg(long, value_name = "EXPONENT", value_parser = exponent)]
    zipf: Option<f64>,
    /// Connections of the workloads with small calls.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u16).range(1..=8192))]
    connections: u16,
    /// Memory for the prepared bodies of a workload, in MiB; those for Redis come on top. Once all are sent they
    /// are sent again, and refresh memberships in place of beginning them.
    #[arg(long, default_value = "256", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pool_mib: u64,
    /// Run only these: bulk10, compact, bulk1, small, memory, read, read-unknown, readmany.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// The redis-server to run [default: that on the PATH].
    #[arg(long, value_name = "FILE")]
    redis: Option<PathBuf>,
    /// Write the outcome as JSON to this file, too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

impl CompareArgs {
    fn plan(&self) -> Result<compare::Plan, Error> {
        let (memory, names): (Vec<_>, Vec<_>) =
            self.only.iter().cloned().partition(|name| name == compare::MEMORY);
        let only_memory = !memory.is_empty() && names.is_empty();
        Ok(compare::Plan {
            duration: self.seconds,
            rounds: self.rounds,
            users: self.users,
            distribution: self.zipf.map_or(Distribution::Uniform, Distribution::Zipf),
            pool_bytes: self.pool_mib << 20,
            workloads: if only_memory { Vec::new() } else { chosen(self.connections, &names)? },
            memory: !memory.is_empty() || self.only.is_empty(),
            redis: redis::find(self.redis.clone())?,
        })
    }

    /// Runs it, prints what it reports, and says whether that is good.
    pub(super) fn execute(&self) -> Result<bool, Error> {
        let plan = self.plan()?;
        let report = self.run.execute_at(async |server, folder| {
            let (folder, _temporary) = data_folder(folder)?;
            compare::run(&compare::Site { server, folder }, &plan).await
        })?;
        save(&report, self.out.as_deref())?;
        self.run.print(&report)?;
        Ok(report.is_good())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use clap::Parser;

    #[test]
    fn memory_is_compared_when_it_is_named_or_nothing_is() {
        let plan = |words: &[&str]| match Cli::try_parse_from(words).unwrap().command {
            Command::Compare(args) => args.plan(),
            other => panic!("{other:?} is not compare"),
        };
        let start = ["ia-bench", "compare", "--redis", "/bin/sh"];
        let only = |names: &'static str| {
            let plan = plan(&[&start[..], &["--only", names]].concat()).unwrap();
            (plan.workloads.len(), plan.memory)
        };
        assert_eq!(only("memory"), (0, true));
        assert_eq!(only("bulk1,memory"), (1, true));
        assert_eq!(only("bulk1"), (1, false));
        let all = plan(&start).unwrap();
        assert_eq!((all.workloads.len(), all.memory), (7, true));
        assert!(plan(&[&start[..], &["--only", "memories"]].concat()).is_err());
    }
}
