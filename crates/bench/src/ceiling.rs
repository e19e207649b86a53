//! The ceiling: what the same HTTP stack does when it reads and parses a request and does nothing with it. No
//! token, no log, no profiles. What the server reaches of its rates is what all of that leaves.

use crate::client::Target;
use crate::error::Error;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ia_testkit::{Output, Process};
use serde::Deserialize;
use std::borrow::Cow;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// The bounds of the server, as shipped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Larger bodies are parsed by the blocking pool, as the server does.
const LARGE_BODY_BYTES: usize = 64 << 10;

/// The answer to every read.
const FIXED_ANSWER: &str = r#"{"response":{"status":"OK"}}"#;

/// The running ceiling. Its process is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Ceiling {
    process: Process,
    address: SocketAddr,
    _stdout: Output,
}

impl Ceiling {
    /// Starts this program once more, as the ceiling, and waits for its ready line.
    pub(crate) async fn start() -> Result<Ceiling, Error> {
        let this = std::env::current_exe().map_err(Error::io("find this program"))?;
        let mut command = Command::new(this);
        command.arg("ceiling").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::new(command.spawn().map_err(Error::io("start the ceiling"))?);
        let (line, stdout) = process.first_line().await?;
        let address = line.trim_end().strip_prefix("ready http://").and_then(|address| address.parse().ok());
        let address = address
            .ok_or_else(|| Error::broken(format!("the ceiling said {line:?} in place of its ready line")))?;
        Ok(Ceiling { process, address, _stdout: stdout })
    }

    /// Where to send calls.
    pub(crate) fn target(&self) -> Target {
        Target::open_to_all(self.address, self.process.id())
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

/// Serves on a free port of the loopback interface until the process is ended.
pub(crate) fn run() -> Result<(), Error> {
    let runtime = tokio::runtime::Runtime::new().map_err(Error::io("start the async runtime"))?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::io("listen"))?;
        let address = listener.local_addr().map_err(Error::io("listen"))?;
        let mut out = std::io::stdout();
        writeln!(out, "ready http://{address}")
            .and_then(|()| out.flush())
            .map_err(Error::io("print the ready line"))?;
        serve(listener).await
    })
}

async fn serve(listener: TcpListener) -> Result<(), Error> {
    let router =
        Router::new().route("/rt-segment", post(write)).route("/user-segment", get(read).post(read_many));
    loop {
        let (stream, _) = listener.accept().await.map_err(Error::io("accept a connection"))?;
        stream.set_nodelay(true).map_err(Error::io("set TCP_NODELAY"))?;
        let router = router.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                router.clone().oneshot(request.map(Body::new))
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(MAX_HEAD_BYTES);
            // A connection that breaks is seen at its other end.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn write(body: Body) -> Response {
    answer(body, |bytes| {
        let Adds { rt_segment } = serde_json::from_slice(bytes)?;
        let blocks: usize = rt_segment.iter().map(|user| user.seg_block.len()).sum();
        let sound = rt_segment.iter().all(|user| !user.user_id.is_empty() && user.domain.is_none())
            && rt_segment.iter().flat_map(|user| &user.seg_block).all(Block::is_sound);
        let (users, warnings) = (rt_segment.len(), if sound { "" } else { "{}" });
        Ok(format!(
            r#"{{"response":{{"status":"OK","message":{{"users_in_request":{users},"segments_in_request":{blocks}}},"warnings":[{warnings}]}}}}"#
        ))
    })
    .await
}

async fn read() -> Response {
    json(FIXED_ANSWER)
}

async fn read_many(body: Body) -> Response {
    answer(body, |bytes| {
        let Asked { users } = serde_json::from_slice(bytes)?;
        let sound = users.iter().all(|user| !user.user_id.is_empty());
        Ok(if sound { FIXED_ANSWER.to_owned() } else { "{}".to_owned() })
    })
    .await
}

async fn answer(body: Body, parse: fn(&[u8]) -> serde_json::Result<String>) -> Response {
    let Ok(body) = body.collect().await else { return StatusCode::BAD_REQUEST.into_response() };
    let bytes: Bytes = body.to_bytes();
    let parsed = if bytes.len() > LARGE_BODY_BYTES {
        let parsing = tokio::task::spawn_blocking(move || parse(&bytes));
        parsing.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    } else {
        parse(&bytes)
    };
    match parsed {
        Ok(text) => json(text),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

fn json(text: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], text.into()).into_response()
}

#[derive(Deserialize)]
struct Adds<'a> {
    #[serde(borrow)]
    rt_segment: Vec<User<'a>>,
}

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    seg_block: Vec<Block<'a>>,
    #[serde(borrow)]
    domain: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Block<'a> {
    seg_id: u32,
    #[serde(borrow)]
    seg_code: Option<Cow<'a, str>>,
    value: u32,
    expiration: u32,
    member_id: Option<u32>,
}

impl Block<'_> {
    /// Looks at every field, so that none is optimised away.
    fn is_sound(&self) -> bool {
        self.seg_id > 0
            && u64::from(self.value) + u64::from(self.expiration) < 1 << 32
            && self.seg_code.is_none()
            && self.member_id.is_none()
    }
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    users: Vec<AskedUser<'a>>,
}

#[derive(Deserialize)]
struct AskedUser<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Connection, is_ok_with};
    use crate::script::Script;
    use crate::workload::Workload;

    #[tokio::test]
    async fn it_answers_what_the_workloads_expect_of_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::open_to_all(listener.local_addr().unwrap(), 0);
        let serving = tokio::spawn(serve(listener));
        let mut connection = Connection::open(&target).await.unwrap();
        for workload in Workload::all(64) {
            let pool = Script::prepare(&workload, 3000, 1 << 20).for_ceiling();
            for prepared in pool.calls.iter().take(3) {
                let received = connection.call(&prepared.call).await.unwrap();
                assert!(is_ok_with(&received, &prepared.mark), "{}: {received:?}", workload.name);
            }
        }
        let wrong = connection.post("/rt-segment", r#"{"rt_segment":[{}]}"#.into()).await;
        assert!(matches!(wrong, Err(Error::Refused { status: 400, .. })), "{wrong:?}");
        serving.abort();
    }
}
