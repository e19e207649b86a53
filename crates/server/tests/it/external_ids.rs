//! Members with their own user ids, and how they change reads of the platform's users.

use bytes::Bytes;
use hyper::Method;
use ia_log::{DiskLog, Log, LogOptions, RealDisk};
use ia_model::{Link, MemberId, Minute, Record, UserKey};
use ia_testkit::{Client, Kit, PASSWORD, START_MS, ServerProcess};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};

/// Member 77 (login `stranger`, segment 777) has its own ids, and member 1262 (login `partner`, segment 30002) sends
/// the same ids. Both let 958 see their segments.
async fn kit() -> Kit {
    let mut kit = Kit::start().await;
    kit.stop().await.unwrap();
    let shared =
        |owner: u32| json!({"data_member_id": owner, "buyer_member_id": 958, "segment_exposure": "all"});
    kit.apply(&json!({
        "members": [
            {"id": 77, "name": "Stranger", "use_external_uids": true},
            {"id": 1262, "name": "Retailer", "use_external_uids": true, "external_member_uid": 77},
        ],
        "users": [{"username": "partner", "password": PASSWORD, "member_id": 1262, "user_type": "member"}],
        "sharing": [shared(77), shared(1262)],
    }))
    .await;
    kit.start_again().await;
    kit
}

fn external(namespace: u32, id: &str) -> UserKey {
    UserKey::external(MemberId(namespace), id).unwrap()
}

/// Puts a link of member 77 into the log, as `/mapuid` does.
async fn link(kit: &mut Kit, user: u64, ids: &[&str], minutes: u32) {
    let now_ms = START_MS;
    let end = Minute(Minute::not_before(now_ms).0 + minutes);
    let links = ids.iter().map(|id| (external(77, id), end)).collect();
    let user = UserKey::platform(user).unwrap();
    let record = Record::Link(Link { accepted_at_ms: now_ms, member: MemberId(77), user, links });
    kit.stop().await.unwrap();
    let (log, _) =
        DiskLog::open(kit.data_dir().join("log"), LogOptions::default(), Arc::new(RealDisk), Arc::new(()))
            .unwrap();
    let (durable, is_durable) = mpsc::channel();
    log.append(record.encode(), Box::new(move |written| durable.send(written).unwrap())).unwrap();
    is_durable.recv().unwrap().unwrap();
    log.close();
    drop(log);
    kit.start_again().await;
}

