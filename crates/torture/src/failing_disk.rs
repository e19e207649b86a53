//! `ia-torture failing-disk`: system calls of the real server fail, one at a time, at every n-th call.
//!
//! - The log's thread: no POST is acknowledged over a failed write or flush. After anything but a lack of room the
//!   latch holds, although the next call would succeed: POSTs stay 503, reads go on, nothing refused is seen. After
//!   a lack of room the log goes on by itself.
//! - Checkpoints, compaction, statistics: no client sees anything of it, and they catch up. Only where a checkpoint
//!   was cut off after its rename there are no more until a restart, and the server says so.
//! - At a start: the server ends, or gets ready and has everything.
//!
//! Afterwards a clean start has all that was acknowledged.

use crate::compaction;
use crate::figure::{Figure, progress};
use crate::findings::Findings;
use crate::journal::End;
use crate::mount;
use crate::operation::{Post, Shape, own_user};
use crate::oracle::{Break, Refusal, Rules};
use crate::requests::{PATIENCE, ask, readiness};
use crate::run::{Load, Run, until};
use crate::strace::{Injected, Tampering, struck};
use crate::testbed::{Testbed, TestbedArgs};
use crate::views::{Views, catch_up, until_quiet};
use anyhow::{Context, bail};
use clap::Args;
use ia_testkit::{NotReady, ServerProcess};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Options of `failing-disk`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FailingDiskArgs {
    #[command(flatten)]
    pub testbed: TestbedArgs,
    /// One part alone: log, checkpoint, compaction, statistics or start
    #[arg(long, value_name = "PART", value_parser = ["log", "checkpoint", "compaction", "statistics", "start"])]
    pub only: Option<String>,
}

/// With users enough that the log rotates two or three times, and for long enough that checkpoints follow.
const LOAD: Load = Load {
    writers: 4,
    posts: 80,
    pause_ms: 35,
    shape: Shape { users_per_post: 60, users_per_writer: 150, delete_every: 30 },
};

/// What the server logs once it writes no more checkpoints.
const NO_MORE_CHECKPOINTS: &str = "it takes no more until a restart";

/// The most failures of a kind that the long form tries.
const MOST: u32 = 30;

/// What has to follow from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Writes stop until a restart.
    Latches,
    /// At the most some POSTs are refused, of which nothing is kept.
    Resumes,
    /// No client notices.
    Nothing,
    /// At the start: it is refused, or it succeeds.
    StartsOrEnds,
}

/// Failures of a kind.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// The threads; none at a start.
    threads: Option<&'static str>,
    calls: &'static str,
    error: &'static str,
    then: Then,
    /// Which calls fail in the short form.
    short: &'static [u32],
}

impl Kind {
    fn part(&self) -> &'static str {
        match self.threads {
            Some(compaction::THREADS) => "compaction",
            Some(SQLITE) => "statistics",
            Some(threads) => threads,
            None => "start",
        }
    }
}

const fn log(calls: &'static str, error: &'static str, then: Then, short: &'static [u32]) -> Kind {
    Kind { threads: Some("log"), calls, error, then, short }
}

const fn beside(
    threads: &'static str,
    calls: &'static str,
    error: &'static str,
    short: &'static [u32],
) -> Kind {
    Kind { threads: Some(threads), calls, error, then: Then::Nothing, short }
}

const fn start(calls: &'static str, error: &'static str, short: &'static [u32]) -> Kind {
    Kind { threads: None, calls, error, then: Then::StartsOrEnds, short }
}

const SQLITE: &str = "sqlx-sqlite-wor";

const KINDS: [Kind; 28] = [
    // A batch, then the mark behind it.
    log("pwrite64", "EIO", Then::Latches, &[5, 6]),
    log("pwrite64", "ENOSPC", Then::Resumes, &[7]),
    log("fdatasync", "EIO", Then::Latches, &[4]),
    log("fdatasync", "ENOSPC", Then::Latches, &[]),
    log("fallocate", "ENOSPC", Then::Resumes, &[1]),
    log("fallocate", "EIO", Then::Latches, &[]),
    log("rename", "EIO", Then::Latches, &[1]),
    log("rename", "ENOSPC", Then::Resumes, &[]),
    log("fsync", "EIO", Then::Latches, &[1]),
    log("ftruncate", "EIO", Then::Latches, &[]),
    log("openat", "EMFILE", Then::Latches, &[]),
    beside("checkpoint", "write", "EIO", &[]),
    beside("checkpoint", "write", "ENOSPC", &[]),
    // The first is of a table; the sixth comes after the rename that swaps the new version in.
    beside("checkpoint", "fsync", "EIO", &[1, 6]),
    beside("checkpoint", "renameat", "EIO", &[]),
    beside("checkpoint", "openat", "EMFILE", &[]),
    beside("checkpoint", "unlink", "EIO", &[1]),
    beside(compaction::THREADS, "write", "EIO", &[1]),
    beside(compaction::THREADS, "fsync", "EIO", &[]),
    beside(SQLITE, "pwrite64", "EIO", &[3]),
    beside(SQLITE, "pwrite64", "ENOSPC", &[]),
    beside(SQLITE, "fsync", "EIO", &[1]),
    start("pwrite64", "EIO", &[1]),
    start("fdatasync", "EIO", &[1]),
    start("fsync", "EIO", &[2]),
    start("ftruncate", "EIO", &[]),
    start("rename,renameat", "EIO", &[]),
    start("unlink", "EIO", &[]),
];

