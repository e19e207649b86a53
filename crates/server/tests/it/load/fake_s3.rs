//! A small server that speaks as much of S3 as a watcher needs: objects with conditions, copies, lists. Another one can
//! take its place: `IA_S3_ENDPOINT` names it (`scripts/s3-check`).

use super::Running;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use ia_testkit::send;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// Objects by bucket and key, each with the number of its version.
type Objects = Arc<Mutex<(u64, BTreeMap<String, (u64, Bytes)>)>>;

/// Looks signed, which is enough for a server that checks no signatures.
const SIGNED: (&str, &str) = (
    "authorization",
    "AWS4-HMAC-SHA256 Credential=someone/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
);

/// A bucket of the test's own.
pub(super) struct S3 {
    address: SocketAddr,
    bucket: String,
    accepting: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl S3 {
    pub(super) async fn start() -> S3 {
        static BUCKETS: AtomicU32 = AtomicU32::new(0);
        let number = BUCKETS.fetch_add(1, Ordering::Relaxed);
        let bucket = format!("bucket-{}-{number}", std::process::id());
        let Some(address) = std::env::var("IA_S3_ENDPOINT").ok() else {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            return S3 { address, bucket, accepting: Some(tokio::spawn(serve(listener))) };
        };
        let s3 = S3 { address: address.parse().unwrap(), bucket, accepting: None };
        s3.call(Method::PUT, "", "").await;
        s3
    }

    /// The prefix that is watched.
    pub(super) fn url(&self) -> String {
        format!("s3://{}/in/here/", self.bucket)
    }

    /// What a watcher finds in its environment.
    pub(super) fn environment<'a>(
        &self,
        command: &'a mut std::process::Command,
    ) -> &'a mut std::process::Command {
        command
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", "someone")
            .env("AWS_SECRET_ACCESS_KEY", "s3cret-of-the-test")
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> (u16, String) {
        let path = format!("/{}{path}", self.bucket);
        let answer = send(self.address, method, &path, &[SIGNED], body.to_owned().into()).await;
        (answer.status.as_u16(), answer.text().to_owned())
    }

    pub(super) async fn put(&self, name: &str, content: &str) {
        let (status, text) = self.call(Method::PUT, &format!("/in/here/submitted/{name}"), content).await;
        assert_eq!(status, 200, "{text}");
    }

    pub(super) async fn get(&self, key: &str) -> String {
        let (status, text) = self.call(Method::GET, &format!("/in/here/{key}"), "").await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// The names below a folder of the prefix.
    pub(super) async fn names(&self, folder: &str) -> Vec<String> {
        let prefix = format!("in/here/{folder}/");
        let (status, text) = self.call(Method::GET, &format!("?list-type=2&prefix={prefix}"), "").await;
        assert_eq!(status, 200, "{text}");
        let keys = text.split("<Key>").skip(1).map(|rest| rest.split_once("</Key>").unwrap().0);
        keys.map(|key| key.strip_prefix(&prefix).unwrap().to_owned()).collect()
    }
}

/// No credentials stand in a log.
pub(super) fn is_discreet(running: &Running) {
    assert!(!running.log().contains("s3cret"), "{}", running.log());
}

async fn serve(listener: TcpListener) {
    let objects = Objects::default();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let objects = objects.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(objects.clone(), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Answer = Response<Full<Bytes>>;

fn status(status: u16) -> Answer {
    Response::builder().status(status).body(Full::default()).unwrap()
}

fn tagged(version: u64, body: Bytes) -> Answer {
    let date = httpdate::fmt_http_date(
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + version),
    );
    Response::builder()
        .header("etag", format!("\"{version}\""))
        .header("last-modified", date)
        .body(body.into())
        .unwrap()
}

async fn answer(objects: Objects, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let key = percent_decoded(head.uri.path().trim_start_matches('/'));
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let (count, objects) = &mut *objects.lock().unwrap();
    let found = objects.get(&key).cloned();
    let header = |name: &str| text(&head.headers, name);
    let is = |version: Option<u64>, tag: &str| {
        version.is_some_and(|version| tag.trim_matches('"') == version.to_string())
    };
    let version = found.as_ref().map(|(version, _)| *version);
    if header("if-match").is_some_and(|tag| !is(version, &tag)) {
        return Ok(status(if version.is_some() { 412 } else { 404 }));
    }
    Ok(match head.method {
        Method::GET if query.contains_key("list-type") => list(&key, &query, objects),
        Method::GET => found.map_or_else(|| status(404), |(version, content)| tagged(version, content)),
        Method::HEAD => match found {
            None => status(404),
            Some((version, content)) => {
                let mut answer = tagged(version, Bytes::new());
                answer.headers_mut().insert("content-length", content.len().into());
                answer
            }
        },
        Method::PUT if header("if-none-match").as_deref() == Some("*") && found.is_some() => status(412),
        Method::PUT => {
            let content = match header("x-amz-copy-source") {
                None => body,
                Some(from) => match objects.get(&percent_decoded(from.trim_start_matches('/'))) {
                    Some((_, content)) => content.clone(),
                    None => return Ok(status(404)),
                },
            };
            *count += 1;
            objects.insert(key, (*count, content));
            let text = format!("<CopyObjectResult><ETag>\"{count}\"</ETag></CopyObjectResult>");
            tagged(*count, text.into())
        }
        Method::DELETE => {
            objects.remove(&key);
            status(204)
        }
        Method::POST if query.contains_key("delete") => {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let bucket = key.trim_end_matches('/');
            let mut deleted = "<DeleteResult>".to_owned();
            for key in text.split("<Key>").skip(1).map(|rest| rest.split_once("</Key>").unwrap().0) {
                objects.remove(&format!("{bucket}/{key}"));
                deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
            }
            Response::new((deleted + "</DeleteResult>").into())
        }
        _ => status(400),
    })
}

fn list(bucket: &str, query: &BTreeMap<String, String>, objects: &BTreeMap<String, (u64, Bytes)>) -> Answer {
    let bucket = format!("{}/", bucket.trim_end_matches('/'));
    let prefix = &query["prefix"];
    let mut text = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
    for (key, (version, content)) in objects {
        let Some(key) = key.strip_prefix(&bucket) else { continue };
        let Some(rest) = key.strip_prefix(prefix.as_str()) else { continue };
        if query.get("delimiter").is_some_and(|delimiter| rest.contains(delimiter.as_str())) {
            continue;
        }
        let size = content.len();
        text.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"{version}\"</ETag>\
             <Size>{size}</Size></Contents>"
        ));
    }
    text.push_str("</ListBucketResult>");
    Response::new(text.into())
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

fn percent_decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8().unwrap().into_owned()
}
