//! `ia-bench crash`: kill the server while it loads, and ask for everything that it had acknowledged.

mod report;

use crate::calls::Bodies;
use crate::client::Target;
use crate::disk::{self, DiskUsage};
use crate::error::Error;
use crate::load::Load;
use crate::population::{KNOWN, Population};
use crate::procfs;
use crate::progress::Progress;
use crate::server::{Installation, Server};
use crate::verify::{Findings, verify};
use report::Size;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub(crate) use report::Report;

/// What is loaded, and when the server dies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How many users.
    pub users: u64,
    /// How many segments each is in.
    pub segments: u32,
    /// The share of the bodies that are acknowledged when the server is killed; above 0 and below 1.
    pub kill_after_share: f64,
    /// How many connections load and read.
    pub connections: usize,
}

/// The run: load and kill, start and verify, finish and verify, stop, start and verify once more.
pub(crate) async fn run(installation: &Installation, plan: &Plan) -> Result<Report, Error> {
    let bodies = Bodies { population: Population::new(KNOWN, plan.users), segments: plan.segments };
    let run = Run { installation, plan, load: Load::new(bodies), progress: Progress::new() };
    let begun = Instant::now();

    let server = installation.start().await?;
    let ready_empty = server.time_to_ready;
    run.load_and_kill(server).await?;
    let at_the_kill = run.load.tally();
    let disk_at_the_kill = disk::usage(&installation.data_dir())?;

    let server = installation.start().await?;
    let ready_after_kill = server.time_to_ready;
    let target = Target::log_in(&server).await?;
    let after_kill = run.verify(&target, "after the kill").await?;

    let finish = run.load.run_to_the_end(&target, plan.connections);
    run.progress.during(finish, || run.load.progress()).await?;
    let loaded = run.size(&target).await?;
    let after_load = run.verify(&target, "after the load").await?;
    let stop = installation.stop(server);
    let stop = run.progress.during(stop, || "stopping the server".to_owned()).await?;
    let disk_after_stop = disk::usage(&installation.data_dir())?;

    let server = installation.start().await?;
    let ready_after_stop = server.time_to_ready;
    let target = Target::log_in(&server).await?;
    let after_stop = run.verify(&target, "after the stop").await?;
    let reopened = run.size(&target).await?;
    installation.stop(server).await?;

    let acknowledged = (0..bodies.count()).map(|body| bodies.memberships_of(body)).sum();
    Ok(Report {
        server: installation.binary().to_owned(),
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
    async fn load_and_kill(&self, server: Server) -> Result<(), Error> {
        let target = Target::log_in(&server).await?;
        let bodies = self.load.bodies.count();
        // A killing before the first answer would show nothing.
        let share = ((bodies as f64 * self.plan.kill_after_share) as usize).clamp(1, bodies);
        let loading = self.load.run(&target, self.plan.connections);
        let mut loading = pin!(self.progress.during(loading, || self.load.progress()));
        let ended = tokio::select! {
            ended = &mut loading => Some(ended),
            () = self.load.reaches(share) => None,
        };
        self.load.expect_crash();
        server.kill()?;
        match ended {
            Some(ended) => ended,
            None => loading.await,
        }
    }

    /// Reads everything back, and holds it against what was acknowledged up to now.
    async fn verify(&self, target: &Target, when: &str) -> Result<Findings, Error> {
        let done = Arc::new(AtomicUsize::new(0));
        let bodies = self.load.bodies;
        let verifying = verify(target, bodies, self.load.fates(), self.plan.connections, Arc::clone(&done));
        let text =
            || format!("verifying {when}: {} of {} bodies", done.load(Ordering::Relaxed), bodies.count());
        self.progress.during(verifying, text).await
    }

    async fn size(&self, target: &Target) -> Result<Size, Error> {
        let disk: DiskUsage = disk::usage(&self.installation.data_dir())?;
        let profiles_resident_bytes = target.metrics().await?.get("profiles_resident_bytes")?;
        let resident_bytes = procfs::usage(target.pid)?.resident_bytes;
        Ok(Size { disk, resident_bytes, profiles_resident_bytes })
    }
}
