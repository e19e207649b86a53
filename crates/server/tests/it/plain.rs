//! Plain requests go ahead of hyper and the router: whatever they are answered must be what those would answer.

use ia_testkit::Kit;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a server may take for what it must do; only a broken one takes it up.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer: its status line, its headers but the date, sorted, and its body.
#[derive(Debug, PartialEq)]
struct Answer {
    status: String,
    headers: Vec<String>,
    body: String,
    went_ahead: bool,
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
    let mut headers: Vec<String> = lines.collect();
    // The two write the date in different places, which tells them apart.
    let went_ahead = headers[0].starts_with("date: ");
    headers.retain(|line| !line.starts_with("date: "));
    headers.sort();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    Answer { status, headers, body: String::from_utf8(body).unwrap(), went_ahead }
}

/// Without what differs from moment to moment.
fn lasting(mut answer: Answer) -> Answer {
    if let Ok(mut body) = serde_json::from_str::<Value>(&answer.body) {
        if let Some(info) = body["response"]["dbg_info"].as_object_mut() {
            info.remove("time");
        }
        // The length of the time is part of that of the body.
        answer.headers.retain(|line| !line.starts_with("content-length: "));
        answer.body = body.to_string();
    }
    answer.went_ahead = false;
    answer
}

#[tokio::test]
async fn the_short_way_and_the_long_one_answer_alike() {
    let kit = Kit::start().await;
    let token = kit.login("provider").await.token.unwrap();
    let add = r#"{"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}, {"seg_id": 10001}]}]}"#;
    let broken = r#"{"rt_segment": [{"user_id": "7""#;
    let requests = [
        ("POST", "/rt-segment", add),
        ("POST", "/rt-segment?verbose=true", add),
        ("POST", "/rt-segment?verbose=perhaps", add),
        ("POST", "/rt-segment", broken),
        ("POST", "/rt-segment", ""),
        ("GET", "/user-segment?user_id=7", ""),
        ("GET", "/user-segment?user_id=7&format=openrtb", ""),
        ("GET", "/user-segment?user_id=7&format=codes", ""),
        ("GET", "/user-segment?user_id=7&member_id=77", ""),
        ("GET", "/user-segment?user_id=x", ""),
        ("GET", "/user-segment", ""),
        ("GET", "/rt-segment", ""),
        ("GET", "/nothing", ""),
        ("POST", "/user-segment", r#"{"users": [{"user_id": "7"}]}"#),
        ("GET", "/rt-segment-processed", ""),
    ];
    let mut plain = TcpStream::connect(kit.api()).await.unwrap();
    for authorization in [format!("Authorization: {token}\r\n"), String::new()] {
        for (method, target, body) in requests {
            let length =
                if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
            let head = format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-1\r\n{authorization}{length}"
            );
            plain.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
            let ahead = answer(&mut plain).await;
            assert!(ahead.went_ahead, "{method} {target}: {ahead:?}");
            let mut general = TcpStream::connect(kit.api()).await.unwrap();
            let odd = "Connection: keep-alive, x\r\n";
            general.write_all(format!("{head}{odd}\r\n{body}").as_bytes()).await.unwrap();
            let behind = answer(&mut general).await;
            assert!(!behind.went_ahead, "{method} {target}: {behind:?}");
            assert_eq!(lasting(ahead), lasting(behind), "{method} {target}");
        }
    }
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
    // A chunked one goes the long way, and what follows on its connection with it.
    let chunked = format!("POST /rt-segment HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    stream.write_all(format!("{chunked}{chunk}{}", get("7")).as_bytes()).await.unwrap();
    let posted = answer(&mut stream).await;
    assert!(posted.status.contains("200") && !posted.went_ahead, "{posted:?}");
    let read = answer(&mut stream).await;
    assert!(read.body.contains("\"id\":12") && !read.went_ahead, "{read:?}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_connections_that_are_kept_open() {
    let mut kit = Kit::start().await;
    let mut kept = TcpStream::connect(kit.api()).await.unwrap();
    kept.write_all(b"GET /user-segment HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut kept).await.went_ahead);
    tokio::time::timeout(PATIENCE, kit.stop()).await.expect("it stops").unwrap();
    assert_eq!(kept.read(&mut [0]).await.unwrap(), 0);
}