fn encoded(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The answer to a read of one user, without the times.
async fn seen(client: &Client, id: &str) -> Vec<(u64, u64)> {
    let answer = client.get(&format!("/user-segment?user_id={}", encoded(id))).await.ok();
    assert_eq!(answer["user_segment"]["user_id"], id, "as it was sent");
    assert_eq!(answer["user_segment"]["domain"], Value::Null);
    let segments = answer["user_segment"]["segments"].as_array().unwrap().clone();
    segments.iter().map(|one| (one["id"].as_u64().unwrap(), one["value"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn whatever_text_a_member_calls_a_user_comes_back_as_it_was_sent() {
    let mut kit = kit().await;
    let long = "x".repeat(255);
    let ids =
        ["7", "007", "0", "Cart", "cart", "a  b", "a\"b\\c", "ü;&+%/€", "<script>", "a\u{2028}b", &long];
    let stranger = kit.login("stranger").await;
    for (id, value) in ids.iter().zip(1..) {
        let answer = stranger.add(id, None, json!([{"seg_id": 777, "value": value}])).await;
        assert_eq!(answer["message"]["users_accepted"], 1, "{id:?}");
    }
    // A number is read as its digits.
    let number = json!({"rt_segment": [{"user_id": 42, "seg_block": [{"seg_id": 777, "value": 42}]}]});
    stranger.post("/rt-segment", &number).await.ok();
    kit.restart().await;
    let stranger = kit.login("stranger").await;
    for (id, value) in ids.iter().zip(1..) {
        assert_eq!(seen(&stranger, id).await, [(777, value)], "{id:?}");
    }
    assert_eq!(seen(&stranger, "42").await, [(777, 42)]);
    let users = ids.map(|id| json!({"user_id": id}));
    let many = stranger.post("/user-segment", &json!({"users": users})).await.ok();
    let many: Vec<&Value> =
        many["user_segments"].as_array().unwrap().iter().map(|user| &user["user_id"]).collect();
    assert_eq!(many, ids);
    let openrtb = stranger.get(&format!("/user-segment?format=openrtb&user_id={}", encoded(ids[6]))).await;
    assert_eq!(openrtb.json()["id"], ids[6]);
    let codes = stranger.get(&format!("/user-segment?format=codes&user_id={}", encoded(ids[7]))).await;
    assert_eq!(codes.body, "secret\n");
}

#[tokio::test]
async fn an_id_is_of_its_name_space_alone() {
    let kit = kit().await;
    let (stranger, partner) = (kit.login("stranger").await, kit.login("partner").await);
    let (provider, admin) = (kit.login("provider").await, kit.login("admin").await);
    stranger.add("7", None, json!([{"seg_id": 777, "value": 1}])).await;
    partner.add("7", None, json!([{"seg_id": 30002, "value": 2}])).await;
    provider.add("7", None, json!([{"seg_id": 12, "value": 3}])).await;
    let uuid = "aebe52e7-03ee-455a-b3c4-e57283966239";
    stranger.add(uuid, Some("idfa"), json!([{"seg_id": 777, "value": 4}])).await;
    // Both write to the same user, and each sees its own segments.
    assert_eq!(seen(&stranger, "7").await, [(777, 1)]);
    assert_eq!(seen(&partner, "7").await, [(30002, 2)]);
    // For a member without its own ids, and for bidders and admins, 7 is the platform's user.
    for client in [&provider, &admin, &kit.login("bidder").await] {
        assert_eq!(seen(client, "7").await, [(12, 3)]);
    }
    // A device id means the same user for all.
    let device = format!("/user-segment?user_id={uuid}&domain=idfa");
    for client in [&stranger, &admin] {
        assert_eq!(client.get(&device).await.ok()["user_segment"]["segments"][0]["value"], 4);
    }
    assert_eq!(seen(&stranger, uuid).await, [], "as an id of its own it is another");
}

#[tokio::test]
async fn what_cannot_be_an_id_is_refused_by_name_and_counted() {
    let kit = kit().await;
    let stranger = kit.login("stranger").await;
    let token = stranger.token.clone().unwrap();
    let bad = ["two\nlines", "nul\0", "\u{7f}", "a\u{85}b", &token, &format!("a {token} b")];
    for id in bad {
        let expected = "The user_id is not well formed: it must have 1 to 255 bytes and hold neither control characters nor a token.";
        let one = stranger.get(&format!("/user-segment?user_id={}", encoded(id))).await;
        assert_eq!(one.outcome(), (400, Some("SYNTAX".to_owned())));
        assert_eq!(one.response()["error"], expected);
        let many =
            stranger.post("/user-segment", &json!({"users": [{"user_id": "fine"}, {"user_id": id}]})).await;
        assert_eq!(many.outcome(), (400, Some("SYNTAX".to_owned())));
        assert_eq!(many.response()["error"], format!("users[1]: {expected}"));
        let answer = stranger.add(id, None, json!([{"seg_id": 777}])).await;
        assert_eq!(answer["message"]["users_accepted"], 0);
        assert_eq!(answer["warnings"][0]["message"], expected);
    }
    let too_long = stranger.get(&format!("/user-segment?user_id={}", "x".repeat(256))).await;
    assert_eq!(too_long.outcome(), (400, Some("SYNTAX".to_owned())));
    stranger.add("fine; (id)", None, json!([{"seg_id": 777, "expiration": 60}])).await;
    let report = stranger.get("/rt-segment-processed").await.ok()["report"][0].clone();
    assert_eq!((&report["num_valid_users"], &report["num_invalid_users"]), (&json!(1), &json!(bad.len())));
    let lines = report["segment_log_lines"].as_str().unwrap().to_owned();
    assert!(
        lines.contains("Valid users: fine; (id)\n") && lines.contains("(fine; (id), 777, 60)"),
        "{lines}"
    );
    let refused = report["error_log_lines"].as_str().unwrap();
    assert!(refused.contains("Invalid users: (a token)") && !refused.contains(&token), "{refused}");
}

/// Without members that have their own ids, an id is the platform's, as before.
#[tokio::test]
async fn switching_own_ids_on_leaves_what_is_there() {
    let mut kit = Kit::start().await;
    kit.login("stranger").await.add("7", None, json!([{"seg_id": 777, "value": 1}])).await;
    kit.stop().await.unwrap();
    kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "use_external_uids": true}]})).await;
    kit.start_again().await;
    let stranger = kit.login("stranger").await;
    assert_eq!(seen(&stranger, "7").await, []);
    assert_eq!(seen(&kit.login("admin").await, "7").await, [(777, 1)]);
}

