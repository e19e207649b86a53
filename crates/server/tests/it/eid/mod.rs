//! Extended ids: users that are named by a source and an id.

mod mapping;
mod openrtb;
mod privacy;
mod strict;

use ia_engine::user_ids::NO_SOURCE;
use ia_testkit::{Client, Kit, PASSWORD, ServerProcess};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const ID: &str = "XY1005wKZ0Bq";
const RAMP: &str = "eid:liveramp.com";
const ID5: &str = "eid:id5-sync.com";

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The segments of a user, with their values.
async fn seen(client: &Client, domain: &str, id: &str) -> Vec<(u64, u64)> {
    let target = format!("/user-segment?user_id={}&domain={}", encoded(id), encoded(domain));
    pairs(&client.get(&target).await.ok()["user_segment"])
}

fn pairs(user: &Value) -> Vec<(u64, u64)> {
    let segments = user["segments"].as_array().unwrap().iter();
    segments.map(|one| (one["id"].as_u64().unwrap(), one["value"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn one_text_of_two_sources_is_two_users() {
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let answer = provider.add(ID, Some(RAMP), json!([{"seg_id": 12, "value": 1}])).await;
    assert_eq!((&answer["message"]["users_accepted"], &answer["warnings"]), (&json!(1), &json!([])));
    provider.add(ID, Some(ID5), json!([{"seg_id": 10001, "value": 2}])).await;
    provider.add(&ID.to_lowercase(), Some(RAMP), json!([{"seg_id": 10002, "value": 3}])).await;
    // Spellings of the first source: letters of any case, and white space around all parts.
    provider
        .add(&format!(" {ID}\t"), Some(" EID : LiveRamp.COM "), json!([{"seg_id": 23784, "value": 4}]))
        .await;
    for _ in 0..2 {
        let provider = kit.login("provider").await;
        assert_eq!(seen(&provider, RAMP, ID).await, [(12, 1), (23784, 4)]);
        assert_eq!(seen(&provider, "Eid:LIVERAMP.com ", &format!("{ID} ")).await, [(12, 1), (23784, 4)]);
        assert_eq!(seen(&provider, ID5, ID).await, [(10001, 2)]);
        assert_eq!(
            seen(&provider, RAMP, &ID.to_lowercase()).await,
            [(10002, 3)],
            "the case of an id matters"
        );
        assert_eq!(seen(&provider, "eid:other.example", ID).await, []);
        kit.restart().await;
    }
    let provider = kit.login("provider").await;
    // In one request, with a user that is there twice.
    let user = |domain: &str, segment: u64| json!({"user_id": ID, "domain": domain, "seg_block": [{"seg_id": segment, "value": 7}]});
    let request = json!({"rt_segment": [user(RAMP, 12), user(ID5, 12), user("EID:liveramp.com", 10001), user("idfa", 12)]});
    let answer = provider.post("/rt-segment?verbose=1", &request).await.ok();
    assert_eq!(answer["message"]["users_accepted"], 2, "{answer}");
    assert_eq!(seen(&provider, RAMP, ID).await, [(12, 7), (10001, 7), (23784, 4)]);
    assert_eq!(seen(&provider, ID5, ID).await, [(12, 7), (10001, 2)]);
    provider.add(ID, Some(RAMP), json!([{"seg_id": 12, "expiration": -1}])).await;
    assert_eq!(seen(&provider, RAMP, ID).await, [(10001, 7), (23784, 4)]);
    assert_eq!(seen(&provider, ID5, ID).await.len(), 2, "the other source's is not touched");
    let report = provider.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!((&report["num_valid_users"], &report["num_invalid_users"]), (&json!(7), &json!(1)));
}

#[tokio::test]
async fn every_member_means_the_same_user() {
    let mut kit = Kit::start().await;
    kit.stop().await.unwrap();
    kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "use_external_uids": true}]})).await;
    kit.start_again().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    provider.add(ID, Some(RAMP), json!([{"seg_id": 12, "value": 1}])).await;
    stranger.add(ID, Some(RAMP), json!([{"seg_id": 777, "value": 2}])).await;
    // This is the member's own id, whatever it looks like.
    stranger.add(&format!("{RAMP}:{ID}"), None, json!([{"seg_id": 777, "value": 3}])).await;
    assert_eq!(seen(&provider, RAMP, ID).await, [(12, 1)]);
    assert_eq!(seen(&stranger, RAMP, ID).await, [(777, 2)]);
    assert_eq!(seen(&kit.login("bidder").await, RAMP, ID).await, [(12, 1), (777, 2)]);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_counted() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let token = provider.token.clone().unwrap();
    let no_id = "The user_id is not well formed: an extended id must have 1 to 255 bytes and hold neither control characters nor a token.";
    let nobody = "The user_id is nobody's: many devices send it in place of an id.";
    let zeros = "00000000-0000-0000-0000-000000000000";
    let bad = [
        ("eid:", ID, NO_SOURCE),
        ("eid: ", ID, NO_SOURCE),
        ("eid:https://liveramp.com", ID, NO_SOURCE),
        ("eid:live ramp.com", ID, NO_SOURCE),
        ("eid:lïveramp.com", ID, NO_SOURCE),
        (&format!("eid:{}", "s".repeat(256)), ID, NO_SOURCE),
        (&format!("eid:{token}"), ID, NO_SOURCE),
        (RAMP, "two\nlines", no_id),
        (RAMP, &token, no_id),
        (RAMP, zeros, nobody),
        (RAMP, &zeros.replace('-', ""), nobody),
        ("eid", ID, ia_engine::user_ids::UNKNOWN_DOMAIN),
    ];
    for (domain, id, message) in bad {
        let answer = provider.add(id, Some(domain), json!([{"seg_id": 12}])).await;
        assert_eq!(answer["message"]["users_accepted"], 0, "{domain}");
        assert_eq!(answer["warnings"][0]["message"], message, "{domain}");
        let target = format!("/user-segment?user_id={}&domain={}", encoded(id), encoded(domain));
        let read = provider.get(&target).await;
        if message == nobody {
            assert_eq!(pairs(&read.ok()["user_segment"]), []);
        } else {
            assert_eq!(read.outcome(), (400, Some("SYNTAX".to_owned())), "{domain}");
            assert_eq!(read.response()["error"], message, "{domain}");
        }
    }
    let report = provider.get("/rt-segment-processed").await.ok()["report"][0].clone();
    assert_eq!((&report["num_valid_users"], &report["num_invalid_users"]), (&json!(0), &json!(bad.len())));
    assert!(!report["error_log_lines"].as_str().unwrap().contains(&token));
    // The longest, and signs that JSON, queries and lines of a report have to keep.
    for (domain, id) in [
        (format!("eid:{}", "s".repeat(255)), "x".repeat(255)),
        ("eid:a.b".to_owned(), "a\"b\\c;ü&+%/€, (1, 2)".to_owned()),
    ] {
        assert_eq!(provider.add(&id, Some(&domain), json!([{"seg_id": 12}])).await["warnings"], json!([]));
        assert_eq!(seen(&provider, &domain, &id).await, [(12, 0)]);
    }
    // A refused user in two spellings is one, and in two sources two.
    let user =
        |domain: &str, id: &str| json!({"user_id": id, "domain": domain, "seg_block": [{"seg_id": 12}]});
    let request =
        json!({"rt_segment": [user("eid:a.b", "0"), user("EID : A.B", " 0"), user("eid:c.d", "0")]});
    provider.post("/rt-segment", &request).await.ok();
    let report = provider.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!(report["num_invalid_users"], json!(bad.len() + 2));
}

