//! `ia-torture crash-points`: the process dies at the N-th state-changing call of a thread, for every N.
//!
//! What a start finds after a SIGKILL is what the calls before it have made of the files, and nothing else: the
//! page cache outlives the process. Between two calls that change files the files stay as they are. So a death in
//! the place of each such call, one after the other, is a death at each step of the code that can be told apart
//! afterwards: of a commit, a rotation of the log, a checkpoint, the removal of log files, a write of the
//! statistics, a start and a stop. Flushes are not among the calls, since they change nothing that a mere kill
//! could show; what they are worth is the business of `power-cut`.
//!
//! Calls are counted by thread. In service each kind of thread that writes is walked by itself, and each kind of
//! call that is rare beside its writes once more by itself: what makes, ends and names files of the log, what puts a
//! checkpoint or a compaction in force, and what removes log files and tables. At a start and at a
//! stop, threads come and go: there the first thread that gets to its N-th call dies, whichever it is.
//!
//! In the walk `opt-outs` people opt out and in again beside the load, and the process dies in a write to the catalog,
//! where opt-outs are.
//!
//! In each life some people are deleted, so that what a checkpoint does after that is among the steps: it ends the
//! log's file (in the walk `log`), rewrites the tables (`checkpoint`) and scrubs the statistics (`statistics`). Only
//! where compactions are walked, nobody is: see [`compaction`].

use crate::compaction;
use crate::figure::{Figure, progress};
use crate::findings::Findings;
use crate::journal::End;
use crate::mount;
use crate::operation::Shape;
use crate::opt_outs::OptOuts;
use crate::oracle::{Break, Refusal, Rules};
use crate::run::{Load, Run};
use crate::strace::{Injected, Tampering, struck};
use crate::testbed::{Testbed, TestbedArgs};
use crate::views::until_quiet;
use anyhow::Context;
use clap::Args;
use ia_testkit::{NotReady, ServerProcess};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Options of `crash-points`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CrashPointsArgs {
    #[command(flatten)]
    pub testbed: TestbedArgs,
    /// One part alone: log, checkpoint, statistics, compaction, start or stop
    #[arg(long, value_name = "PART", value_parser = ["log", "checkpoint", "statistics", "compaction", "start", "stop"])]
    pub only: Option<String>,
}

/// With users enough that the log rotates two or three times, and for long enough that checkpoints follow.
const LOAD: Load = Load {
    writers: 2,
    posts: 60,
    pause_ms: 50,
    shape: Shape { users_per_post: 60, users_per_writer: 150, delete_every: 15 },
};

const RULES: Rules = Rules { refusal: Refusal::LeavesNothing, on_break: Break::IsOpen };

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before it is ready.
    Start,
    /// While it serves; which threads are walked.
    Service(&'static str),
    /// While it serves, and people opt out: in the writes of their store.
    OptOuts,
    /// While it serves and compacts.
    Compaction,
    /// After SIGTERM.
    Stop,
}

/// A walk over the calls of a phase.
#[derive(Debug, Clone, Copy)]
struct Walk {
    name: &'static str,
    phase: Phase,
    calls: &'static str,
    /// How many calls are tried in the short form, and among how many.
    short: (u32, u32),
}

impl Walk {
    /// The name without the kind of call.
    fn part(&self) -> &'static str {
        self.name.split_once('/').map_or(self.name, |(part, _)| part)
    }
}

/// At a start and a stop. Openings are left out, since most of them are to read; flushes stand for the moments
/// between what is finished and what is begun.
const ALL_CALLS: &str =
    "write,pwrite64,writev,rename,renameat,fallocate,ftruncate,unlink,mkdir,fsync,fdatasync";

/// A walk in service over one kind of call. strace counts kinds one by one, and strikes whichever comes to its N-th
/// call first: in a walk over several kinds that is the most frequent of them.
const fn over_one_call(name: &'static str, threads: &'static str, calls: &'static str) -> Walk {
    Walk { name, phase: Phase::Service(threads), calls, short: (1, 2) }
}

const fn over_compaction(name: &'static str, calls: &'static str, short: (u32, u32)) -> Walk {
    Walk { name, phase: Phase::Compaction, calls, short }
}

/// The threads of both databases.
const SQLITE_THREADS: &str = "sqlx-sqlite-wor";
/// The database with the opt-outs.
const CATALOG: &str = "/catalog.sqlite";

