//! HTTP/1 as clients speak it: requests in pieces and behind each other, "100 Continue", HTTP/1.0, HEAD.

use ia_testkit::Kit;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a server may take for what it must do; only a broken one takes it up.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer: its status line, its headers, and its body.
#[derive(Debug)]
struct Answer {
    status: String,
    headers: Vec<String>,
    body: String,
}

/// Reads one answer that has a length.
async fn answer(stream: &mut TcpStream) -> Answer {
    let mut received = Vec::new();
    let head_bytes = loop {
        if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        received.push(stream.read_u8().await.expect("an answer"));
    };
    let head = String::from_utf8(received[..head_bytes].to_vec()).unwrap();
    let mut lines = head.trim_end().split("\r\n").map(str::to_ascii_lowercase);
    let status = lines.next().unwrap();
    let headers: Vec<String> = lines.collect();
    assert!(headers.iter().any(|line| line.starts_with("date: ")), "{headers:?}");
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    Answer { status, headers, body: String::from_utf8(body).unwrap() }
}

#[tokio::test]
async fn requests_that_come_together_or_in_pieces_are_answered_in_their_order() {
    let kit = Kit::start().await;
    let token = kit.login("provider").await.token.unwrap();
    let head = format!("Host: x\r\nAuthorization: {token}\r\n");
    let get = |id: &str| format!("GET /user-segment?user_id={id} HTTP/1.1\r\n{head}\r\n");
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(format!("{}{}", get("1"), get("2")).as_bytes()).await.unwrap();
    for id in ["1", "2"] {
        assert!(answer(&mut stream).await.body.contains(&format!("\"user_id\":\"{id}\"")));
    }
    // Most clients send a body after its head.
    let body = r#"{"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]}"#;
    let post = format!("POST /rt-segment HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(post.as_bytes()).await.unwrap();
    tokio::task::yield_now().await;
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.status.contains("200"));
    // A chunked one, and a request right behind it.
    let chunked = format!("POST /rt-segment HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    stream.write_all(format!("{chunked}{chunk}{}", get("7")).as_bytes()).await.unwrap();
    let posted = answer(&mut stream).await;
    assert!(posted.status.contains("200"), "{posted:?}");
    let read = answer(&mut stream).await;
    assert!(read.body.contains("\"id\":12"), "{read:?}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_connections_that_are_kept_open() {
    let mut kit = Kit::start().await;
    let mut kept = TcpStream::connect(kit.api()).await.unwrap();
    kept.write_all(b"GET /user-segment HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut kept).await.status.contains("401"));
    tokio::time::timeout(PATIENCE, kit.stop()).await.expect("it stops").unwrap();
    assert_eq!(kept.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_body_is_asked_for_when_it_is_wanted() {
    let kit = Kit::start().await;
    let token = kit.login("provider").await.token.unwrap();
    let body = r#"{"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]}"#;
    let head = format!(
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    for _ in 0..2 {
        stream.write_all(format!("{head}Authorization: {token}\r\n\r\n").as_bytes()).await.unwrap();
        let mut told = [0; 25];
        stream.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.status.contains("200"));
    }
    // Without a token it is not wanted: there is the answer, and no request can follow.
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let refused = answer(&mut stream).await;
    assert!(refused.status.contains("401"), "{refused:?}");
    assert!(refused.headers.iter().any(|line| line == "connection: close"), "{refused:?}");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn http_1_0_is_answered_in_kind() {
    let kit = Kit::start().await;
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    for (connection, expected) in [("Connection: keep-alive\r\n", "keep-alive"), ("", "close")] {
        stream.write_all(format!("GET /nothing HTTP/1.0\r\n{connection}\r\n").as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert_eq!(answer.status, "http/1.0 404 not found");
        assert!(answer.headers.contains(&format!("connection: {expected}")), "{answer:?}");
    }
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_answer_to_a_head_has_no_body() {
    let kit = Kit::start().await;
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    let head = "HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    let close = "HEAD /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{head}{close}").as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 2, "{answers}");
    assert!(answers.ends_with("\r\n\r\n") && !answers.contains('{'), "{answers}");
}
