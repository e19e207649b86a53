//! The effects of a POST on memberships, and its answers.

use ia_testkit::{Kit, START_MS};
use serde_json::{Value, json};

const MINUTE_MS: u64 = 60_000;

async fn expiry_of(kit: &Kit, user: &str) -> Value {
    let answer = kit.login("bidder").await.get(&format!("/user-segment?user_id={user}")).await.ok();
    answer["user_segment"]["segments"][0]["expires_on"].clone()
}

#[tokio::test]
async fn later_blocks_win_within_a_request_and_between_requests() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let user = |id: Value, blocks: Value| json!({"user_id": id, "seg_block": blocks});
    let request = json!({"rt_segment": [
        user(json!("7"), json!([{"seg_id": 12, "value": 1}, {"seg_id": 10001, "expiration": -1}, {"seg_id": 12, "value": 2}])),
        user(json!("8"), json!([{"seg_id": 12}])),
        user(json!(7), json!([{"seg_id": "12", "value": "3"}, {"seg_code": "CARS", "member_id": 958}])),
        user(json!("8"), json!([{"seg_id": 12, "expiration": "-1"}])),
    ]});
    let answer = provider.post("/rt-segment?verbose=true", &request).await.ok();
    let message =
        json!({"users_in_request": 4, "segments_in_request": 7, "users_accepted": 2, "segments_accepted": 3});
    assert_eq!(answer["message"], message, "the same user and segment count once");
    let seven = provider.get("/user-segment?user_id=7").await.ok();
    let values: Vec<_> = seven["user_segment"]["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (&s["id"], &s["value"]))
        .collect();
    assert_eq!(values, [(&json!(12), &json!(3)), (&json!(10001), &json!(0))]);
    assert_eq!(provider.segments_of("8").await, [0; 0]);
    provider.add("7", None, json!([{"seg_id": 12, "expiration": -1}, {"seg_id": 10001, "value": 9}])).await;
    assert_eq!(provider.segments_of("7").await, [10001]);
}

#[tokio::test]
async fn an_expiry_comes_from_block_segment_member_and_server_in_this_order() {
    let kit = Kit::builder().config(|config| config.memberships.default_expiration = 30).start().await;
    let provider = kit.login("provider").await;
    let at = |minutes: u64| Value::from(ia_model::time::format_utc(START_MS + minutes * MINUTE_MS));
    provider.add("1", None, json!([{"seg_id": 23784, "expiration": 5}])).await;
    provider.add("2", None, json!([{"seg_id": 23784}])).await;
    provider.add("3", None, json!([{"seg_id": 23784, "expiration": 0}])).await;
    provider.add("4", None, json!([{"seg_id": 10001}])).await;
    assert_eq!(expiry_of(&kit, "1").await, at(5));
    assert_eq!(expiry_of(&kit, "2").await, at(60), "the segment's");
    assert_eq!(expiry_of(&kit, "3").await, Value::Null, "0 is for ever");
    assert_eq!(expiry_of(&kit, "4").await, at(30), "the server's");
    kit.apply(&json!({"members": [{"id": 958, "name": "Provider", "default_expiration": 20}]})).await;
    ia_testkit::eventually("the member's default to hold", async || {
        provider.add("5", None, json!([{"seg_id": 10001}])).await;
        (expiry_of(&kit, "5").await == at(20)).then_some(())
    })
    .await;
    kit.clock.advance(5 * MINUTE_MS - 1);
    assert_eq!(provider.segments_of("1").await, [23784]);
    kit.clock.advance(1);
    assert_eq!(provider.segments_of("1").await, [0; 0], "gone with its minute");
}

#[tokio::test]
async fn the_operators_cap_holds_for_every_expiry() {
    let kit = Kit::builder().config(|config| config.memberships.max_expiration = 10).start().await;
    let provider = kit.login("provider").await;
    for (user, expiration, minutes) in
        [("1", json!(0), 10), ("2", json!(11), 10), ("3", json!(9), 9), ("4", json!(null), 10)]
    {
        provider.add(user, None, json!([{"seg_id": 10001, "expiration": expiration}])).await;
        assert_eq!(expiry_of(&kit, user).await, ia_model::time::format_utc(START_MS + minutes * MINUTE_MS));
    }
}

