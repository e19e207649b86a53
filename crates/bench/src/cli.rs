//! The command line.

mod compare;
mod shapes;
mod trials;

use crate::arguments::{seconds, share};
use crate::error::Error;
use crate::server::{Installation, find_binary};
use crate::workload::Workload;
use crate::{ceiling, crash, rates};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Measures Instant Audience, and crashes it.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure throughput, latency, processor time and memory of writes and reads.
    Rates(RatesArgs),
    /// Kill the server while it loads, and look for every membership that it acknowledged.
    Crash(CrashArgs),
    /// Measure the server, Redis, and the HTTP stack without a server behind it, side by side.
    Compare(compare::CompareArgs),
    /// Show how the server behaves beside its peak rates, and hold it to its targets.
    Trials(trials::TrialsArgs),
    /// Measure what a membership costs the server in every form in which clients write bodies.
    Shapes(shapes::ShapesArgs),
    /// Be the HTTP stack without a server behind it, for `compare`.
    #[command(hide = true)]
    Ceiling,
}

/// What the commands share.
#[derive(Debug, Args)]
struct RunArgs {
    /// The server to run [default: the release build beside this one, else that of the workspace].
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// An empty or missing folder for the server's data, which is left behind [default: a temporary one,
    /// which is removed].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads that send requests [default: one for every two cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    client_threads: Option<u16>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RatesArgs {
    /// Seconds that each workload is measured.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Users to draw from, and users that reads find.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    users: u64,
    /// Connections of the workloads with small calls; those with large ones use up to 8.
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u16).range(1..=8192))]
    connections: u16,
    /// Memory for the prepared bodies of a workload, in MiB. Once all are sent they are sent again, and
    /// refresh memberships in place of beginning them.
    #[arg(long, default_value = "1024", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pool_mib: u64,
    /// Run only these workloads: bulk10, compact, bulk1, small, read, read-unknown, readmany.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Args)]
struct CrashArgs {
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
    #[command(flatten)]
    run: RunArgs,
}

/// Runs a command. The exit code is 0 when every answer was right and nothing was lost.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    let outcome = match &cli.command {
        Command::Rates(args) => {
            args.run.execute(args.plan(), async |at, plan| rates::run(at, plan).await, rates::Report::is_good)
        }
        Command::Crash(args) => {
            let plan = Ok(args.plan());
            args.run.execute(plan, async |at, plan| crash::run(at, plan).await, crash::Report::is_good)
        }
        Command::Compare(args) => args.execute(),
        Command::Trials(args) => args.execute(),
        Command::Shapes(args) => args.execute(),
        Command::Ceiling => ceiling::run().map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where standard error is gone, the exit code tells.
            let _ = writeln!(std::io::stderr(), "ia-bench: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

impl RunArgs {
    /// Runs `command` until it ends or a signal comes, prints what it reports, and says whether that is good.
    ///
    /// When a signal comes, the command is dropped where it stands, and with it the server it started.
    fn execute<P, R: Display + Serialize>(
        &self,
        plan: Result<P, Error>,
        command: impl AsyncFnOnce(&Installation, &P) -> Result<R, Error>,
        is_good: impl FnOnce(&R) -> bool,
    ) -> Result<bool, Error> {
        let plan = plan?;
        let report = self.execute_at(async |binary, folder| {
            let installation = Installation::create(binary, folder)?;
            command(&installation, &plan).await
        })?;
        self.print(&report)?;
        Ok(is_good(&report))
    }

    /// Runs `command`, which gets the server's binary and the folder for its data, until it ends or a signal
    /// comes.
    fn execute_at<R>(
        &self,
        command: impl AsyncFnOnce(PathBuf, Option<PathBuf>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let binary = find_binary(self.server.clone())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.client_threads.map_or((cores / 2).max(1), usize::from))
            .enable_all()
            .build()
            .map_err(Error::io("start the async runtime"))?;
        runtime.block_on(async {
            let interrupted = interruption()?;
            tokio::select! {
                report = command(binary, self.data_dir.clone()) => report,
                () = interrupted => Err(Error::Interrupted),
            }
        })
    }

    fn print<R: Display + Serialize>(&self, report: &R) -> Result<(), Error> {
        let text = if self.json { json(report) } else { report.to_string() };
        writeln!(std::io::stdout(), "{text}").map_err(Error::io("print the outcome"))
    }
}

/// Writes a report as JSON to `file`, where one is asked for.
fn save(report: &impl Serialize, file: Option<&Path>) -> Result<(), Error> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, json(report) + "\n").map_err(Error::io(format!("write {}", file.display())))
}

fn json(report: &impl Serialize) -> String {
    serde_json::to_string_pretty(report).expect("a report holds nothing that JSON cannot say")
}

/// Done when the process is asked to end.
fn interruption() -> Result<impl Future<Output = ()>, Error> {
    let listen = |kind| signal(kind).map_err(Error::io("listen for signals"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

impl RatesArgs {
    fn plan(&self) -> Result<rates::Plan, Error> {
        let workloads = chosen(self.connections, &self.only)?;
        Ok(rates::Plan {
            duration: self.seconds,
            users: self.users,
            pool_bytes: self.pool_mib << 20,
            workloads,
        })
    }
}

/// The workloads of those names; all when there are none.
fn chosen(connections: u16, names: &[String]) -> Result<Vec<Workload>, Error> {
    let mut workloads = Workload::all(connections.into());
    if let Some(unknown) = names.iter().find(|name| workloads.iter().all(|workload| workload.name != **name))
    {
        return Err(Error::Broken(format!("there is no workload {unknown:?}")));
    }
    if !names.is_empty() {
        workloads.retain(|workload| names.iter().any(|name| name == workload.name));
    }
    Ok(workloads)
}

impl CrashArgs {
    fn plan(&self) -> crash::Plan {
        crash::Plan {
            users: self.users,
            segments: self.segments,
            kill_after_share: self.kill_after_share,
            connections: self.connections.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for arguments in [
            "rates --seconds 0",
            "rates --seconds NaN",
            "rates --users 0",
            "crash --kill-after-share 1",
            "crash --kill-after-share NaN",
            "crash --segments 101",
            "compare --rounds 0",
            "compare --zipf 0",
            "compare --zipf NaN",
            "trials --only overlode",
            "trials --sizes 0",
        ] {
            let words = ["ia-bench"].into_iter().chain(arguments.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{arguments}");
        }
    }

    #[test]
    fn workloads_are_chosen_by_name() {
        let plan = |words: &[&str]| match Cli::try_parse_from(words).unwrap().command {
            Command::Rates(args) => args.plan().map(|plan| plan.workloads),
            other => panic!("{other:?} is not rates"),
        };
        let names: Vec<&str> = plan(&["ia-bench", "rates", "--only", "read,bulk10"])
            .unwrap()
            .iter()
            .map(|workload| workload.name)
            .collect();
        assert_eq!(names, ["bulk10", "read"]);
        assert!(plan(&["ia-bench", "rates", "--only", "reed"]).is_err());
    }
}
