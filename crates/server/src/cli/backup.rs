//! `instant-audience backup`: copies a data directory, also while a server uses it. A server can start on the copy.
//!
//! The parts of the copy fit each other because of their order. First the backup holds the log, so that a server
//! removes no log file until the backup is done. Then it copies the views (statistics, profiles, catalog). A view
//! covers the log up to a position that is copied with it. Uploaded files that wait are copied after the statistics,
//! which hold their jobs: one that is gone by then is in the log, all of it. The log comes last, up to an end behind all those
//! positions. So the log in the copy continues from the oldest view, and no view is ahead of it. At the end the copy
//! is opened and read as a start would do it.

use super::start_logging;
use crate::config::{Config, LogFormat, Overrides};
use anyhow::{Context, bail};
use clap::Args;
use ia_catalog::usage::UsageStore;
use ia_catalog::{Catalog, SqliteCatalog, SqliteUsage};
use ia_engine::data_dir::{DataDir, LogHold};
use ia_log::{Disk, Found, Inspector, LogCopy, RealDisk};
use ia_model::{Record, SystemClock};
use ia_profiles::StoreCopy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to wait for the lock: a server holds it while it removes log files.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// How often the progress on a terminal is updated.
const PROGRESS: Duration = Duration::from_millis(200);

/// `backup TO`
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The folder for the copy. It must be new or empty.
    to: PathBuf,
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory to copy. Overrides server.data_dir of the configuration.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: BackupArgs) -> anyhow::Result<()> {
    start_logging(LogFormat::Text, "error")?;
    let overrides = Overrides { file: args.config, data_dir: args.data_dir, ..Overrides::default() };
    let from = DataDir::existing(&Config::load(&overrides)?.server.data_dir)?;
    if !from.log().is_dir() {
        bail!("{} has no log: no server has run on it yet", from.path().display());
    }
    let target = Target::prepare(&args.to, from.path())?;
    match copy(&from, &target.dir) {
        Ok(done) => {
            writeln!(std::io::stdout(), "{}: {done}", args.to.display())?;
            Ok(())
        }
        Err(error) => Err(target.discard(error)),
    }
}

/// The folder for the copy.
struct Target {
    dir: DataDir,
    /// The folder was there before, empty.
    existed: bool,
}

impl Target {
    fn prepare(to: &Path, from: &Path) -> anyhow::Result<Target> {
        let existed = to.exists();
        if existed {
            let mut entries = fs::read_dir(to).with_context(|| format!("cannot list {}", to.display()))?;
            if entries.next().is_some() {
                bail!("{} is not empty: name a new folder", to.display());
            }
        }
        let parent = std::path::absolute(to)?;
        let inside = parent.ancestors().filter_map(|path| path.canonicalize().ok()).next();
        if inside.is_some_and(|inside| from.canonicalize().is_ok_and(|from| inside.starts_with(from))) {
            bail!("{} is inside the data directory", to.display());
        }
        let dir = DataDir::create(to)?;
        dir.make_private()?;
        let target = Target { dir, existed };
        match target.dir.mark_incomplete() {
            Ok(()) => Ok(target),
            Err(error) => Err(target.discard(error)),
        }
    }

    /// Removes the unfinished copy, so that nobody takes it for a backup.
    fn discard(&self, error: anyhow::Error) -> anyhow::Error {
        let path = self.dir.path();
        let removed = if self.existed { empty(path) } else { fs::remove_dir_all(path) };
        match removed {
            Ok(()) => error.context("no backup was made"),
            Err(cause) => error.context(format!(
                "no backup was made, and the unfinished copy in {} could not be removed ({cause}): remove it",
                path.display()
            )),
        }
    }
}

fn empty(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// The summary that is printed.
struct Done {
    log: LogCopy,
    profiles: StoreCopy,
    records: u64,
    bytes: u64,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "complete and checked, up to position {}: {} profiles as of position {}, {} log records from {} on, {} bytes",
            self.log.next_position - 1,
            self.profiles.profiles,
            self.profiles.position,
            self.records,
            self.log.first_position,
            self.bytes,
        )
    }
}