#[tokio::test]
async fn spellings_of_one_id_are_one_user_in_every_domain() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let uuid = ("AEBE52E7-03EE-455A-B3C4-E57283966239", "aebe52e703ee455ab3c4e57283966239");
    let sha1 = ("2FD4E1C67A2D28FCED849EE1BB76E7391B93EB12", "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12");
    let md5 = (&sha1.0[..32], &sha1.1[..32]);
    for (domain, (sent, read)) in [
        ("idfa", uuid),
        ("aaid", uuid),
        ("windowsadid", uuid),
        ("rida", uuid),
        ("tifa", uuid),
        ("vida", uuid),
        ("lgudid", uuid),
        ("sha1udid", sha1),
        ("openudid", sha1),
        ("md5udid", md5),
    ] {
        let before = provider.get(&format!("/user-segment?user_id={read}&domain={domain}")).await.ok();
        assert_eq!(before["user_segment"]["segments"], json!([]), "domains do not share ids");
        let answer = provider.add(sent, Some(domain), json!([{"seg_id": 12}])).await;
        assert_eq!(answer["message"]["segments_accepted"], 1, "{domain}");
        let after = provider.get(&format!("/user-segment?user_id={read}&domain={domain}")).await.ok();
        assert_eq!(after["user_segment"]["segments"][0]["id"], 12, "{domain}");
    }
    let answer = provider.add(sha1.0, Some("sh1udid"), json!([{"seg_id": 10001}])).await;
    assert_eq!(answer["message"]["segments_accepted"], 1, "another spelling of sha1udid");
    let both = provider.get(&format!("/user-segment?user_id={}&domain=sha1udid", sha1.1)).await.ok();
    assert_eq!(both["user_segment"]["segments"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_resolution_drops_is_told_to_who_asks() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let blocks = json!([
        {"seg_id": 10001},
        {"seg_id": 10009},
        {"seg_id": 777},
        {"seg_id": 999_999},
        {"seg_code": "secret", "member_id": 77},
        {"seg_code": "no-such-code", "member_id": 77},
        {"seg_code": "no-such-code", "member_id": 1661},
    ]);
    let request = json!({"rt_segment": [
        {"user_id": "5", "seg_block": blocks},
        {"user_id": "x", "seg_block": [{"seg_id": 12}]},
        {"user_id": "5", "domain": "sha1mac", "seg_block": [{"seg_id": 12}]},
    ]});
    let quiet = provider.post("/rt-segment", &request).await.ok();
    assert_eq!(
        quiet,
        json!({"status": "OK", "message": {"users_in_request": 3, "segments_in_request": 9}, "warnings": []})
    );
    let verbose = provider.post("/rt-segment?verbose=true", &request).await.ok();
    let message =
        json!({"users_in_request": 3, "segments_in_request": 9, "users_accepted": 1, "segments_accepted": 1});
    assert_eq!(verbose["message"], message);
    let no_number = "The user_id is not well formed: without a domain it must be a number from 1 to 18446744073709551615.";
    let unauthorized = "This member may not write to the segment.";
    assert_eq!(
        verbose["warnings"],
        json!([
            {"message": "The segment is inactive.", "entity": {"seg_id": 10009}},
            {"message": unauthorized, "entity": {"seg_id": 777}},
            {"message": "The segment does not exist.", "entity": {"seg_id": 999_999}},
            {"message": unauthorized, "entity": {"seg_code": "secret", "member_id": 77}},
            {"message": unauthorized, "entity": {"seg_code": "no-such-code", "member_id": 77}},
            {"message": "The segment does not exist.", "entity": {"seg_code": "no-such-code", "member_id": 1661}},
            {"message": no_number, "entity": {"seg_id": 12}},
            {"message": ia_engine::user_ids::UNKNOWN_DOMAIN, "entity": {"seg_id": 12}},
        ])
    );
    assert_eq!(kit.login("admin").await.segments_of("5").await, [10001]);
}

#[tokio::test]
async fn a_gzip_body_is_taken() {
    use std::io::Write;
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let body = json!({"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]});
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.to_string().as_bytes()).unwrap();
    let answer =
        provider.post_bytes("/rt-segment", &[("content-encoding", "gzip")], encoder.finish().unwrap()).await;
    assert_eq!(answer.ok()["message"]["users_in_request"], 1);
    assert_eq!(provider.segments_of("7").await, [12]);
}

#[tokio::test]
async fn a_login_that_may_only_read_writes_nothing() {
    let kit = Kit::start().await;
    let reader = kit.login("reader").await;
    let body = json!({"rt_segment": [{"user_id": "7", "seg_block": [{"seg_id": 12}]}]});
    let answer = reader.post("/rt-segment", &body).await;
    assert_eq!(answer.outcome(), (403, Some("UNAUTH".to_owned())));
    assert_eq!(reader.segments_of("7").await, [0; 0]);
}

#[tokio::test]
async fn an_answered_post_is_seen_by_the_next_read_under_concurrency() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let writers = (1..=8u32).map(|writer| {
        let provider = provider.clone();
        tokio::spawn(async move {
            let user = writer.to_string();
            for value in 1..=20u32 {
                provider.add(&user, None, json!([{"seg_id": 12, "value": value}])).await;
                let read = provider.get(&format!("/user-segment?user_id={user}")).await.ok();
                assert_eq!(read["user_segment"]["segments"][0]["value"], value);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}
