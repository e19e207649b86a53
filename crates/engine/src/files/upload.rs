//! Receives the file of a job.

use super::reading::UPLOADED_PERCENT;
use super::{FileError, FileErrorKind, Files, Shared};
use crate::threads::blocking;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use ia_catalog::BatchFiles;
use ia_catalog::file_jobs::{FileJob, Phase};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// How much is gathered before it is written.
const WRITE_BYTES: usize = 256 << 10;

/// How long a second upload of a file waits for the end of the first.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(30);

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// A job's upload must begin within this time of the job's creation, and end within that of its own beginning.
pub(super) const BEGIN_WITHIN_MS: u64 = 5 * MINUTE_MS;
pub(super) const END_WITHIN_MS: u64 = 90 * MINUTE_MS;

/// The `error_code` of jobs whose upload does not come to its end.
pub(super) const UPLOADING_ERROR: &str = "uploading-error";

/// That of jobs whose file is too large.
const TOO_LARGE: &str = "FILESIZE_LIMIT_EXCEEDED";

impl Files {
    /// Receives the file of a job; `announced` is its length, where the sender has told it. On return the file is on
    /// stable storage, and is applied whatever happens.
    ///
    /// The same bytes again are accepted and change nothing.
    ///
    /// # Errors
    ///
    /// Where nothing of the file will be applied. If anything of it was received, the job has ended.
    pub async fn receive<E: std::error::Error>(
        &self,
        job: &FileJob,
        announced: Option<u64>,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(), FileError> {
        let catalog = &self.shared.catalog;
        if !catalog.snapshot().member(job.member).is_some_and(|member| member.active) {
            return Err(FileError::not_found());
        }
        let set_up = catalog.accounts.batch_files(job.member).await?;
        let Some((mut upload, room)) = self.claim(job, announced, &set_up).await? else {
            return self.compare(job, body).await;
        };
        upload.receive(body, &room).await?;
        upload.finish().await
    }

    /// Begins the upload, if the job still waits for it.
    async fn claim(
        &self,
        job: &FileJob,
        announced: Option<u64>,
        set_up: &BatchFiles,
    ) -> Result<Option<(Upload, Room)>, FileError> {
        let shared = &self.shared;
        if job.phase != Phase::Starting {
            return match job.started_ms {
                Some(_) => Ok(None),
                // Nothing came of it: its time was over, or its length was refused.
                None if job.error_code.as_deref() == Some(TOO_LARGE) => {
                    Err(FileError::too_large(shared.rules.max_upload_bytes))
                }
                None => Err(FileError::not_found()),
            };
        }
        let now_ms = shared.clock.now_ms();
        if now_ms.saturating_sub(job.created_ms) > BEGIN_WITHIN_MS {
            shared.jobs.fail(job.id, UPLOADING_ERROR);
            return Err(FileError::not_found());
        }
        let room = self.room_left(job, set_up).await?;
        if let Some(bytes) = announced {
            room.check(bytes).inspect_err(|error| {
                // It can never be uploaded.
                if error.kind == FileErrorKind::TooLarge {
                    shared.jobs.fail(job.id, TOO_LARGE);
                }
            })?;
        }
        let most = shared.rules.uploads_at_once(set_up);
        let uploading = shared.jobs.count(job.member, |other| other.phase == Phase::Uploading) as u64;
        if most.is_some_and(|most| uploading >= most) {
            return Err(FileError::over_limit("uploads at once", 5));
        }
        // Behind the deletions that are noted, also of this millisecond or after the clock was set back.
        let started_ms = now_ms.max(shared.deletions.newest_ms().saturating_add(1));
        let is_claimed = shared.jobs.change(job.id, |job| {
            let is_free = job.phase == Phase::Starting;
            if is_free {
                job.phase = Phase::Uploading;
                job.started_ms = Some(started_ms);
                job.percent = 1;
            }
            is_free
        });
        if is_claimed != Some(true) {
            return Ok(None);
        }
        let until_ms = now_ms + END_WITHIN_MS;
        let upload = Upload { shared: Arc::clone(shared), job: job.id, announced, until_ms, received: None };
        Ok(Some((upload, room)))
    }

    /// What the limits leave of a file of the job.
    async fn room_left(&self, job: &FileJob, set_up: &BatchFiles) -> Result<Room, FileError> {
        let shared = &self.shared;
        let mut room = Room { max_bytes: shared.rules.max_upload_bytes, left: None };
        let now_ms = shared.clock.now_ms();
        let [bytes, lines] = shared.rules.rates(set_up);
        for (window_ms, bytes, lines, per) in [
            (HOUR_MS, bytes.an_hour, lines.an_hour, "an hour"),
            (24 * HOUR_MS, bytes.a_day, lines.a_day, "a day"),
        ] {
            if bytes.is_none() && lines.is_none() {
                continue;
            }
            // What is counted already and not stored yet counts, too.
            shared.jobs.flush().await?;
            let used = shared.jobs.store().use_since(job.member, now_ms.saturating_sub(window_ms)).await?;
            let oldest_ms = used.oldest_ms.unwrap_or(now_ms);
            let retry_seconds = (oldest_ms + window_ms).saturating_sub(now_ms).div_ceil(1000).max(1);
            if lines.is_some_and(|lines| used.entries >= lines) {
                return Err(FileError::over_limit(format!("lines {per}"), retry_seconds));
            }
            let Some(bytes) = bytes else { continue };
            let left = bytes.saturating_sub(used.bytes);
            if room.left.as_ref().is_none_or(|(least, ..)| left < *least) {
                room.left = Some((left, format!("bytes {per}"), retry_seconds));
            }
        }
        Ok(room)
    }

    /// Reads a body that comes to a job which has its file, and compares the two.
    async fn compare<E: std::error::Error>(
        &self,
        job: &FileJob,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(), FileError> {
        let (mut hash, mut bytes) = (Sha256::new(), 0u64);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| FileError::cut_off(&error))?;
            bytes += piece.len() as u64;
            if bytes > self.shared.rules.max_upload_bytes {
                return Err(FileError::too_large(self.shared.rules.max_upload_bytes));
            }
            hash.update(&piece);
        }
        let first = self.shared.jobs.wait_while(job.id, Phase::Uploading);
        if tokio::time::timeout(WAIT_FOR_FIRST, first).await.is_err() {
            return Err(FileError::conflict("Another upload for this job is in progress"));
        }
        let known = self.shared.jobs.find(&job.job_id).await?.ok_or_else(FileError::not_found)?;
        match known.sha256 {
            Some(sha256) if known.sent_bytes == bytes && sha256 == hex(hash) => Ok(()),
            Some(_) => {
                Err(FileError::conflict("This job has another file already; make a new job for this one"))
            }
            None => Err(FileError::conflict(
                "The upload for this job was broken off, and nothing of it is applied; make a new job",
            )),
        }
    }
}

