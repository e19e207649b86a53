//! `ia-bench wide`: users with more and more memberships, beside Redis.
//!
//! Each width has a server and a Redis of its own, which hold the same memberships. A write names ten of the memberships
//! of each of its users, others with every body, so that the users stay as wide as they are. Rounds go over all widths,
//! and all processes but the one that is measured stand still (SIGSTOP): every ratio is made of two measurements of the
//! same round.

mod asked;
mod report;
mod width;

use crate::arguments::seconds;
use crate::error::Error;
use crate::halted::Halted;
use crate::progress::Progress;
use crate::redis;
use crate::report::Setup;
use crate::site::Site;
use asked::Asked;
use clap::Args;
use report::{Row, Wide};
use std::path::PathBuf;
use std::time::Duration;
use width::Width;

/// The width that others are held against.
const NARROW: u32 = 10;

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Users of each width.
    #[arg(long, default_value = "20000", value_parser = clap::value_parser!(u64).range(1000..=10_000_000))]
    users: u64,
    /// Memberships of a user.
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "10,100,300,1000",
        value_parser = clap::value_parser!(u32).range(10..=10_000))]
    widths: Vec<u32>,
    /// Seconds that writes of each side are measured in a round; reads are for half of that.
    #[arg(long, default_value = "4", value_parser = seconds)]
    seconds: Duration,
    /// Rounds; ratios are medians of them.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Connections of reads; writes use up to 8, and one for Redis.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u16).range(1..=8192))]
    connections: u16,
    /// Memory for the prepared bodies of each width, in MiB; those for Redis come on top. Once all are sent they are
    /// sent again.
    #[arg(long, default_value = "192", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pool_mib: u64,
    /// The redis-server to run [default: that on the PATH].
    #[arg(long, value_name = "FILE")]
    redis: Option<PathBuf>,
}

impl Plan {
    /// The widths, each once, the narrow ones first.
    fn widths(&self) -> Vec<u32> {
        let mut widths = self.widths.clone();
        widths.sort_unstable();
        widths.dedup();
        widths
    }
}

/// Fills a server and a Redis for each width, measures them round by round, and stops them.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Wide, Error> {
    let progress = Progress::new();
    let redis = redis::find(plan.redis.clone())?;
    let mut widths: Vec<Width> = Vec::new();
    for width in plan.widths() {
        // Those that are filled already do nothing meanwhile.
        let filled = Width::fill(site, plan, &redis, width, &progress).await?;
        widths.push(filled);
    }
    for round in 0..plan.rounds {
        for turn in 0..widths.len() {
            let at = (turn + round as usize) % widths.len();
            for asked in Asked::order(round) {
                let (width, name) = (widths[at].width, asked.name());
                let text = || format!("wide: round {} of {}, {name} at {width}", round + 1, plan.rounds);
                let measured = {
                    let processes = widths.iter().enumerate().flat_map(|(other, width)| {
                        let of = width.processes();
                        of.into_iter().filter(move |(redis, _)| other != at || *redis != asked.of_redis())
                    });
                    let _others = Halted::all(processes.map(|(_, process)| process))?;
                    progress.during(widths[at].measure(asked, plan), text).await?
                };
                widths[at].keep(asked, measured);
            }
        }
    }
    let redis_version = widths[0].redis_version();
    let mut rows = Vec::new();
    for width in widths {
        rows.push(width.close(&progress).await?);
    }
    Row::compare_with(NARROW, &mut rows);
    Ok(Wide {
        setup: Setup::of(site),
        redis_version,
        users: plan.users,
        rounds: plan.rounds,
        seconds_per_measurement: plan.seconds.as_secs_f64(),
        aims: report::aims(&rows),
        rows,
    })
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

    #[test]
    fn widths_are_measured_once_and_in_order() {
        let widths = |words: &[&str]| Line::parse_from(["wide"].iter().chain(words)).plan.widths();
        assert_eq!(widths(&[]), [10, 100, 300, 1000]);
        assert_eq!(widths(&["--widths", "50,10,50"]), [10, 50]);
    }
}
