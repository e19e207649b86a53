//! HTTP/2, by hyper and the router.

use super::Service;
use super::connection::{ConnectionLimits, Peer};
use super::h1::{MAX_HEAD_BYTES, MAX_HEADERS, Refused};
use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_io_timeout::TimeoutStream;

/// All headers of a request together, as the library reads them: it has no body for a request that is over. So it reads
/// more than is allowed, and [`refused`] answers.
const MAX_HEADER_LIST_BYTES: u32 = 128 << 10;

/// What a field counts for beside its name and value (RFC 9113, 6.5.2).
const FIELD_BYTES: usize = 32;

/// Requests that may be under way at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

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
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(limits.idle_timeout));
    stream.set_write_timeout(Some(limits.idle_timeout));
    let activity = Arc::new(Activity::new());
    let stream = Observed { stream: Box::pin(stream), read, activity: Arc::clone(&activity) };
    let requests = Arc::clone(&activity);
    let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
        let under_way = UnderWay::begin(Arc::clone(&requests));
        let service = service.clone();
        async move {
            let _under_way = under_way;
            let response = match refused(&request) {
                Some(refused) => service.refusal(refused, peer),
                None => service.answer_http2(request.map(Body::new), peer).await,
            };
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    tokio::select! {
        biased;
        ended = connection.as_mut() => return Ok(ended?),
        _ = stopping.changed() => {}
        () = activity.idle_for(limits.idle_timeout) => {}
    }
    // Tells an HTTP/2 client to send no more here; answers it has not taken yet still go out.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = connection => Ok(ended?),
        () = activity.stalled_for(limits.idle_timeout) => Err("the client takes no answer".into()),
    }
}

/// Why no handler may see a request: what HTTP/1 refuses for its size or its sense, too. Most of what is malformed the
/// library refuses before, by a reset.
fn refused<B>(request: &Request<B>) -> Option<Refused> {
    let (uri, headers) = (request.uri(), request.headers());
    let target_bytes = uri.path().len() + uri.query().map_or(0, str::len);
    let field_bytes =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + FIELD_BYTES;
    let head_bytes = target_bytes + headers.iter().map(field_bytes).sum::<usize>();
    // Clients may send each cookie in a field of its own.
    let fields = headers.keys().filter(|name| **name != header::COOKIE);
    let fields: usize = fields.map(|name| headers.get_all(name).iter().count()).sum();
    if head_bytes > MAX_HEAD_BYTES || fields > MAX_HEADERS {
        return Some(Refused::TooLarge);
    }
    let is_single = |name| headers.get_all(name).iter().nth(1).is_none();
    // Where two parts on the way could take different ones.
    let is_of_one_host = match (uri.authority(), headers.get(header::HOST)) {
        (Some(authority), Some(host)) => host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()),
        _ => true,
    };
    let is_clear = is_of_one_host && is_single(header::HOST) && is_single(header::CONTENT_LENGTH);
    (!is_clear).then_some(Refused::Malformed)
}

/// What goes on on one connection, seen from its two sides: the stream and the requests.
struct Activity(Mutex<Seen>);

struct Seen {
    /// Requests whose answer is not made yet.
    under_way: usize,
    /// When a request last came in or got its answer; before the first, when the connection began.
    last_request: Instant,
    written_bytes: u64,
}

impl Activity {
    fn new() -> Activity {
        Activity(Mutex::new(Seen { under_way: 0, last_request: Instant::now(), written_bytes: 0 }))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there has been no request for `timeout`.
    async fn idle_for(&self, timeout: Duration) {
        loop {
            let idle_since = {
                let seen = self.seen();
                // What begins while this sleeps is not idle for long enough before it wakes.
                if seen.under_way == 0 { seen.last_request } else { Instant::now() }
            };
            let deadline = idle_since + timeout;
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    /// Waits until, for `timeout`, nothing was under way and hardly more than pings was written.
    async fn stalled_for(&self, timeout: Duration) {
        let mut written_before = self.seen().written_bytes;
        loop {
            sleep(timeout).await;
            let seen = self.seen();
            if seen.under_way == 0 && seen.written_bytes - written_before < MIN_ANSWER_BYTES {
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

/// A stream of which the first bytes were read before, and that tells how much was written.
struct Observed<S> {
    stream: S,
    /// What comes before the stream.
    read: Bytes,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.activity.seen().written_bytes += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
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
