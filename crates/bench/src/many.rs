//! `ia-bench many`: a hundred million users in one server with the memory that it is shipped with.
//!
//! The server loads a million users and is measured. Then it loads the rest, is measured again, is killed while it is
//! written to, and starts. What the machine must have for it is checked before.

mod peak;
mod report;
mod room;

use crate::arguments::seconds;
use crate::client::Target;
use crate::disk;
use crate::distribution::Distribution;
use crate::drive::Driver;
use crate::error::Error;
use crate::fill;
use crate::laps::{Laps, Runner};
use crate::load::Load;
use crate::progress::Progress;
use crate::report::Setup;
use crate::script::Script;
use crate::site::Site;
use crate::workload::{KNOWN_SEGMENTS, Workload, Written};
use crate::writing::Writing;
use clap::Args;
use ia_testkit::{Installation, ServerProcess, procfs};
use peak::Peak;
use report::{Many, Phase, Rate, Start};
use std::time::{Duration, Instant};

/// How many connections load.
const CONNECTIONS: usize = 8;

/// What is measured at both sizes.
const WORKLOADS: [&str; 2] = [BULK, "read"];

const BULK: &str = "bulk10";

/// What is measured, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Users; each has 10 memberships.
    #[arg(long, default_value = "100000000", value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    users: u64,
    /// Users with which the server is measured before.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    base_users: u64,
    /// Seconds that bulk10 is measured with each number of users; reads are for a quarter of that.
    #[arg(long, default_value = "60", value_parser = seconds)]
    seconds: Duration,
    /// The server's `profiles.memory_budget`, in MiB [default: as shipped, 4096].
    #[arg(long, default_value = "4096", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    memory_budget_mib: u64,
    /// Connections of reads; others use up to 8.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u16).range(1..=8192))]
    connections: u16,
    /// Memory for the prepared bodies of a lap, in MiB.
    #[arg(long, default_value = "512", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pool_mib: u64,
}

/// A server in its place, and what is said of it meanwhile.
struct Run<'a> {
    plan: &'a Plan,
    installation: &'a Installation,
    progress: &'a Progress,
    peak: Peak,
}

/// Loads, measures, loads on, measures again, kills and starts.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Many, Error> {
    if plan.base_users > plan.users {
        return Err(Error::broken("--base-users must not be more than --users"));
    }
    let room = room::of(site.folder(), plan.users, plan.memory_budget_mib << 20, plan.pool_mib << 20)?;
    let progress = Progress::told();
    progress.show(&format!("many: {room}"));
    let budget = (plan.memory_budget_mib << 20).to_string();
    let installation = site.install("many")?.with("PROFILES__MEMORY_BUDGET", &budget);
    let server = installation.start().await?;
    let target = Target::log_in(&server).await?;
    let peak = Peak::watch(target.pid, installation.data_dir());
    let run = Run { plan, installation: &installation, progress: &progress, peak };

    let base = run.phase(&server, &target, plan.base_users).await?;
    let all = run.phase(&server, &target, plan.users).await?;
    let peak_resident_bytes = procfs::usage(target.pid)?.peak_resident_bytes;
    let peak_disk_bytes = run.peak.disk_bytes();

    let start = run.kill_and_start(server, &target).await?;
    // Gigabytes, which a folder that was named would keep.
    std::fs::remove_dir_all(installation.data_dir()).map_err(Error::io("remove the data"))?;
    let (budget_bytes, phases) = (plan.memory_budget_mib << 20, [base, all]);
    Ok(Many {
        setup: Setup::of(site),
        budget_bytes,
        aims: report::aims(&phases, budget_bytes, peak_resident_bytes, &start),
        phases,
        peak_resident_bytes,
        peak_disk_bytes,
        start,
    })
}

