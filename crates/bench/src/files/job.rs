//! The three steps of a file over HTTP: its job, its upload, and asking how far it is.

use crate::client::{Call, Connection};
use crate::error::Error;
use bytes::Bytes;
use hyper::{Method, Uri};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A file that is not read by then never will be.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    upload: Uri,
    status: Uri,
}

/// How far a job is.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) phase: String,
    pub(super) error_code: Option<String>,
    pub(super) memberships: u64,
    pub(super) users: u64,
}

impl Job {
    /// Makes a job.
    pub(super) async fn create(connection: &mut Connection) -> Result<Job, Error> {
        let answer = read(&connection.post("/batch-segment", Bytes::new()).await?, "POST /batch-segment")?;
        let job = &answer["response"]["batch_segment_upload_job"];
        let uri = |text: String| {
            Uri::try_from(text).map_err(|_| Error::broken("POST /batch-segment gave no upload_url"))
        };
        let text = |key: &str| job[key].as_str().unwrap_or_default();
        Ok(Job {
            upload: uri(text("upload_url").to_owned())?,
            status: uri(format!("/batch-segment?job_id={}", text("job_id")))?,
        })
    }

    /// Sends the file; returns when it is answered OK.
    pub(super) async fn upload(&self, connection: &mut Connection, file: &Bytes) -> Result<(), Error> {
        let call = Call { method: Method::POST, uri: self.upload.clone(), body: file.clone() };
        connection.call_ok(&call, "segment_upload").await
    }

    /// How far it is.
    pub(super) async fn status(&self, connection: &mut Connection) -> Result<Status, Error> {
        let answer = connection.whole(&Call::get(self.status.clone())).await?;
        let answer = read(&answer, "GET /batch-segment")?;
        let job = &answer["response"]["batch_segment_upload_job"];
        let number = |key: &str| {
            job[key].as_u64().ok_or_else(|| Error::broken(format!("GET /batch-segment gave no {key}")))
        };
        Ok(Status {
            phase: job["phase"].as_str().unwrap_or_default().to_owned(),
            error_code: job["error_code"].as_str().map(str::to_owned),
            memberships: number("num_valid")?,
            users: number("num_valid_user")?,
        })
    }

    /// Waits until it has ended, well or not; asks again after a pause.
    pub(super) async fn end(&self, connection: &mut Connection, pause: Duration) -> Result<Status, Error> {
        let started = Instant::now();
        loop {
            let status = self.status(connection).await?;
            if matches!(status.phase.as_str(), "completed" | "error") {
                return Ok(status);
            }
            if started.elapsed() > PATIENCE {
                return Err(Error::broken(format!("a job is still {} after {PATIENCE:?}", status.phase)));
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

impl Status {
    /// The job must have taken all of the file: one that drops something would be the fastest.
    pub(super) fn must_have(&self, users: u64, memberships: u64) -> Result<(), Error> {
        let Status { phase, error_code, .. } = self;
        if phase == "completed" && (self.users, self.memberships) == (users, memberships) {
            return Ok(());
        }
        Err(Error::broken(format!(
            "a file of {users} users and {memberships} memberships ended as {phase} ({error_code:?}) with {} and {}",
            self.users, self.memberships
        )))
    }
}

fn read(answer: &[u8], what: &str) -> Result<Value, Error> {
    serde_json::from_slice(answer).map_err(|source| Error::Answer { what: what.to_owned(), source })
}
