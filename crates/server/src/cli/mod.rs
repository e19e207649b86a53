//! The command line.

mod apply;
mod backup;
mod check_config;
mod client;
mod demo;
mod demo_login;
mod import_users;
mod inspect;
mod load;
mod serve;
mod watch;

use crate::config::{Config, LogFormat, Overrides};
use clap::{Args, Parser, Subcommand};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
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
    /// Send a file of users to a running server, and follow its job to the end.
    Load(load::LoadArgs),
    /// Send each file that appears in a folder, or under a prefix in S3, to a running server.
    Watch(watch::WatchArgs),
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
        Command::Load(args) => load::run(args),
        Command::Watch(args) => watch::run(args),
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
            error.downcast_ref::<Ended>().map_or(ExitCode::FAILURE, |ended| ExitCode::from(ended.code))
        }
    }
}

/// An end with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
struct Ended {
    code: u8,
    why: String,
}

impl Ended {
    fn new(code: u8, why: String) -> Ended {
        Ended { code, why }
    }

    /// With the exit code of a command line that is wrong, as clap has it.
    fn usage(error: anyhow::Error) -> anyhow::Error {
        Ended::new(2, format!("{error:#}")).into()
    }
}

/// Does `work` until it is done, or until somebody asks the process to end: `None`.
async fn until_stopped<T>(work: impl Future<Output = T>) -> anyhow::Result<Option<T>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        done = work => Some(done),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    })
}

/// Puts a file in its place, whole or not at all, also if the power fails.
fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
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
