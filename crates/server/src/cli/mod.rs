//! The command line.

mod apply;
mod backup;
mod check_config;
mod demo;
mod demo_login;
mod import_users;
mod inspect;
mod serve;

use crate::config::{Config, LogFormat, Overrides};
use clap::{Args, Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Durable, instantly targetable audience segments.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(ServerArgs),
    /// Run the server on a sample catalog, with a login to try it.
    Demo(ServerArgs),
    /// Load a catalog file (members, logins, segments); also while a server runs.
    Apply(apply::ApplyArgs),
    /// Make ids known, for a service that rejects unknown ones; also while a server runs.
    ImportUsers(import_users::ImportUsersArgs),
    /// Copy a data directory into a new folder, checked and durable; also while a server runs.
    Backup(backup::BackupArgs),
    /// Look into a data directory without changing it; also while a server runs.
    #[command(subcommand)]
    Inspect(inspect::Inspect),
    /// Read the configuration, and print what results.
    CheckConfig(ServerArgs),
}

/// What the commands that run a server share.
#[derive(Debug, Clone, Args)]
struct ServerArgs {
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder for everything that is kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API listens.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where health and metrics listen.
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,
}

impl ServerArgs {
    fn load(self) -> anyhow::Result<Config> {
        let ServerArgs { config: file, data_dir, listen, ops_listen } = self;
        Config::load(&Overrides { file, data_dir, listen, ops_listen })
    }
}

/// Runs a command. A failure is told on standard error, with its causes.
pub fn run(cli: Cli) -> ExitCode {
    // Everything that is written is for this user alone.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Apply(args) => apply::run(args),
        Command::ImportUsers(args) => import_users::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Inspect(what) => inspect::run(what),
        Command::CheckConfig(args) => check_config::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "instant-audience: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Sends the log lines of this process to standard error.
fn start_logging(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("server.log_level is not a valid filter: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log line that cannot be written is lost. Telling so on the same stream would panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => {
            builder.with_ansi(std::io::stderr().is_terminal()).finish().with(filter_fn(is_discreet)).init();
        }
        LogFormat::Json => builder.json().finish().with(filter_fn(is_discreet)).init(),
    }
    Ok(())
}

/// Whatever level is asked for: below "info" h2 logs targets that it cannot read, and a token may stand in their query.
fn is_discreet(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("h2") || *line.level() <= Level::INFO
}