const WALKS: [Walk; 15] = [
    Walk {
        name: "log",
        phase: Phase::Service("log"),
        calls: "write,pwrite64,openat,rename,fallocate,ftruncate,unlink",
        short: (5, 110),
    },
    Walk {
        name: "checkpoint",
        phase: Phase::Service("checkpoint"),
        calls: "write,pwrite64,openat,rename,renameat,ftruncate,unlink,mkdir",
        short: (5, 80),
    },
    Walk {
        name: "statistics",
        phase: Phase::Service(SQLITE_THREADS),
        calls: "pwrite64,openat,ftruncate,unlink",
        short: (2, 40),
    },
    Walk { name: "opt-outs", phase: Phase::OptOuts, calls: "pwrite64", short: (2, 60) },
    over_compaction("compaction", "write,openat,rename,renameat", (2, 8)),
    over_compaction("compaction/openat", "openat", (0, 1)),
    over_compaction("compaction/rename", "rename,renameat", (0, 1)),
    over_one_call("log/fallocate", "log", "fallocate"),
    over_one_call("log/ftruncate", "log", "ftruncate"),
    over_one_call("log/rename", "log", "rename,renameat"),
    over_one_call("checkpoint/rename", "checkpoint", "rename,renameat"),
    over_one_call("checkpoint/unlink", "checkpoint", "unlink"),
    over_one_call("statistics/ftruncate", SQLITE_THREADS, "ftruncate"),
    Walk { name: "start", phase: Phase::Start, calls: ALL_CALLS, short: (3, 20) },
    Walk { name: "stop", phase: Phase::Stop, calls: ALL_CALLS, short: (2, 25) },
];

/// A walk ends when this many deaths in a row did not come: what runs by the clock varies a little.
const MISSES_AT_THE_END: u32 = 3;
/// After this many deaths in a row that did not come, the short form proves nothing.
const SHORT_MISSES: u32 = 10;

impl CrashPointsArgs {
    /// Kills at each call, restarts and checks; whether all was there.
    pub(crate) async fn run(&self, testbed: Testbed) -> anyhow::Result<bool> {
        mount::require(&["strace"])?;
        let begun = Instant::now();
        let data_dir = testbed.data.path().join("data");
        let run = Run::create(&testbed, &data_dir, LOAD)?;
        testbed.check_apart(&data_dir)?;
        let trace = testbed.journal.path().join("strace");
        let mut walker = Walker {
            testbed,
            run,
            trace,
            server: None,
            opt_outs: OptOuts::default(),
            points: BTreeMap::new(),
            calls: BTreeMap::new(),
        };
        let walks =
            || WALKS.into_iter().filter(|walk| self.only.as_deref().is_none_or(|only| only == walk.part()));
        for walk in walks() {
            walker.walk(walk).await?;
            if !walker.run.findings.is_sound() {
                break;
            }
        }
        if let Some(server) = walker.server.take() {
            walker.run.end(server).await?;
        }
        let mut figure = Figure::new("crash-points")
            .with("points", walker.points.values().sum::<u32>())
            .with("opt_outs", walker.opt_outs.answered);
        for (name, points) in &walker.points {
            figure = figure.with(name, points);
        }
        let calls: Vec<String> = walker.calls.iter().map(|(call, count)| format!("{call}:{count}")).collect();
        let figure = walker.run.findings.write_to(figure.with("calls", calls.join(",")));
        figure.with("seconds", begun.elapsed().as_secs()).print();
        let missed: Vec<&str> = walks()
            .filter(|walk| {
                (walker.testbed.long || walk.short.0 > 0) && !walker.points.contains_key(walk.name)
            })
            .map(|walk| walk.name)
            .collect();
        if !missed.is_empty() {
            progress(format_args!("no process has died in {missed:?}: this proves nothing about them"));
        }
        Ok(walker.run.findings.is_sound() && walker.run.findings.acknowledged > 0 && missed.is_empty())
    }
}

struct Walker {
    testbed: Testbed,
    run: Run,
    trace: PathBuf,
    /// The server that the last check was made on: the next death is its.
    server: Option<ServerProcess>,
    opt_outs: OptOuts,
    points: BTreeMap<&'static str, u32>,
    /// In whose places processes have died.
    calls: BTreeMap<String, u32>,
}

