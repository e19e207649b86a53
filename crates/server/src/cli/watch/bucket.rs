//! A prefix in S3, or in what speaks its protocol.
//!
//! The claim on an object is another one beside it, `.<name>.job`, which only one watcher can make, and which its
//! maker changes every few seconds. All its changes are conditional, so who has lost it notices. A watcher that has
//! seen no change for some time takes it over, with the job that is noted in it. That needs no clocks that agree.

use super::s3_http::Connector;
use super::{Claim, Looked, Place, name};
use crate::cli::client::{Content, Http, Job, Note};
use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Where files appear, below the prefix.
const INBOX: &str = "submitted";
/// How many signs of life a watcher gives in the time after which it is taken for dead.
const SIGNS: u32 = 4;

/// A prefix with files to send.
pub(super) struct Bucket {
    store: Arc<AmazonS3>,
    prefix: Path,
    take_over: Duration,
    /// Who this is, in claims.
    owner: String,
    /// The claims of others: in which version, since when, and whether it has changed meanwhile.
    held: HashMap<String, (String, Instant, bool)>,
}

/// What is in a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Mark {
    /// `None` where it was left.
    owner: Option<String>,
    /// Changes with each sign of life.
    sign: u64,
    job: Option<Note>,
    /// The content to which the job belongs.
    content: Option<String>,
}

impl Bucket {
    /// Takes credentials, region and endpoint from the environment.
    pub(super) fn open(url: &str, http: Http, take_over: Duration) -> anyhow::Result<Bucket> {
        let rest = url.strip_prefix("s3://").context("the URL must begin with s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(!bucket.is_empty(), "{url} names no bucket");
        let prefix = Path::parse(prefix).with_context(|| format!("{url} has no good prefix"))?;
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_http_connector(Connector(http))
            .build()
            .with_context(|| format!("cannot use {url}"))?;
        let mut owner = [0; 16];
        getrandom::fill(&mut owner)?;
        let owner = owner.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Bucket { store: Arc::new(store), prefix, take_over, owner, held: HashMap::new() })
    }

    fn inbox(&self) -> Path {
        self.prefix.clone().join(INBOX)
    }

    /// Whether a claim of another one can be taken over now, may be soon, or is alive.
    fn standing(&mut self, name: &str, e_tag: &Option<String>) -> Standing {
        let version = tag(e_tag);
        let now = Instant::now();
        let (last, since, changed) =
            self.held.entry(name.to_owned()).or_insert_with(|| (version.clone(), now, false));
        if *last != version {
            (*last, *since, *changed) = (version, now, true);
        }
        if since.elapsed() >= self.take_over {
            Standing::Dead
        } else if *changed {
            Standing::Alive
        } else {
            Standing::NotKnown
        }
    }
}

#[derive(PartialEq)]
enum Standing {
    Alive,
    NotKnown,
    Dead,
}

#[async_trait]
impl Place for Bucket {
    type File = (ObjectMeta, Option<ObjectMeta>);
    type Claim = Claimed;

    async fn look(&mut self) -> anyhow::Result<Looked<Self::File>> {
        let found = self.store.list_with_delimiter(Some(&self.inbox())).await?;
        let (mut files, mut marks) = (Vec::new(), HashMap::new());
        for object in found.objects {
            let Some(name) = object.location.filename().map(str::to_owned) else { continue };
            match name::noted_by(&name) {
                Some(noted) => drop(marks.insert(noted.to_owned(), object)),
                None if name::is_taken(&name) => files.push((name, object)),
                None => {}
            }
        }
        self.held.retain(|name, _| marks.contains_key(name));
        let mut looked = Looked { ready: Vec::new(), soon: 0 };
        for (name, file) in files {
            let mark = marks.remove(&name);
            match mark.as_ref().map(|mark| self.standing(&name, &mark.e_tag)) {
                Some(Standing::Alive) => looked.soon += 1,
                // It may have been left: claiming it shows that.
                _ => looked.ready.push((file, mark)),
            }
        }
        // Of files that have been moved; a crash has left them.
        for (name, mark) in marks {
            if self.standing(&name, &mark.e_tag) == Standing::Dead {
                self.store.delete(&mark.location).await?;
            }
        }
        looked
            .ready
            .sort_by(|(a, _), (b, _)| (a.last_modified, &a.location).cmp(&(b.last_modified, &b.location)));
        Ok(looked)
    }

