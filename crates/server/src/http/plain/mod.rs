//! Plain HTTP/1.1: small requests that come whole, over a connection that is kept open. That is how bidders read
//! and how most providers write, and a general server takes several times as long over such a request as the
//! request itself does.
//!
//! Nothing is refused here. A request that is not plain in every respect (see [`head`]), or does not come at
//! once, goes to [`super::general`] with all bytes that were read, and so does the rest of its connection.

mod answer;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod head;

use super::Service;
use super::serve::{ConnectionLimits, Peer};
use answer::Answers;
use axum::body::Bytes;
use bytes::BytesMut;
use head::PlainHead;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// What is read at once: a request and its head, in most cases.
const READ_BYTES: usize = 8 << 10;

/// How long a body may lag behind its head. Many clients send them one after the other.
const BODY_LAG: Duration = Duration::from_secs(1);

/// What came of a connection.
pub(super) enum Outcome<S> {
    /// It is done with.
    Closed,
    /// It goes on in another way, after the bytes that were read of it.
    GoesOn(S, Bytes),
}

/// Serves requests as long as they are plain.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: Peer,
    service: &Service,
    limits: ConnectionLimits,
    stopping: &watch::Receiver<()>,
) -> io::Result<Outcome<S>> {
    let mut received = BytesMut::new();
    let mut answers = Answers::default();
    let mut stop = stopping.clone();
    let mut stopped = pin!(stop.changed());
    let patience = limits.header_timeout.min(limits.idle_timeout);
    // Set anew when it goes off, not for every request.
    let mut alarm = pin!(sleep(patience));
    let mut waiting_since = Instant::now();
    loop {
        if received.is_empty() {
            received.reserve(READ_BYTES);
            let first = {
                let mut read = pin!(stream.read_buf(&mut received));
                poll_fn(|context| {
                    if let Poll::Ready(read) = read.as_mut().poll(context) {
                        return Poll::Ready(read);
                    }
                    let late = is_late(alarm.as_mut(), waiting_since + patience, context);
                    if late || stopped.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Ok(0));
                    }
                    Poll::Pending
                })
                .await?
            };
            if first == 0 {
                return Ok(Outcome::Closed);
            }
        }
        let Some(head) = PlainHead::parse(&received) else {
            return Ok(Outcome::GoesOn(stream, received.freeze()));
        };
        if !receive_body(&mut stream, &mut received, &head, service).await? {
            return Ok(Outcome::GoesOn(stream, received.freeze()));
        }
        let response = service.answer(head.take(&mut received), peer).await;
        let is_last = !matches!(stopping.has_changed(), Ok(false));
        answers.write(&mut stream, response, is_last, limits.idle_timeout).await?;
        if is_last {
            timeout(limits.idle_timeout, stream.shutdown()).await??;
            return Ok(Outcome::Closed);
        }
        waiting_since = Instant::now();
    }
}

/// Whether it is `deadline`; else sees to it that the task is woken then.
fn is_late(mut alarm: Pin<&mut Sleep>, deadline: Instant, context: &mut Context<'_>) -> bool {
    while alarm.as_mut().poll(context).is_ready() {
        if deadline <= Instant::now() {
            return true;
        }
        alarm.as_mut().reset(deadline);
    }
    false
}

/// Waits a little for the rest of a body. Returns whether it is there.
async fn receive_body(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
    head: &PlainHead,
    service: &Service,
) -> io::Result<bool> {
    let missing = head.request_bytes().saturating_sub(received.len());
    if missing == 0 {
        return Ok(true);
    }
    let mut share = service.body_share();
    if !share.as_mut().is_some_and(|share| share.grow(missing)) {
        return Ok(false);
    }
    received.reserve(missing);
    let receive = async {
        while received.len() < head.request_bytes() {
            if stream.read_buf(received).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    };
    timeout(BODY_LAG, receive).await.unwrap_or(Ok(false))
}
