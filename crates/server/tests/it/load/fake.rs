//! A small server that speaks the Batch Segment Service, and fails as it is told to.
//!
//! A line with a colon is a user; other lines are malformed. A file that begins with `BAD` ends in `error`.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;

pub(crate) const MEMBER: u64 = 958;
pub(super) const USER: &str = "provider";
pub(super) const PASSWORD: &str = "Correct-horse-1";
/// Of a larger file only the length is kept.
const KEPT_BYTES: usize = 1 << 20;
const POLL: Duration = Duration::from_millis(2);

/// What goes wrong, once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// A job is not created: status, error_id, Retry-After.
    Create(u16, &'static str, Option<u64>),
    /// An upload is not taken; the job stays as it is.
    Upload(u16, &'static str, Option<u64>),
    /// An upload is over a rate in its middle: the job is over, a new one may come after so many seconds.
    OverRate(u64),
    /// The connection is cut in the middle of an upload.
    CutUpload,
    /// The connection is cut in place of the answer to an upload.
    CutAnswer,
    /// The token is not good any more.
    Expire,
}

/// A job, and what came for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeJob {
    pub(crate) id: String,
    pub(crate) query: String,
    pub(crate) phase: &'static str,
    pub(crate) error_code: Option<&'static str>,
    pub(crate) content: Bytes,
    pub(crate) length: usize,
    pub(crate) content_length: Option<String>,
    asked: usize,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) jobs: Vec<FakeJob>,
    pub(crate) faults: VecDeque<Fault>,
    /// Uploads that began.
    pub(crate) uploads: usize,
    pub(crate) logins: usize,
    /// Uploads get no answer while this is set.
    pub(crate) holds_uploads: bool,
    /// Jobs stay in `processing` while this is set.
    pub(crate) holds_jobs: bool,
    /// No job is known any more.
    pub(crate) forgets: bool,
    /// Where uploads are to go, if not here.
    pub(crate) upload_to: Option<String>,
    token: String,
}

/// The server. It is gone when this is dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Answer = Response<Full<Bytes>>;

impl Fake {
    pub(crate) async fn start() -> Fake {
        Fake::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn on(listener: TcpListener) -> Fake {
        let state =
            Arc::new(Mutex::new(State { token: "hbapi:1:first-secret:ia1".to_owned(), ..State::default() }));
        let address = listener.local_addr().unwrap();
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(state.clone(), address, request));
                    // Cut connections end with an error.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Fake { address, state, accepting }
    }

    pub(crate) fn at(&self) -> super::Where {
        super::Where { url: format!("http://{}", self.address), token: self.state().token.clone() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    pub(crate) fn jobs(&self) -> Vec<FakeJob> {
        self.state().jobs.clone()
    }

    /// The contents of the jobs that were completed, sorted.
    pub(crate) fn completed(&self) -> Vec<String> {
        let jobs = self.jobs();
        let completed = jobs.iter().filter(|job| job.phase == "completed");
        let mut contents: Vec<_> =
            completed.map(|job| String::from_utf8(job.content.to_vec()).unwrap()).collect();
        contents.sort();
        contents
    }
}

impl State {
    fn take(&mut self, is_it: impl Fn(&Fault) -> bool) -> Option<Fault> {
        self.faults.front().is_some_and(is_it).then(|| self.faults.pop_front().unwrap())
    }

    fn job(&mut self, id: &str) -> Option<&mut FakeJob> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }
}

fn success(mut response: Value) -> Answer {
    response["status"] = json!("OK");
    Response::new(json!({"response": response}).to_string().into())
}

fn failure(status: u16, error_id: &str, retry_after: Option<u64>) -> Answer {
    let text = format!("refused with {status}");
    let response = json!({"status": "ERROR", "error_id": error_id, "error": text, "errors": [text]});
    let mut answer = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        answer = answer.header("retry-after", seconds);
    }
    answer.body(json!({"response": response}).to_string().into()).unwrap()
}

