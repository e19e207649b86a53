//! `ia-bench cold`: users that do not fit into the memory that the server may use.
//!
//! One server loads the users and has room for all. A copy of its data is served by another one, whose
//! `profiles.memory_budget` is a share of what the profiles take in the first. The same calls go to both, in turns, drawn
//! anew for every lap. What writes name is there already, so that the share stays what it is.

mod report;

use crate::arguments::{seconds, share};
use crate::client::Target;
use crate::error::Error;
use crate::fill;
use crate::laps::{Laps, Runner};
use crate::progress::Progress;
use crate::report::Setup;
use crate::site::Site;
use crate::workload::{Kind, Workload};
use crate::writing::Writing;
use clap::Args;
use ia_testkit::{Installation, ServerProcess, procfs, until};
use report::{Cold, Row, Side, Small};
use std::path::Path;
use std::time::Duration;

/// What is measured, in this order.
const WORKLOADS: [&str; 4] = ["bulk10", "bulk1", "read", READ_HUNDRED];

/// `POST /user-segment` of a hundred users.
const READ_HUNDRED: &str = "read100";

/// A budget that holds everything.
const ROOM_FOR_ALL: &str = "1TiB";

/// The budget of the server that shows how much memory it takes beside its profiles.
const SMALL_BUDGET_MIB: u64 = 64;

/// How long a server may take to have all users in memory after its start.
const WARM_PATIENCE: Duration = Duration::from_secs(600);

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Users; each has 10 memberships.
    #[arg(long, default_value = "3000000", value_parser = clap::value_parser!(u64).range(10_000..=1_000_000_000))]
    users: u64,
    /// For how much of the profiles the cold server has room.
    #[arg(long, default_value = "0.25", value_parser = share)]
    budget_share: f64,
    /// Seconds that each side is measured in a round; reads are for a third of that.
    #[arg(long, default_value = "30", value_parser = seconds)]
    seconds: Duration,
    /// Rounds; ratios are medians of them.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds between checkpoints of both servers: fewer than as shipped, so that several fall into a round.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=3600))]
    checkpoint_seconds: u64,
    /// Connections of single reads; others use up to 8.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u16).range(1..=8192))]
    connections: u16,
    /// Memory for the prepared bodies of a lap, in MiB.
    #[arg(long, default_value = "512", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pool_mib: u64,
}

impl Plan {
    fn laps(&self, name: &str) -> Laps {
        let connections: usize = self.connections.into();
        let workload = if name == READ_HUNDRED {
            let kind = Kind::ReadMany { users: 100 };
            Workload { name: READ_HUNDRED, kind, ..Workload::named("readmany", connections) }
        } else {
            Workload::named(name, connections)
        };
        Laps::new(workload, self.users, self.pool_mib << 20)
    }

    fn seconds_of(&self, laps: &Laps) -> Duration {
        if laps.workload.reads() { self.seconds / 3 } else { self.seconds }
    }
}

/// A running server and where its data is.
struct Running {
    installation: Installation,
    server: ServerProcess,
    target: Target,
}

impl Running {
    async fn start(installation: Installation) -> Result<Running, Error> {
        let server = installation.start().await?;
        let target = Target::log_in(&server).await?;
        Ok(Running { installation, server, target })
    }

    async fn stop(self) -> Result<Installation, Error> {
        self.installation.stop(self.server).await?;
        Ok(self.installation)
    }

    fn runner(&self) -> Runner<'_> {
        Runner { target: &self.target, process: self.server.process() }
    }
}

/// Loads, measures both servers in turns, and then the small one.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Cold, Error> {
    let progress = Progress::new();
    let every = plan.checkpoint_seconds.to_string();
    let budget = |installation: Installation, budget: &str| {
        let interval = ("PROFILES__CHECKPOINT_INTERVAL_SECONDS", every.as_str());
        installation.with_all(&[("PROFILES__MEMORY_BUDGET", budget), interval])
    };
    let loading = Running::start(budget(site.install("warm")?, ROOM_FOR_ALL)).await?;
    fill::fill(&loading.target, plan.users, &progress).await?;
    let profiles_bytes = loading.target.metrics().await?.get("profiles_resident_bytes")?;
    let budget_bytes = ((profiles_bytes as f64 * plan.budget_share) as u64).max(1 << 20);
    let stopped = progress.during(loading.stop(), || "cold: stopping the server".to_owned()).await?;
    let of_cold = site.install("cold")?;
    progress.show("cold: copying its data");
    replace(stopped.data_dir(), of_cold.data_dir())?;

    let warm = Running::start(stopped).await?;
    let cold = Running::start(budget(of_cold, &budget_bytes.to_string())).await?;
    progress
        .during(wait_until_warm(&warm.target, plan.users), || "cold: loading profiles".to_owned())
        .await?;
    let mut rows = Vec::new();
    for name in WORKLOADS {
        let mut laps = plan.laps(name);
        rows.push(measure(&mut laps, plan, [&warm, &cold], budget_bytes, &progress).await?);
    }
    for running in [&warm, &cold] {
        check(&running.target, plan.users, &progress).await?;
    }
    warm.stop().await?;
    let stopped = cold.stop().await?;

    let small = small(budget(stopped, &(SMALL_BUDGET_MIB << 20).to_string()), plan, &progress).await?;
    for name in ["warm", "cold"] {
        let folder = site.folder().join(name);
        std::fs::remove_dir_all(&folder).map_err(Error::io(format!("remove {}", folder.display())))?;
    }
    Ok(Cold {
        setup: Setup::of(site),
        users: plan.users,
        rounds: plan.rounds,
        seconds_per_measurement: plan.seconds.as_secs_f64(),
        checkpoint_seconds: plan.checkpoint_seconds,
        profiles_bytes,
        budget_bytes,
        aims: report::aims(&rows),
        rows,
        small,
    })
}

