//! Takes a request's body in: bounded in size and in time.

use super::error::ApiError;
use crate::ingest::decode::{Encoding, RawBody};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::time::Duration;

/// The bound where an operator has lifted the limit: a body is held in memory.
const MAX_BODY_BYTES: usize = 64 << 20;

/// How much of an oversized body is read and dropped, so that a client that sends all before it listens
/// gets to read the answer.
const MAX_DRAINED_BYTES: usize = 8 << 20;

/// The limits on a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Bytes, as sent and decoded.
    pub(crate) max_bytes: usize,
    /// From the first byte to the last.
    pub(crate) timeout: Duration,
}

impl BodyLimits {
    /// A `payload_bytes` of 0 lifts the limit, up to what memory is given for.
    pub(crate) fn new(payload_bytes: u32, timeout: Duration) -> BodyLimits {
        let max_bytes = match payload_bytes {
            0 => MAX_BODY_BYTES,
            bytes => usize::try_from(bytes).unwrap_or(MAX_BODY_BYTES).min(MAX_BODY_BYTES),
        };
        BodyLimits { max_bytes, timeout }
    }
}

/// Reads a body to its end, as it was sent.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<RawBody, ApiError> {
    let encoding = encoding(headers)?;
    let bytes = tokio::time::timeout(limits.timeout, collect(headers, body, limits.max_bytes))
        .await
        .map_err(|_| {
            let seconds = limits.timeout.as_secs();
            ApiError::syntax(format!("The request body did not arrive within {seconds} seconds"))
        })??;
    Ok(RawBody { bytes, encoding, max_bytes: limits.max_bytes })
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii()) {
        None | Some(b"" | b"identity") => Ok(Encoding::Identity),
        Some(b"gzip" | b"x-gzip") => Ok(Encoding::Gzip),
        Some(_) => Err(ApiError::syntax("Only 'gzip' is understood as a Content-Encoding")),
    }
}

async fn collect(headers: &HeaderMap, mut body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        drain(body).await;
        return Err(ApiError::too_large(max_bytes));
    }
    let mut first = None;
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::syntax("The request body ended before it was complete"))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.is_none() && buffer.is_empty() {
            // Most bodies come in one piece and need no copy.
            first = Some(data);
        } else {
            if let Some(first) = first.take() {
                buffer.reserve(announced.unwrap_or(0).max(first.len() + data.len()));
                buffer.extend_from_slice(&first);
            }
            buffer.extend_from_slice(&data);
        }
        if first.as_ref().map_or(buffer.len(), Bytes::len) > max_bytes {
            drain(body).await;
            return Err(ApiError::too_large(max_bytes));
        }
    }
    Ok(first.unwrap_or_else(|| buffer.freeze()))
}

async fn drain(mut body: Body) {
    let mut drained = 0;
    while let Some(Ok(frame)) = body.frame().await {
        drained += frame.data_ref().map_or(0, Bytes::len);
        if drained > MAX_DRAINED_BYTES {
            return;
        }
    }
}
