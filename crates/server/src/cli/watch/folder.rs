//! A folder.
//!
//! The claim on a file is a lock on its note, `.<name>.job`, which ends with the process. The note has a line of JSON
//! for each step; the last whole one counts.

use super::{Claim, Looked, Place, name};
use crate::cli::client::{Content, Job, Note};
use crate::cli::save;
use anyhow::{Context, bail};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A folder with files to send.
pub(super) struct Folder {
    /// Where files appear.
    inbox: PathBuf,
    /// Where they go.
    home: PathBuf,
    /// How the files looked at the last look.
    seen: HashMap<String, Stamp>,
    /// Names that were reported.
    unnamed: HashSet<OsString>,
}

/// How a file looks. Another content looks otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Stamp {
    modified_seconds: i64,
    modified_nanoseconds: i64,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(about: &Metadata) -> Stamp {
        Stamp {
            modified_seconds: about.mtime(),
            modified_nanoseconds: about.mtime_nsec(),
            bytes: about.len(),
            inode: about.ino(),
        }
    }

    /// `None` where there is no such file.
    fn look(path: &Path) -> std::io::Result<Option<Stamp>> {
        match fs::metadata(path) {
            Ok(about) => Ok(Some(Stamp::of(&about))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A line of a note.
#[derive(Serialize, Deserialize)]
struct Line {
    job: Note,
    file: Stamp,
}

impl Folder {
    /// Makes `done/` and `failed/`.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Folder> {
        let submitted = dir.join("submitted");
        let inbox = if submitted.is_dir() { submitted } else { dir.to_owned() };
        fs::read_dir(&inbox)?;
        for sub in ["done", "failed"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(Folder { inbox, home: dir.to_owned(), seen: HashMap::new(), unnamed: HashSet::new() })
    }

    /// Removes the note of a file that has been moved, which a crash has left.
    fn clear(&self, noted: &str) {
        if let Ok(Some(lock)) = Lock::take(&self.inbox, noted)
            && matches!(Stamp::look(&self.inbox.join(noted)), Ok(None))
            && lock.is_ours()
        {
            // Another look tries it again.
            let _ = fs::remove_file(&lock.path);
        }
    }
}

#[async_trait]
impl Place for Folder {
    type File = (Stamp, String);
    type Claim = Claimed;

    async fn look(&mut self) -> anyhow::Result<Looked<Self::File>> {
        let (mut seen, mut ready, mut notes) = (HashMap::new(), Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.inbox)? {
            let entry = entry?;
            // A name that is not UTF-8 could not be told in a report.
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    if self.unnamed.insert(name) {
                        tracing::warn!("{} is left: its name is not UTF-8", entry.path().display());
                    }
                    continue;
                }
            };
            if let Some(noted) = name::noted_by(&name) {
                notes.push(noted.to_owned());
            }
            if !name::is_taken(&name) {
                continue;
            }
            // It may be gone already.
            let Ok(about) = fs::metadata(entry.path()) else { continue };
            if !about.is_file() {
                continue;
            }
            let stamp = Stamp::of(&about);
            if self.seen.get(&name) == Some(&stamp) {
                ready.push((stamp, name.clone()));
            }
            seen.insert(name, stamp);
        }
        for noted in notes.iter().filter(|noted| !seen.contains_key(*noted)) {
            self.clear(noted);
        }
        ready.sort_unstable();
        let soon = seen.len() - ready.len();
        self.seen = seen;
        Ok(Looked { ready, soon })
    }

    async fn claim(&mut self, (stamp, name): &Self::File) -> anyhow::Result<Option<Claimed>> {
        let Some(lock) = Lock::take(&self.inbox, name)? else { return Ok(None) };
        let mut claim = Claimed {
            path: self.inbox.join(name),
            name: name.clone(),
            home: self.home.clone(),
            lock,
            stamp: *stamp,
            noted: None,
        };
        if Stamp::look(&claim.path)? != Some(*stamp) {
            claim.let_go();
            return Ok(None);
        }
        // Before there is a job: each try would leave one at the server.
        if let Err(error) = File::open(&claim.path) {
            claim.let_go();
            return Err(error).with_context(|| format!("cannot read {}", claim.path.display()));
        }
        claim.noted = claim.lock.last_line()?.filter(|line| line.file == *stamp).map(|line| line.job);
        Ok(Some(claim))
    }
}

/// A locked note.
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// `None` where another watcher has it.
    fn take(inbox: &Path, name: &str) -> anyhow::Result<Option<Lock>> {
        let path = inbox.join(name::of_note(name));
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.with_context(|| format!("cannot make {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => bail!("cannot lock {}: {error}", path.display()),
        }
        // Whoever had it before may have removed it: then this is a lock on nothing.
        let is_there = Stamp::look(&path)?
            .is_some_and(|stamp| file.metadata().is_ok_and(|about| about.ino() == stamp.inode));
        Ok(is_there.then_some(Lock { path, file }))
    }

    fn read(&self) -> std::io::Result<String> {
        let mut text = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The last whole line; a crash may have cut the one behind it.
    fn last_line(&self) -> std::io::Result<Option<Line>> {
        let text = self.read()?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        Ok(whole.lines().rev().find_map(|line| serde_json::from_str(line).ok()))
    }

    /// Whether a watcher has made the file.
    fn is_ours(&self) -> bool {
        matches!(self.read().as_deref(), Ok("")) || matches!(self.last_line(), Ok(Some(_)))
    }

    fn add(&self, line: &Line) -> std::io::Result<()> {
        // Behind a line that a crash has cut, the next one begins anew.
        let cut = self.read()?;
        let begin = if cut.is_empty() || cut.ends_with('\n') { "" } else { "\n" };
        let text = format!("{begin}{}\n", serde_json::to_string(line)?);
        (&self.file).write_all(text.as_bytes())?;
        self.file.sync_all()
    }
}

/// A file of this watcher.
pub(super) struct Claimed {
    path: PathBuf,
    name: String,
    home: PathBuf,
    lock: Lock,
    stamp: Stamp,
    noted: Option<Note>,
}

impl Claimed {
    /// Removes the note if nothing is in it.
    fn let_go(&self) {
        if self.lock.read().is_ok_and(|text| text.is_empty()) {
            let _ = fs::remove_file(&self.lock.path);
        }
    }

    fn inbox(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
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
        let add = || {
            self.lock.add(&Line { job: note.clone(), file: self.stamp })?;
            File::open(self.inbox())?.sync_all()
        };
        add().with_context(|| format!("cannot write {}", self.lock.path.display()))
    }

    async fn open(&mut self) -> anyhow::Result<Content> {
        let file = File::open(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        if Stamp::of(&file.metadata()?) != self.stamp {
            bail!("{} has changed since it was taken", self.path.display());
        }
        Ok(Content::read(file, Some(self.stamp.bytes)))
    }

    fn lost(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    async fn finish(self, job: &Job) -> anyhow::Result<String> {
        let folder = self.home.join(if job.is_completed() { "done" } else { "failed" });
        let moved = name::with_job(&self.name, job.id());
        save(&folder.join(name::of_report(&moved)), &job.report())?;
        let target = folder.join(moved);
        let mut place = target.display().to_string();
        match Stamp::look(&self.path)? {
            Some(stamp) if stamp == self.stamp => fs::rename(&self.path, &target)?,
            // What was sent is gone, and only its report is left. What is there now is another file, to be sent yet.
            _ => place = "replaced by another file of that name".to_owned(),
        }
        File::open(&folder)?.sync_all()?;
        File::open(self.inbox())?.sync_all()?;
        fs::remove_file(&self.lock.path)?;
        Ok(place)
    }

    async fn release(self) {
        self.let_go();
    }
}
