//! `instant-audience load`: sends a file to a running server, and follows its job to the end.

use super::client::{Access, Content, Event, Job, Note, Parcel, Undelivered, deliver};
use super::{Ended, save, start_logging, until_stopped};
use crate::config::LogFormat;
use anyhow::Context;
use async_trait::async_trait;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Completed, with something in the file refused, and `--strict`.
const REFUSED_LINES: u8 = 3;
/// The server refused the file, or its job ended in `error`.
const FAILED: u8 = 4;
/// How the job ends is not known yet.
const NOT_KNOWN: u8 = 5;

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// `load FILE`
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:
  0  the job is completed
  1  a fault on this side: the file cannot be read, or the report not written
  2  the command line is wrong
  3  the job is completed, but something in the file was refused (only with --strict)
  4  the server refused the file, or the job ended in error
  5  how it ends is not known: the server cannot be reached, or the command was interrupted")]
pub(super) struct LoadArgs {
    /// A text or Avro file, also compressed with gzip, as the Batch Segment Service takes it. Use - for standard input.
    file: PathBuf,
    #[command(flatten)]
    access: Access,
    /// When the job is completed, whoever is not in the file is out of this segment.
    #[arg(long, value_name = "SEGMENT", value_parser = clap::value_parser!(u64).range(1..))]
    replace: Option<u64>,
    /// Where the job's report is written. Without it: FILE.report.json; none for standard input.
    #[arg(long, value_name = "PATH", conflicts_with = "no_report")]
    report: Option<PathBuf>,
    /// Write no report.
    #[arg(long)]
    no_report: bool,
    /// End with 3 where anything in the file was refused.
    #[arg(long)]
    strict: bool,
    /// How long to wait for a server that cannot be reached or is busy, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// Print no progress, only the outcome.
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: LoadArgs) -> anyhow::Result<()> {
    start_logging(LogFormat::Text, "warn")?;
    let name = args.file.display().to_string();
    let mut parcel = Loaded::open(&args.file, args.quiet).with_context(|| format!("cannot read {name}"))?;
    let report = args.report.clone().or_else(|| parcel.is_file().then(|| beside(&args.file)));
    let report = report.filter(|_| !args.no_report);
    let (server, _) = args.access.server().map_err(Ended::usage)?;
    let server = server.replacing(args.replace);
    let patience = Some(Duration::from_secs(args.timeout));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let outcome = until_stopped(deliver(&server, &mut parcel, None, patience)).await;
        outcome.map(|outcome| outcome.unwrap_or(Err(parcel.interrupted())))
    })?;
    parcel.bar.finish_and_clear();
    let ended = match outcome {
        Ok(job) => {
            let is_warning = args.strict && job.has_refused();
            tell(&job, report.as_deref())?;
            parcel.warn_if_changed(&args.file);
            is_warning.then(|| (REFUSED_LINES, "something in the file was refused".to_owned()))
        }
        Err(Undelivered::Failed(job)) => {
            tell(&job, report.as_deref())?;
            Some((FAILED, "the job ended in error".to_owned()))
        }
        Err(Undelivered::NoJob(refusal)) => Some((FAILED, format!("the server refuses: {}", refusal.why))),
        Err(Undelivered::Later { job_id: None, why }) => Some((NOT_KNOWN, why)),
        Err(Undelivered::Later { job_id: Some(job), why }) => {
            Some((NOT_KNOWN, format!("{why}; ask for it with GET /batch-segment?job_id={job}")))
        }
        Err(Undelivered::Here(error)) => return Err(error),
    };
    match ended {
        None => Ok(()),
        Some((code, why)) => Err(Ended::new(code, format!("{name}: {why}")).into()),
    }
}

/// Prints the outcome, and writes the report.
fn tell(job: &Job, report: Option<&Path>) -> anyhow::Result<()> {
    if let Some(path) = report {
        save(path, &job.report()).with_context(|| format!("cannot write the report {}", path.display()))?;
    }
    write!(std::io::stdout(), "{job}")?;
    if let Some(path) = report {
        writeln!(std::io::stdout(), "report: {}", path.display())?;
    }
    Ok(())
}

/// `FILE.report.json`
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".report.json");
    name.into()
}

/// The file that is loaded, and how its progress is shown.
struct Loaded {
    source: Option<File>,
    about: Option<About>,
    job_id: Option<String>,
    bar: ProgressBar,
    /// Standard error is a terminal.
    shows_bar: bool,
    /// It is none.
    prints_lines: bool,
    phase: String,
}

