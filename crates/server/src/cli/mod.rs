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

/// A server for audience segments: a write is durable, and visible to every read, before it is answered.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(ServerArgs),
    /// Run the server with a sample catalog and a public login, on loopback only.
    Demo(ServerArgs),
    /// Load a catalog file (members, logins, segments, sharing). Works while a server runs.
    Apply(apply::ApplyArgs),
    /// Add ids to the known users, for a server that rejects unknown users. Works while a server runs.
    ImportUsers(import_users::ImportUsersArgs),
    /// Copy the data directory to a new folder and check the copy. Works while a server runs.
    Backup(backup::BackupArgs),
    /// Print what is in the data directory. Changes nothing, and works while a server runs.
    #[command(subcommand)]
    Inspect(inspect::Inspect),
    /// Check the configuration and print the resulting settings.
    CheckConfig(ServerArgs),
}

/// The options of commands that run a server.
#[derive(Debug, Clone, Args)]
struct ServerArgs {
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory. Overrides server.data_dir of the configuration.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The address of the API. Overrides server.listen.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The address of health checks and metrics. Overrides server.ops_listen.
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,
}

impl ServerArgs {
    fn load(self) -> anyhow::Result<Config> {
        let ServerArgs { config: file, data_dir, listen, ops_listen } = self;
        Config::load(&Overrides { file, data_dir, listen, ops_listen })
    }
}

/// Runs a command. A failure is printed on standard error, with its causes.
pub fn run(cli: Cli) -> ExitCode {
    // All files are private to the user that runs the command.
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
        // The reader of the output has closed it, for example `head`.
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
        // A log line that cannot be written is lost. Reporting that on the same stream would panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => {
            builder.with_ansi(std::io::stderr().is_terminal()).finish().with(filter_fn(is_discreet)).init();
        }
        LogFormat::Json => builder.json().finish().with(filter_fn(is_discreet)).init(),
    }
    Ok(())
}

/// At "debug" and below, h2 logs request targets that it cannot read, and their query may hold a token. So its lines
/// are dropped there, whatever level is configured.
fn is_discreet(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("h2") || *line.level() <= Level::INFO
}