#[tokio::test]
async fn a_mapping_makes_what_was_sent_before_and_after_it_count() {
    let mut kit = kit().await;
    let stranger = kit.login("stranger").await;
    stranger.add("early", None, json!([{"seg_id": 777, "value": 1}])).await;
    kit.login("provider")
        .await
        .add("7", None, json!([{"seg_id": 12, "value": 2}, {"seg_id": 30002, "value": 5}]))
        .await;
    assert_eq!(seen(&kit.login("bidder").await, "7").await, [(12, 2), (30002, 5)]);
    link(&mut kit, 7, &["early", "late"], 30).await;
    let (bidder, stranger) = (kit.login("bidder").await, kit.login("stranger").await);
    assert_eq!(seen(&bidder, "7").await, [(12, 2), (777, 1), (30002, 5)]);
    kit.clock.advance(60_000);
    let partner = kit.login("partner").await;
    partner.add("late", None, json!([{"seg_id": 30002, "value": 6}])).await;
    let joined = [(12, 2), (777, 1), (30002, 6)];
    assert_eq!(seen(&bidder, "7").await, joined, "the one that was added last");
    // In every format, and for every viewer, limited to its rights.
    let segments = |id: &str, value: &str| json!({"id": id, "value": value});
    let openrtb = bidder.get("/user-segment?user_id=7&format=openrtb").await.json();
    let data: Vec<&Value> = openrtb["data"].as_array().unwrap().iter().map(|of| &of["segment"][0]).collect();
    assert_eq!(data, [&segments("777", "1"), &segments("12", "2"), &segments("30002", "6")]);
    assert_eq!(bidder.get("/user-segment?user_id=7&format=codes").await.body, "secret\nzywx\n");
    let users = json!({"users": [{"user_id": 7}, {"user_id": 8}]});
    let many = bidder.post("/user-segment", &users).await.ok();
    assert_eq!(many["user_segments"][0]["segments"].as_array().unwrap().len(), 3);
    assert_eq!(many["user_segments"][1]["segments"], json!([]));
    assert_eq!(seen(&kit.login("provider").await, "7").await, joined);
    // A removal under one of the linked ids ends that membership; the other ids are not changed.
    stranger.add("early", None, json!([{"seg_id": 777, "expiration": -1}])).await;
    assert_eq!(seen(&bidder, "7").await, [(12, 2), (30002, 6)]);
    assert_eq!(seen(&partner, "late").await, [(30002, 6)]);
    kit.restart().await;
    let bidder = kit.login("bidder").await;
    assert_eq!(seen(&bidder, "7").await, [(12, 2), (30002, 6)]);
    // A link that is not made again ends.
    kit.clock.advance(28 * 60_000);
    assert_eq!(seen(&bidder, "7").await, [(12, 2), (30002, 6)]);
    kit.clock.advance(60_000);
    assert_eq!(seen(&bidder, "7").await, [(12, 2), (30002, 5)]);
}

