//! More writes than the disk takes: are they refused at once, does memory stay bounded, do reads go on, and
//! is all there that was acknowledged?
//!
//! The disk is slowed by `strace`, which delays the return of every flush of the server. The binary is the
//! same as ever, the data gets to the same disk, and calls other than flushes run at full speed
//! (`--seccomp-bpf`).

mod offer;
mod report;

use super::faults::Faults;
use super::plan::Plan;
use crate::calls::{Bodies, MAX_USERS};
use crate::client::Target;
use crate::error::Error;
use crate::fill::{check, fill};
use crate::open_loop::OpenLoop;
use crate::population::{Population, WRITTEN};
use crate::progress::Progress;
use crate::script::Script;
use crate::verify::{Findings, verify};
use crate::workload::{Pool, Workload};
use ia_testkit::{Installation, ServerProcess, procfs};
use offer::Offer;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use report::Overload;

/// How many connections read everything back.
const VERIFY_CONNECTIONS: usize = 8;

/// More bodies than a run can get through; only those that are sent are made.
const MAX_BODIES: u64 = 1 << 20;

/// Segments of each user of a body.
const SEGMENTS: u32 = 10;

/// How often the server's memory and backlog are read.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn run(at: &Installation, plan: &Plan, progress: &Progress) -> Result<Overload, Error> {
    let wrapper = slowed(plan.flush_delay_ms)?;
    let backlog_bytes = u64::from(plan.overload_backlog_mib) << 20;
    let max_backlog_bytes = backlog_bytes.to_string();
    let settings = [("LOG__MAX_BACKLOG_BYTES", max_backlog_bytes.as_str())];
    let reads = Workload::named("read", plan.connections.into());
    let reads = Script::prepare(&reads, plan.users, plan.pool_bytes());

    let server = at.start().await?;
    let target = Target::log_in(&server).await?;
    fill(&target, plan.users, progress).await?;
    check(&target, plan.users).await?;
    at.stop(server).await?;

    let server = at.clone().with_all(&settings).start_under(&wrapper).await?;
    let target = Target::log_in(&server).await?;
    progress.show("overload: reads alone");
    let reads = open_loop(&target, &reads, plan);
    reads.run_apart(plan.seconds.mul_f64(0.2)).await?;
    let reads_alone = reads.run_apart(plan.seconds).await?;
    let resident_bytes_before = procfs::usage(target.pid)?.resident_bytes;

    progress.show("overload: more than the disk takes");
    let bodies = Bodies::new(Population::new(WRITTEN, MAX_BODIES * MAX_USERS), SEGMENTS);
    let offer = Offer::new(bodies);
    let connections = plan.overload_connections.into();
    let (offered, reads_beside, backlog_bytes_peak) = tokio::try_join!(
        offer.run(&target, connections, plan.seconds, plan.pause()),
        reads.run_apart(plan.seconds),
        watch_backlog(&target, plan.seconds),
    )?;
    let resident_bytes_peak = procfs::usage(target.pid)?.peak_resident_bytes;
    let after_overload = look(&target, &offer).await?;
    let tally = offer.tally();

    progress.show("overload: killing the server in the middle of it");
    kill_within(&offer, &target, server, plan).await?;
    let server = at.start().await?;
    let seconds_to_ready_after_kill = server.time_to_ready.as_secs_f64();
    let target = Target::log_in(&server).await?;
    let after_kill = look(&target, &offer).await?;
    at.stop(server).await?;

    let mut faults = Faults::default();
    for measured in [&reads_alone, &reads_beside] {
        faults.add(measured);
    }
    faults.errors += offered.errors;
    faults.first_error = faults.first_error.or(offered.first_error);
    let refused = offered.refused.micros();
    Ok(Overload {
        flush_delay_ms: plan.flush_delay_ms,
        retry_after_ms: plan.retry_after_ms,
        connections,
        backlog_bytes,
        backlog_bytes_peak,
        seconds: plan.seconds.as_secs_f64(),
        acknowledged: offered.acknowledged.micros(),
        aims: report::aims(&refused),
        refused,
        refused_without_retry_after: offered.without_retry_after,
        first_refusal: offered.first_refusal,
        tally,
        resident_bytes_before,
        resident_bytes_peak,
        reads_alone: reads_alone.latencies.micros(),
        reads_beside: reads_beside.latencies.micros(),
        after_overload,
        after_kill,
        seconds_to_ready_after_kill,
        faults,
    })
}

fn open_loop(target: &Target, reads: &Pool, plan: &Plan) -> OpenLoop {
    OpenLoop::new(target, reads, plan.reads_per_second.into(), plan.read_connections.into())
}

/// The command line that delays each flush of the program behind it.
fn slowed(delay_ms: u32) -> Result<Vec<String>, Error> {
    let found = Command::new("strace").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        let what =
            "strace slows the disk in this trial and cannot be run; install it (apt-get install strace)";
        return Err(Error::broken(what.to_owned()));
    }
    let inject = format!("inject=fdatasync,fsync:delay_exit={}", u64::from(delay_ms) * 1000);
    // -D: the server stays a direct child, so that what is killed and waited for is the server.
    let words = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"];
    let rest = ["-e", "trace=fdatasync,fsync", "-e", inject.as_str()];
    Ok(words.into_iter().chain(rest).map(str::to_owned).collect())
}

/// Sends more for a moment, and kills the server while the bodies are under way.
async fn kill_within(
    offer: &Arc<Offer>,
    target: &Target,
    server: ServerProcess,
    plan: &Plan,
) -> Result<(), Error> {
    offer.expect_crash();
    let sending = offer.run(target, plan.overload_connections.into(), plan.seconds, plan.pause());
    let killing = async {
        tokio::time::sleep(plan.seconds.mul_f64(0.5)).await;
        server.kill().await;
    };
    let (sent, ()) = tokio::join!(sending, killing);
    sent.map(drop)
}

/// Reads back everything that was ever sent.
async fn look(target: &Target, offer: &Offer) -> Result<Findings, Error> {
    verify(target, offer.bodies, offer.fates_of_sent(), VERIFY_CONNECTIONS, Arc::default()).await
}

/// The most bytes that the server says wait, as often as it is asked.
async fn watch_backlog(target: &Target, duration: Duration) -> Result<u64, Error> {
    let end = tokio::time::Instant::now() + duration;
    let mut peak = 0;
    while tokio::time::Instant::now() < end {
        peak = peak.max(target.metrics().await?.get("backlog_bytes")?);
        tokio::time::sleep(SAMPLE_INTERVAL).await;
    }
    Ok(peak)
}
