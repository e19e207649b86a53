//! Brings one file to the end of its job, whatever breaks on the way.
//!
//! Each job is noted before its upload begins. After a doubtful end of an upload, and after a restart, the server is
//! asked for the noted job first. Only if it has not got the file is the file sent again, to the same URL, or in a new
//! job where the old one is over. So no file is applied twice.

use super::api::{Failure, Refusal, Server};
use super::content::Content;
use super::job::Job;
use async_trait::async_trait;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// How many jobs are begun for one file.
const MAX_JOBS: usize = 5;
/// Pauses between tries, where the server does not say how long to wait.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Pauses between questions after a job's progress. Small files are done at once.
const FIRST_POLL: Duration = Duration::from_millis(50);
const LONGEST_POLL: Duration = Duration::from_secs(2);
/// The server forgets jobs after 30 days. A job that is about as old may have ended well.
const REMEMBERED: Duration = Duration::from_secs(29 * 86_400);

/// What must be known of a job to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Note {
    pub(in crate::cli) job_id: String,
    /// Secret until the file is there: who has it can send another file.
    upload_url: String,
    /// The upload was answered OK.
    uploaded: bool,
    /// In seconds since 1970.
    created: u64,
}

/// What happens, for who watches.
#[derive(Debug)]
pub(in crate::cli) enum Event<'a> {
    /// An upload begins; its bytes are counted.
    Sending(&'a Note, Option<u64>, &'a Arc<AtomicU64>),
    /// The server has the whole file.
    Sent,
    /// How the job stands.
    Standing(&'a Job),
    /// Something did not work, and will be tried again.
    Waiting(&'a str, Duration),
}

/// A file to deliver.
#[async_trait]
pub(in crate::cli) trait Parcel: Send {
    /// The content, from its beginning. `None` where it was read already and cannot be read twice.
    async fn open(&mut self) -> anyhow::Result<Option<Content>>;
    /// Keeps the note, durably.
    async fn note(&mut self, note: &Note) -> anyhow::Result<()>;
    /// Is told what happens.
    fn see(&mut self, event: Event<'_>);
}

/// Why a file was not delivered.
#[derive(Debug)]
pub(in crate::cli) enum Undelivered {
    /// The server said no before there was a job: to the login, or to what was asked for.
    NoJob(Refusal),
    /// The job has failed, or its file was refused.
    Failed(Job),
    /// Not known yet, or not possible now.
    Later { job_id: Option<String>, why: String },
    /// The fault is on this side.
    Here(anyhow::Error),
}

/// Waits, but for no longer than `limit` without progress.
struct Patience {
    limit: Option<Duration>,
    since: Option<Instant>,
    pause: Duration,
}

impl Patience {
    fn new(limit: Option<Duration>) -> Patience {
        Patience { limit, since: None, pause: FIRST_PAUSE }
    }

    fn renew(&mut self) {
        *self = Patience::new(self.limit);
    }

    /// Waits before the next try. False where there is no time left for one.
    async fn wait(&mut self, parcel: &mut impl Parcel, why: &str, after: Option<Duration>) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let pause = after.unwrap_or(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if self.limit.is_some_and(|limit| since.elapsed() + pause > limit) {
            return false;
        }
        parcel.see(Event::Waiting(why, pause));
        tokio::time::sleep(pause).await;
        true
    }
}

/// What to do next.
enum Step {
    Create,
    Send(Note),
    Ask(Note),
}

/// Delivers a file, and returns its job, which is completed. `noted` is what an earlier try has noted. `patience` is
/// how long a server that is away or busy is waited for without progress; without it for ever.
pub(in crate::cli) async fn deliver(
    server: &Server,
    parcel: &mut impl Parcel,
    noted: Option<Note>,
    patience: Option<Duration>,
) -> Result<Job, Undelivered> {
    let mut delivery = Delivery {
        server,
        parcel,
        patience: Patience::new(patience),
        jobs: 0,
        broke: None,
        last: None,
        poll: FIRST_POLL,
    };
    let mut step = noted.map_or(Step::Create, Step::Ask);
    loop {
        step = match step {
            Step::Create => delivery.create().await?,
            Step::Send(note) => delivery.send(note).await?,
            Step::Ask(note) => match delivery.ask(note).await? {
                Asked::Ended(job) if job.is_completed() => return Ok(job),
                Asked::Ended(job) => return Err(Undelivered::Failed(job)),
                Asked::GoOn(step) => step,
            },
        };
    }
}

enum Asked {
    Ended(Job),
    GoOn(Step),
}

struct Delivery<'a, P> {
    server: &'a Server,
    parcel: &'a mut P,
    patience: Patience,
    jobs: usize,
    /// How the last upload broke.
    broke: Option<String>,
    last: Option<Job>,
    poll: Duration,
}

impl<P: Parcel> Delivery<'_, P> {
    async fn create(&mut self) -> Result<Step, Undelivered> {
        loop {
            match self.server.create_job().await {
                Ok((job, upload_url)) => {
                    self.jobs += 1;
                    let note =
                        Note { job_id: job.id().to_owned(), upload_url, uploaded: false, created: now() };
                    self.parcel.note(&note).await.map_err(Undelivered::Here)?;
                    return Ok(Step::Send(note));
                }
                Err(Failure::Refused(refusal)) => return Err(Undelivered::NoJob(refusal)),
                Err(failure) => self.wait(failure, None).await?,
            }
        }
    }

    async fn send(&mut self, mut note: Note) -> Result<Step, Undelivered> {
        let Some(content) = self.parcel.open().await.map_err(Undelivered::Here)? else {
            let why = "the upload broke, and what was read already cannot be read again".to_owned();
            return Err(Undelivered::Later { job_id: Some(note.job_id), why });
        };
        let sent = Arc::new(AtomicU64::new(0));
        self.parcel.see(Event::Sending(&note, content.length, &sent));
        match self.server.upload(&note.upload_url, content, &sent).await {
            Ok(()) => {
                note.uploaded = true;
                self.parcel.note(&note).await.map_err(Undelivered::Here)?;
                self.parcel.see(Event::Sent);
                self.patience.renew();
            }
            Err(Failure::Unreadable(why)) => {
                return Err(Undelivered::Here(anyhow::anyhow!("cannot read the file: {why}")));
            }
            // The job says whether the URL has run out.
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                self.wait(Failure::Away(refusal.why), Some(&note)).await?;
            }
            Err(Failure::Refused(refusal)) => {
                let job = match self.server.job(&note.job_id).await {
                    Ok(job) => job.with_error(&refusal.why),
                    Err(_) => Job::failed(&note.job_id, &refusal.why),
                };
                return Err(Undelivered::Failed(job));
            }
            // It may have arrived: asking tells.
            Err(Failure::Away(why)) => self.broke = Some(why),
            Err(failure) => self.wait(failure, Some(&note)).await?,
        }
        Ok(Step::Ask(note))
    }

    async fn ask(&mut self, note: Note) -> Result<Asked, Undelivered> {
        let job = match self.server.job(&note.job_id).await {
            Ok(job) => job,
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                let age = Duration::from_secs(now().saturating_sub(note.created));
                if note.uploaded || age > REMEMBERED {
                    let why = "the server does not know this job any more, so its end is not known";
                    return Ok(Asked::Ended(Job::failed(&note.job_id, why)));
                }
                return self.anew(&note, "the server does not know the job").await;
            }
            Err(Failure::Refused(refusal)) => return Err(Undelivered::NoJob(refusal)),
            Err(failure) => {
                self.wait(failure, Some(&note)).await?;
                return Ok(Asked::GoOn(Step::Ask(note)));
            }
        };
        if job.upload_broke() {
            return self.anew(&note, &format!("the upload broke ({})", job.error_code())).await;
        }
        if job.has_ended() {
            return Ok(Asked::Ended(job));
        }
        match job.phase() {
            "starting" => {
                // Nothing of it has arrived.
                if let Some(why) = self.broke.take() {
                    self.wait(Failure::Away(why), Some(&note)).await?;
                }
                return Ok(Asked::GoOn(Step::Send(note)));
            }
            // The server has not seen yet that the upload broke.
            "uploading" => self.wait(Failure::Away("the upload broke".to_owned()), Some(&note)).await?,
            _ => self.follow(job).await,
        }
        Ok(Asked::GoOn(Step::Ask(note)))
    }

    /// Begins a new job, if there were not too many.
    async fn anew(&mut self, note: &Note, why: &str) -> Result<Asked, Undelivered> {
        if self.jobs == MAX_JOBS {
            let why = format!("{why}, {MAX_JOBS} times");
            return Err(Undelivered::Later { job_id: Some(note.job_id.clone()), why });
        }
        if self.jobs > 0 {
            self.wait(Failure::Away(why.to_owned()), Some(note)).await?;
        }
        Ok(Asked::GoOn(Step::Create))
    }

    async fn follow(&mut self, job: Job) {
        self.patience.renew();
        if self.last.as_ref() != Some(&job) {
            self.parcel.see(Event::Standing(&job));
            self.last = Some(job);
        }
        tokio::time::sleep(self.poll).await;
        self.poll = (self.poll * 3 / 2).min(LONGEST_POLL);
    }

    async fn wait(&mut self, failure: Failure, note: Option<&Note>) -> Result<(), Undelivered> {
        let (why, after) = match failure {
            Failure::Busy { why, after } => (why, after),
            Failure::Away(why) | Failure::Unreadable(why) => (why, None),
            Failure::Refused(refusal) => (refusal.why, None),
        };
        if self.patience.wait(self.parcel, &why, after).await {
            return Ok(());
        }
        let why = match after {
            Some(after) => format!("{why}; the server says to come again in {} s", after.as_secs()),
            None => why,
        };
        Err(Undelivered::Later { job_id: note.map(|note| note.job_id.clone()), why })
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
