//! HTTP/1. One parser for heads ([`head`]) and bodies ([`chunks`]), one writer for answers ([`answer`]), and this
//! loop, which answers the requests of a connection one after the other.
//!
//! Written here and not taken from hyper for two reasons: a read or a small POST costs a good part more there
//! (docs/PERFORMANCE.md), and hyper takes forms of requests that a proxy may understand differently, so that a
//! second parser had to stand before it.

mod answer;
mod chunks;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod head;
mod incoming;
#[cfg(test)]
mod tests;

use super::Service;
use super::body::Leftover;
use super::connection::{ConnectionLimits, Peer};
use answer::{Answers, Form};
use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use bytes::{Buf, BytesMut};
use head::{BodyLength, Head, HeadScan};
use incoming::{Incoming, Receiver};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub(super) use head::{MAX_HEAD_BYTES, MAX_HEADERS};

/// How long, and over how many bytes, a connection is read on after its last answer. One that is closed with
/// bytes unread is reset, and the client may lose the answer.
const LINGER: Duration = Duration::from_secs(1);
const MAX_LINGER_BYTES: u64 = 2 << 20;

/// Why a request is refused before any handler sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no HTTP, or two parsers could understand it differently.
    Malformed,
    /// The head, the head of a chunk or a trailer is over its limit.
    TooLarge,
}

/// Serves a connection of which `received` has been read, until it ends or `stopping` changes and what was taken
/// is answered.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    received: BytesMut,
    peer: Peer,
    service: &Service,
    limits: ConnectionLimits,
    stopping: &watch::Receiver<()>,
) -> io::Result<()> {
    let mut receiver = Receiver::new(stream, received, limits.idle_timeout);
    let mut answers = Answers::default();
    let mut stop = stopping.clone();
    let mut stopped = pin!(stop.changed());
    loop {
        let head = match next(&mut receiver, limits.header_timeout, stopped.as_mut()).await? {
            Some(Ok(head)) => head,
            None => return Ok(()),
            Some(Err(refused)) => {
                let form = Form { is_http_11: true, is_to_head: false, is_last: true };
                let response = service.refusal(refused, peer);
                answers.write(&mut receiver.stream, response, form, limits.idle_timeout).await?;
                return close(receiver, limits).await;
            }
        };
        let (is_http_11, is_to_head) = (head.is_http_11, head.method == Method::HEAD);
        let mut keep_alive = head.keep_alive;
        let whole_bytes = match head.body_length {
            BodyLength::Bytes(length) => usize::try_from(length).ok(),
            BodyLength::Chunked => None,
        };
        let response = match whole_bytes.filter(|&length| length <= receiver.received.len()) {
            Some(length) => {
                let body = receiver.received.split_to(length).freeze();
                let body = if body.is_empty() { Body::empty() } else { Body::from(body) };
                service.answer(request(head, body), peer).await
            }
            None => {
                let (response, rest) = streamed(head, receiver, service, peer).await?;
                // Where the body is not read to its end, nobody knows where the next request begins.
                keep_alive &= rest.is_at_end;
                receiver = rest.receiver;
                response
            }
        };
        let is_last = !keep_alive || !matches!(stopping.has_changed(), Ok(false));
        let form = Form { is_http_11, is_to_head, is_last };
        answers.write(&mut receiver.stream, response, form, limits.idle_timeout).await?;
        if is_last {
            return close(receiver, limits).await;
        }
        receiver.quiet_since = Instant::now();
    }
}

/// Reads the next head; `None` where the client is done, or the server stops.
async fn next<S: AsyncRead + Unpin>(
    receiver: &mut Receiver<S>,
    header_timeout: Duration,
    mut stopped: Pin<&mut impl Future>,
) -> io::Result<Option<Result<Head, Refused>>> {
    let deadline = Instant::now() + header_timeout;
    let mut scan = HeadScan::default();
    loop {
        match scan.end(&receiver.received) {
            Ok(None) => {}
            Ok(Some(end)) => {
                let head = scan.parse(&receiver.received, end);
                receiver.received.advance(end);
                return Ok(Some(head));
            }
            Err(refused) => return Ok(Some(Err(refused))),
        }
        let is_between = receiver.received.is_empty();
        let read = poll_fn(|context| match receiver.poll_read(context, Some(deadline)) {
            Poll::Pending if is_between && stopped.as_mut().poll(context).is_ready() => Poll::Ready(Ok(0)),
            read => read,
        });
        if read.await? == 0 {
            return Ok(None);
        }
    }
}

fn request(head: Head, body: Body) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    request
}

/// What is left of a connection after a body that was read from it.
struct Rest<S> {
    receiver: Receiver<S>,
    is_at_end: bool,
}

/// Answers a request whose body is still coming in.
async fn streamed<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    head: Head,
    receiver: Receiver<S>,
    service: &Service,
    peer: Peer,
) -> io::Result<(Response, Rest<S>)> {
    let incoming = Incoming::new(receiver, head.body_length, head.expects_continue);
    let body = Body::new(incoming.clone());
    let response = if head.expects_continue {
        // The client sends its body only when someone reads it.
        service.answer(request(head, body), peer).await
    } else {
        let (body, leftover) = Leftover::of(body);
        let response = service.answer(request(head, body), peer).await;
        leftover.drain().await;
        response
    };
    let (receiver, is_at_end) =
        incoming.into_receiver().ok_or_else(|| io::Error::other("a handler keeps its request's body"))?;
    Ok((response, Rest { receiver, is_at_end }))
}

/// Closes a connection so that the client gets to see the last answer.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    mut receiver: Receiver<S>,
    limits: ConnectionLimits,
) -> io::Result<()> {
    timeout(limits.idle_timeout, receiver.stream.shutdown()).await??;
    let mut rest = receiver.stream.take(MAX_LINGER_BYTES);
    // A client that goes on sending is cut off.
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Ok(())
}
