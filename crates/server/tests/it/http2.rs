//! What HTTP/2 lets the server say of requests that no handler sees.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::http::request;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ia_testkit::Kit;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;

type Sender = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> Sender {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(address: SocketAddr, target: &str) -> request::Builder {
    Request::get(format!("http://{address}{target}"))
}

async fn ask(sender: &mut Sender, request: request::Builder) -> Response<Bytes> {
    let answer = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

fn fields(request: request::Builder, count: usize, bytes: usize) -> request::Builder {
    (0..count).fold(request, |request, n| request.header(format!("x-{n}"), "y".repeat(bytes)))
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_form_of_all_answers() {
    let kit = Kit::start().await;
    let api = kit.api();
    let (large, malformed) =
        ("The request line and the headers are larger", "This is no well-formed HTTP request");
    let ids: Vec<String> = (2_000_000_000..2_000_005_900).map(|id: u64| id.to_string()).collect();
    // All on one connection: a refusal does not end it.
    let mut sender = connect(api).await;
    for (request, status, sentence) in [
        (fields(get(api, &format!("/segment?id={}", ids.join(","))), 1, 2_000), 431, large),
        (fields(get(api, "/segment"), 8, 10_000), 431, large),
        (fields(get(api, "/segment"), 101, 1), 431, large),
        (get(api, "/segment").header("host", "another.example"), 400, malformed),
        (get(api, "/segment").header("host", "x").header("host", "x"), 400, malformed),
    ] {
        let answer = ask(&mut sender, request).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (status, &"application/json".parse().unwrap())
        );
        let response = &serde_json::from_slice::<Value>(answer.body()).unwrap()["response"];
        assert_eq!((&response["status"], &response["error_id"]), (&json!("ERROR"), &json!("SYNTAX")));
        assert!(response["error"].as_str().unwrap().starts_with(sentence), "{response}");
        assert_eq!(response["dbg_info"]["request_id"], answer.headers()["x-request-id"].to_str().unwrap());
    }
    // What is just allowed comes to its handler, with a path in any spelling.
    let most = fields(get(api, "//user-segment/"), 90, 1);
    let cookies = (0..200).fold(most, |request, n| request.header("cookie", format!("a{n}=b")));
    assert_eq!(ask(&mut sender, cookies).await.status(), 401);
    let metrics = kit.ops("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    for counted in [
        r#"route="unknown",method="other",status="431"} 3"#,
        r#"route="unknown",method="other",status="400"} 2"#,
        r#"route="/user-segment",method="GET",status="401"} 1"#,
    ] {
        assert!(metrics.contains(counted), "{counted}");
    }
}
