//! Answers of the services of members, logins, sharing and batch set-ups.

use super::Examiner;
use hyper::Method;
use ia_testkit::{Client, Kit, PASSWORD};
use serde_json::{Value, json};

const SERVICES: [(&str, &str); 5] = [
    ("/member", "member"),
    ("/user", "user"),
    ("/member-data-sharing", "member_data_sharing"),
    ("/member-data-sharings", "member_data_sharing"),
    ("/batch-segment-config", "batch_segment_config"),
];

/// Every status except those of [`examine_refusals`].
pub(super) async fn examine_usual_answers(examiner: &mut Examiner<'_>) {
    let kit = examiner.kit;
    let (anonymous, admin, reader) = (kit.anonymous(), kit.login("admin").await, kit.login("reader").await);
    let long = "x".repeat(2 << 20);
    for (path, singular) in SERVICES {
        for target in ["", "?fields=id", "?num_elements=1&sort=id.desc"] {
            examiner.get(&admin, &format!("{path}{target}"), 200).await;
        }
        examiner.get(&admin, &format!("{path}?sort=colour"), 400).await;
        examiner.get(&anonymous, path, 401).await;
        examiner.get(&admin, &format!("{path}/meta"), 200).await;
        examiner.get(&anonymous, &format!("{path}/meta"), 401).await;
        for method in [Method::POST, Method::PUT] {
            examiner.examine(&admin, method.clone(), path, "{", 400).await;
            examiner.examine(&anonymous, method.clone(), path, "{}", 401).await;
            examiner.examine(&reader, method.clone(), path, "{}", 403).await;
            examiner.examine(&admin, method.clone(), path, &long, 413).await;
        }
        let unknown = match singular {
            "batch_segment_config" => format!("{path}?member_id=4711"),
            _ => format!("{path}?id=4711"),
        };
        examiner.get(&admin, &unknown, 404).await;
        examiner.send(&admin, "GET", path, &long, 413).await;
        let empty = json!({singular: {}}).to_string();
        examiner.examine(&admin, Method::PUT, &unknown, &empty, 404).await;
    }
    let reading = kit.login("provider").await;
    examiner.get(&reading, "/batch-segment-config", 403).await;
    examiner.get(&admin, "/user?current", 200).await;
    examiner.get(&reading, "/member", 200).await;
    examine_changes(examiner).await;
}

async fn examine_changes(examiner: &mut Examiner<'_>) {
    let admin = examiner.kit.login("admin").await;
    let user = json!({"username": "new", "password": PASSWORD, "entity_id": 77});
    let share = |buyer: u64| json!({"data_member_id": 958, "buyer_member_id": buyer, "segment_exposure": "list", "segments": [{"id": 12}]});
    // Twice each: the first creates the object, the second conflicts with it.
    let new: [(&str, Value, &str, Value); 5] = [
        (
            "/member",
            json!({"id": 5000, "name": "New"}),
            "?id=5000",
            json!({"limits": {"users_per_second": 5}}),
        ),
        ("/user", user, "?id=1,2", json!({"email": "a@b.example"})),
        ("/member-data-sharing", share(77), "?id=1", json!({"segment_exposure": "all"})),
        ("/member-data-sharings", share(1262), "?id=1", json!({"segment_exposure": "all", "colour": "red"})),
        ("/batch-segment-config", json!({"member_id": 958}), "?member_id=958", json!({"separator_1": "~"})),
    ];
    for ((path, new, which, change), (_, singular)) in new.into_iter().zip(SERVICES) {
        let body = json!({singular: new}).to_string();
        examiner.post(&admin, path, &body, 200).await;
        examiner.post(&admin, path, &body, 409).await;
        let body = json!({singular: change}).to_string();
        examiner.examine(&admin, Method::PUT, &format!("{path}{which}"), &body, 200).await;
    }
    let theirs = r#"{"batch_segment_upload_config": {"segment_fields": "[SEG_ID]"}}"#;
    examiner.examine(&admin, Method::PUT, "/batch-segment-config?member_id=958", theirs, 200).await;
    examiner
        .post(&admin, "/batch-segment-config?member_id=4711", r#"{"batch_segment_config": {}}"#, 404)
        .await;
    let off = r#"{"member": {"state": "inactive"}}"#;
    examiner.examine(&admin, Method::PUT, "/member?id=958", off, 409).await;
    let taken = r#"{"user": {"username": "reader"}}"#;
    examiner.examine(&admin, Method::PUT, "/user?id=1", taken, 409).await;
    examine_deletions(examiner).await;
}

async fn examine_deletions(examiner: &mut Examiner<'_>) {
    let kit = examiner.kit;
    let (anonymous, admin, reader) = (kit.anonymous(), kit.login("admin").await, kit.login("reader").await);
    for (path, id) in [("/user", 6), ("/member-data-sharing", 2), ("/member-data-sharings", 3)] {
        for (client, target, status) in [
            (&anonymous, "?id=4711".to_owned(), 401),
            (&reader, "?id=4711".to_owned(), 403),
            (&admin, String::new(), 400),
            (&admin, "?id=4711".to_owned(), 404),
            (&admin, format!("?id={id}"), 200),
        ] {
            examiner.examine(client, Method::DELETE, &format!("{path}{target}"), "", status).await;
        }
    }
    examiner.examine(&admin, Method::DELETE, "/user?id=4", "", 409).await;
}

/// Without memory for bodies, because the caller holds it; then with one read and one write a minute, on a new server.
pub(super) async fn examine_refusals<'k>(
    examiner: &mut Examiner<'k>,
    (tight, admin): (&'k Kit, &Client),
    slow: &'k Kit,
) {
    let kit = examiner.kit;
    examiner.kit = tight;
    for (path, _) in SERVICES {
        for method in [Method::GET, Method::POST, Method::PUT] {
            examiner.examine(admin, method, path, "{}", 503).await;
        }
    }
    examiner.kit = slow;
    let client = slow.login("stranger").await;
    examiner.get(&client, "/member", 200).await;
    examiner.examine(&client, Method::PUT, "/member", "{}", 400).await;
    for (path, _) in SERVICES {
        examiner.get(&client, path, 429).await;
        examiner.get(&client, &format!("{path}/meta"), 429).await;
        examiner.post(&client, path, "{}", 429).await;
        examiner.examine(&client, Method::PUT, path, "{}", 429).await;
    }
    for path in ["/user", "/member-data-sharing", "/member-data-sharings"] {
        examiner.examine(&client, Method::DELETE, path, "", 429).await;
    }
    examiner.kit = kit;
}
