//! Deadlines and limits of connections, HTTP/2, TLS.

use crate::tls::{self, SelfSigned};
use ia_testkit::Kit;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a server may take for an expected step; only a broken one takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// All bytes from the server until it closes the connection.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A reset also closes the connection.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let kit = Kit::builder().config(|config| config.http.header_timeout_seconds = 1).start().await;
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    stream.write_all(b"POST /rt-segment HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    for (idle_timeout_seconds, header_timeout_seconds) in [(1, 3600), (3600, 1)] {
        let timeouts = |config: &mut instant_audience::config::Config| {
            config.http.idle_timeout_seconds = idle_timeout_seconds;
            config.http.header_timeout_seconds = header_timeout_seconds;
        };
        let kit = Kit::builder().config(timeouts).start().await;
        let mut silent = TcpStream::connect(kit.api()).await.unwrap();
        let mut served = TcpStream::connect(kit.api()).await.unwrap();
        served.write_all(b"GET /user-segment HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let closed = async { (rest(&mut silent).await, rest(&mut served).await) };
        let (nothing, answer) = tokio::time::timeout(PATIENCE, closed).await.expect("both are closed");
        assert_eq!(nothing, "");
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_so() {
    let kit = Kit::builder().config(|config| config.http.body_timeout_seconds = 1).start().await;
    let token = kit.login("provider").await.token.unwrap();
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    let head = format!(
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("did not arrive within 1 seconds"), "{answer}");
}

#[tokio::test]
async fn a_request_that_is_half_sent_changes_nothing() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let body = json!({"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]}).to_string();
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    let token = provider.token.clone().unwrap();
    let head = format!(
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {}\r\n\r\n",
        body.len() + 1
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await;
    assert_eq!(provider.segments_of("7").await, [0; 0]);
}

#[tokio::test]
async fn headers_have_a_bound() {
    let kit = Kit::start().await;
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    let mut request = b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec();
    for n in 0..40 {
        request.extend(format!("X-{n}: {}\r\n", "a".repeat(25_000)).bytes());
    }
    // The server may close before everything is written.
    let _ = stream.write_all(&request).await;
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// The server's answer to these bytes, after which it closes the connection.
async fn answer_to(kit: &Kit, bytes: &[u8]) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let answer = rest(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        head.to_lowercase(),
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")),
    )
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_form_of_all_answers() {
    let kit = Kit::start().await;
    let ids: Vec<String> = (2_000_000_000..2_000_010_000).map(|id: u64| id.to_string()).collect();
    let many_ids = format!("GET /segment?id={} HTTP/1.1\r\nHost: x\r\n\r\n", ids.join(","));
    let many_fields = format!("GET /segment HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200));
    let (malformed, long) = (
        "This is no well-formed HTTP request",
        "The request line and the headers are larger than 65536 bytes",
    );
    for (sent, status, sentence) in [
        (many_ids.as_str(), 431, long),
        (many_fields.as_str(), 431, long),
        ("GET /segment?search=\u{dc}n HTTP/1.1\r\nHost: x\r\n\r\n", 400, malformed),
        ("GET /segment?search=\"x\" HTTP/1.1\r\nHost: x\r\n\r\n", 400, malformed),
        ("GET /segment HTTP/1.1\r\n\r\n", 400, malformed),
        ("GET /segment HTTP/1.1\nHost: x\n\n", 400, malformed),
        (
            "POST /rt-segment HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            malformed,
        ),
        ("hello\r\n\r\n", 400, malformed),
    ] {
        let about = &sent[..sent.len().min(70)];
        let (found, head, answer) = answer_to(&kit, sent.as_bytes()).await;
        assert_eq!(found, status, "{about}");
        let response = &answer["response"];
        assert_eq!(
            (&response["status"], &response["error_id"]),
            (&json!("ERROR"), &json!("SYNTAX")),
            "{about}"
        );
        assert!(response["error"].as_str().unwrap().starts_with(sentence), "{about}: {answer}");
        let id = response["dbg_info"]["request_id"].as_str().unwrap();
        for field in ["content-type: application/json", "connection: close", &format!("x-request-id: {id}")] {
            assert!(head.lines().any(|line| line == field), "{about}: no {field} in {head}");
        }
    }
    let metrics = kit.ops("/metrics").await.body;
    let counted = r#"route="unknown",method="other",status="431"} 2"#;
    assert!(String::from_utf8_lossy(&metrics).contains(counted), "they are counted");
}

#[tokio::test]
async fn an_answer_before_a_malformed_request_is_whole() {
    let kit = Kit::start().await;
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    let first = "GET /nothing HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\n\r\n";
    stream.write_all(format!("{first}nonsense\r\n\r\n").as_bytes()).await.unwrap();
    let answers = rest(&mut stream).await;
    assert!(answers.starts_with("HTTP/1.1 404") && answers.contains("x-request-id: first"), "{answers}");
    let (_, second) = answers.split_once("HTTP/1.1 400").expect("two answers");
    assert!(!second.contains("HTTP/1.1"), "{answers}");
}

#[tokio::test]
async fn there_is_no_head() {
    let kit = Kit::builder().config(|config| config.pixels.enabled = true).start().await;
    let provider = kit.login("provider").await;
    for target in ["/seg?add=12&member=958", "/user-segment?user_id=7", "/nothing"] {
        let cookie = [("cookie", "uuid2=7")];
        let answer = provider.send(hyper::Method::HEAD, target, &cookie, Default::default()).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0), "{target}");
    }
    assert_eq!(provider.segments_of("7").await, [0; 0]);
    provider
        .send(hyper::Method::GET, "/seg?add=12&member=958", &[("cookie", "uuid2=7")], Default::default())
        .await;
    assert_eq!(provider.segments_of("7").await, [12], "the pixel is a good one");
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_place() {
    let kit = Kit::builder().config(|config| config.http.max_connections = 1).start().await;
    let first = TcpStream::connect(kit.api()).await.unwrap();
    let client = kit.anonymous();
    let second = tokio::spawn(async move { client.get("/user-segment?user_id=1").await });
    for _ in 0..50 {
        // Time enough for an answer that must not come.
        kit.ops("/healthz").await;
    }
    assert!(!second.is_finished(), "there was no place for it");
    drop(first);
    assert_eq!(second.await.unwrap().status, 401);
}

type Http2Sender = hyper::client::conn::http2::SendRequest<http_body_util::Full<bytes::Bytes>>;
type Http2Task = tokio::task::JoinHandle<Result<(), hyper::Error>>;

/// An HTTP/2 connection whose task answers pings until the server closes it.
async fn http2(kit: &Kit, stream_window: u32) -> (Http2Sender, Http2Task) {
    let stream = TcpStream::connect(kit.api()).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
        .initial_stream_window_size(stream_window)
        .handshake(io)
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

fn empty_get(kit: &Kit, path: &str) -> hyper::Request<http_body_util::Full<bytes::Bytes>> {
    hyper::Request::get(format!("http://{}{path}", kit.api())).body(http_body_util::Full::default()).unwrap()
}

#[tokio::test]
async fn http_2_is_spoken_with_prior_knowledge() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let (mut sender, _task) = http2(&kit, 1 << 16).await;
    let body = json!({"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]}).to_string();
    let request = hyper::Request::post(format!("http://{}/rt-segment", kit.api()))
        .header("authorization", provider.token.as_deref().unwrap())
        .body(http_body_util::Full::new(bytes::Bytes::from(body)))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
    assert_eq!(provider.segments_of("7").await, [12]);
}

/// A server that closes connections after a second without a request.
async fn kit_with_short_idle_timeout() -> Kit {
    Kit::builder().config(|config| config.http.idle_timeout_seconds = 1).start().await
}

/// A server that closes connections after two seconds without a request, even while pings are answered: they only
/// prove that the client is alive.
async fn kit_with_pings() -> Kit {
    let timeouts = |config: &mut instant_audience::config::Config| {
        config.http.idle_timeout_seconds = 2;
        config.http.header_timeout_seconds = 1;
    };
    Kit::builder().config(timeouts).start().await
}

#[tokio::test]
async fn an_http_2_connection_without_requests_is_closed_in_order() {
    let kit = kit_with_pings().await;
    let (silent_sender, silent) = http2(&kit, 1 << 16).await;
    let (mut sender, task) = http2(&kit, 1 << 16).await;
    let busy_since = std::time::Instant::now();
    while busy_since.elapsed() < Duration::from_millis(2500) {
        // Longer than the timeout in total, but never as long without a request.
        let answer = sender.send_request(empty_get(&kit, "/user-segment")).await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(!task.is_finished());
    }
    for task in [silent, task] {
        tokio::time::timeout(Duration::from_secs(10), task)
            .await
            .expect("the server ends it")
            .unwrap()
            .expect("in order");
    }
    drop((silent_sender, sender));
}

#[tokio::test]
async fn an_http_2_answer_that_is_not_taken_ends_the_connection() {
    let kit = kit_with_pings().await;
    let (mut sender, task) = http2(&kit, 0).await;
    let answer = sender.send_request(empty_get(&kit, "/user-segment")).await.unwrap();
    assert_eq!(answer.status(), 401);
    // The client gives no window for the body, and the server asks it to end the connection: with an answer
    // outstanding, the connection does not end by itself.
    let ended = tokio::time::timeout(Duration::from_secs(10), task).await.expect("the server ends it");
    drop((ended, answer, sender));
}

/// A body whose bytes arrive one at a time, with pauses.
struct Trickle {
    left: Vec<u8>,
    pause: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl hyper::body::Body for Trickle {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::ready!(self.pause.as_mut().poll(context));
        self.pause.as_mut().reset(tokio::time::Instant::now() + Duration::from_millis(300));
        let byte = self.left.pop().map(|byte| Ok(hyper::body::Frame::data(vec![byte].into())));
        std::task::Poll::Ready(byte)
    }
}

#[tokio::test]
async fn an_http_2_request_that_takes_longer_than_the_idle_timeout_is_answered() {
    let kit = kit_with_short_idle_timeout().await;
    let stream = TcpStream::connect(kit.api()).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let body = Trickle { left: vec![b' '; 8], pause: Box::pin(tokio::time::sleep(Duration::ZERO)) };
    let request = hyper::Request::post(format!("http://{}/auth", kit.api())).body(body).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 400);
}

#[tokio::test]
async fn an_http_1_connection_may_take_its_time_for_the_headers() {
    let kit = kit_with_short_idle_timeout().await;
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    stream.write_all(b"PRI / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Slow: ").await.unwrap();
    let client = kit.anonymous();
    // Bytes arrive, so the idle timeout does not apply, although the request takes twice as long: meanwhile two
    // silent connections, one after the other, are closed. Between the bytes the test waits for an answer.
    for _ in 0..2 {
        let mut silent = TcpStream::connect(kit.api()).await.unwrap();
        let mut closed = Box::pin(async move { rest(&mut silent).await });
        loop {
            stream.write_all(b"y").await.unwrap();
            let answered = client.get("/nothing");
            tokio::select! {
                biased;
                _ = &mut closed => break,
                _ = answered => {}
            }
        }
    }
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn tls_is_spoken_and_makes_the_cookie_secure() {
    let certificate = SelfSigned::new();
    let files = tempfile::TempDir::new().unwrap();
    certificate.write(files.path());
    let kit = Kit::builder()
        .config(|config| {
            config.tls.cert = files.path().join("cert.pem");
            config.tls.key = files.path().join("key.pem");
        })
        .start()
        .await;

    let stream = TcpStream::connect(kit.api()).await.unwrap();
    let mut stream = tls::connect(stream, &[&certificate], "http/1.1").await.unwrap();
    let body = json!({"auth": {"username": "provider", "password": ia_testkit::PASSWORD}}).to_string();
    let request = format!(
        "POST /auth HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("; Secure"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["response"]["status"], "OK");

    let mut plain = TcpStream::connect(kit.api()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(!rest(&mut plain).await.contains("HTTP/1.1 200"), "no plain text on this listener");
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_sends_its_whole_body_first() {
    let kit = Kit::start().await;
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    let body = vec![b' '; 900_000];
    for _ in 0..2 {
        // Twice, to show that the connection is kept.
        let head = format!("POST /rt-segment HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 401");
        let mut rest = Vec::new();
        while !rest.ends_with(b"}}}") {
            rest.push(stream.read_u8().await.unwrap());
        }
    }
}

#[tokio::test]
async fn bodies_that_come_slowly_do_not_take_all_memory() {
    let kit = Kit::builder()
        .config(|config| config.http.max_body_memory = serde_json::from_value(json!("1MiB")).unwrap())
        .start()
        .await;
    let provider = kit.login("provider").await;
    let request = json!({"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]}).to_string();
    let body = format!("{request}{}", " ".repeat(900_000 - request.len()));
    let mut slow = TcpStream::connect(kit.api()).await.unwrap();
    let token = provider.token.clone().unwrap();
    let head = format!(
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 900000\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&body.as_bytes()[..800_000]).await.unwrap();
    ia_testkit::eventually("the slow body to be held", async || {
        (kit.metric("instant_audience_body_bytes").await >= 800_000.0).then_some(())
    })
    .await;
    let refused = provider.post_bytes("/rt-segment", &[], body.clone()).await;
    assert_eq!(refused.outcome(), (503, Some("SYSTEM".to_owned())));
    assert_eq!(refused.header("retry-after"), Some("1"));
    slow.write_all(&body.as_bytes()[800_000..]).await.unwrap();
    let mut start = [0; 12];
    slow.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    provider.post_bytes("/rt-segment", &[], body).await.ok();
}