/// All rounds of a workload, on the warm server and on the cold one.
async fn measure(
    laps: &mut Laps,
    plan: &Plan,
    servers: [&Running; 2],
    budget_bytes: u64,
    progress: &Progress,
) -> Result<Row, Error> {
    let duration = plan.seconds_of(laps);
    let runners = servers.map(Running::runner);
    let mut sides = [Side::new(None), Side::new(Some(budget_bytes))];
    let name = laps.workload.name;
    progress.during(laps.warm_up(&runners, duration), || format!("cold: {name}, warming up")).await?;
    for round in 0..plan.rounds {
        let before = [Writing::now(&servers[0].target).await?, Writing::now(&servers[1].target).await?];
        let text = || format!("cold: {name}, round {} of {}", round + 1, plan.rounds);
        let seen = |at: usize| {
            let resident: &mut u64 = &mut sides[at].most_resident_bytes;
            *resident = procfs::usage(runners[at].target.pid)?.resident_bytes.max(*resident);
            Ok(())
        };
        let laid = progress.during(laps.measure(&runners, duration, seen), text).await?;
        for (at, laid) in laid.into_iter().enumerate() {
            let writing = Writing::now(&servers[at].target).await?.since(before[at]);
            sides[at].add(&laid, writing);
        }
    }
    let [warm, cold] = sides.map(Side::sum);
    Ok(Row::new(laps.workload.name, laps.workload.unit(), warm, cold))
}

/// How much memory a server takes that may have little.
async fn small(installation: Installation, plan: &Plan, progress: &Progress) -> Result<Small, Error> {
    let running = Running::start(installation).await?;
    let mut rates = Vec::new();
    let mut most = 0;
    for name in ["bulk10", "read"] {
        let mut laps = plan.laps(name);
        let seen = |_| {
            most = procfs::usage(running.target.pid)?.resident_bytes.max(most);
            Ok(())
        };
        let duration = plan.seconds_of(&laps);
        let runners = [running.runner()];
        let text = || format!("cold: {name} with {SMALL_BUDGET_MIB} MiB");
        let laid = progress.during(laps.measure(&runners, duration, seen), text).await?;
        rates.push((name, laid[0].rate()));
    }
    check(&running.target, plan.users, progress).await?;
    let usage = procfs::usage(running.target.pid)?;
    let profiles_bytes = running.target.metrics().await?.get("profiles_resident_bytes")?;
    running.stop().await?;
    Ok(Small {
        budget_bytes: SMALL_BUDGET_MIB << 20,
        rates,
        profiles_bytes,
        resident_bytes: usage.resident_bytes,
        most_resident_bytes: most.max(usage.resident_bytes),
        peak_resident_bytes: usage.peak_resident_bytes,
    })
}

/// Writes repeat what a load left, so that all of it must be there as it was.
async fn check(target: &Target, users: u64, progress: &Progress) -> Result<(), Error> {
    progress.during(fill::check(target, users), || "cold: reading back".to_owned()).await
}

/// Waits until all profiles are in memory.
async fn wait_until_warm(target: &Target, users: u64) -> Result<(), Error> {
    until("all profiles are in memory", WARM_PATIENCE, async || {
        Ok((target.metrics().await?.get("profiles_resident")? >= users).then_some(()))
    })
    .await
}

/// Copies a folder of data in place of another.
fn replace(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::remove_dir_all(to).map_err(Error::io(format!("remove {}", to.display())))?;
    copy(from, to).map_err(Error::io(format!("copy {} to {}", from.display(), to.display())))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_takes_the_place_of_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for (path, text) in [("from/a", "1"), ("from/b/c", "2"), ("to/d", "3")] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        replace(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("a")).unwrap(), "1");
        assert_eq!(std::fs::read_to_string(to.join("b/c")).unwrap(), "2");
        assert!(!to.join("d").exists());
    }
}
