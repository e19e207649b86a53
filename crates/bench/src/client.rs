//! An HTTP/1.1 client with as little in it as a load generator can do with: one connection, one request
//! at a time, the answer looked at but not decoded. It shares the processors with the server that it
//! measures, and most of what it takes of them is the kernel's: a general client took 1.6 times as much for a
//! small POST.

use crate::calls;
use crate::error::Error;
use bytes::{Buf, Bytes, BytesMut};
use httparse::Status;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode, Uri};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How much of an answer is looked at: its status stands at the front.
const HEAD_BYTES: usize = 256;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

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

    /// Logs in to a server.
    pub(crate) async fn log_in(server: &crate::server::Server) -> Result<Target, Error> {
        let mut target =
            Target { api: server.api, pid: server.pid(), ops: server.ops, headers: host(server.api).into() };
        let answer = Connection::open(&target).await?.post("/auth", calls::login()).await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)
            .map_err(|source| Error::Answer { what: "POST /auth".to_owned(), source })?;
        let token = answer["response"]["token"]
            .as_str()
            .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| Error::Broken("the answer to the login holds no token".to_owned()))?;
        target.headers = format!("{}authorization: {token}\r\n", target.headers).into();
        Ok(target)
    }

    /// What the server says about itself.
    pub(crate) async fn metrics(&self) -> Result<Metrics, Error> {
        let ops = Target { api: self.ops, headers: host(self.ops).into(), ..self.clone() };
        let call = Call { method: Method::GET, uri: Uri::from_static("/metrics"), body: Bytes::new() };
        let text = Connection::open(&ops).await?.whole(&call).await?;
        Ok(Metrics(String::from_utf8_lossy(&text).into_owned()))
    }
}

fn host(address: SocketAddr) -> String {
    format!("host: {address}\r\n")
}

/// The text that Prometheus reads.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// A number by its name, without its prefix.
    pub(crate) fn get(&self, name: &str) -> Result<u64, Error> {
        let value = self.0.lines().find_map(|line| {
            let rest = line.strip_prefix("instant_audience_")?.strip_prefix(name)?;
            rest.strip_prefix(' ')?.trim().parse::<u64>().ok()
        });
        value.ok_or_else(|| Error::Broken(format!("the metric instant_audience_{name} is missing")))
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

/// As much of an answer as was kept.
#[derive(Debug)]
pub(crate) struct Received {
    /// The HTTP status.
    pub status: StatusCode,
    /// Whether it says when to try again.
    pub says_retry_after: bool,
    /// The first 256 bytes, or all of them.
    pub head: Bytes,
}

impl Received {
    /// Whether it is 200 and says OK, and its beginning holds `mark`. Compares bytes: the server writes JSON
    /// without spaces, and decoding would cost more than the request.
    pub(crate) fn is_ok_with(&self, mark: &str) -> bool {
        self.status == StatusCode::OK && self.holds(r#""status":"OK""#) && self.holds(mark)
    }

    fn holds(&self, mark: &str) -> bool {
        let head = &self.head[..self.head.len().min(HEAD_BYTES)];
        mark.is_empty() || head.windows(mark.len()).any(|window| window == mark.as_bytes())
    }

    /// For a message.
    pub(crate) fn refused(&self, what: &str) -> Error {
        let head = &self.head[..self.head.len().min(2 * HEAD_BYTES)];
        Error::Refused {
            what: what.to_owned(),
            status: self.status.as_u16(),
            body: String::from_utf8_lossy(head).into_owned(),
        }
    }
}

/// One connection that is kept open.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What every request says beside its own: the lines of the headers.
    headers: Arc<str>,
    request: Vec<u8>,
    received: BytesMut,
}

/// The head of an answer.
struct Head {
    status: StatusCode,
    says_retry_after: bool,
    framing: Framing,
}

/// How the end of a body is found.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    /// It has that many bytes.
    Length(usize),
    /// It comes in chunks, each with its length, until one of 0.
    Chunked,
}

impl Connection {
    /// Connects. The connection closes when this is dropped.
    pub(crate) async fn open(target: &Target) -> Result<Connection, Error> {
        let address = target.api;
        let stream = TcpStream::connect(address).await.map_err(Error::io(format!("connect to {address}")))?;
        stream.set_nodelay(true).map_err(Error::io("set TCP_NODELAY"))?;
        Ok(Connection {
            stream,
            headers: Arc::clone(&target.headers),
            request: Vec::new(),
            received: BytesMut::with_capacity(READ_BYTES),
        })
    }

