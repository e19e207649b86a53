//! A plain HTTP client: a connection a request, nothing hidden.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Why no whole answer came: the connection was refused, or cut.
pub type NoAnswer = Box<dyn std::error::Error + Send + Sync>;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer is text")
    }

    /// What is under `response`; panics when the answer has another top-level key.
    pub fn response(&self) -> Value {
        let json = self.json();
        let object = json.as_object().expect("an answer is an object");
        assert_eq!(object.keys().collect::<Vec<_>>(), ["response"], "one top-level key");
        object["response"].clone()
    }

    /// The status and the `error_id`, if there is one.
    pub fn outcome(&self) -> (u16, Option<String>) {
        let id = self.response()["error_id"].as_str().map(str::to_owned);
        (self.status.as_u16(), id)
    }

    /// Checks that it is a success by every rule of the wire, and gives what is under `response`.
    pub fn ok(&self) -> Value {
        let response = self.response();
        assert_eq!(self.status, StatusCode::OK, "{response}");
        assert_eq!(response["status"], "OK");
        assert_eq!(self.headers["content-type"], "application/json");
        for key in ["error", "error_id", "error_code"] {
            assert!(response.get(key).is_none(), "a success has no {key}");
        }
        response
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header is text"))
    }
}

/// A caller with a token, or without.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where the API is.
    pub address: SocketAddr,
    /// Goes into the `Authorization` header.
    pub token: Option<String>,
}

impl Client {
    /// A GET.
    pub async fn get(&self, path_and_query: &str) -> Answer {
        self.send(Method::GET, path_and_query, &[], Bytes::new()).await
    }

    /// A POST of JSON.
    pub async fn post(&self, path_and_query: &str, body: &Value) -> Answer {
        self.post_bytes(path_and_query, &[], body.to_string()).await
    }

    /// A POST of JSON to a server that may be killed meanwhile: an error is "no whole answer came".
    pub async fn try_post(&self, path_and_query: &str, body: &Value) -> Result<Answer, NoAnswer> {
        self.try_send(Method::POST, path_and_query, &[], body.to_string().into()).await
    }

    /// [`Client::send`] to a server that may be killed meanwhile.
    pub async fn try_send(
        &self,
        method: Method,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        try_send(self.address, method, path_and_query, &self.with_token(headers), body).await
    }

    /// A GET with further headers, of a server that may be killed meanwhile.
    pub async fn try_get(&self, path_and_query: &str, headers: &[(&str, &str)]) -> Result<Answer, NoAnswer> {
        try_send(self.address, Method::GET, path_and_query, &self.with_token(headers), Bytes::new()).await
    }

    /// A POST of anything, with further headers.
    pub async fn post_bytes(
        &self,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send(Method::POST, path_and_query, headers, body.into()).await
    }

    /// Any request, with the token.
    pub async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        send(self.address, method, path_and_query, &self.with_token(headers), body).await
    }

    /// The same with a new token of that login.
    pub async fn login(self, username: &str) -> Client {
        let credentials = serde_json::json!({"auth": {"username": username, "password": crate::PASSWORD}});
        let answer = self.post("/auth", &credentials).await.ok();
        Client { token: Some(answer["token"].as_str().expect("a token").to_owned()), ..self }
    }

    fn with_token<'a>(&'a self, headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let token = self.token.as_deref().map(|token| ("authorization", token));
        headers.iter().copied().chain(token).collect()
    }

    /// A `POST /rt-segment` of one user with these blocks; gives what is under `response`.
    pub async fn add(&self, user_id: &str, domain: Option<&str>, blocks: Value) -> Value {
        let user = serde_json::json!({"user_id": user_id, "seg_block": blocks, "domain": domain});
        self.post("/rt-segment?verbose=true", &serde_json::json!({"rt_segment": [user]})).await.ok()
    }

    /// The ids of the segments that a platform user is seen in.
    pub async fn segments_of(&self, user_id: &str) -> Vec<u64> {
        let answer = self.get(&format!("/user-segment?user_id={user_id}")).await.ok();
        let segments = answer["user_segment"]["segments"].as_array().expect("an array").clone();
        segments.iter().map(|segment| segment["id"].as_u64().expect("an id")).collect()
    }
}

/// Sends one request on a connection of its own.
pub async fn send(
    address: SocketAddr,
    method: Method,
    path_and_query: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Answer {
    try_send(address, method, path_and_query, headers, body).await.expect("an answer")
}

async fn try_send(
    address: SocketAddr,
    method: Method,
    path_and_query: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Answer, NoAnswer> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request =
        Request::builder().method(method).uri(path_and_query).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).expect("a request");
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    drop(sender);
    // Whether the server closes the connection in order is no concern of this request.
    let _ = connection.await;
    Ok(Answer { status: head.status, headers: head.headers, body })
}
