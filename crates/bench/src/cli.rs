//! The command line.

use crate::error::Error;
use crate::server::{Installation, find_binary};
use crate::workload::Workload;
use crate::{crash, rates, trials};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
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
    /// Show how the server behaves beside its peak rates, and hold it to its targets.
    Trials(TrialsArgs),
}

/// What both commands share.
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
    /// Run only these workloads: bulk10, bulk1, small, read, read-unknown, readmany.
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

#[derive(Debug, Args)]
struct TrialsArgs {
    #[command(flatten)]
    plan: trials::Plan,
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
        Command::Trials(args) => {
            let plan = args.plan.clone();
            args.run.execute(Ok(plan), async |at, plan| trials::run(at, plan).await, trials::Report::is_good)
        }
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
        let binary = find_binary(self.server.clone())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.client_threads.map_or((cores / 2).max(1), usize::from))
            .enable_all()
            .build()
            .map_err(Error::io("start the async runtime"))?;
        let report = runtime.block_on(async {
            let interrupted = interruption()?;
            let installation = Installation::create(binary, self.data_dir.clone())?;
            tokio::select! {
                report = command(&installation, &plan) => report,
                () = interrupted => Err(Error::Interrupted),
            }
        })?;
        let text = if self.json {
            serde_json::to_string_pretty(&report).expect("a report holds nothing that JSON cannot say")
        } else {
            report.to_string()
        };
        writeln!(std::io::stdout(), "{text}").map_err(Error::io("print the outcome"))?;
        Ok(is_good(&report))
    }
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
        let mut workloads = Workload::all(self.connections.into());
        if let Some(unknown) =
            self.only.iter().find(|name| workloads.iter().all(|workload| workload.name != **name))
        {
            return Err(Error::Broken(format!("there is no workload {unknown:?}")));
        }
        if !self.only.is_empty() {
            workloads.retain(|workload| self.only.iter().any(|name| name == workload.name));
        }
        Ok(rates::Plan {
            duration: self.seconds,
            users: self.users,
            pool_bytes: self.pool_mib << 20,
            workloads,
        })
    }
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

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if !(0.01..=86_400.0).contains(&seconds) {
        return Err("must be from 0.01 to 86400".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("must be above 0 and below 1".to_owned()) }
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
            _ => panic!("the words say rates"),
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