    /// Sends a request and takes the answer in to its last byte, keeping only its beginning.
    pub(crate) async fn call(&mut self, call: &Call) -> io::Result<Received> {
        self.exchange(call, HEAD_BYTES).await
    }

    /// Sends a request and returns the whole answer, which must have status 200.
    pub(crate) async fn whole(&mut self, call: &Call) -> Result<Bytes, Error> {
        let what = format!("{} {}", call.method, call.uri);
        let received = self.exchange(call, usize::MAX).await.map_err(Error::http(&what))?;
        if received.status != StatusCode::OK {
            return Err(received.refused(&what));
        }
        Ok(received.head)
    }

    /// [`Connection::whole`] for a POST.
    pub(crate) async fn post(&mut self, path: &'static str, body: Bytes) -> Result<Bytes, Error> {
        self.whole(&Call { method: Method::POST, uri: Uri::from_static(path), body }).await
    }

    /// Keeps the first `keep` bytes of the answer's body.
    async fn exchange(&mut self, call: &Call, keep: usize) -> io::Result<Received> {
        self.send(call).await?;
        let Head { status, says_retry_after, framing } = self.head().await?;
        let mut head = Vec::new();
        match framing {
            Framing::Length(length) => self.take(length, keep, &mut head).await?,
            Framing::Chunked => {
                while let length @ 1.. = self.chunk_length().await? {
                    self.take(length, keep, &mut head).await?;
                    self.end_of_chunk().await?;
                }
                self.end_of_chunk().await?;
            }
        }
        Ok(Received { status, says_retry_after, head: head.into() })
    }

    async fn send(&mut self, call: &Call) -> io::Result<()> {
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
            self.stream.write_all(&self.request).await
        } else {
            self.stream.write_all_buf(&mut Buf::chain(&self.request[..], &body[..])).await
        }
    }

    /// Takes the next head in.
    async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some((head, length)) = parse_head(&self.received)? {
                self.received.advance(length);
                return Ok(head);
            }
            self.receive().await?;
        }
    }

    /// Takes `count` bytes of a body in, and keeps them as long as there are fewer than `keep`.
    async fn take(&mut self, mut count: usize, keep: usize, kept: &mut Vec<u8>) -> io::Result<()> {
        while count > 0 {
            if self.received.is_empty() {
                self.receive().await?;
            }
            let taken = count.min(self.received.len());
            kept.extend_from_slice(&self.received[..taken.min(keep - kept.len())]);
            // What is not kept is dropped where it came in.
            self.received.advance(taken);
            count -= taken;
        }
        Ok(())
    }

    async fn chunk_length(&mut self) -> io::Result<usize> {
        loop {
            let parsed = httparse::parse_chunk_size(&self.received);
            if let Status::Complete((taken, length)) = parsed.map_err(|_| wrong("a chunk has no length"))? {
                self.received.advance(taken);
                return usize::try_from(length).map_err(|_| wrong("a chunk is too long"));
            }
            self.receive().await?;
        }
    }

    async fn end_of_chunk(&mut self) -> io::Result<()> {
        let mut end = Vec::new();
        self.take(2, 2, &mut end).await?;
        if end == b"\r\n" { Ok(()) } else { Err(wrong("a chunk is longer than it said")) }
    }

    async fn receive(&mut self) -> io::Result<()> {
        self.received.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
            _ => Ok(()),
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// A head and its length, once it is complete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let Status::Complete(length) = response.parse(bytes).map_err(|error| wrong(&error.to_string()))? else {
        return Ok(None);
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| wrong("the answer has no status"))?;
    let framing = response.headers.iter().find_map(|header| {
        if header.name.eq_ignore_ascii_case("content-length") {
            std::str::from_utf8(header.value).ok()?.parse().ok().map(Framing::Length)
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            header.value.eq_ignore_ascii_case(b"chunked").then_some(Framing::Chunked)
        } else {
            None
        }
    });
    let framing = framing.ok_or_else(|| wrong("the answer does not say where it ends"))?;
    let mut names = response.headers.iter().map(|header| header.name);
    let says_retry_after = names.any(|name| name.eq_ignore_ascii_case("retry-after"));
    Ok(Some((Head { status, says_retry_after, framing }, length)))
}

#[cfg(test)]
mod tests;
