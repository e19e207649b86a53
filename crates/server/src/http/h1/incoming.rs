//! Reading from a connection, and request bodies that come in while they are read.

use super::chunks::{BodyDecoder, Decoded};
use super::head::BodyLength;
use axum::body::{Bytes, HttpBody};
use bytes::BytesMut;
use hyper::body::Frame;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

/// What is read at once: a request and its head, in most cases.
const READ_BYTES: usize = 8 << 10;

/// What is read at once of a body that did not come with its head.
const BODY_READ_BYTES: usize = 64 << 10;

/// Tells a client that its body is wanted.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A stream, and what was read of it ahead of its use.
pub(super) struct Receiver<S> {
    pub(super) stream: S,
    pub(super) received: BytesMut,
    /// When the last byte went in or out.
    pub(super) quiet_since: Instant,
    idle_timeout: Duration,
    /// Set anew when it goes off, not for every request.
    alarm: Pin<Box<Sleep>>,
    read_bytes: usize,
}

impl<S: AsyncRead + Unpin> Receiver<S> {
    pub(super) fn new(stream: S, received: BytesMut, idle_timeout: Duration) -> Receiver<S> {
        let alarm = Box::pin(sleep(idle_timeout));
        Receiver {
            stream,
            received,
            quiet_since: Instant::now(),
            idle_timeout,
            alarm,
            read_bytes: READ_BYTES,
        }
    }

    /// Reads more; 0 bytes at the end. Fails at `deadline`, and when nothing came for the idle timeout.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        deadline: Option<Instant>,
    ) -> Poll<io::Result<usize>> {
        self.received.reserve(self.read_bytes);
        if let Poll::Ready(read) = pin!(self.stream.read_buf(&mut self.received)).poll(context) {
            self.quiet_since = Instant::now();
            return Poll::Ready(read);
        }
        let idle_until = self.quiet_since + self.idle_timeout;
        let deadline = deadline.map_or(idle_until, |deadline| deadline.min(idle_until));
        if self.alarm.deadline() > deadline {
            self.alarm.as_mut().reset(deadline);
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// A body that is read from its connection as its reader asks for it. The connection goes on when all clones but
/// one are gone.
pub(super) struct Incoming<S>(Arc<Mutex<Reading<S>>>);

struct Reading<S> {
    receiver: Receiver<S>,
    decoder: BodyDecoder,
    /// What of [`CONTINUE`] is still to be written.
    to_continue: &'static [u8],
}

impl<S> Clone for Incoming<S> {
    fn clone(&self) -> Incoming<S> {
        Incoming(Arc::clone(&self.0))
    }
}

impl<S> Incoming<S> {
    /// With `expects_continue`, the client is told to send the body when it is first asked for.
    pub(super) fn new(mut receiver: Receiver<S>, length: BodyLength, expects_continue: bool) -> Incoming<S> {
        receiver.read_bytes = BODY_READ_BYTES;
        let to_continue = if expects_continue { CONTINUE } else { b"" };
        Incoming(Arc::new(Mutex::new(Reading { receiver, decoder: BodyDecoder::new(length), to_continue })))
    }

    /// The connection again, and whether the body was read to its end. `None` while someone has the body.
    pub(super) fn into_receiver(self) -> Option<(Receiver<S>, bool)> {
        let reading = Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Reading { mut receiver, decoder, .. } = reading;
        receiver.read_bytes = READ_BYTES;
        Some((receiver, decoder == BodyDecoder::Ended))
    }

    fn reading(&self) -> MutexGuard<'_, Reading<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reading<S> {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match self.decoder.decode(&mut self.receiver.received) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Decoded::Ended) => return Poll::Ready(None),
                Ok(Decoded::Incomplete) => {}
                Err(_) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
            }
            ready!(self.poll_continue(context))?;
            if ready!(self.receiver.poll_read(context, None))? == 0 {
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }

    fn poll_continue(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.to_continue.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.to_continue.is_empty() {
            match ready!(Pin::new(&mut self.receiver.stream).poll_write(context, self.to_continue))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.to_continue = &self.to_continue[written..],
            }
        }
        Pin::new(&mut self.receiver.stream).poll_flush(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> HttpBody for Incoming<S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let data = ready!(self.reading().poll_data(context));
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.reading().decoder == BodyDecoder::Ended
    }
}