async fn answer(
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Answer, std::io::Error> {
    let path = request.uri().path().to_owned();
    if let Some(id) = path.strip_prefix("/upload/") {
        return upload(&state, id, request).await;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let token = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let method = request.method().clone();
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut state = state.lock().unwrap();
    if path == "/auth" {
        return Ok(log_in(&mut state, &body));
    }
    if state.take(|fault| *fault == Fault::Expire).is_some() {
        state.token = format!("hbapi:1:secret-{}:ia1", state.logins);
    }
    if token.as_ref() != Some(&state.token) {
        return Ok(failure(401, "NOAUTH", None));
    }
    assert_eq!(path, "/batch-segment");
    assert!(query.contains(&format!("member_id={MEMBER}")), "{query}");
    match method {
        Method::POST => Ok(create(&mut state, address, query)),
        Method::GET => Ok(show(&mut state, query.split_once("job_id=").unwrap().1)),
        method => panic!("{method}"),
    }
}

fn log_in(state: &mut State, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap();
    if body != json!({"auth": {"username": USER, "password": PASSWORD}}) {
        return failure(401, "NOAUTH", None);
    }
    state.logins += 1;
    success(json!({"token": state.token}))
}

fn create(state: &mut State, address: SocketAddr, query: String) -> Answer {
    if let Some(Fault::Create(status, id, after)) = state.take(|fault| matches!(fault, Fault::Create(..))) {
        return failure(status, id, after);
    }
    let id = format!("{:0>40}", state.jobs.len() + 1);
    state.jobs.push(FakeJob { id: id.clone(), query, phase: "starting", ..FakeJob::default() });
    let base = state.upload_to.clone().unwrap_or_else(|| format!("http://{address}"));
    let url = format!("{base}/upload/{id}");
    success(
        json!({"batch_segment_upload_job": {"id": 1, "job_id": id, "member_id": MEMBER, "upload_url": url}}),
    )
}

/// Fails the job of an upload that does not come to its end.
struct Uploading<'a>(&'a Mutex<State>, &'a str);

impl Drop for Uploading<'_> {
    fn drop(&mut self) {
        if let Some(job) = self.0.lock().unwrap().job(self.1)
            && job.phase == "uploading"
        {
            (job.phase, job.error_code) = ("error", Some("uploading-error"));
        }
    }
}

async fn upload(
    state: &Mutex<State>,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, std::io::Error> {
    let content_length =
        request.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
    let fault = {
        let mut state = state.lock().unwrap();
        state.uploads += 1;
        match state.job(id).map(|job| job.phase) {
            None | Some("error") => return Ok(failure(404, "SYNTAX", None)),
            Some("starting") => {}
            Some(phase) => panic!("sent again while {phase}"),
        }
        let fault = state.take(|fault| !matches!(fault, Fault::Create(..) | Fault::Expire));
        if let Some(Fault::OverRate(after)) = fault {
            let job = state.job(id).unwrap();
            (job.phase, job.error_code) = ("error", Some("RATE_LIMIT_EXCEEDED"));
            return Ok(failure(429, "LIMIT", Some(after)));
        }
        if let Some(Fault::Upload(status, error_id, after)) = fault {
            if status < 429 {
                let job = state.job(id).unwrap();
                (job.phase, job.error_code) = ("error", Some("FILESIZE_LIMIT_EXCEEDED"));
            }
            return Ok(failure(status, error_id, after));
        }
        state.job(id).unwrap().phase = "uploading";
        fault
    };
    let _uploading = Uploading(state, id);
    let (mut body, mut content, mut length) = (request.into_body(), BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let chunk = frame.map_err(std::io::Error::other)?.into_data().unwrap();
        length += chunk.len();
        if content.len() < KEPT_BYTES {
            content.extend_from_slice(&chunk);
        }
        if fault == Some(Fault::CutUpload) {
            return Err(std::io::Error::other("cut"));
        }
    }
    while state.lock().unwrap().holds_uploads {
        tokio::time::sleep(POLL).await;
    }
    let mut state = state.lock().unwrap();
    let job = state.job(id).unwrap();
    job.phase = if content.starts_with(b"BAD") { "error" } else { "validating" };
    job.error_code = content.starts_with(b"BAD").then_some("validating-error");
    (job.content, job.length, job.content_length) = (content.freeze(), length, content_length);
    if fault == Some(Fault::CutAnswer) {
        return Err(std::io::Error::other("cut"));
    }
    Ok(success(json!({"segment_upload": {"job_id": id}})))
}

fn show(state: &mut State, id: &str) -> Answer {
    let holds = state.holds_jobs;
    if state.forgets {
        return failure(404, "SYNTAX", None);
    }
    let Some(job) = state.job(id) else { return failure(404, "SYNTAX", None) };
    job.asked += 1;
    job.phase = match job.phase {
        "validating" => "processing",
        "processing" if !holds => "completed",
        phase => phase,
    };
    let text = String::from_utf8_lossy(&job.content);
    let (good, bad): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains(':'));
    let is_over = job.phase == "completed";
    let count = |lines: &[&str]| if is_over { lines.len() } else { 0 };
    let errors: Vec<_> = bad
        .iter()
        .map(|line| format!("num_invalid_format-{line} failed with an illegal number of fields"))
        .collect();
    let mut shown = json!({
        "id": 1, "job_id": id, "member_id": MEMBER, "phase": job.phase, "error_code": job.error_code,
        "percent_complete": if is_over { 100 } else { 50 },
        "num_valid": count(&good), "num_valid_user": count(&good), "num_invalid_format": count(&bad),
        "error_log_lines": if is_over { errors.join("\n") } else { String::new() }, "segment_log_lines": "",
    });
    if !["starting", "uploading"].contains(&job.phase) && job.length > 0 {
        shown["uploaded_time"] = json!("2026-01-01 00:00:00");
    }
    success(json!({"batch_segment_upload_job": shown, "count": 1}))
}