#[tokio::test]
async fn the_operators_list_of_nobody_holds_for_every_source() {
    let kit = Kit::builder()
        .config(|config| config.identities.nobody = serde_json::from_value(json!(["NULL"])).unwrap())
        .start()
        .await;
    let provider = kit.login("provider").await;
    for (id, accepted) in [("NULL", 0), ("null", 1)] {
        let answer = provider.add(id, Some(RAMP), json!([{"seg_id": 12}])).await;
        assert_eq!(answer["message"]["users_accepted"], accepted, "{id}");
    }
}

#[tokio::test]
async fn extended_ids_survive_a_kill_and_inspect_shows_them() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
    let run = |args: &[&str]| Command::new(binary).args(args).current_dir(dir.path()).output().unwrap();
    let catalog = json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [{"username": "provider", "password": PASSWORD, "member_id": 958, "user_type": "member"}],
        "segments": [{"id": 12, "member_id": 958}],
    });
    std::fs::write(dir.path().join("catalog.json"), catalog.to_string()).unwrap();
    assert!(run(&["apply", "catalog.json"]).status.success());
    let settings = [("INSTANT_AUDIENCE__PIXELS__ENABLED", "true")];
    let data = dir.path().join("data");
    let server = ServerProcess::serve(binary, &data, &settings).await;
    let provider = server.login("provider").await;
    provider.add(ID, Some(RAMP), json!([{"seg_id": 12, "value": 1}])).await;
    provider.add(ID, Some(ID5), json!([{"seg_id": 12, "value": 2}])).await;
    let browser = Client { token: None, ..provider.clone() };
    let mapped =
        browser.try_get("/mapuid?member=958&eid=id5-sync.com:XY1005wKZ0Bq", &[("cookie", "uuid2=7")]);
    assert_eq!(mapped.await.unwrap().status, 200);
    server.kill().await;
    let log = String::from_utf8(run(&["inspect", "log"]).stdout).unwrap();
    for domain in [RAMP, ID5] {
        assert!(log.contains(&format!(r#""domain":"{domain}""#)) && log.contains(ID), "{log}");
    }
    let server = ServerProcess::serve(binary, &data, &settings).await;
    let provider = server.login("provider").await;
    assert_eq!(seen(&provider, RAMP, ID).await, [(12, 1)]);
    assert_eq!(seen(&provider, ID5, ID).await, [(12, 2)]);
    let joined = provider.get("/user-segment?user_id=7").await.ok();
    assert_eq!(pairs(&joined["user_segment"]), [(12, 2)], "the link is there too");
    server.kill().await;
    let profile = run(&["inspect", "profile", ID, "--domain", ID5]);
    let profile = String::from_utf8(profile.stdout).unwrap();
    assert!(profile.contains(r#""value":2"#) && !profile.contains(r#""value":1"#), "{profile}");
    let linked = String::from_utf8(run(&["inspect", "profile", "7"]).stdout).unwrap();
    assert!(linked.contains(&format!(r#""domain":"{ID5}""#)), "{linked}");
}