/// Of too many mappings the newest stay, even if all are made in one minute.
#[tokio::test]
async fn the_newest_mapping_stays() {
    let kit = Kit::builder().config(|config| {
        config.pixels.enabled = true;
        config.identities.links_per_user = 3;
    });
    let mut kit = kit.start().await;
    kit.stop().await.unwrap();
    let segments: Vec<Value> = (781..=785).map(|id| json!({"id": id, "member_id": 77})).collect();
    let member = json!([{"id": 77, "name": "Stranger", "use_external_uids": true}]);
    kit.apply(&json!({"members": member, "segments": segments})).await;
    kit.start_again().await;
    let stranger = kit.login("stranger").await;
    // In an order that is neither that of the ids nor the reverse.
    let ids = ["d", "b", "e", "a", "c"];
    for (id, segment) in ids.iter().zip(781..) {
        stranger.add(id, None, json!([{"seg_id": segment, "value": 1}])).await;
    }
    let map = async |kit: &Kit, id: &str| {
        let target = format!("/mapuid?member=77&user={id}");
        kit.anonymous().send(Method::GET, &target, &[("cookie", "uuid2=7")], Bytes::new()).await
    };
    for made in 1..=ids.len() {
        assert_eq!(map(&kit, ids[made - 1]).await.status, 200);
        let joined: Vec<u64> = (made.saturating_sub(3)..made).map(|at| 781 + at as u64).collect();
        assert_eq!(kit.login("bidder").await.segments_of("7").await, joined, "the mapping of {made}");
        kit.restart().await;
        assert_eq!(kit.login("bidder").await.segments_of("7").await, joined, "{made} after a restart");
    }
    // A mapping that is seen again is the newest, and the oldest is now another.
    map(&kit, "e").await;
    map(&kit, "d").await;
    assert_eq!(kit.login("bidder").await.segments_of("7").await, [781, 783, 785]);
}

#[tokio::test]
async fn external_ids_survive_a_kill_and_inspect_shows_them() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
    let run = |args: &[&str]| Command::new(binary).args(args).current_dir(dir.path()).output().unwrap();
    let catalog = json!({
        "members": [{"id": 958, "name": "Provider", "use_external_uids": true}],
        "users": [{"username": "provider", "password": PASSWORD, "member_id": 958, "user_type": "member"}],
        "segments": [{"id": 12, "member_id": 958}],
    });
    std::fs::write(dir.path().join("catalog.json"), catalog.to_string()).unwrap();
    assert!(run(&["apply", "catalog.json"]).status.success());
    let server = ServerProcess::serve(binary, &dir.path().join("data"), &[]).await;
    let provider = server.login("provider").await;
    provider.add("Cart \"7\"", None, json!([{"seg_id": 12, "value": 9}])).await;
    server.kill().await;
    let log = String::from_utf8(run(&["inspect", "log"]).stdout).unwrap();
    assert!(log.contains(r#""user_id":"Cart \"7\"""#) && log.contains(r#""namespace":958"#), "{log}");
    let server = ServerProcess::serve(binary, &dir.path().join("data"), &[]).await;
    let provider = server.login("provider").await;
    assert_eq!(seen(&provider, "Cart \"7\"").await, [(12, 9)]);
    server.kill().await;
    let profile = run(&["inspect", "profile", "Cart \"7\"", "--namespace", "958"]);
    let profile = String::from_utf8(profile.stdout).unwrap();
    assert!(profile.contains(r#""add":12"#), "{profile}");
    let wrong = run(&["inspect", "profile", "7", "--namespace", "958", "--domain", "idfa"]);
    assert!(!wrong.status.success());
}