fn copy(from: &DataDir, to: &DataDir) -> anyhow::Result<Done> {
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut progress = Progress::new();
    let _log_stays = hold_log(from)?;

    progress.step("usage statistics");
    runtime
        .block_on(SqliteUsage::copy(&from.usage(), &to.usage()))
        .context("cannot copy the usage statistics")?;
    progress.step("files");
    let file_bytes = ia_engine::files::copy_spool(&from.files(), &to.files())
        .context("cannot copy the uploaded files that wait")?;
    let profiles = if from.profiles().is_dir() {
        progress.step("profiles");
        ia_profiles::copy(&from.profiles(), &to.profiles(), |bytes| progress.add(bytes))
            .context("cannot copy the profiles")?
    } else {
        StoreCopy::default()
    };
    progress.step("catalog");
    runtime
        .block_on(SqliteCatalog::copy(&from.catalog(), &to.catalog()))
        .context("cannot copy the catalog")?;
    progress.step("log");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let log = ia_log::copy(&from.log(), &to.log(), &disk, |bytes| progress.add(bytes))
        .context("cannot copy the log")?;

    progress.step("check");
    let statistics = runtime.block_on(open_databases(to)).context("the copy is not sound")?;
    let records = check_log(to, &log, &mut progress).context("the copy is not sound")?;
    check_positions(&log, profiles.position, statistics)?;
    for file in [to.usage(), to.catalog()] {
        File::open(&file)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("cannot sync {}", file.display()))?;
    }
    to.sync()?;
    to.mark_complete()?;
    progress.end();
    let database_bytes = [to.usage(), to.catalog()]
        .iter()
        .filter_map(|file| Some(fs::metadata(file).ok()?.len()))
        .sum::<u64>();
    Ok(Done { log, profiles, records, bytes: log.bytes + profiles.bytes + database_bytes + file_bytes })
}

/// The copy opens all tables of the profiles at once. If the limit stays too low, opening them fails with an error.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn hold_log(from: &DataDir) -> anyhow::Result<LogHold> {
    let started = Instant::now();
    loop {
        match from.hold_log()? {
            Some(hold) => return Ok(hold),
            None if started.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            None => bail!("another backup of {} is being taken", from.path().display()),
        }
    }
}

/// Opens the databases of the copy as a server does. Returns the position that the statistics cover.
async fn open_databases(to: &DataDir) -> anyhow::Result<u64> {
    let catalog = SqliteCatalog::open(&to.catalog(), Arc::new(SystemClock)).await?;
    catalog.snapshot().await?;
    catalog.close().await;
    let usage = SqliteUsage::open(&to.usage()).await?;
    let position = usage.position().await?;
    usage.close().await;
    Ok(position)
}

/// Reads every record of the copy. Returns their number.
fn check_log(to: &DataDir, log: &LogCopy, progress: &mut Progress) -> anyhow::Result<u64> {
    let mut next = log.first_position;
    for found in Inspector::open(&to.log(), Arc::new(RealDisk))? {
        match found? {
            Found::Record { position, payload, .. } => {
                if position != next {
                    bail!("the record at position {next} is missing");
                }
                Record::decode(&payload)
                    .with_context(|| format!("cannot read the record at position {position}"))?;
                next += 1;
                progress.add(payload.len() as u64);
            }
            Found::Damaged { offset, fault } => bail!("the log is damaged at byte {offset}: {fault}"),
            Found::Torn { offset, fault, .. } => bail!("the log is torn at byte {offset}: {fault}"),
            Found::File { .. } | Found::Mark { .. } | Found::End { .. } => {}
        }
    }
    if next != log.next_position {
        bail!("the log ends before position {next}, but should end before {}", log.next_position);
    }
    Ok(next - log.first_position)
}

/// A server refuses to start if the parts do not fit each other.
fn check_positions(log: &LogCopy, profiles: u64, statistics: u64) -> anyhow::Result<()> {
    let (first, end) = (log.first_position, log.next_position - 1);
    for (view, covered) in [("profiles", profiles), ("usage statistics", statistics)] {
        if covered > end {
            bail!("the {view} cover position {covered}, but the log ends at {end}");
        }
    }
    if profiles + 1 < first {
        bail!("the profiles cover position {profiles}, but the log starts at {first}");
    }
    // The statistics are not checked for such a gap: they have one if they were lost once, and a server starts anyway.
    Ok(())
}

/// The progress on a terminal.
struct Progress {
    is_shown: bool,
    step: &'static str,
    bytes: u64,
    last: Instant,
}

impl Progress {
    fn new() -> Progress {
        Progress { is_shown: std::io::stderr().is_terminal(), step: "", bytes: 0, last: Instant::now() }
    }

    fn step(&mut self, step: &'static str) {
        self.step = step;
        self.bytes = 0;
        self.show();
    }

    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.last.elapsed() >= PROGRESS {
            self.show();
        }
    }

    fn show(&mut self) {
        self.last = Instant::now();
        if self.is_shown {
            let mib = self.bytes >> 20;
            // A backup does not fail because its progress cannot be shown.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}: {mib} MiB", self.step);
        }
    }

    fn end(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
