//! Extended ids in the `user` object of OpenRTB, as the answer to a read and in its request.

use super::{ID, ID5, RAMP, pairs};
use ia_testkit::{Client, Kit};
use serde_json::{Value, json};

fn eid(source: &str, ids: &[&str]) -> Value {
    let uids: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    json!({"source": source, "uids": uids})
}

async fn read(client: &Client, users: Value) -> Value {
    client.post("/user-segment", &json!({"users": users})).await.ok()["user_segments"].clone()
}

#[tokio::test]
async fn an_extended_id_is_in_ext_eids_and_no_user_id() {
    let kit = Kit::start().await;
    let bidder = kit.login("bidder").await;
    kit.login("provider").await.add(ID, Some(RAMP), json!([{"seg_id": 12, "value": 3}])).await;
    let one = bidder.get(&format!("/user-segment?user_id={ID}&domain={RAMP}&format=openrtb")).await.json();
    let data = json!([{"id": "958", "name": "Provider", "segment": [{"id": "12", "value": "3"}]}]);
    assert_eq!(one, json!({"ext": {"eids": [eid("liveramp.com", &[ID])]}, "data": data}));
    let codes = bidder.get(&format!("/user-segment?user_id={ID}&domain={RAMP}&format=codes")).await;
    assert_eq!(codes.body, "\n", "12 has no code");
    let users = json!({"users": [
        {"user_id": ID, "domain": RAMP},
        {"user_id": 7},
        // What an answer has can be asked for.
        one,
        {"user_id": 7, "eids": [eid("liveramp.com", &[ID])]},
    ]});
    let many = bidder.post("/user-segment?format=openrtb", &users).await.json();
    let both = json!({"id": "7", "ext": one["ext"], "data": data});
    assert_eq!(many, json!([one, {"id": "7", "data": []}, one, both]));
    // As JSON each is shown as it was asked for.
    let shown = read(&bidder, users["users"].clone()).await;
    assert_eq!((&shown[0]["user_id"], &shown[0]["domain"]), (&json!(ID), &json!(RAMP)));
    assert_eq!(shown[0].get("eids"), None);
    assert_eq!(shown[2]["eids"], one["ext"]["eids"]);
    assert_eq!((shown[2].get("user_id"), shown[2].get("domain")), (None, None));
    assert_eq!((&shown[3]["user_id"], &shown[3]["eids"]), (&json!("7"), &one["ext"]["eids"]));
    assert!([0, 2, 3].into_iter().all(|index| pairs(&shown[index]) == [(12, 3)]), "{shown}");
}

/// A bidder passes on what an exchange has sent.
#[tokio::test]
async fn the_ids_of_one_person_are_joined() {
    let kit = Kit::start().await;
    let (provider, bidder) = (kit.login("provider").await, kit.login("bidder").await);
    let stranger = kit.login("stranger").await;
    provider.add(ID, Some(RAMP), json!([{"seg_id": 12, "value": 1}, {"seg_id": 10001, "value": 1}])).await;
    kit.clock.advance(60_000);
    provider.add(ID, Some(ID5), json!([{"seg_id": 12, "value": 2}])).await;
    provider.add("second", Some(ID5), json!([{"seg_id": 10002, "value": 3}])).await;
    stranger.add("77", Some(ID5), json!([{"seg_id": 777, "value": 4}])).await;
    provider.add("7", None, json!([{"seg_id": 23784, "value": 5}])).await;
    let zeros = "00000000-0000-0000-0000-000000000000";
    // Since 2.6 they are in the user itself, before in `ext`; many exchanges send both.
    let user = json!({
        "id": "an exchange's own", "buyeruid": "b", "yob": 1980, "consent": "CP…", "geo": {"country": "DEU"},
        "eids": [
            {"source": "liveramp.com", "uids": [{"id": ID, "atype": 3, "ext": {"stype": "ppuid"}}], "inserter": "x"},
            {"source": "ID5-sync.com", "uids": [{"id": ID}, {"id": "second"}, {"id": 77}, {"id": zeros}], "ext": null},
            {"source": "unknown.example", "uids": [{"id": "x"}]},
            {"source": "empty.example", "uids": []},
            {"source": "null.example", "uids": null},
        ],
        "ext": {"eids": [eid("id5-sync.com", &[ID])], "prebid": {}},
    });
    let with_platform_id = json!({"user_id": 7, "ext": {"eids": [eid("id5-sync.com", &["second"])]}});
    let users = json!([{"user_id": ID, "domain": RAMP}, user, with_platform_id, {"user_id": "7", "eids": null, "ext": {}}]);
    let shown = read(&bidder, users.clone()).await;
    assert_eq!(pairs(&shown[0]), [(12, 1), (10001, 1)]);
    let joined = [(12, 2), (777, 4), (10001, 1), (10002, 3)];
    assert_eq!(pairs(&shown[1]), joined, "the one that was added last");
    let all = json!([
        eid("liveramp.com", &[ID]),
        eid("id5-sync.com", &[ID, "second", "77", zeros]),
        eid("unknown.example", &["x"]),
    ]);
    assert_eq!(shown[1]["eids"], all, "each once");
    assert_eq!(pairs(&shown[2]), [(10002, 3), (23784, 5)]);
    assert_eq!(pairs(&shown[3]), [(23784, 5)]);
    // A member sees of all ids what it may see of each.
    assert_eq!(pairs(&read(&provider, users.clone()).await[1]), [(12, 2), (10001, 1), (10002, 3)]);
    assert_eq!(pairs(&read(&stranger, users).await[1]), [(777, 4)]);
}