    async fn claim(&mut self, (file, mark): &Self::File) -> anyhow::Result<Option<Claimed>> {
        let name = file.location.filename().unwrap_or_default().to_owned();
        let path = object(&self.inbox(), &name::of_note(&name))?;
        let content = identity(file);
        let mut new = Mark { owner: Some(self.owner.clone()), sign: 0, job: None, content: None };
        let mut held = Held {
            store: self.store.clone(),
            path,
            owner: self.owner.clone(),
            mark: new.clone(),
            version: None,
            since: Instant::now(),
        };
        if mark.is_some() {
            let Some((old, version)) = held.read().await? else { return Ok(None) };
            let is_dead = self.standing(&name, &version.e_tag) == Standing::Dead;
            if old.owner.is_some() && !is_dead {
                return Ok(None);
            }
            new.sign = old.sign + 1;
            if old.content.as_ref() == Some(&content) {
                (new.job, new.content) = (old.job, old.content);
            }
            held.version = Some(version);
        }
        if !held.write(new).await? {
            return Ok(None);
        }
        self.held.remove(&name);
        let file = match self.store.head(&file.location).await {
            Ok(now) if identity(&now) == content => now,
            // It was moved, or replaced, since the look.
            Ok(_) | Err(Error::NotFound { .. }) => {
                held.remove().await;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Claimed::new(self, file, name, content, held)))
    }
}

/// What tells one content of an object from another.
fn identity(file: &ObjectMeta) -> String {
    format!("{} {}", tag(&file.e_tag), file.size)
}

/// Without its quotes, which some stores leave out of lists.
fn tag(e_tag: &Option<String>) -> String {
    e_tag.as_deref().unwrap_or_default().trim_matches('"').to_owned()
}

/// An object of a folder, by the name as it is; `Path::join` would encode some characters.
fn object(folder: &Path, name: &str) -> anyhow::Result<Path> {
    Path::parse(format!("{folder}/{name}")).with_context(|| format!("{name} is no good name"))
}

/// The object that is a claim.
struct Held {
    store: Arc<AmazonS3>,
    path: Path,
    owner: String,
    mark: Mark,
    version: Option<UpdateVersion>,
    /// When the last change was begun that went through.
    since: Instant,
}

impl Held {
    async fn read(&self) -> anyhow::Result<Option<(Mark, UpdateVersion)>> {
        let found = match self.store.get(&self.path).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await?;
        let mark = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is no claim of a watcher", self.path))?;
        Ok(Some((mark, version)))
    }

    /// Writes if nobody else has written meanwhile. False otherwise.
    async fn write(&mut self, mark: Mark) -> anyhow::Result<bool> {
        for _ in 0..2 {
            let begun = Instant::now();
            let mode = self.version.clone().map_or(PutMode::Create, PutMode::Update);
            let payload = PutPayload::from(serde_json::to_vec(&mark)?);
            let version = match self.store.put_opts(&self.path, payload, PutOptions::from(mode)).await {
                Ok(put) => UpdateVersion { e_tag: put.e_tag, version: put.version },
                Err(Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotFound { .. }) => {
                    // It may have been this watcher, and the answer was lost.
                    match self.read().await? {
                        Some((found, version)) if found == mark => version,
                        Some((found, version)) if found.owner.as_ref() == Some(&self.owner) => {
                            self.version = Some(version);
                            continue;
                        }
                        _ => return Ok(false),
                    }
                }
                Err(error) => return Err(error.into()),
            };
            (self.version, self.mark, self.since) = (Some(version), mark, begun);
            return Ok(true);
        }
        Ok(false)
    }

    async fn remove(&self) {
        if let Err(error) = self.store.delete(&self.path).await {
            tracing::warn!("cannot delete {}: {error}", self.path);
        }
    }
}

