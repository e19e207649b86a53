//! Whoever asks for one object gets one object, under the singular key.

use bytes::Bytes;
use hyper::Method;
use ia_testkit::Kit;
use serde_json::{Value, json};

#[tokio::test]
async fn one_object_asked_for_is_one_object() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let admin = kit.login("admin").await;
    let key = json!({"name": "one", "encoded_value": include_str!("../fixtures/keys/one.pub.pem")});
    provider.post("/public-key", &json!({"public-key": key})).await.ok();
    for (client, target, key, id) in [
        (&provider, "/segment?id=12", "segment", 12),
        (&provider, "/segment?id=12&id=12,12", "segment", 12),
        (&provider, "/segment?id=12&member_id=958&include_shared=0&sort=id.desc", "segment", 12),
        (&provider, "/segment?id=30001", "segment", 30001),
        (&provider, "/segment/958?id=12", "segment", 12),
        (&provider, "/segment/958/12", "segment", 12),
        (&provider, "/segment//958/12/?id=12", "segment", 12),
        (&admin, "/segment/77/777", "segment", 777),
        (&provider, "/member", "member", 958),
        (&provider, "/member?id=958", "member", 958),
        (&kit.login("bidder").await, "/member", "member", 958),
        (&admin, "/member?id=77", "member", 77),
        (&provider, "/user?current", "user", 1),
        (&admin, "/user?current=true", "user", 4),
        (&admin, "/user?id=5", "user", 5),
        (&provider, "/user?current&id=1", "user", 1),
        (&provider, "/member-data-sharing?id=1", "member_data_sharing", 1),
        (&provider, "/member-data-sharings?id=1", "member_data_sharing", 1),
        (&admin, "/batch-segment-config?member_id=77", "batch_segment_config", 77),
        (&admin, "/batch-segment-config?id=77", "batch_segment_config", 77),
        (&admin, "/batch-segment-config?id=77&member_id=77", "batch_segment_config", 77),
        (&provider, "/public-key?id=1", "public-key", 1),
        (&provider, "/public-key?key_id=1&user_id=1", "public-key", 1),
    ] {
        let answer = client.get(target).await.ok();
        assert_eq!(answer[key]["id"], id, "{target} {answer}");
        assert_eq!((&answer["count"], &answer["start_element"]), (&json!(1), &json!(0)), "{target}");
        assert_eq!((&answer["num_elements"], &answer["id"]), (&json!(100), &json!(id)), "{target}");
        assert_eq!(answer["dbg_info"]["output_term"], key, "{target}");
        let payloads = answer
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, value)| *name != "dbg_info" && (value.is_object() || value.is_array()));
        assert_eq!(payloads.count(), 1, "{target}: {answer}");
    }
    let shown = provider.get("/segment/958/10001?fields=code&num_elements=7").await.ok();
    assert_eq!(
        (&shown["segment"], &shown["num_elements"]),
        (&json!({"id": 10001, "code": "cars"}), &json!(7))
    );
    // Typed clients fail on a fraction.
    assert!(shown["dbg_info"]["time"].is_u64(), "{shown}");
    let refused = provider.get("/segment?id=x").await.response();
    assert!(refused["dbg_info"]["time"].is_u64(), "{refused}");
}

#[tokio::test]
async fn what_is_not_there_is_a_404() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let admin = kit.login("admin").await;
    for (client, target, what) in [
        (&provider, "/segment?id=4711", "segment"),
        // Another's, a shared one where no shared ones are wanted, and one of another owner.
        (&provider, "/segment?id=777", "segment"),
        (&provider, "/segment?id=30001&include_shared=0", "segment"),
        (&admin, "/segment/77/12", "segment"),
        (&provider, "/segment/958/4711?fields=code", "segment"),
        (&provider, "/member?id=77", "member"),
        (&admin, "/member?id=4711", "member"),
        (&provider, "/user?id=5", "user"),
        (&provider, "/user?current&id=2", "user"),
        (&provider, "/member-data-sharing?id=4711", "member_data_sharing"),
        (&admin, "/batch-segment-config?member_id=4711", "batch_segment_config"),
        (&admin, "/batch-segment-config?member_id=77&id=958", "batch_segment_config"),
        (&provider, "/public-key?id=4711", "public-key"),
    ] {
        let answer = client.get(target).await;
        assert_eq!(answer.outcome(), (404, Some("SYNTAX".to_owned())), "{target}");
        assert_eq!(answer.response()["error"], format!("{what} does not exist"), "{target}");
    }
}

