//! `instant-audience watch`: sends each file that appears in a folder or under a prefix in S3, one after the other.
//!
//! A file is claimed, so that no second watcher takes it, and its job is noted beside it before the upload begins. Who
//! finds a note asks the server for that job first. So a watcher that is killed at any moment loses no file, and
//! applies none twice.

mod bucket;
mod folder;
mod name;
mod s3_http;

use super::client::{Access, Content, Event, Job, Note, Parcel, Server, Undelivered, deliver};
use super::{Ended, start_logging};
use crate::config::LogFormat;
use anyhow::Context;
use async_trait::async_trait;
use bucket::Bucket;
use clap::Args;
use folder::Folder;
use futures_util::future::BoxFuture;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

/// With `--once`: a file was refused, or its job has failed.
const FAILED: u8 = 4;
/// With `--once`: a file is left.
const LEFT: u8 = 5;

/// How long to wait at least after a file could not be sent.
const PAUSE_LEFT: Duration = Duration::from_secs(5);
/// And after the server has refused the login, which would soon be locked.
const PAUSE_REFUSED: Duration = Duration::from_secs(30);

/// A reason that lasts is logged that often.
const REPEAT: Duration = Duration::from_secs(60);

/// `watch WHAT`
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:
  0  stopped by SIGTERM or Ctrl-C; with --once: all files are done
  1  a fault on this side
  2  the command line is wrong
  4  with --once: a file was refused or its job failed, or the server refuses the login
  5  with --once: a file is left, because it could not be sent")]
pub(super) struct WatchArgs {
    /// A folder, or s3://BUCKET/PREFIX. Files are taken from submitted/ in it (of a folder without that: from the
    /// folder itself), and are moved to done/ or failed/, with their report.
    from: String,
    #[command(flatten)]
    access: Access,
    /// End when all files that are there have been sent, by this watcher or another one.
    #[arg(long)]
    once: bool,
    /// How often to look for files, in seconds. A file in a folder is taken when it looked the same two times.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    interval: Duration,
    /// In S3: take over the file of another watcher that has given no sign of life for that long, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    take_over: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(duration) }
}

/// Where files come from.
#[async_trait]
trait Place: Send {
    type File: Send + Sync;
    type Claim: Claim;

    /// The files that can be taken, in the order in which they are to be sent.
    async fn look(&mut self) -> anyhow::Result<Looked<Self::File>>;

    /// Takes a file. `None` where another watcher has it, or it is not there any more.
    async fn claim(&mut self, file: &Self::File) -> anyhow::Result<Option<Self::Claim>>;
}

struct Looked<F> {
    /// In the order in which they came.
    ready: Vec<F>,
    /// How many may become ready at a later look.
    soon: usize,
}

/// A file that this watcher alone works on, until this is dropped or the process ends.
#[async_trait]
trait Claim: Send {
    fn name(&self) -> String;

    /// What was noted before, of the same content.
    fn noted(&self) -> Option<Note>;

    async fn note(&mut self, note: &Note) -> anyhow::Result<()>;

    async fn open(&mut self) -> anyhow::Result<Content>;

    /// Ends when the claim does not hold any more.
    fn lost(&self) -> BoxFuture<'static, ()>;

    /// Moves the file to `done/` or `failed/` and writes its report. Says where it is.
    async fn finish(self, job: &Job) -> anyhow::Result<String>;

    /// Leaves the file where it is, for whoever takes it next.
    async fn release(self);
}

pub(super) fn run(args: WatchArgs) -> anyhow::Result<()> {
    start_logging(LogFormat::Text, "warn,instant_audience=info")?;
    let (server, http) = args.access.server().map_err(Ended::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        if args.from.starts_with("s3://") {
            let bucket = Bucket::open(&args.from, http, args.take_over).map_err(Ended::usage)?;
            watch(bucket, &server, &args, stop).await
        } else {
            let folder =
                Folder::open(Path::new(&args.from)).with_context(|| format!("cannot watch {}", args.from))?;
            watch(folder, &server, &args, stop).await
        }
    })
}

/// Becomes true when somebody asks the process to end.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        sender.send_replace(true);
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

