//! Any HTTP that a client may speak, by hyper and the router: HTTP/2, chunks, large bodies, and whatever is not
//! plain enough for [`super::plain`].

use super::Service;
use super::framing::Framing;
use super::refusal::Refusal;
use super::serve::{ConnectionLimits, Peer};
use crate::http::Http;
use axum::BoxError;
use axum::body::{Body, Bytes};
use bytes::Buf;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tower::ServiceExt;

/// The longest request line and headers; also how much of a connection is buffered.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How much hyper gets at once of a connection that is refused.
const REFUSAL_BYTES: usize = 256;

/// Requests that may be under way at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// What every HTTP/2 connection begins with, and no other.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More than pings and their answers come to in an idle timeout, and less than any client takes of an
/// answer that it means to have.
const MIN_ANSWER_BYTES: u64 = 1 << 10;

/// Serves a connection of which `read` has been read already, until it ends or `stopping` changes and what was
/// taken is answered.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    read: Bytes,
    peer: Peer,
    service: Service,
    limits: ConnectionLimits,
    mut stopping: watch::Receiver<()>,
) -> Result<(), BoxError> {
    let activity = Arc::new(Activity::new());
    let stream = Observed::new(stream, read, service.http.clone(), Arc::clone(&activity));
    let requests = Arc::clone(&activity);
    let answer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let under_way = UnderWay::begin(Arc::clone(&requests));
        request.extensions_mut().insert(peer);
        let answer = service.router.clone().oneshot(request.map(Body::new));
        async move {
            let _under_way = under_way;
            answer.await
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        _ = stopping.changed() => {}
        () = activity.idle_for(limits.idle_timeout) => {}
    }
    // Tells an HTTP/2 client to send no more here; answers it has not taken yet still go out.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = connection => ended,
        () = activity.stalled_for(limits.idle_timeout) => Err("the client takes no answer".into()),
    }
}

/// What goes on on one connection, seen from its two sides: the stream and the requests.
struct Activity(Mutex<Seen>);

struct Seen {
    version: Version,
    /// Requests whose answer is not made yet.
    under_way: usize,
    /// When a request last came in or got its answer; before the first, when the connection began.
    last_request: Instant,
    written_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Unknown,
    Http1,
    Http2,
}

impl Activity {
    fn new() -> Activity {
        Activity(Mutex::new(Seen {
            version: Version::Unknown,
            under_way: 0,
            last_request: Instant::now(),
            written_bytes: 0,
        }))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there has been no request for `timeout`. Never ends for HTTP/1.1, which has a
    /// deadline for the next request, nor before the first bytes, for which the stream has one.
    async fn idle_for(&self, timeout: Duration) {
        loop {
            let deadline = {
                let seen = self.seen();
                match seen.version {
                    Version::Http1 => None,
                    Version::Http2 if seen.under_way == 0 => Some(seen.last_request + timeout),
                    // What begins while this sleeps is not idle for long enough before it wakes.
                    Version::Http2 | Version::Unknown => Some(Instant::now() + timeout),
                }
            };
            match deadline {
                None => std::future::pending().await,
                Some(deadline) if deadline <= Instant::now() => return,
                Some(deadline) => sleep_until(deadline).await,
            }
        }
    }

    /// Waits until, for `timeout`, nothing was under way and hardly more than pings was written. Never
    /// ends for HTTP/1.1: the write timeout of the stream sees a client that takes nothing.
    async fn stalled_for(&self, timeout: Duration) {
        let mut written_before = self.seen().written_bytes;
        loop {
            sleep(timeout).await;
            let seen = self.seen();
            let moves = seen.under_way > 0 || seen.written_bytes - written_before >= MIN_ANSWER_BYTES;
            if seen.version == Version::Http2 && !moves {
                return;
            }
            written_before = seen.written_bytes;
        }
    }
}

/// A request whose answer is not made yet.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn begin(activity: Arc<Activity>) -> UnderWay {
        let mut seen = activity.seen();
        seen.under_way += 1;
        seen.last_request = Instant::now();
        drop(seen);
        UnderWay(activity)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.under_way -= 1;
        seen.last_request = Instant::now();
    }
}

/// A stream that tells which version of HTTP is spoken on it and how much was written, and lets nothing through
/// that HTTP/1 could understand in two ways.
struct Observed<S> {
    stream: S,
    /// What comes before the stream.
    read: Bytes,
    spoken: Spoken,
    /// Whose form answers have; `None` where they have none of their own.
    http: Option<Arc<Http>>,
    refusal: Option<Refusal>,
    activity: Arc<Activity>,
}

/// What is spoken on a stream.
enum Spoken {
    /// So many bytes of the preface of HTTP/2 have come in, and nothing else.
    Unknown(usize),
    Http1(Framing),
    Http2,
}

impl<S> Observed<S> {
    fn new(stream: S, read: Bytes, http: Option<Arc<Http>>, activity: Arc<Activity>) -> Observed<S> {
        Observed { stream, read, spoken: Spoken::Unknown(0), http, refusal: None, activity }
    }

    fn came_in(&mut self, bytes: &mut [u8]) {
        if let Spoken::Unknown(matched) = self.spoken {
            let expected = &HTTP2_PREFACE[matched..];
            let length = bytes.len().min(expected.len());
            let version = if bytes[..length] != expected[..length] {
                let mut framing = Framing::new(MAX_HEAD_BYTES);
                framing.pass(&mut HTTP2_PREFACE[..matched].to_vec());
                self.spoken = Spoken::Http1(framing);
                Version::Http1
            } else if length == expected.len() {
                self.spoken = Spoken::Http2;
                Version::Http2
            } else {
                self.spoken = Spoken::Unknown(matched + length);
                return;
            };
            self.activity.seen().version = version;
        }
        if let Spoken::Http1(framing) = &mut self.spoken {
            framing.pass(bytes);
        }
    }

    fn look_for_refusal(&mut self, bytes: &[u8]) {
        if let (Some(http), None, Spoken::Http1(framing)) = (&self.http, &self.refusal, &self.spoken) {
            self.refusal = Refusal::of(http, bytes, framing.refused(), MAX_HEAD_BYTES);
        }
    }

    fn has_refused(&self) -> bool {
        matches!(&self.spoken, Spoken::Http1(framing) if framing.refused().is_some())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.has_refused() {
            // hyper need not wait for the client to learn that.
            let length = buffer.remaining().min(REFUSAL_BYTES);
            buffer.put_slice(&[Framing::REFUSAL; REFUSAL_BYTES][..length]);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if self.read.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let length = self.read.len().min(buffer.remaining());
            buffer.put_slice(&self.read[..length]);
            self.read.advance(length);
        }
        self.came_in(&mut buffer.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.look_for_refusal(bytes);
        let Observed { stream, refusal, .. } = &mut *self;
        let stream = Pin::new(stream);
        let written = match refusal {
            Some(refusal) => ready!(refusal.poll_write(stream, context))?,
            None => ready!(stream.poll_write(context, bytes))?,
        };
        self.refusal = None;
        self.activity.seen().written_bytes += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if let Some(first) = slices.iter().find(|slice| !slice.is_empty()) {
            self.look_for_refusal(first);
            if self.refusal.is_some() {
                return self.poll_write(context, first);
            }
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.activity.seen().written_bytes += written as u64;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
