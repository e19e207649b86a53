//! The API and its description: the same routes, and answers that match.

mod accounts;
pub(crate) mod description;
mod files;
mod pixels;
mod public_keys;
mod schema;
mod segments;

use self::public_keys::{SWITCH, key, signed};
use self::segments::NEW;
use crate::openapi::description::{Description, Operation};
use bytes::Bytes;
use hyper::Method;
use ia_log::faults::{Call, Errno};
use ia_testkit::{Answer, Client, Kit, KitBuilder, PASSWORD, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CONSUMER_REQUEST: &str = "/privacy/consumer-request";

/// Methods that a router may know, and one that none knows.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];

/// A server with all routes.
fn with_pixels() -> KitBuilder {
    Kit::builder().config(|config| {
        config.pixels.enabled = true;
        config.pixels.redirect_hosts = serde_json::from_value(json!(["ok.example.com"])).unwrap();
    })
}

#[tokio::test]
async fn the_router_answers_what_the_document_names_and_nothing_else() {
    let kit = with_pixels().start().await;
    let description = Description::of(&kit).await;
    let provider = kit.login("provider").await;
    let operations = description.operations();
    let paths: BTreeSet<String> = operations.iter().map(|operation| operation.path.clone()).collect();
    let made = provider.post("/batch-segment", &json!({})).await.ok();
    let job_id = made["batch_segment_upload_job"]["job_id"].as_str().unwrap();
    for path in &paths {
        for method in METHODS {
            let target = path.replace("{job_id}", job_id);
            let answer = provider.send(method.parse().unwrap(), &target, &[], Bytes::new()).await;
            let named = operations.contains(&Operation { method: method.to_owned(), path: path.clone() });
            assert_eq!(answer.status != 404, named, "{method} {path} {}", answer.status);
        }
        // Each route has its own metric.
        let text = String::from_utf8(kit.ops("/metrics").await.body.to_vec()).unwrap();
        assert!(text.contains(&format!("requests_total{{route=\"{path}\"")), "{path} has no metric");
    }
}

#[tokio::test]
async fn the_document_is_what_readers_of_openapi_expect() {
    let kit = with_pixels().start().await;
    let Description(document) = Description::of(&kit).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "an id stands for one operation");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()));
            let names =
                operation["parameters"].as_array().unwrap().iter().map(|parameter| &parameter["name"]);
            assert_eq!(names.filter(|name| *name == "X-Request-Id").count(), 1);
        }
    }
    let schemes: Vec<&String> =
        document["components"]["securitySchemes"].as_object().unwrap().keys().collect();
    assert_eq!(schemes, ["bearer", "cookie", "query", "token"]);
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|inner| collect_references(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect_references(inner, found)),
        _ => {}
    }
}

/// The document's name of a path.
fn template(path: &str) -> &str {
    if path.starts_with("/segment-upload/") {
        return "/segment-upload/{job_id}";
    }
    match path.strip_prefix("/segment/") {
        Some("meta") | None => path,
        Some(ids) if ids.contains('/') => "/segment/{member_id}/{id}",
        Some(_) => "/segment/{member_id}",
    }
}

/// Sends requests and checks the answers against the document.
struct Examiner<'k> {
    kit: &'k Kit,
    description: Description,
    seen: BTreeSet<(Operation, u16)>,
    answers: usize,
    /// The `Cookie` header of every request.
    cookie: Option<String>,
}

