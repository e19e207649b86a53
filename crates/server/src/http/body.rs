//! Takes a request's body in: bounded in size, in time, and in the memory of all bodies together.

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
use serde::de::DeserializeOwned;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// The bound where an operator has lifted the limit: a body is held in memory.
const MAX_BODY_BYTES: usize = 64 << 20;

/// How much room is made for a body before it is there.
const MAX_RESERVED_BYTES: usize = 1 << 20;

/// How much of a body is received before other connections get their turn.
const MAX_TURN_BYTES: usize = 64 << 10;

/// How much of a body that nobody read is read and dropped before the answer, and for how long. A client
/// that sends all before it listens would see a broken connection otherwise, and lose the answer.
const MAX_DRAINED_BYTES: usize = 8 << 20;
const MAX_DRAIN: Duration = Duration::from_secs(5);

fn max_bytes(payload_bytes: u32) -> usize {
    match payload_bytes {
        0 => MAX_BODY_BYTES,
        bytes => usize::try_from(bytes).unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES),
    }
}

/// The most that may be sent, so that not more than `max_bytes` come of it.
fn max_sent_bytes(encoding: Encoding, max_bytes: usize) -> usize {
    match encoding {
        Encoding::Identity => max_bytes,
        // What cannot be packed grows a little.
        Encoding::Gzip => max_bytes + max_bytes / 1000 + 1024,
    }
}

/// How much of a body is to come, as far as its head says so. Refuses what [`read`] would refuse: it is too large
/// at any time, and must not be told to try again.
pub(crate) fn expected_bytes(headers: &HeaderMap, payload_bytes: u32) -> Result<usize, ApiError> {
    let max_bytes = max_bytes(payload_bytes);
    let announced = announced_bytes(headers);
    if announced > max_sent_bytes(encoding(headers)?, max_bytes) {
        return Err(DecodeError::TooLarge { max_bytes }.into());
    }
    Ok(announced)
}

/// Reads a body to its end, as it was sent. A `payload_bytes` of 0 lifts the limit, up to what memory is
/// given for.
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

/// Reads a decoded body whose content is small: nesting is bounded everywhere, the last of two equal keys
/// counts. `form` says what is expected; the content itself is not repeated in the error, since it may be
/// a password or a user id.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], form: &str) -> Result<T, ApiError> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ApiError::syntax(format!("The request body is not valid JSON at line {line} column {column}"))
    })?;
    T::deserialize(value).map_err(|_| ApiError::syntax(format!("The request body must be {form}")))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let value = values.next().map_or(&b""[..], |value| value.as_bytes().trim_ascii());
    match value.to_ascii_lowercase().as_slice() {
        // Two lines say that it is packed twice.
        _ if values.next().is_some() => Err(ApiError::syntax("Only one Content-Encoding is understood")),
        b"" | b"identity" => Ok(Encoding::Identity),
        b"gzip" | b"x-gzip" => Ok(Encoding::Gzip),
        _ => Err(ApiError::syntax("Only 'gzip' is understood as a Content-Encoding")),
    }
}

/// How long a body is, as far as its head says so; 0 where it does not.
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
            // Other connections are looked at before it goes on.
            tokio::task::yield_now().await;
            turn_bytes = 0;
        }
        if first.is_empty() && buffer.is_empty() {
            // Most bodies come in one piece and need no copy.
            first = data;
        } else {
            if buffer.is_empty() {
                // One copy, not one for each time that the buffer has doubled. Room that nothing is written
                // to takes no memory.
                buffer.reserve(announced.min(MAX_RESERVED_BYTES));
            }
            buffer.extend_from_slice(&std::mem::take(&mut first));
            buffer.extend_from_slice(&data);
        }
    }
    Ok(if buffer.is_empty() { first } else { buffer.freeze() })
}

/// What a handler leaves of a body can be read after it.
pub(super) struct Leftover(Arc<Mutex<Body>>);

impl Leftover {
    /// A body for the handler, and a hold on what it leaves.
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
        // Who takes longer is cut off.
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