/// An object of this watcher.
pub(super) struct Claimed {
    store: Arc<AmazonS3>,
    prefix: Path,
    file: ObjectMeta,
    name: String,
    content: String,
    noted: Option<Note>,
    held: Arc<Mutex<Held>>,
    lost: watch::Receiver<bool>,
    signs: AbortHandle,
}

impl Claimed {
    fn new(bucket: &Bucket, file: ObjectMeta, name: String, content: String, held: Held) -> Claimed {
        let noted = held.mark.job.clone();
        let held = Arc::new(Mutex::new(held));
        let (sender, lost) = watch::channel(false);
        let signs = tokio::spawn(give_signs(held.clone(), bucket.take_over, sender)).abort_handle();
        Claimed {
            store: bucket.store.clone(),
            prefix: bucket.prefix.clone(),
            file,
            name,
            content,
            noted,
            held,
            lost,
            signs,
        }
    }

    /// Changes the claim, and so makes sure that it holds.
    async fn change(&self, change: impl FnOnce(&mut Mark)) -> anyhow::Result<()> {
        let mut held = self.held.lock().await;
        let mut mark = held.mark.clone();
        mark.sign += 1;
        change(&mut mark);
        if !held.write(mark).await? {
            bail!("another watcher has taken over {}", self.name);
        }
        Ok(())
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.signs.abort();
    }
}

/// Changes the claim from time to time, until it is lost.
async fn give_signs(held: Arc<Mutex<Held>>, take_over: Duration, lost: watch::Sender<bool>) {
    loop {
        tokio::time::sleep(take_over / SIGNS).await;
        let mut held = held.lock().await;
        let mut mark = held.mark.clone();
        mark.sign += 1;
        let is_lost = match tokio::time::timeout(take_over / SIGNS, held.write(mark)).await {
            Ok(Ok(holds)) => !holds,
            // Others may take it over soon.
            Ok(Err(_)) | Err(_) => held.since.elapsed() > take_over / 2,
        };
        if is_lost {
            lost.send_replace(true);
            return;
        }
    }
}

#[async_trait]
impl Claim for Claimed {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn noted(&self) -> Option<Note> {
        self.noted.clone()
    }

    async fn note(&mut self, note: &Note) -> anyhow::Result<()> {
        let content = self.content.clone();
        self.change(|mark| (mark.job, mark.content) = (Some(note.clone()), Some(content))).await
    }

    async fn open(&mut self) -> anyhow::Result<Content> {
        let options = GetOptions { if_match: self.file.e_tag.clone(), ..GetOptions::default() };
        let found = self.store.get_opts(&self.file.location, options).await?;
        let bytes = found.into_stream().map_err(std::io::Error::other);
        Ok(Content::checked(bytes.boxed(), Some(self.file.size)))
    }

    fn lost(&self) -> BoxFuture<'static, ()> {
        let mut lost = self.lost.clone();
        Box::pin(async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    async fn finish(self, job: &Job) -> anyhow::Result<String> {
        self.change(|_| ()).await?;
        let folder = self.prefix.clone().join(if job.is_completed() { "done" } else { "failed" });
        let moved = name::with_job(&self.name, job.id());
        let target = object(&folder, &moved)?;
        let report = object(&folder, &name::of_report(&moved))?;
        self.store.put(&report, PutPayload::from(job.report())).await?;
        let place = match self.store.head(&self.file.location).await {
            Ok(now) if identity(&now) == self.content => {
                self.store.copy(&self.file.location, &target).await?;
                self.store.delete(&self.file.location).await?;
                target.to_string()
            }
            // What was sent is gone, and only its report is left. What is there now is another file, to be sent yet.
            Ok(_) => "replaced by another file of that name".to_owned(),
            // An earlier try has moved it.
            Err(Error::NotFound { .. }) => target.to_string(),
            Err(error) => return Err(error.into()),
        };
        self.signs.abort();
        self.held.lock().await.remove().await;
        Ok(place)
    }

    async fn release(self) {
        self.signs.abort();
        if *self.lost.borrow() {
            return;
        }
        if let Err(error) = self.change(|mark| mark.owner = None).await {
            tracing::warn!("{}: its claim stays for a while: {error:#}", self.name);
        }
    }
}
