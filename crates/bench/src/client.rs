//! The server as the bench sees it: where it is, calls to it, and what is kept of their answers.

use crate::calls;
use crate::error::Error;
use bytes::Bytes;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode, Uri};
use ia_testkit::{Metrics, Reply, ServerProcess};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

/// How much of an answer is looked at: its status is at the front.
const START_BYTES: usize = 256;

/// Bodies up to this size are copied behind their head, which costs less than handing over two slices.
const COPIED_BYTES: usize = 16 << 10;

/// Where requests go, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The API's address.
    pub(crate) api: SocketAddr,
    /// The process that answers there, for its processor time and memory.
    pub(crate) pid: u32,
    /// Where its metrics are.
    pub(crate) ops: SocketAddr,
    /// What every request says: its lines, each with its end.
    headers: Arc<str>,
}

impl Target {
    /// A server that asks for no login and has no metrics.
    pub(crate) fn open_to_all(api: SocketAddr, pid: u32) -> Target {
        Target { api, pid, ops: api, headers: host(api).into() }
    }

    /// Logs in to a server with the login of the bench's catalog.
    pub(crate) async fn log_in(server: &ServerProcess) -> Result<Target, Error> {
        Target::log_in_as(server, calls::USERNAME).await
    }

    /// Logs in to a server; the password is always the same.
    pub(crate) async fn log_in_as(server: &ServerProcess, username: &str) -> Result<Target, Error> {
        let mut target = Target { ops: server.ops, ..Target::open_to_all(server.api, server.id()) };
        let answer = Connection::open(&target).await?.post("/auth", calls::login(username)).await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)
            .map_err(|source| Error::Answer { what: "POST /auth".to_owned(), source })?;
        let token = answer["response"]["token"]
            .as_str()
            .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| Error::broken("the answer to the login holds no token"))?;
        target.headers = format!("{}authorization: {token}\r\n", target.headers).into();
        Ok(target)
    }

    /// What the server says about itself.
    pub(crate) async fn metrics(&self) -> Result<Counters, Error> {
        let ops = Target::open_to_all(self.ops, self.pid);
        let text = Connection::open(&ops).await?.whole(&Call::get(Uri::from_static("/metrics"))).await?;
        Ok(Counters(Metrics(String::from_utf8_lossy(&text).into_owned())))
    }
}

fn host(address: SocketAddr) -> String {
    format!("host: {address}\r\n")
}

/// The server's metrics. All that the bench reads are whole numbers.
#[derive(Debug)]
pub(crate) struct Counters(Metrics);

impl Counters {
    /// A number by its name, without its prefix.
    pub(crate) fn get(&self, name: &str) -> Result<u64, Error> {
        let value = self.0.get(name).map(|value| value as u64);
        value.ok_or_else(|| Error::broken(format!("the metric instant_audience_{name} is missing")))
    }
}

/// A request, ready to be sent again and again.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// GET or POST.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// Empty for a GET.
    pub body: Bytes,
}

impl Call {
    /// A GET.
    pub(crate) fn get(uri: Uri) -> Call {
        Call { method: Method::GET, uri, body: Bytes::new() }
    }

    /// A GET of a user by its platform id.
    pub(crate) fn get_user(id: u64) -> Call {
        let uri = Uri::try_from(format!("/user-segment?user_id={id}"));
        Call::get(uri.expect("digits need no escapes"))
    }

    /// A POST.
    pub(crate) fn post(path: &'static str, body: Bytes) -> Call {
        Call { method: Method::POST, uri: Uri::from_static(path), body }
    }

    fn what(&self) -> String {
        format!("{} {}", self.method, self.uri)
    }
}