impl Examiner<'_> {
    async fn examine(
        &mut self,
        client: &Client,
        method: Method,
        target: &str,
        body: &str,
        status: u16,
    ) -> Answer {
        let address = self.kit.api();
        let client = Client { address, ..client.clone() };
        let cookie: Vec<_> = self.cookie.iter().map(|cookie| ("cookie", cookie.as_str())).collect();
        let answer = client.send(method.clone(), target, &cookie, Bytes::from(body.to_owned())).await;
        assert_eq!(answer.status, status, "{method} {target} {body} {:?}", answer.body);
        self.note(&method, target, &answer);
        answer
    }

    /// Checks an answer.
    fn note(&mut self, method: &Method, target: &str, answer: &Answer) {
        let path = template(target.split('?').next().unwrap());
        self.description.assert_describes(method.as_str(), path, answer);
        let operation = Operation { method: method.to_string(), path: path.to_owned() };
        self.seen.insert((operation, answer.status.as_u16()));
        self.answers += 1;
    }

    async fn send(&mut self, client: &Client, method: &str, target: &str, body: &str, status: u16) {
        self.examine(client, method.parse().unwrap(), target, body, status).await;
    }

    async fn get(&mut self, client: &Client, target: &str, status: u16) {
        self.examine(client, Method::GET, target, "", status).await;
    }

    async fn post(&mut self, client: &Client, target: &str, body: &str, status: u16) {
        self.examine(client, Method::POST, target, body, status).await;
    }
}

fn fixtures() -> Vec<Value> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rt-segment");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
}

const ADD: &str = r#"{"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}, {"seg_id": 10002, "expiration": 9}, {"seg_id": 30001}, {"seg_id": 4711}]}]}"#;
const SEE: &str = r#"{"identifier": "7", "identifier_type": "uuid2", "request_type": "access"}"#;
const READ: &str = r#"{"users": [{"user_id": 7}, {"user_id": "8", "domain": null}, {"user_id": "XY", "domain": "eid:a.eu"},
    {"eids": [{"source": "a.eu", "uids": [{"id": "XY"}, {"id": "Z"}]}]},
    {"user_id": 7, "ext": {"eids": [{"source": "b.eu", "uids": [{"id": "XY"}]}]}}]}"#;
const SEE_EID: &str = r#"{"identifier": "XY", "identifier_type": "eid:a.eu", "request_type": "access"}"#;
const ADD_EID: &str =
    r#"{"rt_segment": [{"user_id": "XY", "domain": "eid:a.eu", "seg_block": [{"seg_id": 12}]}]}"#;

fn login(username: &str, password: &str) -> String {
    json!({"auth": {"username": username, "password": password}}).to_string()
}

async fn examine_usual_answers(examiner: &mut Examiner<'_>) {
    let kit = examiner.kit;
    let anonymous = kit.anonymous();
    let (provider, reader) = (kit.login("provider").await, kit.login("reader").await);
    let long = "x".repeat(2 << 20);
    for pair in fixtures() {
        for target in ["/rt-segment", "/rt-segment?verbose=true"] {
            examiner.post(&provider, target, &pair["request"].to_string(), 200).await;
        }
    }
    for (target, body) in [
        ("/auth", login("provider", "wrong")),
        ("/rt-segment", ADD.into()),
        ("/user-segment", READ.into()),
        (CONSUMER_REQUEST, SEE.into()),
    ] {
        examiner.post(&anonymous, target, &body, 401).await;
    }
    examiner.post(&anonymous, "/auth", &login("provider", PASSWORD), 200).await;
    for body in [
        ADD,
        r#"{"rt_segment": [5, {"user_id": {}}, {"user_id": "x", "seg_block": [[]]}]}"#,
        r#"{"rt_segment": []}"#,
    ] {
        for target in ["/rt-segment", "/rt-segment?verbose=1"] {
            examiner.post(&provider, target, body, 200).await;
        }
    }
    for target in ["/auth", "/rt-segment", "/user-segment", CONSUMER_REQUEST] {
        examiner.post(&provider, target, "{", 400).await;
        examiner.post(&provider, target, &long, 413).await;
    }
    examiner.post(&reader, "/rt-segment", ADD, 403).await;
    for request_type in ["access", "delete", "opt_out", "opt_in"] {
        let body = SEE.replace("access", request_type);
        let status = if request_type == "access" { 200 } else { 403 };
        examiner.post(&reader, CONSUMER_REQUEST, &body, status).await;
        examiner.post(&provider, CONSUMER_REQUEST, &body, 200).await;
    }
    examiner.post(&provider, "/rt-segment", ADD, 200).await;
    examiner.post(&provider, CONSUMER_REQUEST, &SEE.replace('7', "x"), 422).await;
    examiner.post(&provider, "/rt-segment", ADD_EID, 200).await;
    examiner.post(&provider, CONSUMER_REQUEST, SEE_EID, 200).await;
    for format in ["", "&format=openrtb", "&format=codes", "&member_id=958"] {
        for user in ["7", "8", "XY&domain=eid:a.eu"] {
            examiner.get(&provider, &format!("/user-segment?user_id={user}{format}"), 200).await;
        }
    }
    for target in ["/user-segment", "/user-segment?format=openrtb", "/user-segment?member_id=1661"] {
        examiner.post(&provider, target, READ, 200).await;
    }
    for target in
        ["/rt-segment-processed", "/rt-segment-processed?agg=true", "/rt-segment-processed?end=2026-01-01"]
    {
        examiner.get(&provider, target, 200).await;
        examiner.get(&anonymous, target, 401).await;
    }
    examiner.get(&provider, "/rt-segment-processed?start=x", 400).await;
    examiner.get(&provider, "/rt-segment-processed?member_id=77", 403).await;
    examiner.get(&provider, "/user-segment", 400).await;
    examiner.get(&anonymous, "/user-segment?user_id=1", 401).await;
    examiner.get(&anonymous, "/openapi.json", 200).await;
    accounts::examine_usual_answers(examiner).await;
}

