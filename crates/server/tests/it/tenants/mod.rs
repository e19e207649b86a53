//! Nobody gets access to foreign objects: every route, by every kind of caller, for its own, a foreign and an absent
//! object.

mod account_rows;
mod matrix;
mod rows;
mod sharing;

use bytes::Bytes;
use hyper::Method;
use ia_testkit::{Answer, Client, Kit, PASSWORD, eventually};
use serde_json::{Value, json};

/// A request of the table.
#[derive(Debug, Clone)]
struct Ask {
    method: Method,
    target: String,
    body: Option<Value>,
}

fn get(target: impl Into<String>) -> Ask {
    Ask { method: Method::GET, target: target.into(), body: None }
}

fn post(target: impl Into<String>, body: Value) -> Ask {
    Ask { method: Method::POST, target: target.into(), body: Some(body) }
}

fn put(target: impl Into<String>, body: Value) -> Ask {
    Ask { method: Method::PUT, target: target.into(), body: Some(body) }
}

fn delete(target: impl Into<String>) -> Ask {
    Ask { method: Method::DELETE, target: target.into(), body: None }
}

impl Ask {
    async fn by(&self, client: &Client) -> Answer {
        let body = self.body.as_ref().map_or(Bytes::new(), |body| body.to_string().into());
        client.send(self.method.clone(), &self.target, &[("x-request-id", "cell")], body).await
    }
}

/// All of an answer except its time, with each of `names` masked, for a comparison byte by byte.
fn masked(answer: &Answer, names: &[String]) -> String {
    let mut lines: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "content-length", "set-cookie"].contains(&name.as_str()))
        .map(|(name, value)| {
            let value = value.to_str().unwrap();
            // A URL that ends in the browser's id.
            let value =
                if name == "location" { value.trim_end_matches(|c: char| c.is_ascii_digit()) } else { value };
            format!("{name}: {value}\n")
        })
        .collect();
    lines.sort();
    let mut body = String::from_utf8_lossy(&answer.body).into_owned();
    if let Some((before, after)) = body.split_once("\"time\":") {
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || ".e-".contains(c));
        body = format!("{before}\"time\":0{rest}");
    }
    // Ids of browsers and tokens of forms are random.
    for random in ["\"uid\":", "name=\"token\" value=\""] {
        if let Some((before, after)) = body.split_once(random) {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            body = format!("{before}{random}~{rest}");
        }
    }
    for name in names {
        body = body.replace(name.as_str(), "~");
    }
    format!("{}\n{}\n{body}", answer.status, lines.concat())
}

/// The ids or codes of the segments in an answer of any format.
fn shown_segments(answer: &Answer) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if answer.header("content-type") != Some("application/json") {
        let body = std::str::from_utf8(&answer.body).unwrap();
        return body.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    }
    let mut found = Vec::new();
    collect(&answer.json(), &mut |object| {
        // A membership, or a segment in OpenRTB.
        if object.contains_key("value") {
            found.extend(object.get("id").map(text));
        }
    });
    found.sort();
    found
}

fn collect(value: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            visit(map);
            map.values().for_each(|inner| collect(inner, visit));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, visit)),
        _ => {}
    }
}

/// Adds a segment to the catalog and waits until the server knows it, and so all of `catalog`.
async fn apply_and_wait(kit: &Kit, catalog: Value, marker: u64) {
    let mut catalog = catalog;
    let segments = catalog.as_object_mut().unwrap().entry("segments").or_insert_with(|| json!([]));
    segments.as_array_mut().unwrap().push(json!({"id": marker, "member_id": 958}));
    kit.apply(&catalog).await;
    let provider = kit.login("provider").await;
    eventually("the catalog to be current", async || {
        let answer = provider.add("999999999", None, json!([{"seg_id": marker}])).await;
        (answer["message"]["segments_accepted"] == 1).then_some(())
    })
    .await;
}

/// The body of a log-in request.
fn credentials(username: &str, password: &str) -> Value {
    json!({"auth": {"username": username, "password": password}})
}

/// The valid credentials of a kit's login.
fn right_credentials(username: &str) -> Value {
    credentials(username, PASSWORD)
}
