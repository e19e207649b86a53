//! `ia-bench crash`: kill the server while it loads, and ask for everything that it had acknowledged.

mod report;

use crate::arguments::share;
use crate::calls::Bodies;
use crate::client::Target;
use crate::disk::{self, DiskUsage};
use crate::error::Error;
use crate::load::Load;
use crate::population::{KNOWN, Population};
use crate::progress::Progress;
use crate::report::Setup;
use crate::site::Site;
use crate::verify::{Findings, verify};
use clap::Args;
use ia_testkit::{Installation, ServerProcess, procfs};
use report::Size;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub(crate) use report::Crash;

/// What is loaded, and when the server dies.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Users to load.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    users: u64,
    /// Segments of each user.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..=100))]
    segments: u32,
    /// The share of the load that is acknowledged when the server is killed.
    #[arg(long, default_value = "0.6", value_parser = share)]
    kill_after_share: f64,
    /// Connections that load and read.
    #[arg(long, default_value = "8", value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
}

/// The run: load and kill, start and verify, finish and verify, stop, start and verify once more.
pub(crate) async fn run(site: &Site, plan: &Plan) -> Result<Crash, Error> {
    let installation = &site.install("crash")?;
    let connections = plan.connections.into();
    let bodies = Bodies::new(Population::new(KNOWN, plan.users), plan.segments);
    let run = Run { installation, plan, load: Load::new(bodies), progress: Progress::new() };
    let begun = Instant::now();

    let server = installation.start().await?;
    let ready_empty = server.time_to_ready;
    run.load_and_kill(server).await?;
    let at_the_kill = run.load.tally();
    let disk_at_the_kill = disk::usage(installation.data_dir())?;

    let server = installation.start().await?;
    let ready_after_kill = server.time_to_ready;
    let target = Target::log_in(&server).await?;
    let after_kill = run.verify(&target, "after the kill").await?;

    let finish = run.load.run_to_the_end(&target, connections);
    run.progress.during(finish, || run.load.progress()).await?;
    let loaded = run.size(&target).await?;
    let after_load = run.verify(&target, "after the load").await?;
    let stop = installation.stop(server);
    let stop = run.progress.during(stop, || "stopping the server".to_owned()).await?;
    let disk_after_stop = disk::usage(installation.data_dir())?;

    let server = installation.start().await?;
    let ready_after_stop = server.time_to_ready;
    let target = Target::log_in(&server).await?;
    let after_stop = run.verify(&target, "after the stop").await?;
    let reopened = run.size(&target).await?;
    installation.stop(server).await?;

    let acknowledged = (0..bodies.count()).map(|body| bodies.memberships_of(body)).sum();
    Ok(Crash {
        setup: Setup::of(site),
        users: plan.users,
        segments: plan.segments,
        memberships: acknowledged,
        at_the_kill,
        disk_at_the_kill,
        after_kill,
        after_load,
        after_stop,
        loaded,
        reopened,
        disk_after_stop,
        seconds_to_ready_empty: ready_empty.as_secs_f64(),
        seconds_to_ready_after_kill: ready_after_kill.as_secs_f64(),
        seconds_to_stop: stop.as_secs_f64(),
        seconds_to_ready_after_stop: ready_after_stop.as_secs_f64(),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

struct Run<'a> {
    installation: &'a Installation,
    plan: &'a Plan,
    load: Arc<Load>,
    progress: Progress,
}

impl Run<'_> {
    /// Loads until the share is acknowledged, and kills the server while the other connections wait for
    /// their answers.
    async fn load_and_kill(&self, server: ServerProcess) -> Result<(), Error> {
        let target = Target::log_in(&server).await?;
        let bodies = self.load.bodies.count();
        // A killing before the first answer would show nothing.
        let share = ((bodies as f64 * self.plan.kill_after_share) as usize).clamp(1, bodies);
        let loading = self.load.run(&target, self.plan.connections.into());
        let mut loading = pin!(self.progress.during(loading, || self.load.progress()));
        let ended = tokio::select! {
            ended = &mut loading => Some(ended),
            () = self.load.reaches(share) => None,
        };
        self.load.expect_crash();
        server.kill().await;
        match ended {
            Some(ended) => ended,
            None => loading.await,
        }
    }

    /// Reads everything back, and holds it against what was acknowledged up to now.
    async fn verify(&self, target: &Target, when: &str) -> Result<Findings, Error> {
        let done = Arc::new(AtomicUsize::new(0));
        let bodies = self.load.bodies;
        let verifying =
            verify(target, bodies, self.load.fates(), self.plan.connections.into(), Arc::clone(&done));
        let text =
            || format!("verifying {when}: {} of {} bodies", done.load(Ordering::Relaxed), bodies.count());
        self.progress.during(verifying, text).await
    }

    async fn size(&self, target: &Target) -> Result<Size, Error> {
        let disk: DiskUsage = disk::usage(self.installation.data_dir())?;
        let profiles_resident_bytes = target.metrics().await?.get("profiles_resident_bytes")?;
        let resident_bytes = procfs::usage(target.pid)?.resident_bytes;
        Ok(Size { disk, resident_bytes, profiles_resident_bytes })
    }
}
