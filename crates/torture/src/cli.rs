//! The command line.

use crate::abuse::logins::LoginsArgs;
use crate::abuse::slow_clients::SlowClientsArgs;
use crate::client::ClientArgs;
use crate::crash_points::CrashPointsArgs;
use crate::failing_disk::FailingDiskArgs;
use crate::full_disk::FullDiskArgs;
use crate::ground::{Ground, GroundArgs};
use crate::kill::KillArgs;
use crate::power_cut::PowerCutArgs;
use crate::stop::StopArgs;
use anyhow::Context;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Torments the server and holds it to what it has acknowledged. Each command prints its figure on one line and
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
            Command::Kill(args) => on_ground(&args.ground, async |ground| args.run(ground).await),
            Command::PowerCut(args) => on_ground(&args.ground, async |ground| args.run(ground).await),
            Command::CrashPoints(args) => on_ground(&args.ground, async |ground| args.run(ground).await),
            Command::FailingDisk(args) => on_ground(&args.ground, async |ground| args.run(ground).await),
            Command::FullDisk(args) => on_ground(&args.ground, async |ground| args.run(ground).await),
            Command::Stop(args) => on_ground(&args.ground, async |ground| args.run(ground).await),
            Command::SlowClients(args) => on_ground(&args.ground, async |ground| args.run(ground).await),
            Command::Logins(args) => on_ground(&args.ground, async |ground| args.run(ground).await),
            Command::Client(args) => until_a_signal(async || args.run().await.map(|()| true)),
        }
    }
}

/// Prepares the ground and runs a command on it.
fn on_ground(
    args: &GroundArgs,
    command: impl AsyncFnOnce(Ground) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let ground = args.prepare()?;
    until_a_signal(async || command(ground).await)
}

/// Runs a command until it ends or a signal comes. Then it is dropped where it stands, and with it all that it has
/// started, mounted and made.
fn until_a_signal(command: impl AsyncFnOnce() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("cannot start the async runtime")?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
        tokio::select! {
            outcome = command() => outcome,
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("interrupted"),
            _ = hangup.recv() => anyhow::bail!("interrupted"),
        }
    })
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