#[tokio::test]
async fn all_else_is_a_list() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let admin = kit.login("admin").await;
    for (client, target, key, expected) in [
        (&provider, "/segment", "segments", &[12, 10001, 10002, 10009, 23784, 30001][..]),
        (&provider, "/segment?id=12,10001", "segments", &[12, 10001]),
        (&provider, "/segment?id=12,4711", "segments", &[12]),
        (&provider, "/segment?id=12&state=active", "segments", &[12]),
        (&provider, "/segment?id=12&search=cars", "segments", &[]),
        (&provider, "/segment/958/12?state=inactive", "segments", &[]),
        (&provider, "/segment?code=cars", "segments", &[10001]),
        (&provider, "/segment?min_id=12&max_id=12", "segments", &[12]),
        (&provider, "/segment?id=12&start_element=1", "segments", &[]),
        (&provider, "/segment?id=4711&start_element=1", "segments", &[]),
        (&admin, "/segment/77", "segments", &[777]),
        (&provider, "/member?state=active", "members", &[958]),
        (&provider, "/member?id=958,77", "members", &[958]),
        (&provider, "/member?search=nobody", "members", &[]),
        (&admin, "/member?name=Retailer", "members", &[1262]),
        (&admin, "/member", "members", &[77, 958, 1262, 1661]),
        (&provider, "/user?username=provider", "users", &[1]),
        (&provider, "/user?current&state=active", "users", &[1]),
        (&kit.login("stranger").await, "/user", "users", &[5]),
        (&admin, "/batch-segment-config?member_id=77,958", "batch_segment_configs", &[77, 958]),
    ] {
        let answer = client.get(target).await.ok();
        let ids: Vec<u64> = answer[key]
            .as_array()
            .unwrap_or_else(|| panic!("{target} {answer}"))
            .iter()
            .map(|one| one["id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids, expected, "{target}");
        assert_eq!(answer["dbg_info"]["output_term"], key, "{target}");
        assert!(answer.get("id").is_none() && answer["count"].is_u64(), "{target} {answer}");
    }
}

#[tokio::test]
async fn a_segment_has_a_path_of_its_own() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let body = |value: Value| Bytes::from(value.to_string());
    let rename = json!({"segment": {"short_name": "By path"}});
    let changed = provider.send(Method::PUT, "/segment/958/12", &[], body(rename.clone())).await.ok();
    assert_eq!((&changed["id"], &changed["segment"]["short_name"]), (&json!(12), &json!("By path")));
    assert_eq!(changed["dbg_info"]["output_term"], "segment");
    assert_eq!(provider.get("/segment/958/12").await.ok()["segment"]["short_name"], "By path");
    for (method, target, status) in [
        (Method::PUT, "/segment/77/777", 403),
        (Method::PUT, "/segment/958/777", 404),
        (Method::PUT, "/segment/958/30001", 404),
        (Method::PUT, "/segment/958/0", 400),
        (Method::PUT, "/segment/958/12?code=cars", 400),
        (Method::POST, "/segment/958/12", 404),
        (Method::DELETE, "/segment/77/777", 403),
        (Method::DELETE, "/segment/958/777", 404),
        (Method::DELETE, "/segment/958/10001,12", 400),
        (Method::GET, "/segment/958/12/13", 404),
    ] {
        let answer = provider.send(method.clone(), target, &[], body(rename.clone())).await;
        assert_eq!(answer.status, status, "{method} {target}");
    }
    let other = json!({"segment": {"id": 10001, "short_name": "Whose?"}});
    assert_eq!(provider.send(Method::PUT, "/segment/958/12", &[], body(other)).await.status, 400);
    let gone = provider.send(Method::DELETE, "/segment/958/12", &[], Bytes::new()).await.ok();
    assert_eq!((&gone["count"], &gone["segments"]), (&json!(1), &json!([{"id": 12}])));
    assert_eq!(provider.get("/segment/958/12").await.status, 404);
    assert_eq!(provider.get("/segment/958/10001").await.status, 200);
    // An admin changes another member's.
    let admin = kit.login("admin").await;
    admin.send(Method::PUT, "/segment/77/777", &[], body(rename)).await.ok();
}
