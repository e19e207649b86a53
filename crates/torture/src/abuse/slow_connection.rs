//! One slow connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// How long it waits before its next byte.
const PAUSE: Duration = Duration::from_secs(1);

/// As little of an answer as the kernel can be made to take.
const RECEIVE_BYTES: u32 = 4 << 10;

/// Requests of one that then reads no answer.
const ANSWERS_NOT_READ: usize = 4;

/// Users of a read whose answers fill a socket in a while.
const USERS_A_READ: usize = 200;

/// What it is slow at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slowness {
    /// The headers come a byte at a time.
    Headers,
    /// The body comes a byte at a time.
    Body,
    /// A few requests come, and no answer is read.
    Answers,
    /// Requests come without end, and no answer is read: the sockets fill up.
    Stuffed,
    /// Nothing comes.
    Idle,
}

impl Slowness {
    /// What most are slow at. The kernel holds megabytes for each of the others.
    pub(crate) const COMMON: [Slowness; 4] =
        [Slowness::Headers, Slowness::Body, Slowness::Answers, Slowness::Idle];
}

/// What all slow connections share.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// Once true, no connection sends anything more, and one that is cut off does not come back.
    pub has_stopped: AtomicBool,
    /// Connected at present.
    pub open: AtomicUsize,
    /// How often one was cut off by the server.
    pub cut_off: AtomicUsize,
    /// The longest that one was let go on with its headers, and with its body, in milliseconds.
    pub longest_headers_ms: AtomicU64,
    pub longest_body_ms: AtomicU64,
    /// Answers with a 2xx to what was never whole: there must be none.
    pub wrongly_answered: AtomicUsize,
}

impl Crowd {
    fn goes_on(&self) -> bool {
        !self.has_stopped.load(Ordering::Relaxed)
    }

    /// Keeps one connection open as long as the server lets it, and comes back until the crowd has stopped.
    pub(crate) async fn keep_one(&self, api: SocketAddr, token: &str, slowness: Slowness, delay: Duration) {
        sleep(delay).await;
        while self.goes_on() {
            let Ok(stream) = connect(api).await else {
                sleep(PAUSE).await;
                continue;
            };
            self.open.fetch_add(1, Ordering::Relaxed);
            self.be_slow(stream, token, slowness).await;
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when the server has closed the connection.
    async fn be_slow(&self, mut stream: TcpStream, token: &str, slowness: Slowness) {
        let front = match slowness {
            Slowness::Headers => "GET /user-segment?user_id=1 HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_owned(),
            Slowness::Body => format!(
                "POST /rt-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 10000\r\n\r\n"
            ),
            Slowness::Answers => {
                let get = format!(
                    "GET /user-segment?user_id=1 HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
                );
                return self.take_nothing(stream, get.as_bytes(), ANSWERS_NOT_READ).await;
            }
            Slowness::Stuffed => {
                let users = vec![r#"{"user_id":"1"}"#; USERS_A_READ].join(",");
                let body = format!(r#"{{"users": [{users}]}}"#);
                let post = format!(
                    "POST /user-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                return self.take_nothing(stream, post.as_bytes(), usize::MAX).await;
            }
            Slowness::Idle => String::new(),
        };
        if stream.write_all(front.as_bytes()).await.is_err() {
            return;
        }
        let mut received = Vec::new();
        let begun = Instant::now();
        loop {
            self.note_age(slowness, begun.elapsed());
            tokio::select! {
                read = stream.read_buf(&mut received) => {
                    if !read.is_ok_and(|read| read > 0) {
                        break;
                    }
                }
                () = sleep(PAUSE) => {
                    let is_silent = slowness == Slowness::Idle || !self.goes_on();
                    if !is_silent && stream.write_all(b" ").await.is_err() {
                        break;
                    }
                }
            }
        }
        if received.starts_with(b"HTTP/1.1 2") {
            self.wrongly_answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note_age(&self, slowness: Slowness, age: Duration) {
        let longest = match slowness {
            Slowness::Headers => &self.longest_headers_ms,
            Slowness::Body => &self.longest_body_ms,
            _ => return,
        };
        longest.fetch_max(u64::try_from(age.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Asks that often, or until nothing more is taken, and reads nothing until the server has given up.
    async fn take_nothing(&self, mut stream: TcpStream, request: &[u8], times: usize) {
        let asking = async {
            for _ in 0..times {
                // Where the sockets are full in both directions, this waits.
                stream.write_all(request).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        tokio::select! {
            asked = asking => if asked.is_err() { return },
            () = self.silence() => {}
        }
        // What is not read hides the end of the connection; a byte that is refused shows it.
        loop {
            sleep(PAUSE).await;
            let is_over = self.goes_on() && stream.write_all(b"\r\n").await.is_err();
            if is_over {
                return;
            }
        }
    }

    async fn silence(&self) {
        while self.goes_on() {
            sleep(PAUSE).await;
        }
    }
}

async fn connect(api: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let stream = socket.connect(api).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
