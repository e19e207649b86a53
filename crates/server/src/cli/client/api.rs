//! The calls: log in, create a job, send its file, ask for it.

use super::content::Content;
use super::http::{Body, Http};
use super::job::Job;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody};
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// No answer after that: the server or the way to it hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer with the most lines of faults that can be configured, each of the longest.
const MAX_ANSWER_BYTES: usize = 128 << 20;

/// How the caller shows who it is.
pub(super) enum Login {
    /// A token that does not change.
    Token(HeaderValue),
    /// A file with a token, read again when the token is not accepted any more.
    TokenFile(PathBuf),
    Password {
        username: String,
        password: String,
    },
}

/// Why a call did not do what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer, or one that cannot be read.
    Away(String),
    /// Not now; with how long to wait, if the server says so.
    Busy { why: String, after: Option<Duration> },
    /// No.
    Refused(Refusal),
    /// The content to be sent could not be read.
    Unreadable(String),
}

/// A final answer.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Refusal {
    pub(in crate::cli) status: StatusCode,
    /// For the user.
    pub(in crate::cli) why: String,
}

/// A running server, as one member's login sees it.
pub(in crate::cli) struct Server {
    http: Http,
    /// Without a slash at its end.
    base: String,
    login: Login,
    token: Mutex<Option<HeaderValue>>,
    member: u64,
    /// Whose users the files replace.
    replace: Option<u64>,
}

impl Server {
    pub(super) fn new(http: Http, base: String, login: Login, member: u64) -> Server {
        Server { http, base, login, token: Mutex::new(None), member, replace: None }
    }

    /// Makes each file replace the users of a segment.
    pub(in crate::cli) fn replacing(mut self, segment: Option<u64>) -> Server {
        self.replace = segment;
        self
    }

    /// `POST /batch-segment`: a new job, and the URL for its file. A URL on the server that was asked has no host, so
    /// that it stays good when the server is found under another address.
    pub(super) async fn create_job(&self) -> Result<(Job, String), Failure> {
        let replace = self.replace.map(|segment| format!("&replace={segment}")).unwrap_or_default();
        let path = format!("/batch-segment?member_id={}{replace}", self.member);
        let job = self.job_of(Method::POST, &path).await?;
        let Some(url) = job.upload_url().map(str::to_owned) else {
            return Err(Failure::Away("the answer has no upload_url".to_owned()));
        };
        if self.base.starts_with("https:") && !url.starts_with("https:") {
            let why =
                "the server gave an upload URL without TLS: its server.public_url must begin with https";
            return Err(Failure::Refused(Refusal { status: StatusCode::OK, why: why.to_owned() }));
        }
        let url = match url.strip_prefix(&self.base) {
            Some(path) if path.starts_with('/') => path.to_owned(),
            _ => url,
        };
        Ok((job, url))
    }

    /// `GET /batch-segment`: how a job stands.
    pub(super) async fn job(&self, job_id: &str) -> Result<Job, Failure> {
        self.job_of(Method::GET, &format!("/batch-segment?member_id={}&job_id={job_id}", self.member)).await
    }

    /// Sends a file to the URL of its job. `sent` counts its bytes.
    pub(super) async fn upload(
        &self,
        url: &str,
        content: Content,
        sent: &Arc<AtomicU64>,
    ) -> Result<(), Failure> {
        let unreadable = Arc::new(Mutex::new(None));
        let (counter, fault) = (sent.clone(), unreadable.clone());
        let bytes = content.bytes.map(move |chunk| {
            match &chunk {
                Ok(chunk) => drop(counter.fetch_add(chunk.len() as u64, Ordering::Relaxed)),
                Err(error) => *lock(&fault) = Some(error.to_string()),
            }
            chunk.map(Frame::data)
        });
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(if url.starts_with('/') { format!("{}{url}", self.base) } else { url.to_owned() })
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let Some(length) = content.length {
            request = request.header(CONTENT_LENGTH, length);
        }
        let request = request
            .body(StreamBody::new(bytes).boxed_unsync())
            .map_err(|error| Failure::Away(format!("the upload_url cannot be used: {error}")))?;
        let outcome = tokio::select! {
            outcome = self.answer(request) => outcome,
            () = stands_still(sent) => Err(Failure::Away("the upload stands still".to_owned())),
        };
        // What cannot be read also breaks the connection.
        let unreadable = lock(&unreadable).take();
        match unreadable {
            Some(why) => Err(Failure::Unreadable(why)),
            None => outcome.map(drop),
        }
    }

