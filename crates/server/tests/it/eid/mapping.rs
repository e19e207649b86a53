//! Links of extended ids to platform users.

use super::{ID, ID5, RAMP, pairs, seen};
use hyper::Method;
use ia_testkit::{Answer, Client, Kit};
use instant_audience::config::Config;
use serde_json::json;

/// Member 77 has ids of its own.
pub(super) async fn kit(configure: impl FnOnce(&mut Config)) -> Kit {
    let pixels = |config: &mut Config| {
        config.pixels.enabled = true;
        configure(config);
    };
    let mut kit = Kit::builder().config(pixels).start().await;
    kit.stop().await.unwrap();
    kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "use_external_uids": true}]})).await;
    kit.start_again().await;
    kit
}

/// A browser with the platform id 7 calls `/mapuid`.
pub(super) async fn map(kit: &Kit, query: &str) -> Answer {
    map_to(kit, 7, query).await
}

pub(super) async fn map_to(kit: &Kit, user: u64, query: &str) -> Answer {
    let (target, cookie) = (format!("/mapuid?{query}"), format!("uuid2={user}"));
    kit.anonymous().send(Method::GET, &target, &[("cookie", &cookie)], Default::default()).await
}

async fn platform(client: &Client) -> Vec<(u64, u64)> {
    pairs(&client.get("/user-segment?user_id=7").await.ok()["user_segment"])
}

#[tokio::test]
async fn a_read_of_the_platform_user_joins_linked_extended_ids() {
    let mut kit = kit(|_| {}).await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    provider.add(ID, Some(RAMP), json!([{"seg_id": 12, "value": 1}])).await;
    provider.add(ID, Some(ID5), json!([{"seg_id": 10001, "value": 2}])).await;
    assert_eq!(platform(&kit.login("bidder").await).await, []);
    // By a member that has no ids of its own; and each segment, whoever's it is.
    assert_eq!(map(&kit, &format!("member=958&eid=LiveRamp.com:{ID}&seg=10002:3")).await.status, 200);
    assert_eq!(platform(&kit.login("bidder").await).await, [(12, 1), (10002, 3)]);
    stranger.add(ID, Some(RAMP), json!([{"seg_id": 777, "value": 4}])).await;
    assert_eq!(
        platform(&kit.login("bidder").await).await,
        [(12, 1), (777, 4), (10002, 3)],
        "what comes later too"
    );
    assert_eq!(platform(&provider).await, [(12, 1), (10002, 3)], "limited to its rights");
    // Several, in a list and repeated, beside ids of the member's own.
    stranger.add("Cart;7", None, json!([{"seg_id": 777, "value": 5}])).await;
    kit.clock.advance(60_000);
    stranger.add("a:b;c", Some("eid:third.example"), json!([{"seg_id": 777, "value": 6}])).await;
    let query =
        format!("member=77&user=Cart%3B7&eid=id5-sync.com:{ID};third.example:a:b%3Bc&eid=x.example:none");
    assert_eq!(map(&kit, &query).await.status, 200);
    let joined = [(12, 1), (777, 6), (10001, 2), (10002, 3)];
    for _ in 0..2 {
        assert_eq!(platform(&kit.login("bidder").await).await, joined);
        // A read of the extended id itself shows what is stored under it.
        assert_eq!(seen(&kit.login("bidder").await, RAMP, ID).await, [(12, 1), (777, 4)]);
        kit.restart().await;
    }
    // A link ends when it is not seen again.
    kit.clock.advance(19 * 24 * 3_600_000);
    assert_eq!(platform(&kit.login("bidder").await).await, [(10002, 3)]);
    assert_eq!(map(&kit, &format!("member=958&eid=liveramp.com:{ID}")).await.status, 200);
    assert_eq!(platform(&kit.login("bidder").await).await, [(12, 1), (777, 4), (10002, 3)]);
}

#[tokio::test]
async fn a_call_that_cannot_be_carried_out_links_nothing() {
    let kit = kit(|_| {}).await;
    let provider = kit.login("provider").await;
    provider.add(ID, Some(RAMP), json!([{"seg_id": 12, "value": 1}])).await;
    let many: Vec<String> = (0..21).map(|id| format!("a.b:{id}")).collect();
    let eid = format!("eid=liveramp.com:{ID}");
    let own: Vec<String> = (0..20).map(|id| format!("{id}")).collect();
    for (query, error) in [
        ("member=958".to_owned(), "'user' or 'eid' is required"),
        ("member=958&eid=;".to_owned(), "'user' or 'eid' is required"),
        (format!("member=958&{eid};XY"), "'eid': id 2 must be a source, a colon and an id"),
        (
            format!("member=958&{eid}&eid=a%20b:XY"),
            "'eid': id 2 is refused: The source of an extended id must be",
        ),
        (format!("member=958&{eid};a.b:"), "'eid': id 2 is refused: The user_id is not well formed"),
        (format!("member=958&{eid};a.b:x%0ay"), "'eid': id 2 is refused: The user_id is not well formed"),
        (
            format!("member=958&{eid};a.b:hbapi:1:x:ia1"),
            "'eid': id 2 is refused: The user_id is not well formed",
        ),
        (format!("member=958&{eid};a.b:caf%E9"), "'eid' must be UTF-8"),
        (format!("member=958&{eid};a.b:00000000-0000-0000-0000-000000000000"), "'eid': id 2 is nobody's"),
        (format!("member=958&eid={}", many.join(";")), "'eid' has more than 20 ids"),
        (format!("member=77&{eid}&user={}", own.join(";")), "There are more than 20 ids to map"),
    ] {
        let answer = map(&kit, &query).await;
        let said = answer.response()["error"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, 400, "{query}");
        assert!(said.starts_with(error), "{said}, not {error}");
    }
    // These are answered as ever, and write nothing: a member without ids of its own, one that is not there.
    for query in [format!("member=958&user=Cart7&{eid}"), format!("member=4711&{eid}")] {
        assert_eq!(map(&kit, &query).await.status, 200, "{query}");
    }
    assert_eq!(platform(&provider).await, []);
    assert_eq!(map(&kit, &format!("member=958&{eid}")).await.status, 200);
    assert_eq!(platform(&provider).await, [(12, 1)]);
}
