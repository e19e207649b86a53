//! Rates of the server and of members, and the answers to callers over them.

use ia_testkit::{Kit, eventually};
use serde_json::json;

#[tokio::test]
async fn posts_over_the_rate_are_refused_until_the_second_has_passed() {
    let kit = Kit::builder().config(|config| config.limits.posts_per_second = 100).start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let body = json!({"rt_segment": [{"user_id": "1", "seg_block": [{"seg_id": 12}]}]});
    for _ in 0..100 {
        provider.post("/rt-segment", &body).await.ok();
    }
    let refused = provider.post("/rt-segment", &body).await;
    assert_eq!(refused.outcome(), (429, Some("SYSTEM".to_owned())));
    assert_eq!(refused.response()["error_code"], "RATE_EXCEEDED");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        refused.response()["error"],
        "Rate limit exceeded. You have exceeded your request limit of 100 writes per 1 seconds to rt-segment, \
         please wait and try again or contact your administrator for higher limits"
    );
    stranger.post("/rt-segment", &body).await.ok();
    kit.clock.advance(1000);
    provider.post("/rt-segment", &body).await.ok();
}

#[tokio::test]
async fn reads_over_the_rate_are_refused_by_route() {
    let kit = Kit::builder().config(|config| config.limits.gets_per_second = 3).start().await;
    let (provider, bidder) = (kit.login("provider").await, kit.login("bidder").await);
    for _ in 0..3 {
        provider.get("/rt-segment-processed").await.ok();
        provider.get("/user-segment?user_id=1").await.ok();
    }
    let refused = provider.get("/rt-segment-processed").await;
    assert_eq!(refused.status, 429);
    let error = refused.response()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("limit of 3 reads per 1 seconds to rt-segment-processed,"), "{error}");
    assert_eq!(provider.get("/user-segment?user_id=1").await.status, 429);
    for _ in 0..5 {
        bidder.get("/user-segment?user_id=1").await.ok();
    }
}

#[tokio::test]
async fn a_members_own_limits_go_first() {
    let kit = Kit::builder().config(|config| config.limits.posts_per_second = 1).start().await;
    let provider = kit.login("provider").await;
    let limits =
        json!({"posts_per_second": 0, "users_per_request": 2, "segments_per_user": 1, "payload_bytes": 500});
    kit.apply(&json!({"members": [{"id": 958, "name": "Provider", "limits": limits}]})).await;
    let users: Vec<_> =
        (1..=3).map(|id| json!({"user_id": id, "seg_block": [{"seg_id": 12}, {"seg_id": 10001}]})).collect();
    let answer = eventually("the limits to hold", async || {
        kit.clock.advance(1000);
        let answer = provider.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
        (answer["message"]["users_in_request"] == 2).then_some(answer)
    })
    .await;
    assert_eq!(answer["message"]["segments_in_request"], 2);
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 3);
    provider.post("/rt-segment", &json!({"rt_segment": []})).await.ok();
    provider.post("/rt-segment", &json!({"rt_segment": []})).await.ok();
    let large = format!("{{\"rt_segment\": []{}}}", " ".repeat(500));
    assert_eq!(provider.post_bytes("/rt-segment", &[], large).await.status, 413);
}

#[tokio::test]
async fn users_a_second_can_be_limited() {
    let kit = Kit::builder().config(|config| config.limits.users_per_second = 3).start().await;
    let provider = kit.login("provider").await;
    let of = |ids: &[u32]| {
        let users: Vec<_> =
            ids.iter().map(|id| json!({"user_id": id, "seg_block": [{"seg_id": 12}]})).collect();
        json!({"rt_segment": users})
    };
    provider.post("/rt-segment", &of(&[1, 2])).await.ok();
    assert_eq!(provider.post("/rt-segment", &of(&[3, 4])).await.status, 429);
    assert_eq!(provider.segments_of("3").await, [0; 0], "nothing of a refused request is applied");
    provider.post("/rt-segment", &of(&[5])).await.ok();
}