/// A file that can be read again, and how it looked.
struct About {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Loaded {
    fn open(path: &Path, quiet: bool) -> std::io::Result<Loaded> {
        if path == Path::new("-") {
            let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
            return Ok(Loaded::new(input, None, quiet));
        }
        let file = File::open(path)?;
        let found = file.metadata()?;
        if found.is_dir() {
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        // A pipe has no length, and can be read once.
        let about = found.is_file().then(|| About {
            path: path.to_owned(),
            bytes: found.len(),
            modified: found.modified().ok(),
        });
        Ok(Loaded::new(file, about, quiet))
    }

    fn new(source: File, about: Option<About>, quiet: bool) -> Loaded {
        let is_terminal = std::io::stderr().is_terminal();
        Loaded {
            source: Some(source),
            about,
            job_id: None,
            bar: ProgressBar::hidden(),
            shows_bar: is_terminal && !quiet,
            prints_lines: !is_terminal && !quiet,
            phase: String::new(),
        }
    }

    fn is_file(&self) -> bool {
        self.about.is_some()
    }

    fn interrupted(&self) -> Undelivered {
        Undelivered::Later { job_id: self.job_id.clone(), why: "interrupted".to_owned() }
    }

    /// Puts a bar in the place of the one before. It is shown with its first change.
    fn begin_bar(&mut self, bar: ProgressBar, template: &str) {
        if self.shows_bar {
            self.bar.finish_and_clear();
            let style = ProgressStyle::with_template(template).expect("the templates are well formed");
            self.bar = bar.with_style(style);
        }
    }

    fn line(&self, text: &str) {
        if self.prints_lines {
            // A load does not fail because its progress cannot be shown.
            let _ = writeln!(std::io::stderr(), "{text}");
        } else if self.shows_bar {
            self.bar.suspend(|| drop(writeln!(std::io::stderr(), "{text}")));
        }
    }

    fn warn_if_changed(&self, path: &Path) {
        let Some(about) = &self.about else { return };
        let is_same = std::fs::metadata(path)
            .is_ok_and(|now| now.len() == about.bytes && now.modified().ok() == about.modified);
        if !is_same {
            let name = path.display();
            let _ = writeln!(
                std::io::stderr(),
                "instant-audience: warning: {name} changed while it was loaded; what was written meanwhile may be missing"
            );
        }
    }
}

#[async_trait]
impl Parcel for Loaded {
    async fn open(&mut self) -> anyhow::Result<Option<Content>> {
        let length = self.about.as_ref().map(|about| about.bytes);
        let file = match (self.source.take(), &self.about) {
            (Some(file), _) => file,
            (None, Some(about)) => {
                let name = about.path.display();
                File::open(&about.path).with_context(|| format!("cannot read {name} again"))?
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Content::read(file, length)))
    }

    async fn note(&mut self, note: &Note) -> anyhow::Result<()> {
        if self.job_id.as_ref() != Some(&note.job_id) {
            self.line(&format!("job {}", note.job_id));
        }
        self.job_id = Some(note.job_id.clone());
        Ok(())
    }

    fn see(&mut self, event: Event<'_>) {
        match event {
            Event::Sending(_, length, sent) => {
                self.phase = "uploading".to_owned();
                match length {
                    Some(length) => {
                        let template = "uploading {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
                        self.begin_bar(ProgressBar::new(length), template);
                    }
                    None => self
                        .begin_bar(ProgressBar::new_spinner(), "uploading {spinner} {bytes} {bytes_per_sec}"),
                }
                show_bytes(&self.bar, sent);
            }
            Event::Sent => self.line("uploaded"),
            Event::Standing(job) => {
                if self.phase != job.phase() {
                    self.phase = job.phase().to_owned();
                    self.line(job.phase());
                    self.begin_bar(ProgressBar::new(100), "{msg} {wide_bar} {pos} %");
                    self.bar.set_message(self.phase.clone());
                }
                self.bar.set_position(job.percent());
            }
            Event::Waiting(why, pause) => {
                self.line(&format!("{why}; next try in {} s", pause.as_secs_f32()));
            }
        }
    }
}

/// Moves the bar with the bytes that were sent, until the upload is over.
fn show_bytes(bar: &ProgressBar, sent: &Arc<AtomicU64>) {
    if bar.is_hidden() {
        return;
    }
    let (bar, sent) = (bar.clone(), Arc::downgrade(sent));
    tokio::spawn(async move {
        while let Some(sent) = sent.upgrade() {
            bar.set_position(sent.load(Ordering::Relaxed));
            drop(sent);
            tokio::time::sleep(TICK).await;
        }
    });
}
