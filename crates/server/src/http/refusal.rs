//! What hyper answers by itself, in the form of all other answers.
//!
//! To bytes that are no request, hyper writes a head without a body, and ends the connection. Nobody can learn from
//! that what was wrong, so it is exchanged on its way out. Where several answers go out in one piece, that of hyper
//! is the last, and goes as it is.

use super::envelope;
use super::error::ApiError;
use super::framing::Refused;
use crate::http::Http;
use axum::http::StatusCode;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// An answer that is written in place of another.
pub(super) struct Refusal {
    answer: Vec<u8>,
    written: usize,
    /// How many bytes hyper takes to be written with it.
    stands_for: usize,
}

impl Refusal {
    /// In place of `bytes`, if they are an answer that no handler gave. `cause` is why hyper did not get to see the
    /// rest of the connection, `max_head_bytes` the longest head that it takes.
    pub(super) fn of(
        http: &Http,
        bytes: &[u8],
        cause: Option<Refused>,
        max_head_bytes: usize,
    ) -> Option<Refusal> {
        let status = match (status_without_handler(bytes)?, cause) {
            (status, None) => status,
            (_, Some(Refused::Ambiguous)) => StatusCode::BAD_REQUEST,
            (_, Some(Refused::TooLarge)) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        };
        let error = match status {
            StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                ApiError::head_too_large(max_head_bytes)
            }
            _ => ApiError::syntax("This is no well-formed HTTP request"),
        };
        let answer = envelope::refusal(http, &error);
        Some(Refusal { answer, written: 0, stands_for: bytes.len() })
    }

    /// Writes on. Ready with the bytes that it stands for when all is written.
    pub(super) fn poll_write(
        &mut self,
        mut stream: Pin<&mut impl AsyncWrite>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        while self.written < self.answer.len() {
            match ready!(stream.as_mut().poll_write(context, &self.answer[self.written..]))? {
                0 => return Poll::Ready(Ok(0)),
                written => self.written += written,
            }
        }
        Poll::Ready(Ok(self.stands_for))
    }
}

/// The status of an answer that hyper gives by itself.
fn status_without_handler(bytes: &[u8]) -> Option<StatusCode> {
    if !bytes.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let mut fields = [httparse::EMPTY_HEADER; 8];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    // The envelope gives an id to every answer that went through it.
    let has_handler = head.headers.iter().any(|field| field.name == envelope::REQUEST_ID);
    if length != bytes.len() || has_handler {
        return None;
    }
    StatusCode::from_u16(head.code?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_handler_gave_is_exchanged() {
        let empty = "connection: close\r\ncontent-length: 0\r\n\r\n";
        for (bytes, expected) in [
            (format!("HTTP/1.1 400 Bad Request\r\n{empty}"), Some(400)),
            (format!("HTTP/1.1 431 Request Header Fields Too Large\r\n{empty}"), Some(431)),
            (format!("HTTP/1.1 414 URI Too Long\r\n{empty}"), Some(414)),
            (format!("HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\n{empty}"), None),
            (format!("HTTP/1.1 200 OK\r\n{empty}"), None),
            (format!("HTTP/1.1 404 Not Found\r\n{empty}{{}}"), None),
            ("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n".to_owned(), None),
            ("{\"HTTP/1.1 400\"}".to_owned(), None),
        ] {
            let status = status_without_handler(bytes.as_bytes());
            assert_eq!(status.map(|status| status.as_u16()), expected, "{bytes}");
        }
    }
}
