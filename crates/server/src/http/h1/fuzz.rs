//! Requests on a connection, held against hyper, which reads them with other code.

use super::chunks::{BodyDecoder, Decoded};
use super::head::HeadScan;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server has seen of a request.
#[derive(Debug, PartialEq)]
struct Seen {
    method: axum::http::Method,
    uri: axum::http::Uri,
    headers: axum::http::HeaderMap,
    body: Bytes,
}

/// All that a client sends on one connection. The requests that this server sees, hyper sees too, and alike. hyper
/// goes on where this server refuses.
pub fn head(input: &[u8]) {
    let ours = ours(input);
    if ours.is_empty() {
        return;
    }
    let theirs = theirs(input);
    assert!(ours.len() <= theirs.len(), "hyper sees {} of {ours:?}", theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

/// The requests up to the first that is refused, is not complete, or ends the connection.
fn ours(input: &[u8]) -> Vec<Seen> {
    let mut received = BytesMut::from(input);
    let mut seen = Vec::new();
    let mut keep_alive = true;
    while keep_alive {
        let mut scan = HeadScan::default();
        let Ok(Some(end)) = scan.end(&received) else { break };
        let Ok(head) = scan.parse(&received, end) else { break };
        received.advance(end);
        let mut decoder = BodyDecoder::new(head.body_length);
        let mut body = Vec::new();
        while let Ok(Decoded::Data(data)) = decoder.decode(&mut received) {
            body.extend_from_slice(&data);
        }
        if decoder != BodyDecoder::Ended {
            break;
        }
        keep_alive = head.keep_alive;
        seen.push(Seen { method: head.method, uri: head.uri, headers: head.headers, body: body.into() });
    }
    seen
}

async fn whole(request: Request) -> Seen {
    let (head, body) = request.into_parts();
    let body = collect(body).await;
    Seen { method: head.method, uri: head.uri, headers: head.headers, body }
}

async fn collect<B: HttpBody<Data = Bytes>>(body: B) -> Bytes {
    body.collect().await.map(|body| body.to_bytes()).unwrap_or_else(|_| Bytes::from_static(b"cut short"))
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
}

/// The requests that hyper makes of the same bytes.
fn theirs(input: &[u8]) -> Vec<Seen> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&seen);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let requests = Rc::clone(&requests);
        async move {
            let request = whole(request.map(Body::new)).await;
            requests.borrow_mut().push(request);
            Ok::<_, Infallible>(hyper::Response::new(Body::empty()))
        }
    });
    let stream = Sent { input, at: 0 };
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    // An error is what a bad request behind the good ones ends in.
    let _ = RUNTIME.with(|runtime| runtime.block_on(connection));
    seen.take()
}

/// A stream from which the input comes, and into which anything goes.
struct Sent<'a> {
    input: &'a [u8],
    at: usize,
}

impl AsyncRead for Sent<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.input[self.at..];
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        self.at += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sent<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