async fn watch<P: Place>(
    mut place: P,
    server: &Server,
    args: &WatchArgs,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    info!("watching {}", args.from);
    let mut log = Repeated::default();
    loop {
        let round = match place.look().await {
            Ok(looked) => round(&mut place, looked, server, &mut log, &mut stop).await,
            Err(error) if args.once => return Err(error.context(format!("cannot look into {}", args.from))),
            Err(error) => {
                log.warn(&format!("cannot look into {}: {error:#}", args.from));
                Round { soon: 1, ..Round::default() }
            }
        };
        if *stop.borrow() {
            info!("stopped");
            return Ok(());
        }
        if args.once && round.soon == 0 {
            return match (round.failed, round.left) {
                (0, 0) => Ok(()),
                (0, left) => Err(Ended::new(LEFT, format!("{left} files are left")).into()),
                (failed, _) => Err(Ended::new(FAILED, format!("{failed} files have failed")).into()),
            };
        }
        let pause = match round {
            Round { is_refused: true, .. } => args.interval.max(PAUSE_REFUSED),
            Round { left: 1.., .. } => args.interval.max(PAUSE_LEFT),
            _ => args.interval,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}

/// What became of the files of one look.
#[derive(Default)]
struct Round {
    failed: usize,
    left: usize,
    soon: usize,
    is_refused: bool,
}

enum Became {
    Done,
    Failed,
    Left,
    /// No file has a chance now.
    Stop,
}

async fn round<P: Place>(
    place: &mut P,
    looked: Looked<P::File>,
    server: &Server,
    log: &mut Repeated,
    stop: &mut watch::Receiver<bool>,
) -> Round {
    let mut round = Round { soon: looked.soon, ..Round::default() };
    for file in looked.ready {
        let became = match place.claim(&file).await {
            Ok(Some(claim)) => one(claim, server, log, stop).await,
            Ok(None) => {
                round.soon += 1;
                continue;
            }
            Err(error) => {
                log.warn(&format!("{error:#}"));
                Became::Left
            }
        };
        match became {
            Became::Done => {}
            Became::Failed => round.failed += 1,
            Became::Left => round.left += 1,
            Became::Stop => {
                round.failed += 1;
                round.is_refused = true;
                break;
            }
        }
        if *stop.borrow() {
            break;
        }
    }
    round
}

/// Sends one file.
async fn one<C: Claim>(
    claim: C,
    server: &Server,
    log: &mut Repeated,
    stop: &mut watch::Receiver<bool>,
) -> Became {
    let name = claim.name();
    let noted = claim.noted();
    match &noted {
        Some(note) => info!("{name}: asking for job {}, which was begun before", note.job_id),
        None => info!("{name}: taken"),
    }
    let lost = claim.lost();
    let mut watched = Watched { claim, name: name.clone(), log, phase: String::new() };
    let outcome = tokio::select! {
        outcome = deliver(server, &mut watched, noted, None) => Some(outcome),
        _ = stop.wait_for(|stop| *stop) => None,
        () = lost => {
            warn!("{name}: another watcher has taken it over");
            None
        }
    };
    let Watched { claim, log, .. } = watched;
    let (job, became) = match outcome {
        None => {
            claim.release().await;
            return Became::Left;
        }
        Some(Ok(job)) => (job, Became::Done),
        Some(Err(Undelivered::Failed(job))) => (job, Became::Failed),
        Some(Err(undelivered)) => {
            claim.release().await;
            let (why, became) = match undelivered {
                Undelivered::NoJob(refusal) => (format!("the server refuses: {}", refusal.why), Became::Stop),
                Undelivered::Later { why, .. } => (why, Became::Left),
                Undelivered::Here(error) => (format!("{error:#}"), Became::Left),
                Undelivered::Failed(_) => unreachable!("handled above"),
            };
            log.warn(&format!("{name}: left for later: {why}"));
            return became;
        }
    };
    match claim.finish(&job).await {
        Ok(place) => {
            let (applied, refused) = (job.applied(), job.refused());
            match became {
                Became::Done => info!("{name}: completed, now {place}; applied {applied}, refused {refused}"),
                _ => warn!("{name}: failed ({}), now {place}; applied {applied}", job.error_code()),
            }
            became
        }
        Err(error) => {
            log.warn(&format!("{name}: job {} has ended, but the file was not moved: {error:#}", job.id()));
            Became::Left
        }
    }
}

/// A claim on its way, with what happens in the log.
struct Watched<'a, C> {
    claim: C,
    name: String,
    log: &'a mut Repeated,
    phase: String,
}

#[async_trait]
impl<C: Claim> Parcel for Watched<'_, C> {
    async fn open(&mut self) -> anyhow::Result<Option<Content>> {
        self.claim.open().await.map(Some)
    }

    async fn note(&mut self, note: &Note) -> anyhow::Result<()> {
        self.claim.note(note).await
    }

    fn see(&mut self, event: Event<'_>) {
        let name = &self.name;
        match event {
            Event::Sending(note, ..) => info!("{name}: uploading as job {}", note.job_id),
            Event::Sent => info!("{name}: uploaded"),
            Event::Standing(job) if self.phase != job.phase() => {
                self.phase = job.phase().to_owned();
                info!("{name}: {}", self.phase);
            }
            Event::Standing(_) => {}
            Event::Waiting(why, _) => self.log.warn(&format!("{name}: waiting: {why}")),
        }
    }
}

/// Logs what lasts once, and again from time to time.
#[derive(Default)]
struct Repeated {
    last: Option<(String, Instant)>,
}

impl Repeated {
    fn warn(&mut self, text: &str) {
        if self.last.as_ref().is_some_and(|(last, at)| last == text && at.elapsed() < REPEAT) {
            return;
        }
        warn!("{text}");
        self.last = Some((text.to_owned(), Instant::now()));
    }
}
