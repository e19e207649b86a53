//! Files of memberships over HTTP: jobs, uploads, what becomes of them, and the clients of this service.

mod clients;
mod counters;
mod durability;
mod failures;
mod jobs;
mod limits;
mod replace;
mod uploads;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Method;
use ia_testkit::{Answer, Client, eventually, send};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The payload's key in answers.
const TERM: &str = "batch_segment_upload_job";

/// All counters of a job.
const COUNTERS: [&str; 10] = [
    "num_valid",
    "num_valid_user",
    "num_invalid_user",
    "num_invalid_format",
    "num_invalid_segment",
    "num_unauth_segment",
    "num_inactive_segment",
    "num_past_expiration",
    "num_invalid_timestamp",
    "num_other_error",
];

/// A job that waits for its file.
#[derive(Debug, Clone)]
struct NewJob {
    id: String,
    /// The upload's URL without scheme and host.
    path: String,
}

impl NewJob {
    /// A new job of the caller's member.
    async fn make(client: &Client) -> NewJob {
        NewJob::make_at(client, "/batch-segment").await
    }

    async fn make_at(client: &Client, target: &str) -> NewJob {
        let answer = client.send(Method::POST, target, &[], Bytes::new()).await.ok();
        NewJob::of(&answer[TERM])
    }

    fn of(shown: &Value) -> NewJob {
        let id = shown["job_id"].as_str().expect("a text").to_owned();
        let url = shown["upload_url"].as_str().expect("a text");
        let (_scheme, rest) = url.split_once("://").expect("an absolute URL");
        let path = rest[rest.find('/').expect("a path")..].to_owned();
        NewJob { id, path }
    }

    /// Sends a file without a token.
    async fn upload(&self, server: SocketAddr, file: impl Into<Bytes>) -> Answer {
        send(server, Method::POST, &self.path, &[], file.into()).await
    }
}

/// The job as it is now.
async fn job(client: &Client, id: &str) -> Value {
    client.get(&format!("/batch-segment?job_id={id}")).await.ok()[TERM].clone()
}

/// Waits until a job is in a final phase.
async fn end_of(client: &Client, id: &str) -> Value {
    eventually("the end of a job", async || {
        let job = job(client, id).await;
        ["completed", "error"].contains(&job["phase"].as_str().expect("a text")).then_some(job)
    })
    .await
}

/// Makes a job, uploads its file and waits for its end.
async fn load(client: &Client, file: impl Into<Bytes>) -> Value {
    let new = NewJob::make(client).await;
    new.upload(client.address, file).await.ok();
    end_of(client, &new.id).await
}

/// The same for a file that is applied.
async fn load_well(client: &Client, file: impl Into<Bytes>) -> Value {
    let job = load(client, file).await;
    assert_eq!((&job["phase"], &job["error_code"]), (&"completed".into(), &Value::Null), "{job}");
    job
}

/// Counters of a job that are not 0.
fn counted(job: &Value) -> Vec<(&'static str, u64)> {
    let counts = COUNTERS.map(|name| (name, job[name].as_u64().unwrap_or_else(|| panic!("{name}: {job}"))));
    counts.into_iter().filter(|&(_, count)| count > 0).collect()
}

fn gzip(file: impl AsRef<[u8]>) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(file.as_ref()).expect("memory has room");
    packed.finish().expect("memory has room")
}

/// A client of this test's own, which sends what it is told to and no more.
struct Raw(TcpStream);

impl Raw {
    async fn open(server: SocketAddr) -> Raw {
        Raw(TcpStream::connect(server).await.expect("a connection"))
    }

    /// Sends bytes to a server that may have closed the connection.
    async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// All that the server says until it closes, or until a whole answer is there: status and body.
    async fn answer(&mut self) -> Option<(u16, Value)> {
        let mut received = Vec::new();
        loop {
            if let Some(at) = memchr::memmem::find(&received, b"\r\n\r\n") {
                let head = std::str::from_utf8(&received[..at]).expect("a head is text").to_ascii_lowercase();
                let status: u16 = head[9..12].parse().expect("a status");
                if status == 100 {
                    received.drain(..at + 4);
                    continue;
                }
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
                let end = at + 4 + length.parse::<usize>().expect("a length");
                if received.len() >= end {
                    let json: Value = serde_json::from_slice(&received[at + 4..end]).expect("JSON");
                    return Some((status, json["response"].clone()));
                }
            }
            match self.0.read_buf(&mut received).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// Begins the upload of a file: its head, and the first bytes of it.
async fn begin(server: SocketAddr, new: &NewJob, length: usize, first: &[u8]) -> Raw {
    let mut raw = Raw::open(server).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {length}\r\n\r\n", new.path);
    assert!(raw.send(head).await && raw.send(first).await);
    raw
}

/// Waits until a job is in that phase.
async fn wait_for(client: &Client, id: &str, phase: &str) -> Value {
    eventually(phase, async || {
        let job = job(client, id).await;
        (job["phase"] == phase).then_some(job)
    })
    .await
}
