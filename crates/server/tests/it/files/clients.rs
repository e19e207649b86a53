//! Clients as there are: one in a hurry, and one that decodes every field into a fixed type.

use super::*;
use ia_testkit::Kit;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use std::time::Duration;

/// A client in a hurry. It packs files without saying so, sends no `Content-Type`, gives up on a socket after five
/// seconds, sends the file again then, polls at once and then every two seconds ten times, takes 100 percent for the end,
/// and HTTP 200 for success.
struct Hasty {
    api: SocketAddr,
    token: String,
}

/// What it tells its user.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// So many users are in.
    Loaded(u64),
    Failed(u16),
}

impl Hasty {
    const SOCKET: Duration = Duration::from_secs(5);
    const BETWEEN_POLLS: Duration = Duration::from_secs(2);

    async fn call(&self, to: &str, head: String, body: &[u8]) -> Option<(u16, Value)> {
        tokio::time::timeout(Hasty::SOCKET, async {
            let mut raw = Raw(TcpStream::connect(to).await.ok()?);
            raw.send(head).await;
            raw.send(body).await;
            raw.answer().await
        })
        .await
        .ok()?
    }

    async fn load(&self, member: u32, lines: &str) -> Told {
        let Hasty { api, token } = self;
        let api = api.to_string();
        let head = format!(
            "POST /batch-segment?member_id={member} HTTP/1.1\r\nHost: {api}\r\nAuthorization: {token}\r\nContent-Length: 0\r\n\r\n"
        );
        let (status, answer) = self.call(&api, head, b"").await.expect("an answer");
        if status != 200 {
            return Told::Failed(status);
        }
        let job_id = answer[TERM]["job_id"].as_str().expect("a text").to_owned();
        let url = answer[TERM]["upload_url"].as_str().expect("a text");
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').expect("an absolute URL");
        let file = gzip(lines);
        let head = format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", file.len());
        // It hangs up on the first try, as if its time were over, once all is sent.
        let mut first = Raw(TcpStream::connect(host).await.expect("a connection"));
        first.send(&head).await;
        first.send(&file).await;
        drop(first);
        let (status, _) = self.call(host, head, &file).await.expect("an answer within five seconds");
        if status != 200 {
            return Told::Failed(status);
        }
        let mut job = Value::Null;
        for poll in 0..=10 {
            if poll > 0 {
                tokio::time::sleep(Hasty::BETWEEN_POLLS).await;
            }
            let head = format!(
                "GET /batch-segment?member_id={member}&job_id={job_id} HTTP/1.1\r\nHost: {api}\r\nAuthorization: {token}\r\n\r\n"
            );
            let (_, answer) = self.call(&api, head, b"").await.expect("an answer");
            job = answer[TERM].clone();
            if job["percent_complete"] == 100 {
                break;
            }
        }
        // It asks no further.
        Told::Loaded(job["num_valid_user"].as_u64().unwrap_or(0))
    }
}

#[tokio::test]
async fn a_client_in_a_hurry_is_told_the_truth() {
    let kit = Kit::builder().config(|config| config.files.max_upload.0 = 1 << 20).start().await;
    let provider = kit.login("provider").await;
    let hasty = Hasty { api: kit.api(), token: provider.token.clone().unwrap() };
    let lines = |from: u64, count: u64| -> String {
        (from..from + count).map(|user| format!("{user}:12,0,0;10001,60,5\n")).collect()
    };
    // It has sent all of its first try: that is gone on with when it has hung up, and the second is the same file.
    for round in 0..5 {
        let told = hasty.load(958, &lines(1_000_000 * (round + 1), 1000)).await;
        assert_eq!(told, Told::Loaded(1000), "round {round}");
    }
    let loaded = 5000;
    let report = provider.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!((&report["num_valid_users"], &report["num_valid_adds"]), (&json!(loaded), &json!(2 * loaded)));
    assert_eq!(hasty.load(77, &lines(1, 1)).await, Told::Failed(403));
    // Random digits do not pack well.
    let mut dice = ia_testkit::Dice::new(3);
    let large: String = (0..300_000).map(|_| format!("{}:12,0,0\n", dice.next() >> 1)).collect();
    assert!(matches!(hasty.load(958, &large).await, Told::Failed(409 | 413)));
    let nobody = Hasty { token: "hbapi:1:x:ia1".to_owned(), ..hasty };
    assert_eq!(nobody.load(958, &lines(1, 1)).await, Told::Failed(401));
}

