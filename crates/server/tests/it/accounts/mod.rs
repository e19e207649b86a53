//! `/member`, `/user`, `/member-data-sharing` and `/batch-segment-config`: rights, refusals, and that a change takes
//! effect when it is answered.

mod bad_input;
mod batch_config;
mod in_force;
mod kills;
mod lists;
mod redirect_hosts;
mod rights;

use bytes::Bytes;
use hyper::Method;
use ia_testkit::{Answer, Client, Kit};
use serde_json::{Value, json};

/// Sends a body, or none if it is null.
async fn ask(client: &Client, method: Method, target: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    client.send(method, target, &[], body).await
}

async fn post(client: &Client, target: &str, body: Value) -> Answer {
    ask(client, Method::POST, target, &body).await
}

async fn put(client: &Client, target: &str, body: Value) -> Answer {
    ask(client, Method::PUT, target, &body).await
}

async fn delete(client: &Client, target: &str) -> Answer {
    ask(client, Method::DELETE, target, &Value::Null).await
}

/// Status and `error_id` as one text.
fn outcome(answer: &Answer) -> String {
    match answer.outcome() {
        (status, None) => status.to_string(),
        (status, Some(id)) => format!("{status} {id}"),
    }
}

/// Everything about accounts that the services show to an admin.
async fn everything(admin: &Client) -> Value {
    let mut all = Vec::new();
    for target in ["/member", "/user", "/member-data-sharing", "/batch-segment-config"] {
        let mut answer = admin.get(target).await.ok();
        answer.as_object_mut().unwrap().remove("dbg_info");
        all.push(answer);
    }
    json!(all)
}

/// The id of the login with this name.
async fn user_id(kit: &Kit, username: &str) -> u64 {
    let admin = kit.login("admin").await;
    let found = admin.get(&format!("/user?username={username}")).await.ok();
    found["users"][0]["id"].as_u64().unwrap()
}