impl Walker {
    async fn walk(&mut self, walk: Walk) -> anyhow::Result<()> {
        let (mut nth, mut died, mut misses) = (0, 0, 0);
        let (short_count, mut short_end) = walk.short;
        let is_long = self.testbed.long;
        while if is_long { misses < MISSES_AT_THE_END } else { died < short_count } {
            nth = if is_long { nth + 1 } else { 1 + self.testbed.dice.below(short_end.into()) as u32 };
            let by_tampering = self.die_at(walk, nth).await?;
            let is_of_walk = |line: &String| walk.phase != Phase::OptOuts || line.contains(CATALOG);
            let call = struck(&self.trace)?.filter(|line| by_tampering && is_of_walk(line));
            let server = self.run.start().await.with_context(|| format!("after a death at {call:?}"))?;
            let tokens = self.run.asking(&server).await?;
            let mut found = self.run.audit(&server, RULES).await?;
            let mut opt_outs = Findings::default();
            self.opt_outs.check(server.api, &tokens, &mut opt_outs).await?;
            self.run.findings.add(opt_outs.clone());
            found.add(opt_outs);
            self.server = Some(server);
            let at = call.as_deref().unwrap_or("not reached");
            progress(format_args!("{} {nth}: {found}, at {at}", walk.name));
            match call {
                Some(call) => {
                    misses = 0;
                    died += 1;
                    *self.points.entry(walk.name).or_default() += 1;
                    *self.calls.entry(name_of(&call)).or_default() += 1;
                }
                // There are fewer calls than that.
                None => {
                    misses += 1;
                    short_end = nth.saturating_sub(1).max(1);
                    if misses > SHORT_MISSES && !is_long {
                        break;
                    }
                }
            }
            if !found.is_sound() {
                break;
            }
        }
        Ok(())
    }

    /// Brings a server to its end: by the tampering (the answer is whether it was that), or otherwise if the call
    /// does not come.
    async fn die_at(&mut self, walk: Walk, nth: u32) -> anyhow::Result<bool> {
        let tampering = Tampering { calls: walk.calls, injected: Injected::Kill, nth: Some(nth) };
        std::fs::write(&self.trace, "").context("cannot make the file for strace's output")?;
        let mut server = match self.server.take() {
            Some(server) => server,
            None => self.run.start().await?,
        };
        let has_ended = |server: &mut ServerProcess| Ok(server.has_ended().is_some());
        match walk.phase {
            Phase::Service(threads) => {
                let _attached = tampering.attach(server.id(), threads, &self.trace).await?;
                let client = self.run.load(&server, &mut self.testbed).await?;
                client.end().await?;
                let died = until_quiet(&mut server, &self.trace, has_ended).await?;
                server.kill().await;
                Ok(died)
            }
            Phase::Compaction => {
                let _attached = tampering.attach(server.id(), compaction::THREADS, &self.trace).await?;
                let Walker { run, testbed, .. } = self;
                compaction::load_until(run, &mut server, testbed, LOAD, has_ended).await?;
                let died = until_quiet(&mut server, &self.trace, has_ended).await?;
                server.kill().await;
                Ok(died)
            }
            Phase::OptOuts => {
                let _attached = tampering.attach(server.id(), SQLITE_THREADS, &self.trace).await?;
                let client = self.run.load(&server, &mut self.testbed).await?;
                let tokens = self.run.asking(&server).await?;
                self.opt_outs.ask(server.api, &tokens, &mut self.testbed.dice).await?;
                client.end().await?;
                let died = until_quiet(&mut server, &self.trace, has_ended).await?;
                server.kill().await;
                Ok(died)
            }
            Phase::Start => {
                let client = self.run.load(&server, &mut self.testbed).await?;
                self.run.until_ended("POSTs before a kill", 1, |end| *end == End::Acknowledged).await?;
                let moment = self.testbed.dice.below(1000);
                tokio::time::sleep(Duration::from_millis(moment)).await;
                server.kill().await;
                client.end().await?;
                let wrapper = tampering.wrapper(&self.trace);
                match self.run.installation.try_start(&wrapper).await? {
                    Ok(server) => {
                        server.kill().await;
                        Ok(false)
                    }
                    Err(NotReady(_)) => Ok(true),
                }
            }
            Phase::Stop => {
                let client = self.run.load(&server, &mut self.testbed).await?;
                self.run.until_ended("POSTs before a stop", 10, |end| *end == End::Acknowledged).await?;
                let _attached = tampering.attach_to_all(server.id(), &self.trace).await?;
                server.terminate();
                let status = self.run.installation.end_of(server).await?;
                client.end().await?;
                Ok(!status.success())
            }
        }
    }
}

/// The name of a call in a line of strace, which may begin with the id of the thread.
fn name_of(line: &str) -> String {
    let call = line.split('(').next().unwrap_or_default();
    call.rsplit([' ', ']']).next().unwrap_or_default().to_owned()
}
