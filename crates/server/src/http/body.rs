//! Takes a request's body in: bounded in size and in time.

use super::error::ApiError;
use crate::app::App;
use crate::budget::{ByteBudget, Share};
use crate::ingest::decode::{Encoding, RawBody};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;

/// The bound where an operator has lifted the limit: a body is held in memory.
const MAX_BODY_BYTES: usize = 64 << 20;

/// How much of an oversized body is read and dropped, so that a client that sends all before it listens
/// gets to read the answer.
const MAX_DRAINED_BYTES: usize = 8 << 20;

/// A body, and its share of the memory for bodies: to be kept as long as the body is.
pub(crate) struct HeldBody {
    /// The body as it was sent.
    pub(crate) raw: RawBody,
    _share: Share,
}

impl HeldBody {
    /// The decoded body.
    pub(crate) fn decode(self) -> Result<Bytes, ApiError> {
        Ok(self.raw.decode()?)
    }
}

/// The limits on a body.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    /// Bytes, as sent and decoded.
    pub(crate) max_bytes: usize,
    /// From the first byte to the last.
    pub(crate) timeout: Duration,
    /// The memory for all bodies together.
    pub(crate) budget: Arc<ByteBudget>,
}

impl BodyLimits {
    /// A `payload_bytes` of 0 lifts the limit, up to what memory is given for.
    pub(crate) fn new(payload_bytes: u32, app: &App) -> BodyLimits {
        let max_bytes = match payload_bytes {
            0 => MAX_BODY_BYTES,
            bytes => usize::try_from(bytes).unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES),
        };
        BodyLimits { max_bytes, timeout: app.body_timeout, budget: Arc::clone(&app.body_budget) }
    }
}

/// Reads a body to its end, as it was sent.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limits: BodyLimits,
) -> Result<HeldBody, ApiError> {
    let reading = async {
        let mut share = limits.budget.share();
        let collected = match encoding(headers) {
            Ok(encoding) => collect(headers, &mut body, limits.max_bytes, &mut share)
                .await
                .map(|bytes| RawBody { bytes, encoding, max_bytes: limits.max_bytes }),
            Err(error) => Err(error),
        };
        match collected {
            Ok(raw) => Ok(HeldBody { raw, _share: share }),
            Err(error) => {
                drop(share);
                drain(body).await;
                Err(error)
            }
        }
    };
    tokio::time::timeout(limits.timeout, reading).await.unwrap_or_else(|_| {
        let seconds = limits.timeout.as_secs();
        Err(ApiError::syntax(format!("The request body did not arrive within {seconds} seconds")))
    })
}

/// Reads the body of a request that is refused whatever it says. A client that sends all before it
/// listens would see a broken connection otherwise, and one that keeps it open would lose it.
pub(crate) async fn refuse(body: Body, timeout: Duration, error: ApiError) -> ApiError {
    // One that takes too long is cut off.
    let _ = tokio::time::timeout(timeout, drain(body)).await;
    error
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii()) {
        None | Some(b"" | b"identity") => Ok(Encoding::Identity),
        Some(b"gzip" | b"x-gzip") => Ok(Encoding::Gzip),
        Some(_) => Err(ApiError::syntax("Only 'gzip' is understood as a Content-Encoding")),
    }
}

async fn collect(
    headers: &HeaderMap,
    body: &mut Body,
    max_bytes: usize,
    share: &mut Share,
) -> Result<Bytes, ApiError> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(ApiError::too_large(max_bytes));
    }
    let mut first = Bytes::new();
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::syntax("The request body ended before it was complete"))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + buffer.len() + data.len() > max_bytes {
            return Err(ApiError::too_large(max_bytes));
        }
        if !share.grow(data.len()) {
            return Err(ApiError::too_many_bodies());
        }
        if first.is_empty() && buffer.is_empty() {
            // Most bodies come in one piece and need no copy.
            first = data;
        } else {
            buffer.extend_from_slice(&std::mem::take(&mut first));
            buffer.extend_from_slice(&data);
        }
    }
    Ok(if buffer.is_empty() { first } else { buffer.freeze() })
}

/// Reads and drops what is left of a body, up to a bound.
async fn drain(mut body: Body) {
    let mut drained = 0;
    while let Some(Ok(frame)) = body.frame().await {
        drained += frame.data_ref().map_or(0, Bytes::len);
        if drained > MAX_DRAINED_BYTES {
            return;
        }
    }
}
