//! Invalid input: a clear answer, nothing applied, and the server goes on.

use ia_testkit::{Answer, Kit};
use serde_json::json;

fn outcome(status: u16, id: &str) -> (u16, Option<String>) {
    (status, Some(id.to_owned()))
}

/// Checks the rules that hold for every failure.
fn assert_failure(answer: &Answer, status: u16, id: &str) {
    assert_eq!(answer.outcome(), outcome(status, id));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some());
    let response = answer.response();
    assert_eq!(response["status"], "ERROR");
    assert!(response["error"].as_str().unwrap().len() > 10, "one clear sentence");
    let info = response["dbg_info"].as_object().unwrap();
    for key in ["version", "instance", "request_id", "time", "output_term", "warnings"] {
        assert!(info.contains_key(key), "{key}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let nested = format!("{{\"rt_segment\": {}", "[".repeat(100_000));
    let nested_unknown = format!("{{\"x\": {}", "{\"a\":".repeat(100_000));
    let bodies: [&[u8]; 10] = [
        b"",
        b"   ",
        b"{",
        b"[]",
        b"5",
        b"{}",
        b"{\"rt_segment\": {}}",
        b"{\"rt_segment\": [\"\xff\xfe\"]}",
        nested.as_bytes(),
        nested_unknown.as_bytes(),
    ];
    for body in bodies {
        let answer = provider.post_bytes("/rt-segment", &[], body.to_vec()).await;
        assert_failure(&answer, 400, "SYNTAX");
    }
    let answer = provider.post_bytes("/rt-segment", &[("content-encoding", "br")], "{}").await;
    assert_failure(&answer, 400, "SYNTAX");
    let answer = provider.post_bytes("/rt-segment", &[("content-encoding", "gzip")], "{}").await;
    assert_failure(&answer, 400, "SYNTAX");
    provider.add("1", None, json!([{"seg_id": 12}])).await;
}

#[tokio::test]
async fn size_is_counted_decoded_to_the_byte() {
    use std::io::Write;
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let of_size = |bytes: usize| {
        let request = json!({"rt_segment": [{"user_id": "1", "seg_block": [{"seg_id": 12}]}]}).to_string();
        format!("{request}{}", " ".repeat(bytes - request.len()))
    };
    let gzip = |text: String| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let packed = [("content-encoding", "gzip")];
    provider.post_bytes("/rt-segment", &[], of_size(1 << 20)).await.ok();
    provider.post_bytes("/rt-segment", &packed, gzip(of_size(1 << 20))).await.ok();
    let over = (1 << 20) + 1;
    assert_failure(&provider.post_bytes("/rt-segment", &[], of_size(over)).await, 413, "SYNTAX");
    assert_failure(&provider.post_bytes("/rt-segment", &packed, gzip(of_size(over))).await, 413, "SYNTAX");
    assert_failure(&provider.post_bytes("/rt-segment", &[], of_size(4 << 20)).await, 413, "SYNTAX");
    let stored = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(of_size(1 << 20).as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    assert!(stored.len() > 1 << 20, "packing made it larger");
    provider.post_bytes("/rt-segment", &[("content-encoding", "GZIP")], stored).await.ok();
    let bomb = gzip(of_size(200 << 20));
    assert!(bomb.len() < 1 << 20);
    assert_failure(&provider.post_bytes("/rt-segment", &packed, bomb).await, 413, "SYNTAX");
}

#[tokio::test]
async fn limits_on_users_and_blocks_cut_the_rest_off_with_warnings() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let users: Vec<_> = (1..=1001).map(|id| json!({"user_id": id, "seg_block": [{"seg_id": 12}]})).collect();
    let answer = provider.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
    assert_eq!(answer["message"], json!({"users_in_request": 1000, "segments_in_request": 1000}));
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(provider.segments_of("1000").await, [12]);
    assert_eq!(provider.segments_of("1001").await, [0; 0]);
    let mut blocks = vec![json!({"seg_id": 12, "value": 1}); 100];
    blocks.push(json!({"seg_id": 12, "value": 2}));
    let answer = provider.add("2000", None, json!(blocks)).await;
    assert_eq!(
        answer["warnings"],
        json!([{"message": "Too many segments for user_id: 2000.", "entity": {"seg_id": 12, "value": 2}}])
    );
    let read = provider.get("/user-segment?user_id=2000").await.ok();
    assert_eq!(read["user_segment"]["segments"][0]["value"], 1, "the 101st block was not applied");
}

#[tokio::test]
async fn no_body_of_the_shipped_size_can_ask_for_much_more_than_itself() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let long_id =
        format!("{{\"user_id\": \"{}\", \"seg_block\": [{}0]}}", "1".repeat(400_000), "0,".repeat(200_000));
    let long_id = format!("{{\"rt_segment\": [{long_id}]}}");
    let many_blocks = format!(
        "{{\"rt_segment\": [{{\"user_id\": \"1\", \"seg_block\": [{}{{}}]}}]}}",
        "{},".repeat(340_000)
    );
    let many_users = format!("{{\"rt_segment\": [{}5]}}", "5,".repeat(500_000));
    for body in [long_id, many_blocks, many_users] {
        assert!(body.len() <= 1 << 20);
        let answer = provider.post_bytes("/rt-segment", &[], body.clone()).await;
        answer.ok();
        assert!(answer.body.len() < 12 << 20, "{} bytes", answer.body.len());
    }
}

#[tokio::test]
async fn a_read_of_many_users_is_bounded_too() {
    let kit = Kit::start().await;
    let segments: Vec<_> = (1..=2000).map(|n| json!({"id": 100_000 + n, "member_id": 958})).collect();
    kit.apply(&json!({"segments": segments})).await;
    let provider = kit.login("provider").await;
    ia_testkit::eventually("the segments to be known", async || {
        let answer = provider.add("7", None, json!([{"seg_id": 102_000}])).await;
        (answer["message"]["segments_accepted"] == 1).then_some(())
    })
    .await;
    for first in (1..=2000).step_by(100) {
        let blocks: Vec<_> = (first..first + 100).map(|n| json!({"seg_id": 100_000 + n})).collect();
        provider.add("7", None, json!(blocks)).await;
    }
    let again = |times: usize| json!({"users": vec![json!({"user_id": 7}); times]});
    let answer = provider.post("/user-segment", &again(100)).await.ok();
    assert_eq!(answer["user_segments"][99]["segments"].as_array().unwrap().len(), 2000);
    assert_failure(&provider.post("/user-segment", &again(101)).await, 400, "SYNTAX");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_404() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/rt-segment"),
        ("PUT", "/rt-segment"),
        ("DELETE", "/auth"),
        ("POST", "/nothing"),
        ("POST", "/rt-segment-processed"),
        ("PATCH", "/user-segment"),
        ("OPTIONS", "/rt-segment"),
        ("GET", "/rt-segment/"),
        ("GET", "/..%2f..%2fetc/passwd"),
        ("BREW", "/auth"),
    ] {
        let answer = provider.send(method.parse().unwrap(), path, &[], bytes::Bytes::new()).await;
        assert_failure(&answer, 404, "SYNTAX");
    }
}

