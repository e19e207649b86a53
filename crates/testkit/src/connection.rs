//! A connection that may break: to whoever kills servers, that is an observation and not a failure of the test.

use crate::client::Answer;
use bytes::{Buf, Bytes, BytesMut};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READ_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 32;

/// A request that got no whole answer.
#[derive(Debug)]
pub struct Broken {
    /// How many bytes of an answer came before the end.
    pub received_bytes: usize,
    /// What the connection ended with.
    pub error: io::Error,
}

/// A connection that is kept open and carries one request at a time.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: BytesMut::with_capacity(READ_BYTES) })
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

    async fn answer(&mut self) -> Result<Answer, Broken> {
        let mut received_bytes = self.received.len();
        loop {
            match take_answer(&mut self.received) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) => return Err(Broken { received_bytes, error }),
            }
            self.received.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => return Err(Broken { received_bytes, error: ErrorKind::UnexpectedEof.into() }),
                Ok(read) => received_bytes += read,
                Err(error) => return Err(Broken { received_bytes, error }),
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

/// Takes an answer from the front, once it is complete. This server gives the length of every body.
fn take_answer(received: &mut BytesMut) -> io::Result<Option<Answer>> {
    let wrong = |what: String| io::Error::new(ErrorKind::InvalidData, what);
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut lines);
    let httparse::Status::Complete(head_bytes) =
        head.parse(received).map_err(|error| wrong(error.to_string()))?
    else {
        return Ok(None);
    };
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| wrong("an answer without a status".to_owned()))?;
    let mut headers = HeaderMap::new();
    for line in head.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        headers.append(name, HeaderValue::from_bytes(line.value).map_err(|error| wrong(error.to_string()))?);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let length = length.ok_or_else(|| wrong("an answer without a length".to_owned()))?;
    if received.len() < head_bytes + length {
        return Ok(None);
    }
    received.advance(head_bytes);
    let body: Bytes = received.split_to(length).freeze();
    Ok(Some(Answer { status, headers, body }))
}