/// What is there is no null.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    String::deserialize(value).map(Some)
}

/// An answer, as a client with fixed types has it.
#[derive(Debug, Deserialize)]
struct Envelope<T> {
    response: Body<T>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<T> {
    status: String,
    #[serde(default)]
    id: u64,
    count: u64,
    start_element: u64,
    num_elements: u64,
    batch_segment_upload_job: T,
    dbg_info: DbgInfo,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they are read is the test")]
struct DbgInfo {
    version: String,
    instance: String,
    request_id: String,
    output_term: String,
    time: u64,
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they are read is the test")]
struct MadeJob {
    id: u64,
    job_id: String,
    member_id: u32,
    last_modified: String,
    upload_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they are read is the test")]
struct Job {
    id: u64,
    job_id: String,
    member_id: u32,
    phase: String,
    percent_complete: u8,
    error_code: Option<String>,
    created_on: String,
    last_modified: String,
    #[serde(default, deserialize_with = "present")]
    start_time: Option<String>,
    #[serde(default, deserialize_with = "present")]
    uploaded_time: Option<String>,
    #[serde(default, deserialize_with = "present")]
    validated_time: Option<String>,
    #[serde(default, deserialize_with = "present")]
    completed_time: Option<String>,
    time_to_process: u64,
    seconds_to_process: f64,
    num_valid: u64,
    num_valid_user: u64,
    num_invalid_user: u64,
    num_invalid_format: u64,
    num_invalid_segment: u64,
    num_unauth_segment: u64,
    num_inactive_segment: u64,
    num_past_expiration: u64,
    num_invalid_timestamp: u64,
    num_other_error: u64,
    error_log_lines: String,
    segment_log_lines: String,
}

fn decode<T: serde::de::DeserializeOwned>(answer: &Answer) -> Body<T> {
    let decoded: Result<Envelope<T>, _> = serde_json::from_slice(&answer.body);
    decoded.unwrap_or_else(|error| panic!("{error} in {}", answer.text())).response
}

#[tokio::test]
async fn a_client_with_fixed_types_reads_every_answer() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let made: Body<MadeJob> = decode(&provider.post_bytes("/batch-segment", &[], "").await);
    assert_eq!((made.status.as_str(), made.count, made.start_element, made.num_elements), ("OK", 1, 0, 100));
    assert_eq!(made.id, made.batch_segment_upload_job.id);
    assert_eq!(made.dbg_info.output_term, TERM);
    let id = made.batch_segment_upload_job.job_id;
    let one = format!("/batch-segment?job_id={id}");
    let file: String =
        (1..=30_000).map(|user| format!("{user}:12,0,0;4711,0,0\n")).chain(["x".into()]).collect();
    let uploading = {
        let new = NewJob { path: format!("/segment-upload/{id}"), id: id.clone() };
        let server = kit.api();
        tokio::spawn(async move { new.upload(server, file).await })
    };
    let mut phases = Vec::new();
    loop {
        let job: Body<Job> = decode(&provider.get(&one).await);
        let listed: Body<Vec<Job>> = decode(&provider.get("/batch-segment").await);
        let array: Body<Vec<Job>> = decode(&provider.get(&format!("{one}&array=true")).await);
        assert_eq!((listed.count, array.batch_segment_upload_job.len()), (1, 1));
        let phase = job.batch_segment_upload_job.phase;
        let is_over = phase == "completed";
        phases.push(phase);
        if is_over {
            break;
        }
    }
    phases.dedup();
    assert!(phases.len() > 1, "{phases:?}");
    uploading.await.unwrap().ok();
    let job: Body<Job> = decode(&provider.get(&one).await);
    let job = job.batch_segment_upload_job;
    assert_eq!((job.num_valid, job.num_invalid_format, job.num_invalid_segment), (30_000, 1, 1));
    // One that has failed, too.
    let failed = load(&provider, &b"PK\x03\x04"[..]).await;
    let failed: Job = serde_json::from_value(failed).unwrap();
    assert_eq!(failed.error_code.as_deref(), Some("unsupported-compression"));
}
