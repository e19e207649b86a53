//! Reading memberships: formats, and the rights of readers.

use ia_testkit::Kit;
use serde_json::{Value, json};

#[tokio::test]
async fn a_membership_is_shown_with_all_that_is_known_of_it() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let blocks = json!([{"seg_id": 10002, "value": 5, "expiration": 90}, {"seg_id": 12}]);
    provider.add("18446744073709551615", None, blocks.clone()).await;
    kit.clock.advance(7 * 60_000);
    provider.add("18446744073709551615", None, json!([{"seg_id": 12, "value": 2}])).await;
    kit.clock.advance(3 * 60_000);
    let answer = provider.get("/user-segment?user_id=18446744073709551615").await.ok();
    assert_eq!(
        answer["user_segment"],
        json!({"user_id": "18446744073709551615", "domain": null, "segments": [
            {"id": 12, "code": null, "member_id": 958, "value": 2, "added_on": "2026-01-31 13:00:00",
             "expires_on": null, "last_seen_min": 3},
            {"id": 10002, "code": "Travel", "member_id": 958, "value": 5, "added_on": "2026-01-31 13:00:00",
             "expires_on": "2026-01-31 14:30:00", "last_seen_min": 10},
        ]})
    );
    assert_eq!(answer["dbg_info"]["output_term"], "user_segment");
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["dbg_info", "status", "user_segment"], "exactly one payload");
}

#[tokio::test]
async fn the_other_formats_are_what_bidders_speak() {
    let kit = Kit::start().await;
    let (provider, bidder) = (kit.login("provider").await, kit.login("bidder").await);
    provider
        .add("7", None, json!([{"seg_id": 12, "value": 3}, {"seg_id": 10002}, {"seg_id": 30001, "value": 1}]))
        .await;
    let answer = bidder.get("/user-segment?user_id=7&format=openrtb").await;
    let user = json!({"id": "7", "data": [
        {"id": "958", "name": "Provider", "segment": [{"id": "12", "value": "3"}, {"id": "10002", "value": "0"}]},
        {"id": "1661", "name": "Publisher", "segment": [{"id": "30001", "value": "1"}]},
    ]});
    assert_eq!(answer.json(), user);
    let many = bidder
        .post("/user-segment?format=openrtb", &json!({"users": [{"user_id": 7}, {"user_id": 8}]}))
        .await;
    assert_eq!(many.json(), json!([user, {"id": "8", "data": []}]));
    let codes = bidder.get("/user-segment?user_id=7&format=codes").await;
    assert_eq!(codes.body, "Travel\nabcd\n", "a segment without a code has no line");
    assert_eq!(codes.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(bidder.get("/user-segment?user_id=8&format=codes").await.body, "\n");
}

#[tokio::test]
async fn many_users_are_answered_in_their_order() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let uuid = "aebe52e7-03ee-455a-b3c4-e57283966239";
    provider.add("7", None, json!([{"seg_id": 12}])).await;
    provider.add(uuid, Some("idfa"), json!([{"seg_id": 10001}])).await;
    let users = json!({"users": [
        {"user_id": uuid.to_uppercase(), "domain": "idfa"}, {"user_id": "5", "domain": null}, {"user_id": 7}, {"user_id": "7"},
    ]});
    let answer = provider.post("/user-segment", &users).await.ok();
    let shown: Vec<(&Value, &Value, &Value)> = answer["user_segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| (&user["user_id"], &user["domain"], &user["segments"][0]["id"]))
        .collect();
    let none = Value::Null;
    assert_eq!(
        shown,
        [
            (&json!(uuid), &json!("idfa"), &json!(10001)),
            (&json!("5"), &none, &none),
            (&json!("7"), &none, &json!(12)),
            (&json!("7"), &none, &json!(12)),
        ]
    );
    assert_eq!(provider.post("/user-segment", &json!({"users": []})).await.ok()["user_segments"], json!([]));
}

#[tokio::test]
async fn a_member_sees_its_own_segments_and_those_shared_with_it() {
    let kit = Kit::start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let (bidder, admin) = (kit.login("bidder").await, kit.login("admin").await);
    provider.add("7", None, json!([{"seg_id": 12}, {"seg_id": 30001}, {"seg_id": 30002}])).await;
    stranger.add("7", None, json!([{"seg_id": 777}])).await;
    assert_eq!(provider.segments_of("7").await, [12, 30001], "1661 shares, 1262 does not");
    assert_eq!(stranger.segments_of("7").await, [777]);
    for all in [&bidder, &admin] {
        assert_eq!(all.segments_of("7").await, [12, 777, 30001, 30002]);
    }
    let of_owner = bidder.get("/user-segment?user_id=7&member_id=1262").await.ok();
    assert_eq!(of_owner["user_segment"]["segments"][0]["id"], 30002);
    let foreign = provider.get("/user-segment?user_id=7&member_id=77").await.ok();
    assert_eq!(foreign["user_segment"]["segments"], json!([]), "as if there were none");
}