impl Run<'_> {
    /// Loads so many users and measures.
    async fn phase(&self, server: &ServerProcess, target: &Target, users: u64) -> Result<Phase, Error> {
        let before = Writing::now(target).await?;
        let load = Load::new(fill::known(users));
        let started = Instant::now();
        let text = || {
            let rate = load.tally().acknowledged as f64 * 1e4 / started.elapsed().as_secs_f64();
            let (resident, disk) = (self.peak.resident_bytes() >> 20, self.peak.disk_bytes() >> 20);
            format!(
                "many: {users} users, {}, {rate:.0} memberships/s; at the most {resident} MiB resident, {disk} MiB of disk",
                load.progress()
            )
        };
        self.progress.during(load.run_to_the_end(target, CONNECTIONS), text).await?;
        let took = started.elapsed();
        let writing_of_load = Writing::now(target).await?.since(before);
        fill::check(target, users).await?;
        let metrics = target.metrics().await?;
        let disk = disk::usage(self.installation.data_dir())?;
        let resident_bytes = procfs::usage(target.pid)?.resident_bytes;
        let profiles = metrics.get("profiles_resident")?;
        let profiles_bytes = metrics.get("profiles_resident_bytes")?;

        let mut rates = Vec::new();
        for name in WORKLOADS {
            rates.push(self.measure(name, server, target, users).await?);
        }
        Ok(Phase {
            users,
            memberships: users * u64::from(KNOWN_SEGMENTS),
            seconds_of_load: took.as_secs_f64(),
            writing_of_load,
            profiles_in_memory: profiles,
            profiles_bytes,
            resident_bytes,
            resident_bytes_at_the_end: procfs::usage(target.pid)?.resident_bytes,
            log_disk_bytes: disk.log,
            store_disk_bytes: disk.profiles,
            rates,
        })
    }

    async fn measure(
        &self,
        name: &'static str,
        server: &ServerProcess,
        target: &Target,
        users: u64,
    ) -> Result<Rate, Error> {
        let workload = Workload::named(name, self.plan.connections.into());
        let duration = if workload.reads() { self.plan.seconds / 4 } else { self.plan.seconds };
        let mut laps = Laps::new(workload, users, self.plan.pool_mib << 20);
        let runners = [Runner { target, process: server.process() }];
        laps.warm_up(&runners, duration).await?;
        let before = Writing::now(target).await?;
        let text = || format!("many: {name} with {users} users");
        let laid = self.progress.during(laps.measure(&runners, duration, |_| Ok(())), text).await?;
        let writing = Writing::now(target).await?.since(before);
        Ok(Rate {
            workload: name,
            items: laid[0].items,
            items_per_second: laid[0].rate(),
            latency_micros: laid[0].measured.latencies.micros(),
            writing,
        })
    }

    /// Kills the server while it is written to, starts it, and looks for what was acknowledged.
    async fn kill_and_start(&self, server: ServerProcess, target: &Target) -> Result<Start, Error> {
        let users = self.plan.users;
        self.progress.show(&format!("many: killing and starting with {users} users"));
        let workload = Workload::named(BULK, self.plan.connections.into());
        let script =
            Script::new(&workload, Written::Known, users, Distribution::Uniform, self.plan.pool_mib << 20);
        let driver = Driver::new(target, &script.http());
        let duration = self.plan.seconds / 10;
        tokio::select! {
            // The workers are dropped with it, and their broken connections tell nobody.
            _ = driver.run(workload.connections, 2 * duration) => {}
            () = tokio::time::sleep(duration) => {}
        }
        server.kill().await;
        let log_bytes = disk::usage(self.installation.data_dir())?.log;
        let server = self.installation.start().await?;
        let seconds_to_ready = server.time_to_ready.as_secs_f64();
        let target = Target::log_in(&server).await?;
        let found = fill::find(&target, users).await?;
        let seconds_to_stop = self.installation.stop(server).await?.as_secs_f64();
        Ok(Start { log_bytes, seconds_to_ready, seconds_to_stop, found })
    }
}
