//! Sends raw bytes to the server and reads the answers as strictly as a suspicious client.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take to close a connection that it must close; only a broken one takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The request id: the one that was sent, or one of the server's. `None` if the HTTP layer refused the bytes
    /// before they were a request.
    pub(super) id: Option<String>,
}

/// All answers on one connection until its end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) answers: Vec<Answer>,
    /// Bytes that are not an HTTP/1 answer.
    pub(super) rest: Vec<u8>,
}

/// A connection that stays open. An answer on it shows that the server has processed earlier bytes of others.
pub(super) struct Pacer(TcpStream);

impl Pacer {
    pub(super) async fn connect(api: SocketAddr) -> Pacer {
        let stream = TcpStream::connect(api).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Pacer(stream)
    }

    /// Sends another client's request, which must always be answered.
    pub(super) async fn turn(&mut self) {
        self.0.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("others are served");
        let mut received = Vec::new();
        while !received.ends_with(b"}}}") {
            let read = timeout(PATIENCE, self.0.read_buf(&mut received)).await.expect("others are served");
            assert!(read.expect("others are served") > 0, "another's connection was closed");
        }
        assert!(received.starts_with(b"HTTP/1.1 404"), "another's answer is not its own");
    }
}

/// Sends `pieces` on a new connection, gives the server a turn after each, and reads to the end. `None` if the server
/// does not end the connection.
pub(super) async fn exchange(api: SocketAddr, pacer: &mut Pacer, pieces: &[&[u8]]) -> Option<Seen> {
    let mut stream = TcpStream::connect(api).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            pacer.turn().await;
        }
        // The server may have closed it already; the answers show that.
        let _ = stream.write_all(piece).await;
    }
    let mut received = Vec::new();
    let ended = timeout(PATIENCE, async {
        // A reset also closes the connection.
        while stream.read_buf(&mut received).await.is_ok_and(|read| read > 0) {}
    });
    ended.await.ok()?;
    Some(answers_in(&received))
}

fn answers_in(received: &[u8]) -> Seen {
    let mut seen = Seen { answers: Vec::new(), rest: received.to_vec() };
    while let Some((answer, length)) = first_answer(&seen.rest) {
        seen.rest.drain(..length);
        // A "100 Continue" is not an answer.
        seen.answers.extend(Some(answer).filter(|answer| answer.status >= 200));
    }
    seen
}

/// The first answer, and its length in bytes.
fn first_answer(received: &[u8]) -> Option<(Answer, usize)> {
    let head_bytes = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&received[..head_bytes]).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next()?;
    let status = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let status = status.get(..3)?.parse().ok()?;
    let fields: Vec<(String, &str)> = lines
        .map(|line| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim())))
        .collect::<Option<_>>()?;
    let field = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1);
    let body_bytes: usize = field("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let length = head_bytes + body_bytes;
    let answer = Answer { status, id: field("x-request-id").map(str::to_owned) };
    (length <= received.len()).then_some((answer, length))
}