/// What the limits leave.
struct Room {
    max_bytes: u64,
    /// Bytes, of which limit, and seconds until there may be more.
    left: Option<(u64, String, u64)>,
}

impl Room {
    fn check(&self, bytes: u64) -> Result<(), FileError> {
        if bytes > self.max_bytes {
            return Err(FileError::too_large(self.max_bytes));
        }
        match &self.left {
            Some((left, what, retry_seconds)) if bytes > *left => {
                Err(FileError::over_limit(what.clone(), *retry_seconds))
            }
            _ => Ok(()),
        }
    }
}

/// An upload in progress. Dropped before its end, it ends its job.
struct Upload {
    shared: Arc<Shared>,
    job: u64,
    announced: Option<u64>,
    /// When it must have ended, in milliseconds since 1970.
    until_ms: u64,
    /// Length and hash, once all is written.
    received: Option<(u64, String)>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.received.is_none() {
            self.shared.jobs.fail(self.job, UPLOADING_ERROR);
            self.shared.settle_soon(self.job);
        }
    }
}

impl Upload {
    async fn receive<E: std::error::Error>(
        &mut self,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        room: &Room,
    ) -> Result<(), FileError> {
        let within = Duration::from_millis(END_WITHIN_MS);
        let received = tokio::time::timeout(within, self.receive_all(body, room)).await;
        let error = match received.unwrap_or_else(|_| Err(FileError::too_slow())) {
            Ok(received) => {
                self.received = Some(received);
                return Ok(());
            }
            Err(error) => error,
        };
        let code = match error.kind {
            FileErrorKind::TooLarge => TOO_LARGE,
            FileErrorKind::OverLimit => "RATE_LIMIT_EXCEEDED",
            _ => UPLOADING_ERROR,
        };
        self.shared.jobs.fail(self.job, code);
        Err(error)
    }