#[tokio::test]
async fn a_request_id_is_taken_when_it_is_sane() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let id_for = async |sent: &str| {
        let headers = [("x-request-id", sent)];
        let answer =
            provider.send(hyper::Method::GET, "/user-segment?user_id=1", &headers, bytes::Bytes::new()).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(answer.response()["dbg_info"]["request_id"], id.as_str());
        id
    };
    assert_eq!(id_for("order-66_a.b:c").await, "order-66_a.b:c");
    let long = "x".repeat(129);
    for insane in ["", "a b", "a\"b", "a;b", "x-hbapi:1:a:ia1", long.as_str()] {
        assert_ne!(id_for(insane).await, insane);
    }
}

#[tokio::test]
async fn queries_that_make_no_sense_are_refused() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for path in [
        "/user-segment",
        "/user-segment?user_id=",
        "/user-segment?user_id=abc",
        "/user-segment?user_id=0",
        "/user-segment?user_id=1&domain=idfa",
        "/user-segment?user_id=1&domain=nothing",
        "/user-segment?user_id=1&format=xml",
        "/user-segment?user_id=1&member_id=x",
        "/rt-segment-processed?start=x",
        "/rt-segment-processed?end=2026-13-01",
        "/rt-segment-processed?start=",
        "/rt-segment-processed?start=2026-01-02&end=2026-01-01",
        "/rt-segment-processed?agg=perhaps",
        "/rt-segment-processed?member_id=0",
    ] {
        assert_failure(&provider.get(path).await, 400, "SYNTAX");
    }
    let users: Vec<_> = (1..=1001).map(|id| json!({"user_id": id})).collect();
    for body in [
        json!({}),
        json!({"users": 5}),
        json!({"users": [{}]}),
        json!({"users": [{"user_id": "x"}]}),
        json!([[{"user_id": 7}]]),
        json!({"users": [[7, null]]}),
        json!({"users": users}),
    ] {
        assert_failure(&provider.post("/user-segment", &body).await, 400, "SYNTAX");
    }
    // A GET's body is ignored.
    let answer = provider.send(hyper::Method::GET, "/user-segment?user_id=1", &[], "{".into()).await;
    answer.ok();
}

#[tokio::test]
async fn who_asks_before_sending_is_refused_before_sending() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let kit = Kit::start().await;
    let token = kit.login("provider").await.token.unwrap();
    for (token, length, status) in [("x", 10, "401"), (token.as_str(), 2_000_000, "413")] {
        let mut stream = tokio::net::TcpStream::connect(kit.api()).await.unwrap();
        let head = format!(
            "POST /rt-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(std::str::from_utf8(&start).unwrap(), format!("HTTP/1.1 {status}"));
    }
}
