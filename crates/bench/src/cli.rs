//! The command line.

use crate::error::Error;
use crate::report::Report;
use crate::site::Site;
use crate::{ceiling, cold, compare, crash, files, many, rates, shapes, trials, wide};
use clap::{Args, Parser, Subcommand};
use ia_testkit::until_a_signal;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

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
    Rates(Planned<rates::Plan>),
    /// Kill the server while it loads, and look for every membership that it acknowledged.
    Crash(Planned<crash::Plan>),
    /// Measure the server, Redis, and the HTTP stack without a server behind it, side by side.
    Compare(Planned<compare::Plan>),
    /// Show how the server behaves beside its peak rates, and hold it to its targets.
    Trials(Planned<trials::Plan>),
    /// Measure what a membership costs the server in every form in which clients write bodies.
    Shapes(Planned<shapes::Plan>),
    /// Measure files of memberships: their rates, what others notice of them, and their memory.
    Files(Planned<files::Plan>),
    /// Measure users with more and more memberships, beside Redis.
    Wide(Planned<wide::Plan>),
    /// Measure users that do not fit into memory, beside a server with room for all.
    Cold(Planned<cold::Plan>),
    /// Load a hundred million users, and measure rate, memory, disk and start beside those of a million.
    Many(Planned<many::Plan>),
    /// Be the HTTP stack without a server behind it, for `compare`.
    #[command(hide = true)]
    Ceiling,
}

/// What a command is to do, and what all commands take.
#[derive(Debug, Args)]
struct Planned<P: Args> {
    #[command(flatten)]
    plan: P,
    /// The server to run [default: the release build beside this one, else that of the workspace].
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// An empty or missing folder for all data, which is left behind [default: a temporary one, which is
    /// removed].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads that send requests [default: one for every two cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    client_threads: Option<u16>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    /// Write the outcome as JSON to this file too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs a command. The exit code is 0 when every answer was right and nothing was lost.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    let outcome = match &cli.command {
        Command::Rates(planned) => planned.execute(async |at, plan| rates::run(at, plan).await),
        Command::Crash(planned) => planned.execute(async |at, plan| crash::run(at, plan).await),
        Command::Compare(planned) => planned.execute(async |at, plan| compare::run(at, plan).await),
        Command::Trials(planned) => planned.execute(async |at, plan| trials::run(at, plan).await),
        Command::Shapes(planned) => planned.execute(async |at, plan| shapes::run(at, plan).await),
        Command::Files(planned) => planned.execute(async |at, plan| files::run(at, plan).await),
        Command::Wide(planned) => planned.execute(async |at, plan| wide::run(at, plan).await),
        Command::Cold(planned) => planned.execute(async |at, plan| cold::run(at, plan).await),
        Command::Many(planned) => planned.execute(async |at, plan| many::run(at, plan).await),
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

impl<P: Args> Planned<P> {
    /// Runs `command` until it ends or a signal comes, prints what it reports, and says whether that is good.
    ///
    /// When a signal comes, the command is dropped where it is, and with it the server it started.
    fn execute<R: Report>(
        &self,
        command: impl AsyncFnOnce(&Site, &P) -> Result<R, Error>,
    ) -> Result<bool, Error> {
        let site = Site::open(self.server.as_deref(), self.data_dir.as_deref())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.client_threads.map_or((cores / 2).max(1), usize::from))
            .enable_all()
            .build()
            .map_err(Error::io("start the async runtime"))?;
        let report = runtime.block_on(until_a_signal(command(&site, &self.plan)))?;
        if let Some(file) = &self.out {
            let written = std::fs::write(file, report.json() + "\n");
            written.map_err(Error::io(format!("write {}", file.display())))?;
        }
        let text = if self.json { report.json() } else { report.text() };
        writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(Error::io("print the outcome"))?;
        Ok(report.is_good())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["ia-bench"].into_iter().chain(line.split(' ')))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for line in [
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
            "shapes --only round",
            "files --only rate",
            "files --upload-mib 513",
            "wide --widths 9",
            "wide --widths 10001",
            "wide --users 999",
            "cold --budget-share 1",
            "cold --rounds 0",
            "many --users 0",
            "many --base-users 999",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn workloads_are_chosen_by_name() {
        let names = |line: &str| match parse(line).unwrap().command {
            Command::Rates(planned) => {
                let workloads = planned.plan.choice.workloads();
                workloads.map(|all| all.iter().map(|workload| workload.name).collect::<Vec<_>>())
            }
            other => panic!("{other:?} is not rates"),
        };
        assert_eq!(names("rates --only read,bulk10").unwrap(), ["bulk10", "read"]);
        assert!(names("rates --only reed").is_err());
    }

    #[test]
    fn memory_is_compared_when_it_is_named_or_nothing_is() {
        let parts = |line: &str| match parse(line).unwrap().command {
            Command::Compare(planned) => {
                planned.plan.parts().map(|(workloads, memory)| (workloads.len(), memory))
            }
            other => panic!("{other:?} is not compare"),
        };
        assert_eq!(parts("compare --only memory").unwrap(), (0, true));
        assert_eq!(parts("compare --only bulk1,memory").unwrap(), (1, true));
        assert_eq!(parts("compare --only bulk1").unwrap(), (1, false));
        assert_eq!(parts("compare").unwrap(), (7, true));
        assert!(parts("compare --only memories").is_err());
    }
}
