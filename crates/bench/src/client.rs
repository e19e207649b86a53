//! An HTTP/1.1 client with as little in it as a load generator can do with: one connection, one request
//! at a time, the answer looked at but not decoded.

use crate::calls;
use crate::error::Error;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// How much of an answer is looked at: its status stands at the front.
const HEAD_BYTES: usize = 256;

/// Where requests go, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The API's address.
    pub(crate) api: SocketAddr,
    /// The process that answers there, for its processor time and memory.
    pub(crate) pid: u32,
    /// Where its metrics are.
    pub(crate) ops: SocketAddr,
    headers: HeaderMap,
}

impl Target {
    /// Logs in to a server.
    pub(crate) async fn log_in(server: &crate::server::Server) -> Result<Target, Error> {
        let mut target =
            Target { api: server.api, pid: server.pid(), ops: server.ops, headers: host(server.api) };
        let answer = Connection::open(&target).await?.post("/auth", calls::login()).await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)
            .map_err(|source| Error::Answer { what: "POST /auth".to_owned(), source })?;
        let mut token = answer["response"]["token"]
            .as_str()
            .and_then(|token| HeaderValue::from_str(token).ok())
            .ok_or_else(|| Error::Broken("the answer to the login holds no token".to_owned()))?;
        token.set_sensitive(true);
        target.headers.insert(AUTHORIZATION, token);
        Ok(target)
    }

    /// What the server says about itself.
    pub(crate) async fn metrics(&self) -> Result<Metrics, Error> {
        let ops = Target { api: self.ops, headers: host(self.ops), ..self.clone() };
        let call = Call { method: Method::GET, uri: Uri::from_static("/metrics"), body: Bytes::new() };
        let text = Connection::open(&ops).await?.whole(&call).await?;
        Ok(Metrics(String::from_utf8_lossy(&text).into_owned()))
    }
}

fn host(address: SocketAddr) -> HeaderMap {
    let host = HeaderValue::from_str(&address.to_string()).expect("an address is plain ASCII");
    HeaderMap::from_iter([(HOST, host)])
}

/// The text that Prometheus reads.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// A number by its name, without its prefix.
    pub(crate) fn get(&self, name: &str) -> Result<u64, Error> {
        let value = self.0.lines().find_map(|line| {
            let rest = line.strip_prefix("instant_audience_")?.strip_prefix(name)?;
            rest.strip_prefix(' ')?.trim().parse::<u64>().ok()
        });
        value.ok_or_else(|| Error::Broken(format!("the metric instant_audience_{name} is missing")))
    }
}

/// A request, ready to be sent again and again.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// GET or POST.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// Empty for a GET.
    pub body: Bytes,
}

/// As much of an answer as was kept.
#[derive(Debug)]
pub(crate) struct Received {
    /// The HTTP status.
    pub status: StatusCode,
    /// Whether it says when to try again.
    pub says_retry_after: bool,
    /// At least the first 256 bytes, all of them when there are fewer.
    pub head: Bytes,
}

impl Received {
    /// Whether it is 200 and says OK, and its beginning holds `mark`. Compares bytes: the server writes JSON
    /// without spaces, and decoding would cost more than the request.
    pub(crate) fn is_ok_with(&self, mark: &str) -> bool {
        self.status == StatusCode::OK && self.holds(r#""status":"OK""#) && self.holds(mark)
    }

    fn holds(&self, mark: &str) -> bool {
        let head = &self.head[..self.head.len().min(HEAD_BYTES)];
        mark.is_empty() || head.windows(mark.len()).any(|window| window == mark.as_bytes())
    }

    /// For a message.
    pub(crate) fn refused(&self, what: &str) -> Error {
        let head = &self.head[..self.head.len().min(2 * HEAD_BYTES)];
        Error::Refused {
            what: what.to_owned(),
            status: self.status.as_u16(),
            body: String::from_utf8_lossy(head).into_owned(),
        }
    }
}

/// One connection that is kept open.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
}

impl Connection {
    /// Connects. The connection closes when this is dropped.
    pub(crate) async fn open(target: &Target) -> Result<Connection, Error> {
        let address = target.api;
        let stream = TcpStream::connect(address).await.map_err(Error::io(format!("connect to {address}")))?;
        stream.set_nodelay(true).map_err(Error::io("set TCP_NODELAY"))?;
        let connecting = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = connecting.map_err(Error::http(format!("connecting to {address}")))?;
        // Its failure reaches the request that waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, headers: target.headers.clone() })
    }

    async fn send(&mut self, call: &Call) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.uri.clone();
        *request.headers_mut() = self.headers.clone();
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Sends a request and takes the answer in to its last byte, keeping only its beginning.
    pub(crate) async fn call(&mut self, call: &Call) -> Result<Received, hyper::Error> {
        let mut response = self.send(call).await?;
        let mut head = Bytes::new();
        while let Some(frame) = response.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if head.is_empty() {
                head = data;
            } else if head.len() < HEAD_BYTES {
                let mut joined = BytesMut::from(head);
                joined.extend_from_slice(&data);
                head = joined.freeze();
            }
        }
        let says_retry_after = response.headers().contains_key(RETRY_AFTER);
        Ok(Received { status: response.status(), says_retry_after, head })
    }

    /// Sends a request and returns the whole answer, which must have status 200.
    pub(crate) async fn whole(&mut self, call: &Call) -> Result<Bytes, Error> {
        let what = format!("{} {}", call.method, call.uri);
        let response = self.send(call).await.map_err(Error::http(&what))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(Error::http(&what))?.to_bytes();
        if status != StatusCode::OK {
            return Err(Received { status, says_retry_after: false, head: body }.refused(&what));
        }
        Ok(body)
    }

    /// [`Connection::whole`] for a POST.
    pub(crate) async fn post(&mut self, path: &'static str, body: Bytes) -> Result<Bytes, Error> {
        self.whole(&Call { method: Method::POST, uri: Uri::from_static(path), body }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP x y\ninstant_audience_profiles_resident_bytes 77\ninstant_audience_profiles_resident 5\ninstant_audience_requests_total{a=\"b\"} 1\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.get("profiles_resident").unwrap(), 5);
        assert_eq!(metrics.get("profiles_resident_bytes").unwrap(), 77);
        assert!(metrics.get("profiles").is_err());
    }
}