#[tokio::test]
async fn a_person_that_opted_out_with_one_id_is_in_nothing() {
    let kit = Kit::start().await;
    let (provider, bidder, admin) =
        (kit.login("provider").await, kit.login("bidder").await, kit.login("admin").await);
    let stranger = kit.login("stranger").await;
    let person = json!([{"eids": [eid("liveramp.com", &["a", "b"])]}]);
    provider.add("a", Some(RAMP), json!([{"seg_id": 12}])).await;
    stranger.add("b", Some(RAMP), json!([{"seg_id": 777}])).await;
    let request =
        |id: &str, what: &str| json!({"identifier": id, "identifier_type": RAMP, "request_type": what});
    assert_eq!(pairs(&read(&bidder, person.clone()).await[0]), [(12, 0), (777, 0)]);
    // From one member: what is that member's.
    stranger.post("/privacy/consumer-request", &request("a", "opt_out")).await.ok();
    assert_eq!(pairs(&read(&bidder, person.clone()).await[0]), [(12, 0)]);
    admin.post("/privacy/consumer-request", &request("b", "opt_out")).await.ok();
    assert_eq!(pairs(&read(&bidder, person.clone()).await[0]), []);
    assert_eq!(pairs(&read(&bidder, json!([{"user_id": "a", "domain": RAMP}])).await[0]), [(12, 0)]);
}

#[tokio::test]
async fn what_is_wrong_with_eids_is_named() {
    let kit = Kit::start().await;
    let bidder = kit.login("bidder").await;
    let many: Vec<String> = (0..999).map(|id| format!("id{id}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let source = "The source of an extended id must be a domain name";
    for (user, expected) in [
        (json!({}), "users[1]: 'user_id' is required, or an id in 'eids'"),
        (json!({"user_id": null}), "users[1]: 'user_id' is required"),
        (json!({"eids": []}), "users[1]: 'user_id' is required"),
        (json!({"domain": RAMP, "eids": [eid("a.b", &["x"])]}), "users[1]: 'user_id' is required"),
        (json!({"id": "7"}), "users[1]: 'user_id' is required"),
        (json!({"eids": [eid("a.b", &["x"]), eid("a b", &["x"])]}), &format!("users[1]: eids[1]: {source}")),
        (json!({"ext": {"eids": [eid("", &["x"])]}}), &format!("users[1]: ext.eids[0]: {source}")),
        (
            json!({"eids": [eid("a.b", &["x", "a\nb"])]}),
            "users[1]: eids[0]: The user_id is not well formed: an extended id",
        ),
        (
            json!({"eids": [{"source": "a.b", "uids": [{"id": 1.5}]}]}),
            "users[1]: eids[0]: 'id' must be a string",
        ),
        (json!({"eids": [{"uids": [{"id": "x"}]}]}), "users[1] must be an object with 'user_id'"),
        (json!({"eids": [{"source": "a.b", "uids": ["x"]}]}), "users[1] must be"),
        (json!({"eids": {"source": "a.b"}}), "users[1] must be"),
        (json!({"eids": "a.b:x"}), "users[1] must be"),
        (json!({"ext": []}), "users[1] must be"),
        (json!(5), "users[1] must be"),
        (
            json!({"eids": [eid("a.b", &many), eid("c.d", &["x"])]}),
            "users[1]: at most 1000 users can be asked for",
        ),
    ] {
        let body = json!({"users": [{"user_id": 7}, user]});
        let answer = bidder.post("/user-segment", &body).await;
        let error = answer.response()["error"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, 400, "{body}");
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
    let most = json!({"users": [{"user_id": 7}, {"eids": [eid("a.b", &many)]}]});
    assert_eq!(bidder.post("/user-segment", &most).await.ok()["user_segments"].as_array().unwrap().len(), 2);
}
