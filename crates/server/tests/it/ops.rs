//! The ops listener.

use ia_testkit::{Kit, eventually};
use serde_json::json;

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let kit = Kit::start().await;
    assert_eq!(kit.ops("/healthz").await.status, 200);
    assert_eq!(kit.ops("/readyz").await.status, 200);
    assert_eq!(kit.ops("/rt-segment").await.status, 404, "the API is elsewhere");
    let provider = kit.login("provider").await;
    provider.add("424242424242", None, json!([{"seg_id": 12}, {"seg_id": 10001}, {"seg_id": 777}])).await;
    provider.add("424242424242", None, json!([{"seg_id": 12}, {"seg_id": 10001, "expiration": -1}])).await;
    provider.get("/nothing/of/this/name").await;
    assert_eq!(kit.metric("instant_audience_memberships_added_total").await, 2.0);
    assert_eq!(kit.metric("instant_audience_memberships_refreshed_total").await, 1.0);
    assert_eq!(kit.metric("instant_audience_memberships_removed_total").await, 1.0);
    assert_eq!(kit.metric("instant_audience_refusals_total{cause=\"unauthorized_segment\"}").await, 1.0);
    assert_eq!(kit.metric("instant_audience_log_durable_position").await, 2.0);
    assert_eq!(kit.metric("instant_audience_applied_position").await, 2.0);
    assert_eq!(kit.metric("instant_audience_profiles_resident").await, 1.0);
    let posts = "instant_audience_requests_total{route=\"/rt-segment\",method=\"POST\",status=\"200\"}";
    assert_eq!(kit.metric(posts).await, 2.0);
    let text = String::from_utf8(kit.ops("/metrics").await.body.to_vec()).unwrap();
    // Names and labels only: the digits of a time may match by chance.
    let text: String = text.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    for secret in ["424242424242", "958", "nothing/of", provider.token.as_deref().unwrap()] {
        assert!(!text.contains(secret), "{secret} has no place in metrics");
    }
}

#[tokio::test]
async fn a_checkpoint_is_written_when_it_is_due_and_the_log_is_given_up() {
    let kit = Kit::builder()
        .config(|config| {
            config.log.segment_bytes = serde_json::from_value(json!(1 << 20)).unwrap();
            config.profiles.checkpoint_log_bytes = serde_json::from_value(json!("256KiB")).unwrap();
        })
        .start()
        .await;
    let provider = kit.login("provider").await;
    for round in 0..40u64 {
        let users: Vec<_> = (0..1000)
            .map(|user| json!({"user_id": 1 + round * 1000 + user, "seg_block": [{"seg_id": 12}, {"seg_id": 10001}, {"seg_id": 10002}]}))
            .collect();
        provider.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
    }
    eventually("a checkpoint", async || {
        (kit.metric("instant_audience_checkpointed_position").await > 20.0).then_some(())
    })
    .await;
    assert!(kit.metric("instant_audience_log_files").await <= 2.0);
    assert_eq!(provider.segments_of("40000").await, [12, 10001, 10002]);
}

#[tokio::test]
async fn cold_profiles_leave_memory_and_are_read_from_disk() {
    let mut kit = Kit::builder()
        .config(|config| config.profiles.memory_budget = serde_json::from_value(json!("2MiB")).unwrap())
        .start()
        .await;
    let provider = kit.login("provider").await;
    let all = 100_000u64;
    for round in 0..all / 1000 {
        let users: Vec<_> = (0..1000)
            .map(|user| json!({"user_id": 1 + round * 1000 + user, "seg_block": [{"seg_id": 12, "value": round}, {"seg_id": 10001}]}))
            .collect();
        provider.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
    }
    eventually("profiles to leave memory", async || {
        (kit.metric("instant_audience_profiles_resident").await < all as f64).then_some(())
    })
    .await;
    let check = async |kit: &Kit| {
        let provider = kit.login("provider").await;
        for round in 0..all / 1000 {
            let users: Vec<_> = (0..1000).map(|user| json!({"user_id": 1 + round * 1000 + user})).collect();
            let answer = provider.post("/user-segment", &json!({"users": users})).await.ok();
            for user in answer["user_segments"].as_array().unwrap() {
                let segments = user["segments"].as_array().unwrap();
                assert_eq!((segments.len(), &segments[0]["value"]), (2, &json!(round)), "{user}");
            }
        }
        assert_eq!(provider.segments_of("99999999").await, [0; 0]);
    };
    check(&kit).await;
    assert!(kit.metric("instant_audience_profiles_read_throughs_total").await > 0.0);
    kit.restart().await;
    check(&kit).await;
}
