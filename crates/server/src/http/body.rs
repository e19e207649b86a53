//! Receives the body of a request, with limits on its size, its time, and the memory of all bodies together.

use super::error::ApiError;
use crate::http::Http;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use ia_engine::budget::Reservation;
use ia_engine::decode::{DecodeError, Encoding, RawBody};
use ia_engine::held::{HeldBody, OutOfBodyMemory};
use ia_engine::not_json;
use serde::de::DeserializeOwned;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// The limit, in bytes, if the operator has set none: a body is held in memory.
const MAX_BODY_BYTES: usize = 64 << 20;

/// The largest buffer that is reserved before a body arrives.
const MAX_RESERVED_BYTES: usize = 1 << 20;

/// How many bytes of a body are received before the task yields to other connections.
const MAX_TURN_BYTES: usize = 64 << 10;

/// How much of an unread body is read and dropped before the answer, and for how long. Otherwise a client that sends
/// everything before it reads would see a broken connection and lose the answer.
const MAX_DRAINED_BYTES: usize = 8 << 20;
const MAX_DRAIN: Duration = Duration::from_secs(5);

fn max_bytes(payload_bytes: u32) -> usize {
    match payload_bytes {
        0 => MAX_BODY_BYTES,
        bytes => usize::try_from(bytes).unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES),
    }
}

/// The most bytes on the wire for a body of at most `max_bytes` decoded bytes.
fn max_sent_bytes(encoding: Encoding, max_bytes: usize) -> usize {
    match encoding {
        Encoding::Identity => max_bytes,
        // Data that cannot be compressed grows a little.
        Encoding::Gzip => max_bytes + max_bytes / 1000 + 1024,
    }
}

/// The size of a body by its head, in bytes; 0 if the head does not tell it. Refuses a body that [`read`] would refuse
/// as too large: its caller must not be told to try again.
pub(crate) fn expected_bytes(headers: &HeaderMap, payload_bytes: u32) -> Result<usize, ApiError> {
    let max_bytes = max_bytes(payload_bytes);
    let announced = announced_bytes(headers);
    if announced > max_sent_bytes(encoding(headers)?, max_bytes) {
        return Err(DecodeError::TooLarge { max_bytes }.into());
    }
    Ok(announced)
}

/// Reads a body to its end, without decoding it. A `payload_bytes` of 0 means a limit of [`MAX_BODY_BYTES`].
pub(crate) async fn read(
    http: &Http,
    headers: &HeaderMap,
    body: Body,
    payload_bytes: u32,
) -> Result<HeldBody, ApiError> {
    let max_bytes = max_bytes(payload_bytes);
    let encoding = encoding(headers)?;
    let max_sent_bytes = max_sent_bytes(encoding, max_bytes);
    let mut reservation = http.body_budget.share();
    let collecting = collect(headers, body, max_sent_bytes, &mut reservation);
    let collected = tokio::time::timeout(http.body_timeout, collecting).await.unwrap_or_else(|_| {
        let seconds = http.body_timeout.as_secs();
        Err(CollectError::Other(format!("The request body did not arrive within {seconds} seconds")))
    });
    match collected {
        Ok(bytes) => Ok(HeldBody::new(RawBody { bytes, encoding, max_bytes }, reservation)),
        Err(CollectError::TooLarge) => Err(DecodeError::TooLarge { max_bytes }.into()),
        Err(CollectError::NoMemory) => Err(OutOfBodyMemory.into()),
        Err(CollectError::Other(message)) => Err(ApiError::syntax(message)),
    }
}

/// Parses a small decoded body: nesting is limited, and the last of two equal keys counts. `form` says in the error
/// what is expected; the error does not repeat the content, which may be a password or a user id.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], form: &str) -> Result<T, ApiError> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
        if let Some(message) = not_json::recognize(bytes) {
            return ApiError::syntax(message);
        }
        let (line, column) = (error.line(), error.column());
        ApiError::syntax(format!("The request body is not valid JSON at line {line} column {column}"))
    })?;
    // No route takes a string: it is JSON that was written as JSON once more.
    if let Some(message) = value.is_string().then(|| not_json::recognize(bytes)).flatten() {
        return Err(ApiError::syntax(message));
    }
    T::deserialize(value).map_err(|_| ApiError::syntax(format!("The request body must be {form}")))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let value = values.next().map_or(&b""[..], |value| value.as_bytes().trim_ascii());
    match value.to_ascii_lowercase().as_slice() {
        // Two headers mean that the body is compressed twice.
        _ if values.next().is_some() => Err(ApiError::syntax("Only one Content-Encoding is understood")),
        b"" | b"identity" => Ok(Encoding::Identity),
        b"gzip" | b"x-gzip" => Ok(Encoding::Gzip),
        _ => Err(ApiError::syntax("Only 'gzip' is understood as a Content-Encoding")),
    }
}

/// The length of a body by its head, in bytes; 0 if the head does not tell it.
fn announced_bytes(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH);
    length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or_default()
}

enum CollectError {
    TooLarge,
    NoMemory,
    Other(String),
}

async fn collect(
    headers: &HeaderMap,
    mut body: Body,
    max_bytes: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, CollectError> {
    let announced = announced_bytes(headers);
    if announced > max_bytes {
        return Err(CollectError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut buffer = BytesMut::new();
    let mut turn_bytes = 0;
    while let Some(frame) = body.frame().await {
        let broken = |_| CollectError::Other("The request body ended before it was complete".to_owned());
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if first.len() + buffer.len() + data.len() > max_bytes {
            return Err(CollectError::TooLarge);
        }
        if !reservation.grow(data.len()) {
            return Err(CollectError::NoMemory);
        }
        turn_bytes += data.len();
        if turn_bytes >= MAX_TURN_BYTES {
            // Other connections get their turn.
            tokio::task::yield_now().await;
            turn_bytes = 0;
        }
        if first.is_empty() && buffer.is_empty() {
            // Most bodies come in one piece and need no copy.
            first = data;
        } else {
            if buffer.is_empty() {
                // One copy, not one each time the buffer doubles. Reserved room without content takes no memory.
                buffer.reserve(announced.min(MAX_RESERVED_BYTES));
            }
            buffer.extend_from_slice(&std::mem::take(&mut first));
            buffer.extend_from_slice(&data);
        }
    }
    Ok(if buffer.is_empty() { first } else { buffer.freeze() })
}

/// The part of a body that a handler does not read.
pub(super) struct Leftover(Arc<Mutex<Body>>);

impl Leftover {
    /// A body for the handler, and the rest that it may leave.
    pub(super) fn of(body: Body) -> (Body, Leftover) {
        let body = Arc::new(Mutex::new(body));
        (Body::new(SharedBody(Arc::clone(&body))), Leftover(body))
    }

    /// Reads and drops the rest, within bounds.
    pub(super) async fn drain(self) {
        let mut body = SharedBody(self.0);
        let draining = async {
            let mut drained = 0;
            while let Some(Ok(frame)) = body.frame().await {
                drained += frame.data_ref().map_or(0, Bytes::len);
                if drained > MAX_DRAINED_BYTES {
                    return;
                }
            }
        };
        // A slower client is cut off.
        let _ = tokio::time::timeout(MAX_DRAIN, draining).await;
    }
}

struct SharedBody(Arc<Mutex<Body>>);

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
