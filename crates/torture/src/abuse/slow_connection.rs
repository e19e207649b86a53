//! One connection of a client that has all the time in the world.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// How long it waits before its next byte.
const PAUSE: Duration = Duration::from_secs(1);

/// As little of an answer as the kernel can be made to take.
const RECEIVE_BYTES: u32 = 4 << 10;

/// What it is slow at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slowness {
    /// The headers come a byte at a time.
    Headers,
    /// The body comes a byte at a time.
    Body,
    /// Requests come, and no answer is read.
    Answers,
    /// Nothing comes.
    Idle,
}

impl Slowness {
    /// All kinds.
    pub(crate) const ALL: [Slowness; 4] =
        [Slowness::Headers, Slowness::Body, Slowness::Answers, Slowness::Idle];
}

/// What all slow connections share.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// Once true, nobody sends any more, and who is cut off does not come back.
    pub has_stopped: AtomicBool,
    /// Connected at present.
    pub open: AtomicUsize,
    /// How often one was cut off by the server.
    pub cut_off: AtomicUsize,
    /// Answers with a 2xx to what was never whole: there must be none.
    pub wrongly_answered: AtomicUsize,
}

impl Crowd {
    fn goes_on(&self) -> bool {
        !self.has_stopped.load(Ordering::Relaxed)
    }

    /// Keeps one connection open as long as the server lets it, and comes back until the crowd has stopped.
    pub(crate) async fn keep_one(&self, api: SocketAddr, token: &str, slowness: Slowness) {
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
                return self.take_nothing(stream, get.repeat(64).as_bytes()).await;
            }
            Slowness::Idle => String::new(),
        };
        if stream.write_all(front.as_bytes()).await.is_err() {
            return;
        }
        let mut received = Vec::new();
        loop {
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

    /// Asks until nothing more is taken, and reads nothing until the server has given up.
    async fn take_nothing(&self, mut stream: TcpStream, requests: &[u8]) {
        loop {
            tokio::select! {
                written = stream.write_all(requests) => {
                    if written.is_err() {
                        return;
                    }
                }
                () = sleep(PAUSE) => {
                    // The socket is full in both directions. A reset shows when it is written to again.
                    while stream.writable().await.is_ok() {
                        match stream.try_write(b"\r\n") {
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                            Err(_) => return,
                            Ok(_) => sleep(PAUSE).await,
                        }
                    }
                    return;
                }
            }
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
