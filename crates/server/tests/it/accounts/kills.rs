//! Kills the real binary after each change of the accounts: every change that was answered OK is kept.

use super::{ask, everything, outcome};
use hyper::Method;
use ia_testkit::{PASSWORD, ServerProcess, prepare_data_dir_of};
use serde_json::{Value, json};
use std::path::Path;

/// Changes of all kinds, in order; each needs the results of those before it.
fn changes() -> Vec<(Method, &'static str, Value)> {
    let (post, put) = (Method::POST, Method::PUT);
    let share =
        json!({"data_member_id": 958, "buyer_member_id": 2, "segment_exposure": "list", "segments": [12]});
    let access = json!({"member_segment_access": [{"segment_owner_member_id": 958}]});
    vec![
        (post.clone(), "/member", json!({"member": {"name": "Newcomer"}})),
        (post.clone(), "/user", json!({"user": {"username": "new", "password": PASSWORD, "entity_id": 959}})),
        (post.clone(), "/member-data-sharing", json!({"member_data_sharing": share})),
        (post, "/batch-segment-config?member_id=959", json!({"batch_segment_config": access})),
        (
            put.clone(),
            "/member-data-sharing?id=1&append=true",
            json!({"member_data_sharing": {"segments": [13]}}),
        ),
        (put.clone(), "/user?id=3", json!({"user": {"password": "Another-one-2"}})),
        (put.clone(), "/member?id=3", json!({"member": {"state": "inactive"}})),
        (put, "/member-data-sharing?id=1", json!({"member_data_sharing": {"segment_exposure": "all"}})),
        (Method::DELETE, "/user?id=4", Value::Null),
    ]
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
    let login = |username, member, user_type| json!({"username": username, "password": PASSWORD, "member_id": member, "user_type": user_type});
    let catalog = json!({
        "members": [{"id": 958, "name": "Provider"}, {"id": 2, "name": "Buyer"}, {"id": 3, "name": "Off"}],
        "users": [
            login("admin", 958, "admin"), login("provider", 958, "member"), login("buyer", 2, "member"),
            login("leaver", 2, "member"), login("off", 3, "member"),
        ],
        "segments": [{"id": 12, "member_id": 958}, {"id": 13, "member_id": 958}],
    });
    let (_dir, data_dir) = prepare_data_dir_of(binary, &catalog);
    // This test needs more than 20 logins in five minutes.
    let settings = [("INSTANT_AUDIENCE__LIMITS__LOGINS_PER_FIVE_MINUTES", "0")];
    let mut shown = Value::Null;
    for (method, target, body) in changes() {
        let server = ServerProcess::serve(binary, &data_dir, &settings).await;
        let admin = server.login("admin").await;
        let found = everything(&admin).await;
        assert!(shown.is_null() || found == shown, "before {method} {target}: {found}, not {shown}");
        ask(&admin, method.clone(), target, &body).await.ok();
        shown = everything(&admin).await;
        assert_ne!(shown, found, "{method} {target} shows");
        server.kill().await;
    }
    let server = ServerProcess::serve(binary, &data_dir, &settings).await;
    assert_eq!(everything(&server.login("admin").await).await, shown);
    // It works, too.
    let newcomer = server.login("new").await;
    let added = newcomer.add("7", None, json!([{"seg_id": 12}, {"seg_id": 13}])).await;
    assert_eq!(added["message"]["segments_accepted"], 2);
    for (username, password, expected) in [
        ("buyer", PASSWORD, "401 NOAUTH"),
        ("leaver", PASSWORD, "401 NOAUTH"),
        ("off", PASSWORD, "401 NOAUTH_DISABLED"),
        ("buyer", "Another-one-2", "200"),
    ] {
        let mut buyer = newcomer.clone();
        buyer.token = None;
        let auth = json!({"auth": {"username": username, "password": password}});
        let answer = buyer.post("/auth", &auth).await;
        assert_eq!(outcome(&answer), expected, "{username} {password}");
        if expected == "200" {
            buyer.token = answer.ok()["token"].as_str().map(str::to_owned);
            assert_eq!(buyer.segments_of("7").await, [12, 13]);
        }
    }
}