impl FailingDiskArgs {
    /// Lets calls fail, checks, restarts and checks again; whether all was as it should.
    pub(crate) async fn run(&self, testbed: Testbed) -> anyhow::Result<bool> {
        mount::require(&["strace"])?;
        let begun = Instant::now();
        let data_dir = testbed.data.path().join("data");
        let run = Run::create(&testbed, &data_dir, LOAD)?;
        testbed.check_apart(&data_dir)?;
        let trace = testbed.journal.path().join("strace");
        let mut test = Test {
            testbed,
            run,
            trace,
            server: None,
            failed_calls: 0,
            latched: 0,
            refused_starts: 0,
            without_checkpoints: 0,
        };
        let asked_for = |kind: &Kind| self.only.as_ref().is_none_or(|part| part == kind.part());
        let mut missed = Vec::new();
        'kinds: for kind in KINDS.into_iter().filter(asked_for) {
            let is_long = test.testbed.long;
            let numbers: Vec<u32> = if is_long { (1..=MOST).collect() } else { kind.short.to_vec() };
            for nth in numbers {
                let found = test.fail(kind, nth).await.with_context(|| format!("{kind:?}, call {nth}"))?;
                let Some(found) = found else {
                    if !is_long {
                        bail!("{kind:?}: call {nth} never came; this proves nothing about it");
                    }
                    if nth == 1 {
                        missed.push(format!("{} {}/{}", kind.part(), kind.calls, kind.error));
                    }
                    break;
                };
                progress(format_args!("{} {} {} {nth}: {found}", kind.part(), kind.calls, kind.error));
                if !found.is_sound() {
                    break 'kinds;
                }
            }
        }
        if let Some(server) = test.server.take() {
            test.run.end(server).await?;
        }
        let figure = Figure::new("failing-disk").with("failed_calls", test.failed_calls);
        let figure = figure.with("latched", test.latched).with("refused_starts", test.refused_starts);
        let figure = figure.with("without_checkpoints", test.without_checkpoints);
        let figure = test.run.findings.write_to(figure);
        figure.with("seconds", begun.elapsed().as_secs()).print();
        let Findings { acknowledged, refused, unknown, .. } = test.run.findings;
        if !missed.is_empty() {
            progress(format_args!("no call of these has failed: {missed:?}; this proves nothing about them"));
        }
        let latches = self.only.as_ref().is_none_or(|part| part == "log");
        let has_bitten = acknowledged > 0
            && (!latches || refused + unknown > 0 && test.latched > 0)
            && test.failed_calls > 0;
        Ok(test.run.findings.is_sound() && has_bitten && missed.is_empty())
    }
}

struct Test {
    testbed: Testbed,
    run: Run,
    trace: PathBuf,
    /// Ready, and checked.
    server: Option<ServerProcess>,
    failed_calls: u32,
    latched: u32,
    refused_starts: u32,
    without_checkpoints: u32,
}

impl Test {
    /// Lets one call fail and sees what follows; `None` when the call did not come.
    async fn fail(&mut self, kind: Kind, nth: u32) -> anyhow::Result<Option<Findings>> {
        let tampering = Tampering { calls: kind.calls, injected: Injected::Fail(kind.error), nth: Some(nth) };
        std::fs::write(&self.trace, "").context("cannot make the file for strace's output")?;
        let server = match self.server.take() {
            Some(server) => server,
            None => self.run.start().await?,
        };
        match kind.threads {
            Some(threads) => self.fail_in_service(server, kind, tampering, threads).await?,
            None => self.fail_at_the_start(server, tampering).await?,
        }
        let refusal = match kind.then {
            Then::Latches => Refusal::OfAFailedDisk,
            _ => Refusal::LeavesNothing,
        };
        let server = self.run.start().await?;
        let found = self.run.audit(&server, Rules { refusal, on_break: Break::IsOpen }).await?;
        self.server = Some(server);
        if struck(&self.trace)?.is_none() {
            return Ok(None);
        }
        self.failed_calls += 1;
        if kind.then == Then::Nothing && found.refused + found.unknown > 0 {
            bail!("clients noticed: {found}");
        }
        Ok(Some(found))
    }