/// Whether an answer is 200 and says OK, and its beginning holds `mark`. Compares bytes: the server writes JSON without
/// spaces, and decoding would cost more than the request.
pub(crate) fn is_ok_with(reply: &Reply, mark: &str) -> bool {
    let start = &reply.start[..reply.start.len().min(START_BYTES)];
    let holds =
        |mark: &str| mark.is_empty() || start.windows(mark.len()).any(|window| window == mark.as_bytes());
    reply.status == StatusCode::OK && holds(r#""status":"OK""#) && holds(mark)
}

/// An answer that is not as it must be, for a message.
pub(crate) fn refused(reply: &Reply, what: &str) -> Error {
    let start = &reply.start[..reply.start.len().min(2 * START_BYTES)];
    Error::Refused {
        what: what.to_owned(),
        status: reply.status.as_u16(),
        body: String::from_utf8_lossy(start).into_owned(),
    }
}

/// One connection that is kept open.
#[derive(Debug)]
pub(crate) struct Connection {
    connection: ia_testkit::Connection,
    /// What every request says beside its own: the lines of the headers.
    headers: Arc<str>,
    request: Vec<u8>,
}

impl Connection {
    /// Connects. The connection closes when this is dropped.
    pub(crate) async fn open(target: &Target) -> Result<Connection, Error> {
        let connection = ia_testkit::Connection::open(target.api).await;
        let connection = connection.map_err(Error::io(format!("connect to {}", target.api)))?;
        Ok(Connection { connection, headers: Arc::clone(&target.headers), request: Vec::new() })
    }

    /// Sends a request and takes the answer in to its last byte, keeping only its beginning.
    pub(crate) async fn call(&mut self, call: &Call) -> io::Result<Reply> {
        self.exchange(call, START_BYTES).await
    }

    /// [`Connection::call`], and the answer must be OK and hold `mark`.
    pub(crate) async fn call_ok(&mut self, call: &Call, mark: &str) -> Result<(), Error> {
        let reply = self.call(call).await.map_err(Error::http(call.what()))?;
        if is_ok_with(&reply, mark) { Ok(()) } else { Err(refused(&reply, &call.what())) }
    }

    /// Sends a request and returns the whole answer, which must have status 200.
    pub(crate) async fn whole(&mut self, call: &Call) -> Result<Bytes, Error> {
        let reply = self.exchange(call, usize::MAX).await.map_err(Error::http(call.what()))?;
        if reply.status == StatusCode::OK { Ok(reply.start) } else { Err(refused(&reply, &call.what())) }
    }

    /// [`Connection::whole`] for a POST.
    pub(crate) async fn post(&mut self, path: &'static str, body: Bytes) -> Result<Bytes, Error> {
        self.whole(&Call::post(path, body)).await
    }

    /// Keeps the first `keep_bytes` of the answer's body.
    async fn exchange(&mut self, call: &Call, keep_bytes: usize) -> io::Result<Reply> {
        let Call { method, uri, body } = call;
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        self.request.clear();
        write!(self.request, "{method} {path} HTTP/1.1\r\n{}", self.headers)?;
        if method == Method::POST {
            write!(self.request, "content-length: {}\r\n", body.len())?;
        }
        self.request.extend_from_slice(b"\r\n");
        if body.len() <= COPIED_BYTES {
            self.request.extend_from_slice(body);
            self.connection.ask(&self.request, b"", keep_bytes).await
        } else {
            self.connection.ask(&self.request, body, keep_bytes).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_that_says_ok_is_ok() {
        let is_ok = |status: u16, start: &'static str, mark: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            is_ok_with(&Reply { status, says_retry_after: false, start: start.into() }, mark)
        };
        let ok = r#"{"response":{"status":"OK","warnings":[]}}"#;
        assert!(is_ok(200, ok, "") && is_ok(200, ok, r#""warnings":[]"#));
        assert!(!is_ok(200, ok, r#""segments":[]"#));
        assert!(!is_ok(503, ok, ""));
        assert!(!is_ok(200, r#"{"response":{"status":"ERROR"}}"#, ""));
        assert!(!is_ok(200, "", ""));
    }
}
