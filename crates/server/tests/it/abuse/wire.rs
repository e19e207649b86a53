//! Raw bytes to the server, and what comes back, read as strictly as a suspicious client would.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take to close a connection that it must close; only a broken one takes it up.
const PATIENCE: Duration = Duration::from_secs(20);

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whose answer it is: the request id that was sent, or one of the server's. None where the HTTP layer
    /// has refused the bytes before they were a request.
    pub(super) id: Option<String>,
}

/// All that came back on one connection until its end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) answers: Vec<Answer>,
    /// What is no answer in HTTP/1.
    pub(super) rest: Vec<u8>,
}

/// A connection that is kept: an answer on it says that the server has looked at what others sent before.
pub(super) struct Pacer(TcpStream);

impl Pacer {
    pub(super) async fn connect(api: SocketAddr) -> Pacer {
        let stream = TcpStream::connect(api).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Pacer(stream)
    }

    /// Another client's request, which must be answered whatever goes on beside it.
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

/// Sends `pieces` on a connection of their own, the server's turn between them, and reads to its end. `None`
/// when the server does not end it.
pub(super) async fn exchange(api: SocketAddr, pacer: &mut Pacer, pieces: &[&[u8]]) -> Option<Seen> {
    let mut stream = TcpStream::connect(api).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            pacer.turn().await;
        }
        // It may have been closed already: what came back tells.
        let _ = stream.write_all(piece).await;
    }
    let mut received = Vec::new();
    let ended = timeout(PATIENCE, async {
        // A reset is a way to close, too.
        while stream.read_buf(&mut received).await.is_ok_and(|read| read > 0) {}
    });
    ended.await.ok()?;
    Some(answers_in(&received))
}

fn answers_in(received: &[u8]) -> Seen {
    let mut seen = Seen { answers: Vec::new(), rest: received.to_vec() };
    while let Some((answer, length)) = first_answer(&seen.rest) {
        seen.rest.drain(..length);
        // A "100 Continue" is none.
        seen.answers.extend(Some(answer).filter(|answer| answer.status >= 200));
    }
    seen
}

/// The answer at the front and how long it is.
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
