//! A change takes effect when it is answered, and ends when it is undone.

use super::{delete, outcome, post, put};
use ia_testkit::Kit;
use serde_json::{Value, json};

const USER: &str = "5005005006";

fn shares(fields: Value) -> Value {
    json!({"member_data_sharing": fields})
}

#[tokio::test]
async fn what_is_shared_is_seen_at_once_and_no_longer_when_it_is_taken_back() {
    let mut kit = Kit::start().await;
    let stranger = kit.login("stranger").await;
    let first =
        post(&stranger, "/segment", json!({"segment": {"code": "first", "short_name": "First"}})).await;
    let first = first.ok()["id"].as_u64().unwrap();
    for id in [777, first] {
        stranger.add(USER, None, json!([{"seg_id": id}])).await;
    }
    let provider = kit.login("provider").await;
    assert!(provider.segments_of(USER).await.is_empty());

    let list =
        shares(json!({"buyer_member_id": 958, "segment_exposure": "list", "segments": [{"id": first}]}));
    let made = post(&stranger, "/member-data-sharing", list).await.ok();
    let (id, shown) = (made["id"].clone(), &made["member_data_sharing"]);
    assert_eq!(shown["segments"], json!([{"id": first, "name": "First"}]));
    assert_eq!((&shown["data_member_id"], &shown["buyer_member_id"]), (&json!(77), &json!(958)));
    assert_eq!(provider.segments_of(USER).await, [first]);

    let target = format!("/member-data-sharing?id={id}");
    let more =
        put(&stranger, &format!("{target}&append=true"), shares(json!({"segments": [777]}))).await.ok();
    assert_eq!(more["member_data_sharing"]["segments"].as_array().unwrap().len(), 2);
    assert_eq!(provider.segments_of(USER).await, [777, first]);
    put(&stranger, &target, shares(json!({"segments": [{"id": 777}]}))).await.ok();
    assert_eq!(provider.segments_of(USER).await, [777]);

    // `all` includes new segments.
    let all = put(
        &stranger,
        "/member-data-sharings",
        json!({"member_data_sharings": [{"id": id, "segment_exposure": "all"}]}),
    );
    assert_eq!(all.await.ok()["member_data_sharing"]["segments"], json!([]));
    let late =
        post(&stranger, "/segment", json!({"segment": {"code": "late"}})).await.ok()["id"].as_u64().unwrap();
    stranger.add(USER, None, json!([{"seg_id": late}])).await;
    assert_eq!(provider.segments_of(USER).await, [777, first, late]);

    // The buyer sees the sharing, but cannot share the segment further.
    assert_eq!(provider.get(&target).await.ok()["count"], 1);
    let on = shares(json!({"buyer_member_id": 1262, "segment_exposure": "list", "segments": [{"id": 777}]}));
    assert_eq!(outcome(&post(&provider, "/member-data-sharing", on).await), "400 SYNTAX");

    kit.restart().await;
    let (stranger, provider) = (kit.login("stranger").await, kit.login("provider").await);
    assert_eq!(provider.segments_of(USER).await, [777, first, late], "and it is kept");
    delete(&stranger, &target).await.ok();
    assert!(provider.segments_of(USER).await.is_empty());
    assert_eq!(outcome(&delete(&stranger, &target).await), "404 SYNTAX");
    let again = post(
        &stranger,
        "/member-data-sharing",
        shares(json!({"buyer_member_id": 958, "segment_exposure": "all"})),
    );
    assert_ne!(again.await.ok()["id"], id, "an id is not used again");
}

#[tokio::test]
async fn access_is_in_force_for_the_next_post() {
    let kit = Kit::start().await;
    let (admin, provider) = (kit.login("admin").await, kit.login("provider").await);
    let target = "/batch-segment-config?member_id=958";
    let access = |owners: &[u64]| {
        let owners: Vec<Value> = owners.iter().map(|id| json!({"segment_owner_member_id": id})).collect();
        json!({"batch_segment_config": {"member_segment_access": owners}})
    };
    let accepted = async |block: Value| {
        provider.add(USER, None, json!([block])).await["message"]["segments_accepted"].as_u64().unwrap()
    };
    let (by_id, by_code) = (json!({"seg_id": 777}), json!({"seg_code": "Secret", "member_id": 77}));
    assert_eq!((accepted(by_id.clone()).await, accepted(by_code.clone()).await), (0, 0));

    // A POST creates the set-up, once.
    let made = post(&admin, target, access(&[77, 1661])).await.ok();
    assert_eq!(made["batch_segment_config"]["separator_1"], ":");
    assert_eq!((accepted(by_id.clone()).await, accepted(by_code.clone()).await), (1, 1));
    assert_eq!(outcome(&post(&admin, target, access(&[])).await), "409 INTEGRITY");
    assert_eq!(accepted(by_id.clone()).await, 1);

    put(&admin, target, access(&[1661])).await.ok();
    assert_eq!((accepted(by_id.clone()).await, accepted(by_code.clone()).await), (0, 0));
    put(&admin, &format!("{target}&append=true"), access(&[77])).await.ok();
    assert_eq!(accepted(by_id.clone()).await, 1);
    let shown = admin.get(target).await.ok()["batch_segment_config"].clone();
    assert_eq!(
        shown["member_segment_access"],
        access(&[77, 1661])["batch_segment_config"]["member_segment_access"]
    );

    // The set-up and the member share these fields.
    let more = json!({"batch_segment_config": {"member_id": 958, "default_expiration": 60, "segment_fields": "[SEG_CODE,VALUE]",
        "separator_4": "\t", "daily_byte_limit": 10_000_000_000_u64}});
    let shown = put(&admin, "/batch-segment-config", more).await.ok()["batch_segment_config"].clone();
    assert_eq!(shown["segment_fields"], json!(["SEG_CODE", "VALUE"]));
    assert_eq!(shown["daily_byte_limit"], 10_000_000_000_u64);
    assert_eq!(admin.get("/member?id=958").await.ok()["member"]["default_expiration"], 60);
}

#[tokio::test]
async fn a_new_member_with_a_new_login_works_at_once() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let member =
        post(&admin, "/member", json!({"member": {"name": "Newcomer", "limits": {"users_per_request": 1}}}));
    let member = member.await.ok()["id"].as_u64().unwrap();
    assert_eq!(member, 1662, "the highest and one");
    let user =
        json!({"user": {"username": "newcomer", "password": ia_testkit::PASSWORD, "entity_id": member}});
    post(&admin, "/user", user).await.ok();
    let newcomer = kit.login("newcomer").await;
    let segment = post(&newcomer, "/segment", json!({"segment": {"code": "mine"}})).await.ok()["id"].clone();
    let added = newcomer.add(USER, None, json!([{"seg_id": segment}])).await;
    assert_eq!(added["message"]["segments_accepted"], 1);
    let users = json!({"rt_segment": [{"user_id": "1", "seg_block": [{"seg_id": segment}]}, {"user_id": "2", "seg_block": [{"seg_id": segment}]}]});
    assert_eq!(
        newcomer.post("/rt-segment", &users).await.ok()["message"]["users_in_request"],
        1,
        "its own limit"
    );
}
