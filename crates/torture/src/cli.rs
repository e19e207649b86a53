//! The command line.

use crate::abuse::logins::LoginsArgs;
use crate::abuse::slow_clients::SlowClientsArgs;
use crate::client::ClientArgs;
use crate::crash_points::CrashPointsArgs;
use crate::failing_disk::FailingDiskArgs;
use crate::full_disk::FullDiskArgs;
use crate::kill::KillArgs;
use crate::power_cut::PowerCutArgs;
use crate::stop::StopArgs;
use crate::testbed::{Testbed, TestbedArgs};
use anyhow::Context;
use clap::{Parser, Subcommand};
use ia_testkit::until_a_signal;
use std::io::Write;
use std::process::ExitCode;

/// Tests the server under the worst conditions, and checks that it keeps what it has acknowledged. Each command prints its figure on one line and
/// ends with 0 only when every promise was kept.
#[derive(Debug, Parser)]
#[command(name = "ia-torture", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// SIGKILL at random moments under load
    Kill(KillArgs),
    /// The file system under the server shut down under load, with a control run (as root)
    PowerCut(PowerCutArgs),
    /// Death at each state-changing system call (needs strace)
    CrashPoints(CrashPointsArgs),
    /// System calls that fail (needs strace)
    FailingDisk(FailingDiskArgs),
    /// A small disk filled up and emptied again (as root)
    FullDisk(FullDiskArgs),
    /// SIGTERM under load
    Stop(StopArgs),
    /// Nearly as many slow connections as the server takes, and an ordinary client beside them
    SlowClients(SlowClientsArgs),
    /// Hundreds of logins at once, guesses, and their timing
    Logins(LoginsArgs),
    /// The client that the other commands start
    #[command(hide = true)]
    Client(ClientArgs),
}

/// Runs what the command line says.
pub(crate) fn main() -> ExitCode {
    match Cli::parse().command.execute() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where standard error is gone, the exit code tells.
            let _ = writeln!(std::io::stderr(), "ia-torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn execute(self) -> anyhow::Result<bool> {
        match self {
            Command::Kill(args) => on_testbed(&args.testbed, async |testbed| args.run(testbed).await),
            Command::PowerCut(args) => on_testbed(&args.testbed, async |testbed| args.run(testbed).await),
            Command::CrashPoints(args) => on_testbed(&args.testbed, async |testbed| args.run(testbed).await),
            Command::FailingDisk(args) => on_testbed(&args.testbed, async |testbed| args.run(testbed).await),
            Command::FullDisk(args) => on_testbed(&args.testbed, async |testbed| args.run(testbed).await),
            Command::Stop(args) => on_testbed(&args.testbed, async |testbed| args.run(testbed).await),
            Command::SlowClients(args) => on_testbed(&args.testbed, async |testbed| args.run(testbed).await),
            Command::Logins(args) => on_testbed(&args.testbed, async |testbed| args.run(testbed).await),
            Command::Client(args) => in_runtime(async || args.run().await.map(|()| true)),
        }
    }
}

/// Prepares the testbed and runs a command on it.
fn on_testbed(
    args: &TestbedArgs,
    command: impl AsyncFnOnce(Testbed) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let testbed = args.prepare()?;
    in_runtime(async || command(testbed).await)
}

/// Runs a command until it ends or a signal comes. Then all goes that it has started, mounted and made.
fn in_runtime(command: impl AsyncFnOnce() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("cannot start the async runtime")?.block_on(until_a_signal(command()))
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
    fn a_client_understands_the_words_it_is_started_with() {
        let words = "ia-torture client --api 127.0.0.1:1 --journal /j --writers 2 --posts 3 --first-post 4 \
             --users-per-post 5 --users-per-writer 6 --delete-every 9 --pause-ms 7 --seed 8";
        let Command::Client(args) = Cli::try_parse_from(words.split_ascii_whitespace()).unwrap().command
        else {
            panic!("not a client");
        };
        assert_eq!(
            args.to_words().join(" "),
            words.split_ascii_whitespace().skip(2).collect::<Vec<_>>().join(" ")
        );
    }
}