/// Sends a body that never ends, and waits until the memory for bodies is used up.
async fn hold_memory(kit: &Kit, client: &Client) -> TcpStream {
    let mut stream = TcpStream::connect(kit.api()).await.unwrap();
    let token = client.token.as_deref().unwrap();
    let head = format!(
        "POST /rt-segment HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n"
    );
    stream.write_all(format!("{head}\r\n8\r\n        \r\n").as_bytes()).await.unwrap();
    eventually("the memory to be gone", async || {
        (client.post_bytes("/user-segment", &[], READ).await.status == 503).then_some(())
    })
    .await;
    stream
}

/// A full disk; then, on new servers, no memory for bodies, and rates of one a second.
async fn examine_refusals<'k>(examiner: &mut Examiner<'k>, tight: &'k Kit, slow: &'k Kit) {
    let kit = examiner.kit;
    let provider = kit.login("provider").await;
    kit.disk.fail_always(Call::Write, Errno::NOSPC);
    examiner.post(&provider, "/rt-segment", ADD, 503).await;
    examiner.post(&provider, CONSUMER_REQUEST, &SEE.replace("access", "delete"), 503).await;
    kit.disk.heal();
    eventually("the room to be noticed", async || (kit.ops("/readyz").await.status == 200).then_some(()))
        .await;
    let provider = tight.login("provider").await;
    let admin = tight.login("admin").await;
    let _held = hold_memory(tight, &provider).await;
    examiner.kit = tight;
    examiner.post(&provider, "/auth", &login("provider", PASSWORD), 503).await;
    examiner.post(&provider, "/user-segment", READ, 503).await;
    examiner.post(&provider, "/public-key", &key("one"), 503).await;
    examiner.examine(&provider, Method::PUT, "/public-key?id=1", SWITCH, 503).await;
    examiner.post(&provider, "/v2/auth/jwt", "x", 503).await;
    for (method, base) in
        [("POST", "/segment"), ("PUT", "/segment"), ("POST", "/segment/958"), ("PUT", "/segment/958")]
    {
        examiner.send(&provider, method, base, NEW, 503).await;
    }
    examiner.examine(&provider, Method::PUT, "/segment/958/12", NEW, 503).await;
    for base in ["/segment", "/segment/958", "/segment/958/12", "/public-key"] {
        examiner.send(&provider, "GET", base, "{}", 503).await;
    }
    for method in ["GET", "POST"] {
        examiner.send(&provider, method, "/batch-segment", "{}", 503).await;
    }
    accounts::examine_refusals(examiner, (tight, &admin), slow).await;
    examiner.kit = slow;
    let provider = slow.login("provider").await;
    examiner.post(&provider, "/auth", &login("provider", PASSWORD), 429).await;
    for status in [200, 429] {
        examiner.post(&provider, "/rt-segment", ADD, status).await;
        examiner.post(&provider, CONSUMER_REQUEST, SEE, status).await;
        examiner.get(&provider, "/rt-segment-processed", status).await;
        examiner.get(&provider, "/user-segment?user_id=7", status).await;
    }
    examiner.post(&provider, "/user-segment", READ, 429).await;
    examiner.get(&provider, "/segment/meta", 200).await;
    examiner.post(&provider, "/segment", NEW, 200).await;
    examiner.get(&provider, "/segment/meta", 429).await;
    for base in ["/segment", "/segment/958"] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            examiner.send(&provider, method, base, NEW, 429).await;
        }
    }
    for method in ["GET", "PUT", "DELETE"] {
        examiner.send(&provider, method, "/segment/958/12", NEW, 429).await;
    }
    for (method, target) in
        [("GET", "/batch-segment"), ("POST", "/batch-segment"), ("GET", "/batch-segment/meta")]
    {
        examiner.send(&provider, method, target, "{}", 429).await;
    }
    // A member's rates hold for all its services and callers: the stranger has used them up.
    slow.clock.advance(5 * 60_000 + 1);
    let stranger = slow.login("stranger").await;
    for status in [200, 429] {
        examiner.post(&stranger, "/public-key", &key("one"), status).await;
        examiner.get(&stranger, "/public-key", status).await;
    }
    examiner.get(&stranger, "/public-key/meta", 429).await;
    examiner.examine(&stranger, Method::PUT, "/public-key?id=1", SWITCH, 429).await;
    examiner.examine(&stranger, Method::DELETE, "/public-key?id=1", "", 429).await;
    examiner.post(&stranger, "/v2/auth/jwt", &signed(slow, "stranger"), 429).await;
    examiner.kit = kit;
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure of the test")]
async fn every_answer_is_as_the_document_says() {
    let kit = with_pixels().start().await;
    let tight = with_pixels()
        .config(|config| config.http.max_body_memory = serde_json::from_value(json!(8)).unwrap());
    let tight = tight.start().await;
    let one_a_second = |config: &mut instant_audience::config::Config| {
        config.limits.posts_per_second = 1;
        config.limits.gets_per_second = 1;
        config.limits.api_reads_per_minute = 1;
        config.limits.api_writes_per_minute = 1;
        config.limits.logins_per_five_minutes = 1;
        config.pixels.requests_per_second = 1;
    };
    let slow = with_pixels().config(one_a_second).start().await;
    let description = Description::of(&kit).await;
    let mut examiner = Examiner { kit: &kit, description, seen: BTreeSet::new(), answers: 0, cookie: None };
    examine_usual_answers(&mut examiner).await;
    pixels::examine(&mut examiner, &tight, &slow).await;
    public_keys::examine(&mut examiner).await;
    segments::examine(&mut examiner).await;
    files::examine(&mut examiner).await;
    examine_refusals(&mut examiner, &tight, &slow).await;

    let Examiner { description, seen, answers, .. } = examiner;
    let operations = description.operations();
    let mut missing = BTreeSet::new();
    for operation in &operations {
        for status in description.statuses(operation) {
            if !seen.contains(&(operation.clone(), status)) {
                missing.insert(format!("{} {} {status}", operation.method, operation.path));
            }
        }
    }
    // A test cannot cause a fault of the server. The others need a report of many megabytes, or a database that is busy
    // or on a full disk.
    missing.retain(|case| !case.ends_with(" 500"));
    // New ids need no write, except in strict mode.
    missing.retain(|case| !(case.starts_with("GET /getuid") && case.ends_with(" 503")));
    let not_seen = [
        "DELETE /segment 503",
        "DELETE /segment/{member_id} 503",
        "DELETE /segment/{member_id}/{id} 503",
        "GET /rt-segment-processed 503",
    ];
    assert_eq!(missing.iter().collect::<Vec<_>>(), not_seen);
    println!(
        "figure: openapi: operations={} answers={answers} statuses={} undescribed=0",
        operations.len(),
        seen.len()
    );
}
