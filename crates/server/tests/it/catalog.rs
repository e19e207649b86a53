//! Changes to the catalog while the server runs.

use ia_testkit::{Kit, eventually};
use serde_json::json;

#[tokio::test]
async fn a_segment_that_is_applied_can_be_used_and_switched_off_without_a_restart() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let segment =
        |state: &str| json!({"segments": [{"id": 555, "member_id": 958, "code": "new", "state": state}]});
    kit.apply(&segment("active")).await;
    eventually("the segment to be known", async || {
        let answer = provider.add("7", None, json!([{"seg_code": "NEW", "member_id": 958}])).await;
        (answer["message"]["segments_accepted"] == 1).then_some(())
    })
    .await;
    assert_eq!(provider.segments_of("7").await, [555]);
    kit.apply(&segment("inactive")).await;
    eventually("the segment to be hidden", async || provider.segments_of("7").await.is_empty().then_some(()))
        .await;
    let refused = provider.add("7", None, json!([{"seg_id": 555}])).await;
    assert_eq!(refused["warnings"][0]["message"], "The segment is inactive.");
    kit.apply(&segment("active")).await;
    eventually("the membership to be seen again", async || {
        (provider.segments_of("7").await == [555]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn write_access_and_sharing_are_given_and_taken_while_the_server_runs() {
    let kit = Kit::start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let write = async || {
        stranger.add("7", None, json!([{"seg_id": 10001}])).await["message"]["segments_accepted"] == 1
    };
    assert!(!write().await);
    kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "segment_access": [958]}]})).await;
    eventually("the access to be given", async || write().await.then_some(())).await;
    assert_eq!(stranger.segments_of("7").await, [0; 0], "who may write may not see");
    assert_eq!(provider.segments_of("7").await, [10001]);
    kit.apply(&json!({"members": [{"id": 77, "name": "Stranger", "segment_access": []}]})).await;
    eventually("the access to be taken", async || (!write().await).then_some(())).await;
}