    async fn fail_in_service(
        &mut self,
        mut server: ServerProcess,
        kind: Kind,
        tampering: Tampering,
        threads: &str,
    ) -> anyhow::Result<()> {
        let Some(attached) = tampering.attach(server.id(), threads, &self.trace).await? else {
            bail!("there is no thread {threads}");
        };
        let is_struck = |_: &mut ServerProcess| Ok(struck(&self.trace)?.is_some());
        if threads == compaction::THREADS {
            let Test { run, testbed, .. } = self;
            compaction::load_until(run, &mut server, testbed, LOAD, is_struck).await?;
        } else {
            let client = self.run.load(&server, &mut self.testbed).await?;
            client.end().await?;
        }
        let came = match kind.then {
            // What runs by the clock may come to the call only now.
            Then::Nothing => until_quiet(&mut server, &self.trace, is_struck).await?,
            _ => is_struck(&mut server)?,
        };
        if !came {
            self.run.installation.stop(server).await?;
            return Ok(());
        }
        let found = self.run.audit_meanwhile(&server).await?;
        if !found.is_sound() {
            bail!("before the restart: {found}");
        }
        match kind.then {
            Then::Latches => {
                self.latched += 1;
                self.check_latch(&server).await?;
                attached.detach().await?;
                self.check_latch(&server).await?;
                server.terminate();
                // What is left to write cannot be written; that it ends is enough.
                self.run.installation.end_of(server).await?;
            }
            Then::Resumes => {
                until("the log to go on", PATIENCE, async || {
                    Ok((readiness(&server).await?.0 == 200).then_some(()))
                })
                .await?;
                server.kill().await;
            }
            Then::Nothing | Then::StartsOrEnds => {
                let written = self.run.installation.log_length();
                // Each further try says so again.
                let says_no_more = |views: &Views| {
                    let said = self.run.installation.log_since(written);
                    views.all_is_counted() && said.contains(NO_MORE_CHECKPOINTS)
                };
                let caught_up = catch_up(&server, says_no_more).await;
                let caught_up = caught_up.with_context(|| self.run.installation.log_tail())?;
                attached.detach().await?;
                if caught_up {
                    self.run.installation.stop(server).await?;
                } else {
                    self.without_checkpoints += 1;
                    server.terminate();
                    // The last checkpoint fails too.
                    self.run.installation.end_of(server).await?;
                }
            }
        }
        Ok(())
    }

    /// The log is out of service: it says so, POSTs get 503 with a time to try again, reads go on.
    async fn check_latch(&mut self, server: &ServerProcess) -> anyhow::Result<()> {
        let (status, why) = readiness(server).await?;
        if status != 503 || !why.contains("the log is out of service") {
            bail!("/readyz says {status}: {why}");
        }
        let token = self.run.token(server).await?;
        for _ in 0..3 {
            // To a user that the journal does not know: whatever it leaves is something unexpected.
            let post = Post::draw(&mut self.testbed.dice, 1, u16::MAX, LOAD.shape);
            let answer = ask(server.api, "POST", "/rt-segment", Some(&token), Some(&post.body())).await?;
            if answer.status != 503 || answer.header("retry-after").is_none() {
                bail!("a POST to a log that is out of service was answered with {answer:?}");
            }
        }
        let path = format!("/user-segment?user_id={}", own_user(0, 0));
        let answer = ask(server.api, "GET", &path, Some(&token), None).await?;
        if answer.status != 200 {
            bail!("a read beside a log that is out of service was answered with {answer:?}");
        }
        Ok(())
    }

    async fn fail_at_the_start(&mut self, server: ServerProcess, tampering: Tampering) -> anyhow::Result<()> {
        let client = self.run.load(&server, &mut self.testbed).await?;
        self.run.until_ended("POSTs before a kill", 10, |end| *end == End::Acknowledged).await?;
        let moment = self.testbed.dice.below(700);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.kill().await;
        client.end().await?;
        match self.run.installation.try_start(&tampering.wrapper(&self.trace)).await? {
            Ok(server) => {
                let found = self.run.audit_meanwhile(&server).await?;
                server.kill().await;
                if !found.is_sound() {
                    bail!("in a server that got ready all the same: {found}");
                }
            }
            Err(NotReady(_)) => self.refused_starts += 1,
        }
        Ok(())
    }
}
