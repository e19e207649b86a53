//! An HTTP/1.1 client with as little in it as a load generator can do with: one connection, one request at a time. A
//! general client took 1.6 times the processor time for a small POST.
//!
//! A connection may break: to those who kill servers, that is an observation and not a failure of the test.

use crate::client::Answer;
use bytes::{Buf, Bytes, BytesMut};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 32;

/// A request that got no whole answer.
#[derive(Debug)]
pub struct Broken {
    /// How many bytes of an answer came before the end.
    pub received_bytes: usize,
    /// What the connection ended with.
    pub error: io::Error,
}

/// As much of an answer as was kept.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// Whether it says when to try again.
    pub says_retry_after: bool,
    /// The first bytes of the body.
    pub start: Bytes,
}

/// A connection that is kept open and carries one request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
    /// Of the answer that is awaited.
    received_bytes: usize,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: BytesMut::with_capacity(READ_BYTES), received_bytes: 0 })
    }

    /// Sends the bytes of one request and takes its answer in. After an error the connection is of no more use.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Broken> {
        self.exchange_in_parts(&[request], Duration::ZERO).await
    }

    /// [`Connection::exchange`] of a request in several parts, with a pause between them.
    pub async fn exchange_in_parts(&mut self, parts: &[&[u8]], pause: Duration) -> Result<Answer, Broken> {
        let mut sent = Ok(());
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                tokio::time::sleep(pause).await;
            }
            sent = self.stream.write_all(part).await;
            if sent.is_err() {
                break;
            }
        }
        // A server that is about to close may have answered already what it did not read to its end.
        match self.answer().await {
            Ok(answer) => Ok(answer),
            Err(broken) => match sent {
                Err(error) if broken.received_bytes == 0 => Err(Broken { error, ..broken }),
                _ => Err(broken),
            },
        }
    }

    /// Sends a request whose head and body lie apart, and takes the answer in to its last byte, keeping only the first
    /// `keep_bytes` of its body. For load generators: it costs as little as it can.
    pub async fn ask(&mut self, head: &[u8], body: &[u8], keep_bytes: usize) -> io::Result<Reply> {
        if body.is_empty() {
            self.stream.write_all(head).await?;
        } else {
            self.stream.write_all_buf(&mut Buf::chain(head, body)).await?;
        }
        let (status, says_retry_after, mut rest) = self
            .head(|head| {
                let says_retry_after =
                    head.headers.iter().any(|line| line.name.eq_ignore_ascii_case("retry-after"));
                Ok((status_of(head)?, says_retry_after, length_of(head)?))
            })
            .await?;
        let mut start = Vec::new();
        while rest > 0 {
            if self.received.is_empty() {
                self.receive().await?;
            }
            let taken = rest.min(self.received.len());
            start.extend_from_slice(&self.received[..taken.min(keep_bytes - start.len())]);
            // What is not kept is dropped where it came in.
            self.received.advance(taken);
            rest -= taken;
        }
        Ok(Reply { status, says_retry_after, start: start.into() })
    }

    async fn answer(&mut self) -> Result<Answer, Broken> {
        self.received_bytes = self.received.len();
        let answer = self.whole_answer().await;
        answer.map_err(|error| Broken { received_bytes: self.received_bytes, error })
    }

    async fn whole_answer(&mut self) -> io::Result<Answer> {
        let (status, headers, length) =
            self.head(|head| Ok((status_of(head)?, headers_of(head)?, length_of(head)?))).await?;
        while self.received.len() < length {
            self.receive().await?;
        }
        Ok(Answer { status, headers, body: self.received.split_to(length).freeze() })
    }

    /// Takes the next head in, and gives what `read` makes of it.
    async fn head<T>(
        &mut self,
        read: impl Fn(&httparse::Response<'_, '_>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut head = httparse::Response::new(&mut lines);
            let parsed = head.parse(&self.received).map_err(|error| wrong(&error.to_string()))?;
            if let httparse::Status::Complete(length) = parsed {
                let made = read(&head)?;
                self.received.advance(length);
                return Ok(made);
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        self.received.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
            read => {
                self.received_bytes += read;
                Ok(())
            }
        }
    }
}

/// The bytes of a request.
pub fn request(
    method: &str,
    path_and_query: &str,
    address: SocketAddr,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut request = format!("{method} {path_and_query} HTTP/1.1\r\nhost: {address}\r\n").into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if let Some(body) = body {
        request.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body.unwrap_or_default());
    request
}

fn status_of(head: &httparse::Response<'_, '_>) -> io::Result<StatusCode> {
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
    status.ok_or_else(|| wrong("an answer without a status"))
}

fn headers_of(head: &httparse::Response<'_, '_>) -> io::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in head.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
        headers.append(name, HeaderValue::from_bytes(line.value).map_err(|error| wrong(&error.to_string()))?);
    }
    Ok(headers)
}

/// This server gives the length of every body.
fn length_of(head: &httparse::Response<'_, '_>) -> io::Result<usize> {
    let line = head.headers.iter().find(|line| line.name.eq_ignore_ascii_case("content-length"));
    let length = line.and_then(|line| std::str::from_utf8(line.value).ok()?.parse().ok());
    length.ok_or_else(|| wrong("an answer without a length"))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
