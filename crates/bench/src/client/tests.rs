use super::*;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

fn received(status: u16, head: &str) -> Received {
    let status = StatusCode::from_u16(status).unwrap();
    Received { status, says_retry_after: false, head: head.to_owned().into() }
}

#[test]
fn only_a_200_that_says_ok_is_ok() {
    let ok = r#"{"response":{"status":"OK","warnings":[]}}"#;
    assert!(received(200, ok).is_ok_with(""));
    assert!(received(200, ok).is_ok_with(r#""warnings":[]"#));
    assert!(!received(200, ok).is_ok_with(r#""segments":[]"#));
    assert!(!received(503, ok).is_ok_with(""));
    assert!(!received(200, r#"{"response":{"status":"ERROR"}}"#).is_ok_with(""));
    assert!(!received(200, "").is_ok_with(""));
}

/// A server that takes one connection, reads that many bytes, and answers with those pieces. It gives
/// back what it read.
async fn played(
    answer: Vec<&'static str>,
    request_bytes: impl FnOnce(SocketAddr) -> usize,
) -> (Target, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::open_to_all(listener.local_addr().unwrap(), 0);
    let request_bytes = request_bytes(target.api);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = vec![0; request_bytes];
        stream.read_exact(&mut request).await.unwrap();
        for piece in answer {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.unwrap();
        // What comes in unread would break the connection before the client has read it all.
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (target, server)
}

fn get(uri: &'static str) -> Call {
    Call { method: Method::GET, uri: Uri::from_static(uri), body: Bytes::new() }
}

#[tokio::test]
async fn answers_are_told_apart_wherever_they_are_cut() {
    let pieces = [
        "HTTP/1.1 200 OK\r\nContent-",
        "Length: 5\r\n\r\nab",
        "cdeHTTP/1.1 503 No\r\nRetry-",
        "After: 1\r\ncontent-length: 2\r\n\r\nno",
    ];
    let (target, _server) = played(pieces.to_vec(), |_| 10).await;
    let mut connection = Connection::open(&target).await.unwrap();
    let first = connection.call(&get("/a?b=c")).await.unwrap();
    assert_eq!((first.status, &first.head[..]), (StatusCode::OK, &b"abcde"[..]));
    assert!(!first.says_retry_after);
    let second = connection.call(&get("/")).await.unwrap();
    assert_eq!((second.status, &second.head[..]), (StatusCode::SERVICE_UNAVAILABLE, &b"no"[..]));
    assert!(second.says_retry_after);
    assert_eq!(connection.call(&get("/")).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_request_is_whole_whether_its_body_is_small_or_large() {
    for body_bytes in [0, COPIED_BYTES, COPIED_BYTES + 1, 3 << 20] {
        let answer = vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"];
        let body = "x".repeat(body_bytes);
        let head = |address: SocketAddr| {
            format!("POST /p HTTP/1.1\r\nhost: {address}\r\ncontent-length: {body_bytes}\r\n\r\n")
        };
        let (target, server) = played(answer, |address| head(address).len() + body_bytes).await;
        let expected = head(target.api) + &body;
        let mut connection = Connection::open(&target).await.unwrap();
        let answer = connection.post("/p", body.into()).await.unwrap();
        drop(connection);
        assert_eq!(&answer[..], b"ok");
        assert!(server.await.unwrap() == expected, "{body_bytes}");
    }
}

#[tokio::test]
async fn a_long_answer_is_taken_in_and_not_kept() {
    let long: &'static str = "y".repeat(300_000).leak();
    let pieces = vec![
        "HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n",
        long,
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nz",
    ];
    let (target, _server) = played(pieces, |_| 10).await;
    let mut connection = Connection::open(&target).await.unwrap();
    let first = connection.call(&get("/")).await.unwrap();
    assert_eq!(first.head.len(), HEAD_BYTES);
    assert_eq!(&connection.call(&get("/")).await.unwrap().head[..], b"z");
}

#[tokio::test]
async fn an_answer_in_chunks_is_put_together() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let pieces = vec![chunked, "3\r\nabc\r", "\n00", "2;x=y\r\ndeX", "\r\n0\r\n\r\n"];
    let (target, _server) = played(pieces, |_| 10).await;
    let error = Connection::open(&target).await.unwrap().call(&get("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let pieces = vec![chunked, "3\r\nabc\r", "\n00", "2\r\nde", "\r\n0\r\n\r\n"];
    let (target, _server) = played(pieces, |_| 10).await;
    assert_eq!(&Connection::open(&target).await.unwrap().whole(&get("/")).await.unwrap()[..], b"abcde");
}

#[test]
fn an_answer_without_a_length_is_none() {
    assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n").is_err());
    assert!(parse_head(b"SMTP ready\r\n\r\n").is_err());
    assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n").unwrap().is_none());
}

#[test]
fn a_metric_is_found_by_its_whole_name() {
    let text = "# HELP x y\ninstant_audience_profiles_resident_bytes 77\ninstant_audience_profiles_resident 5\ninstant_audience_requests_total{a=\"b\"} 1\n";
    let metrics = Metrics(text.to_owned());
    assert_eq!(metrics.get("profiles_resident").unwrap(), 5);
    assert_eq!(metrics.get("profiles_resident_bytes").unwrap(), 77);
    assert!(metrics.get("profiles").is_err());
}