    async fn job_of(&self, method: Method, path: &str) -> Result<Job, Failure> {
        let response = self.call(method, path).await?;
        Job::from_response(response).ok_or_else(|| Failure::Away("the answer has no job".to_owned()))
    }

    /// A call with the token; with a new one, if the server does not accept it any more.
    async fn call(&self, method: Method, path: &str) -> Result<Value, Failure> {
        let mut is_new = false;
        loop {
            let known = lock(&self.token).clone();
            let token = match known {
                Some(token) => token,
                None => {
                    is_new = true;
                    let token = self.log_in().await?;
                    *lock(&self.token) = Some(token.clone());
                    token
                }
            };
            let request = Request::builder()
                .method(method.clone())
                .uri(format!("{}{path}", self.base))
                .header(AUTHORIZATION, token)
                .body(Empty::new().map_err(|never| match never {}).boxed_unsync())
                .map_err(|error| Failure::Away(error.to_string()))?;
            match self.answer_soon(request).await {
                Err(Failure::Refused(refusal)) if refusal.status == StatusCode::UNAUTHORIZED => {
                    *lock(&self.token) = None;
                    if is_new {
                        return Err(Failure::Refused(refusal));
                    }
                }
                outcome => return outcome,
            }
        }
    }

    async fn log_in(&self) -> Result<HeaderValue, Failure> {
        let refused = |why: String| Failure::Refused(Refusal { status: StatusCode::UNAUTHORIZED, why });
        match &self.login {
            Login::Token(token) => Ok(token.clone()),
            Login::TokenFile(file) => {
                let name = file.display();
                let text = std::fs::read_to_string(file)
                    .map_err(|error| refused(format!("cannot read the token in {name}: {error}")))?;
                secret_header(&text).ok_or_else(|| refused(format!("{name} does not hold a token")))
            }
            Login::Password { username, password } => {
                let body =
                    serde_json::json!({"auth": {"username": username, "password": password}}).to_string();
                let request = Request::builder()
                    .method(Method::POST)
                    .uri(format!("{}/auth", self.base))
                    .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                    .body(Full::from(body).map_err(|never| match never {}).boxed_unsync())
                    .map_err(|error| Failure::Away(error.to_string()))?;
                let response = self.answer_soon(request).await?;
                response["token"]
                    .as_str()
                    .and_then(secret_header)
                    .ok_or_else(|| Failure::Away("the answer to the login has no token".to_owned()))
            }
        }
    }

    async fn answer_soon(&self, request: Request<Body>) -> Result<Value, Failure> {
        let late = |_| Err(Failure::Away(format!("no answer for {} s", ANSWER_TIMEOUT.as_secs())));
        tokio::time::timeout(ANSWER_TIMEOUT, self.answer(request)).await.unwrap_or_else(late)
    }

    /// What is under `response` in a success.
    async fn answer(&self, request: Request<Body>) -> Result<Value, Failure> {
        let broken = |error: &dyn std::error::Error| Failure::Away(with_causes(error));
        let answer = self.http.send(request).await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let after =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| broken(&*error))?.to_bytes();
        judge(status, after.map(Duration::from_secs), &body)
    }
}

fn judge(status: StatusCode, after: Option<Duration>, body: &Bytes) -> Result<Value, Failure> {
    let response =
        serde_json::from_slice(body).ok().and_then(|mut body: Value| Some(body.get_mut("response")?.take()));
    if let Some(response) = &response
        && status == StatusCode::OK
        && response["status"] == "OK"
    {
        return Ok(response.clone());
    }
    let why = match &response {
        Some(response) => {
            let text = |field: &str| response[field].as_str().unwrap_or_default().to_owned();
            format!("{} ({} {})", text("error"), status.as_u16(), text("error_id"))
        }
        None => format!("the answer is {status}, and not from an Instant Audience"),
    };
    // What a proxy says in the server's place while it is away comes as 502, 503 or 504.
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        Err(Failure::Busy { why, after })
    } else {
        Err(Failure::Refused(Refusal { status, why }))
    }
}

/// Ends when no byte has gone out for too long.
async fn stands_still(sent: &AtomicU64) {
    let mut last = None;
    loop {
        let now = sent.load(Ordering::Relaxed);
        if last == Some(now) {
            return;
        }
        last = Some(now);
        tokio::time::sleep(ANSWER_TIMEOUT).await;
    }
}

/// A header that is not printed.
pub(super) fn secret_header(text: &str) -> Option<HeaderValue> {
    let text = text.trim();
    let mut value = HeaderValue::from_str(text).ok().filter(|_| !text.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// The causes in one line: `client error (Connect): tcp connect error: Connection refused (os error 111)`.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
