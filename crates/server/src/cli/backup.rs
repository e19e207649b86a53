//! `instant-audience backup`: a copy of a data directory that a server can start on, also while one runs.
//!
//! The order makes the parts fit. First the log is held: a server removes none of its files until the end.
//! Then the views are copied, each with the position of the log that it covers; then the log, up to an end
//! that lies behind all of them. So the log in the copy goes on from the oldest view, and no view is ahead
//! of it. At last the copy is opened and read as a start would.

use super::start_logging;
use crate::config::{Config, LogFormat, Overrides};
use anyhow::{Context, bail};
use clap::Args;
use ia_catalog::usage::UsageStore;
use ia_catalog::{Catalog, SqliteCatalog, SqliteUsage};
use ia_engine::data_dir::{DataDir, LogHold};
use ia_log::{Copied, Disk, Found, Inspector, RealDisk};
use ia_model::{Record, SystemClock};
use ia_profiles::StoreCopy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a server may take to remove the log files that it has begun to remove.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// How often progress is shown on a terminal.
const PROGRESS: Duration = Duration::from_millis(200);

/// `backup TO`
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The folder for the copy: a new one, or an empty one.
    to: PathBuf,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder to copy.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: BackupArgs) -> anyhow::Result<()> {
    start_logging(LogFormat::Text, "error")?;
    let overrides = Overrides { file: args.config, data_dir: args.data_dir, ..Overrides::default() };
    let from = DataDir::existing(&Config::load(&overrides)?.server.data_dir)?;
    if !from.log().is_dir() {
        bail!("{} holds no log; no server has run on it yet", from.path().display());
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

/// The folder that is filled.
struct Target {
    dir: DataDir,
    /// It was there before, empty.
    existed: bool,
}

impl Target {
    fn prepare(to: &Path, from: &Path) -> anyhow::Result<Target> {
        let existed = to.exists();
        if existed {
            let mut entries = fs::read_dir(to).with_context(|| format!("cannot list {}", to.display()))?;
            if entries.next().is_some() {
                bail!("{} is not empty; name a new folder", to.display());
            }
        }
        let parent = std::path::absolute(to)?;
        let inside = parent.ancestors().filter_map(|path| path.canonicalize().ok()).next();
        if inside.is_some_and(|inside| from.canonicalize().is_ok_and(|from| inside.starts_with(from))) {
            bail!("{} lies in the data directory", to.display());
        }
        let dir = DataDir::create(to)?;
        dir.make_private()?;
        let target = Target { dir, existed };
        match target.dir.mark_incomplete() {
            Ok(()) => Ok(target),
            Err(error) => Err(target.discard(error)),
        }
    }

    /// Removes what was made, lest somebody take it for a backup.
    fn discard(&self, error: anyhow::Error) -> anyhow::Error {
        let path = self.dir.path();
        let removed = if self.existed { empty(path) } else { fs::remove_dir_all(path) };
        match removed {
            Ok(()) => error.context("no backup was made"),
            Err(cause) => error.context(format!(
                "no backup was made, and {} could not be removed ({cause}); it is of no use",
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

/// What the copy holds, in a line.
struct Done {
    log: Copied,
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
    Ok(Done { log, profiles, records, bytes: log.bytes + profiles.bytes + database_bytes })
}

/// Every table of the profiles is open at once. What the system does not allow shows as an error there.
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

/// Opens the databases of the copy as a server does, and says which position the statistics cover.
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
fn check_log(to: &DataDir, log: &Copied, progress: &mut Progress) -> anyhow::Result<u64> {
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
        bail!("the log ends before position {next}, and should before {}", log.next_position);
    }
    Ok(next - log.first_position)
}

/// A server refuses to start on parts that do not go together.
fn check_positions(log: &Copied, profiles: u64, statistics: u64) -> anyhow::Result<()> {
    let (first, end) = (log.first_position, log.next_position - 1);
    for (view, covered) in [("profiles", profiles), ("usage statistics", statistics)] {
        if covered > end {
            bail!("the {view} cover position {covered}, but the log ends at {end}");
        }
    }
    if profiles + 1 < first {
        bail!("the profiles cover position {profiles}, but the log starts at {first}");
    }
    // Statistics that were lost once have such a gap; a server starts all the same.
    Ok(())
}

/// What is shown on a terminal meanwhile.
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
            // A progress that nobody sees is no reason to fail.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}: {mib} MiB", self.step);
        }
    }

    fn end(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
