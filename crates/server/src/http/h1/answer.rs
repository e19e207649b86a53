//! Writing answers.

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::Response;
use bytes::Buf;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use std::io::{self, IoSlice};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Bodies up to this size are copied behind their head, which costs less than handing over two slices.
const COPIED_BYTES: usize = 16 << 10;

/// Room for an answer of usual size; more is given back.
const KEPT_BYTES: usize = 4 << 10;

/// What of an answer depends on the request and the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Else it is HTTP/1.0, where a connection that is kept says so.
    pub(super) is_http_11: bool,
    /// To a HEAD: it has no body.
    pub(super) is_to_head: bool,
    /// The connection is closed after it.
    pub(super) is_last: bool,
}

/// Writes the answers of one connection.
#[derive(Default)]
pub(super) struct Answers {
    out: Vec<u8>,
    /// The second for which `date` is written.
    second: u64,
    date: String,
}

impl Answers {
    /// Writes `response`, whose body is made already. Each piece of it may take `write_timeout`.
    pub(super) async fn write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        response: Response,
        form: Form,
        write_timeout: Duration,
    ) -> io::Result<()> {
        let (head, body) = response.into_parts();
        let body = whole(body).await?;
        self.read_clock();
        let out = &mut self.out;
        out.clear();
        out.shrink_to(KEPT_BYTES);
        let reason = head.status.canonical_reason().unwrap_or_default();
        let version = if form.is_http_11 { "HTTP/1.1 " } else { "HTTP/1.0 " };
        for part in [version, head.status.as_str(), " ", reason, "\r\ndate: ", &self.date, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        match form {
            Form { is_last: true, .. } => out.extend_from_slice(b"connection: close\r\n"),
            Form { is_http_11: false, .. } => out.extend_from_slice(b"connection: keep-alive\r\n"),
            _ => {}
        }
        if !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if form.is_to_head {
            send(stream, &out[..], write_timeout).await
        } else if body.len() <= COPIED_BYTES {
            out.extend_from_slice(&body);
            send(stream, &out[..], write_timeout).await
        } else {
            send(stream, Buf::chain(&out[..], body), write_timeout).await
        }
    }

    fn read_clock(&mut self) {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.date.is_empty() {
            self.date = httpdate::fmt_http_date(now);
            self.second = second;
        }
    }
}

/// A body in one piece, which it is already in most cases.
async fn whole(mut body: Body) -> io::Result<Bytes> {
    use axum::body::HttpBody;
    let Some(first) = body.frame().await else { return Ok(Bytes::new()) };
    let first = first.map_err(io::Error::other)?.into_data().unwrap_or_default();
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut all = first.to_vec();
    all.extend_from_slice(&body.collect().await.map_err(io::Error::other)?.to_bytes());
    Ok(all.into())
}

/// Writes all of `bytes`, each piece of them within `write_timeout`.
async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    mut bytes: impl Buf,
    write_timeout: Duration,
) -> io::Result<()> {
    while bytes.has_remaining() {
        // In one call, so that no client is woken by a head whose body is still to come.
        let mut slices = [IoSlice::new(&[]); 2];
        let count = bytes.chunks_vectored(&mut slices);
        // What fits the socket's buffer needs no timer.
        let written = match stream.write_vectored(&slices[..count]).now_or_never() {
            Some(written) => written?,
            None => timeout(write_timeout, stream.write_vectored(&slices[..count])).await??,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes.advance(written);
    }
    match stream.flush().now_or_never() {
        Some(flushed) => flushed,
        None => timeout(write_timeout, stream.flush()).await?,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    const KEPT: Form = Form { is_http_11: true, is_to_head: false, is_last: false };

    async fn written(response: Response, form: Form) -> String {
        let mut out = Vec::new();
        let mut answers = Answers::default();
        answers.write(&mut out, response, form, Duration::from_secs(60)).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        let (date, rest) = text.split_once("\r\ndate: ").unwrap();
        let (value, rest) = rest.split_once("\r\n").unwrap();
        httpdate::parse_http_date(value).unwrap();
        format!("{date}\r\n{rest}")
    }

    #[tokio::test]
    async fn an_answer_has_its_length_and_its_date() {
        let answer =
            Response::builder().header("x-a", "b").header("content-length", "2").body(Body::from("ok"));
        let expected = "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(written(answer.unwrap(), KEPT).await, expected);
        let empty = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(Body::empty());
        let expected = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(written(empty.unwrap(), Form { is_last: true, ..KEPT }).await, expected);
        let none = Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty());
        assert_eq!(written(none.unwrap(), KEPT).await, "HTTP/1.1 204 No Content\r\n\r\n");
        let to_head = Form { is_to_head: true, is_http_11: false, ..KEPT };
        let expected = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(written(Response::new(Body::from("ok")), to_head).await, expected);
    }

    #[tokio::test]
    async fn large_bodies_and_bodies_in_pieces_go_out_whole() {
        let large = "x".repeat(COPIED_BYTES + 1);
        let text = written(Response::new(Body::from(large.clone())), KEPT).await;
        assert!(text.ends_with(&format!("content-length: {}\r\n\r\n{large}", large.len())));
        let pieces = ["a", "bc", "def"].map(Ok::<_, Infallible>);
        let text = written(Response::new(Body::from_stream(stream::iter(pieces))), KEPT).await;
        assert!(text.ends_with("content-length: 6\r\n\r\nabcdef"), "{text}");
    }
}