    async fn receive_all<E: std::error::Error>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        room: &Room,
    ) -> Result<(u64, String), FileError> {
        let (spool, job) = (Arc::clone(&self.shared.spool), self.job);
        let (early, limits) = (Arc::clone(&self.shared.early), self.shared.rules.read_limits());
        let created = blocking(move || {
            let file = spool.create(job)?;
            // It is checked later where it cannot be read now.
            let followed = spool.open(job).ok().and_then(|file| early.begin(job, file, limits));
            Ok::<_, std::io::Error>((file, followed))
        });
        let (file, followed) = created.await?;
        let mut file = Some(file);
        let (mut hash, mut bytes) = (Sha256::new(), 0u64);
        let mut gathered = BytesMut::new();
        let mut shown = 0;
        loop {
            let piece = body.next().await.transpose().map_err(|error| FileError::cut_off(&error))?;
            let is_end = piece.is_none();
            // By the clock that ends jobs, too: what was ended must not be answered OK.
            if self.shared.clock.now_ms() > self.until_ms {
                return Err(FileError::too_slow());
            }
            if let Some(piece) = piece {
                bytes += piece.len() as u64;
                room.check(bytes)?;
                gathered.extend_from_slice(&piece);
            }
            if gathered.len() >= WRITE_BYTES || (is_end && !gathered.is_empty()) {
                let written = gathered.split().freeze();
                let length = written.len();
                let mut open = file.take().expect("it comes back from each write");
                let (open, hashed) = blocking(move || {
                    hash.update(&written);
                    open.append(&written).map(|()| (open, hash))
                })
                .await?;
                (file, hash) = (Some(open), hashed);
                self.shared.metrics.file_received(bytes - shown);
                shown = bytes;
                if let Some(followed) = &followed {
                    followed.wrote(length);
                }
                self.show_progress(bytes);
            }
            if is_end {
                break;
            }
        }
        if self.announced.is_some_and(|announced| announced != bytes) {
            return Err(FileError::syntax("The body is shorter than its Content-Length"));
        }
        if let Some(followed) = followed {
            followed.end();
        }
        let file = file.expect("it came back from the last write");
        blocking(move || file.finish()).await?;
        Ok((bytes, hex(hash)))
    }

    fn show_progress(&self, received: u64) {
        // Without a length, as if the file were as large as is allowed.
        let whole = self.announced.unwrap_or(self.shared.rules.max_upload_bytes).max(1);
        let share = u64::from(UPLOADED_PERCENT - 1) * received.min(whole) / whole;
        let percent = 1 + u8::try_from(share).unwrap_or_default();
        self.shared.jobs.change(self.job, |job| {
            job.percent = job.percent.max(percent);
            job.sent_bytes = received;
        });
    }

    /// Makes it known, durably, that the file is there. Goes on if the client disconnects.
    async fn finish(&mut self) -> Result<(), FileError> {
        let (bytes, sha256) = self.received.clone().expect("all is received");
        let (shared, job) = (Arc::clone(&self.shared), self.job);
        let finishing = tokio::spawn(async move {
            let now_ms = shared.clock.now_ms();
            let uploaded = shared.jobs.change_durably(job, |job| {
                job.phase = Phase::Validating;
                job.uploaded_ms = Some(now_ms);
                job.percent = UPLOADED_PERCENT;
                job.sent_bytes = bytes;
                job.sha256 = Some(sha256.clone());
            });
            let stored = uploaded.await;
            if !matches!(stored, Ok(true)) {
                shared.jobs.fail(job, UPLOADING_ERROR);
                shared.settle_soon(job);
            }
            shared.wake.notify_one();
            stored
        });
        match finishing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))? {
            true => Ok(()),
            false => Err(FileError::too_slow()),
        }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
