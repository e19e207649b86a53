//! Lists, their filters and pages.

use super::{post, put};
use ia_testkit::Kit;
use serde_json::{Value, json};

fn ids(answer: &Value, key: &str) -> Vec<u64> {
    answer[key].as_array().unwrap().iter().map(|object| object["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn each_sees_its_own_and_an_admin_all() {
    let kit = Kit::start().await;
    // For each caller, how many members, logins and sharing objects it sees; a bidder is no admin.
    for (name, expected) in [
        ("provider", [1, 4, 1]),
        ("reader", [1, 4, 1]),
        ("bidder", [1, 4, 1]),
        ("stranger", [1, 1, 0]),
        ("admin", [4, 5, 1]),
    ] {
        let client = kit.login(name).await;
        for (target, expected) in ["/member", "/user", "/member-data-sharing"].into_iter().zip(expected) {
            assert_eq!(client.get(target).await.ok()["count"], expected, "{name} {target}");
        }
        let status = client.get("/batch-segment-config").await.status.as_u16();
        assert_eq!(status, if name == "admin" { 200 } else { 403 }, "{name}");
        let current = client.get("/user?current").await.ok();
        assert_eq!((&current["user"]["username"], &current["id"]), (&json!(name), &current["user"]["id"]));
        let named = client.get("/user?current&fields=username").await.ok();
        assert_eq!(named["user"], json!({"id": current["id"], "username": name}));
        assert_eq!(client.get("/user?current&fields=nothing").await.status, 400);
    }
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    put(&admin, "/member?id=1262,1661", json!({"member": {"default_expiration": 60}})).await.ok();
    put(&admin, "/user?id=1", json!({"user": {"email": "Ann@provider.example"}})).await.ok();
    let cases: [(&str, &str, &[u64]); 16] = [
        ("/member", "", &[77, 958, 1262, 1661]),
        ("/member", "?id=1661,77,4712", &[77, 1661]),
        ("/member", "?sort=name.desc", &[77, 1262, 1661, 958]),
        ("/member", "?sort=default_expiration.desc,id.desc", &[1661, 1262, 958, 77]),
        ("/member", "?search=PUB", &[1661]),
        ("/member", "?search=12", &[1262]),
        ("/member", "?min_id=900&max_id=1300", &[958, 1262]),
        ("/member", "?nmin_default_expiration=100", &[77, 958]),
        ("/member", "?not_name=provider&like_name=%25er", &[77, 1262, 1661]),
        ("/member", "?start_element=1&num_elements=2", &[958, 1262]),
        ("/member", "?start_element=100", &[]),
        ("/user", "?entity_id=77", &[5]),
        ("/user", "?user_type=admin,bidder&sort=id.desc", &[4, 3]),
        ("/user", "?search=ann@", &[1]),
        ("/user", "?read_only=true", &[2]),
        ("/member-data-sharing", "?buyer_member_id=958&segment_exposure=all", &[1]),
    ];
    for (target, query, expected) in cases {
        let answer = admin.get(&format!("{target}{query}")).await.ok();
        let key = format!("{}s", target[1..].replace('-', "_"));
        assert_eq!(ids(&answer, &key), expected, "{target}{query}");
        assert_eq!(answer["dbg_info"]["output_term"], key.as_str());
    }
    let answer = admin.get("/member?num_elements=1&start_element=2&fields=name").await;
    assert_eq!(answer.header("x-ratelimit-read"), Some("1000000"));
    assert_eq!(answer.header("x-ratelimit-write"), Some("1000000"));
    let answer = answer.ok();
    assert_eq!(
        (&answer["count"], &answer["start_element"], &answer["num_elements"]),
        (&json!(4), &json!(2), &json!(1))
    );
    assert_eq!(answer["members"], json!([{"id": 1262, "name": "Retailer"}]));
}

#[tokio::test]
async fn what_is_shown_is_what_the_table_says() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    for target in
        ["/member", "/user", "/member-data-sharing", "/member-data-sharings", "/batch-segment-config"]
    {
        let meta = admin.get(&format!("{target}/meta")).await.ok();
        let described: Vec<&Value> = meta["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| &field["name"])
            .filter(|name| *name != "password")
            .collect();
        let list = admin.get(target).await.ok();
        let key = list["dbg_info"]["output_term"].as_str().unwrap();
        let shown: Vec<&String> = list[key][0].as_object().unwrap().keys().collect();
        let mut described: Vec<&str> = described.iter().map(|name| name.as_str().unwrap()).collect();
        described.sort_unstable();
        assert_eq!(shown, described, "{target}");
    }
}

#[tokio::test]
async fn several_are_changed_or_none() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let created = post(
        &admin,
        "/member",
        json!({"members": [{"name": "A"}, {"id": 3000, "name": "B"}, {"name": "C"}]}),
    );
    assert_eq!(ids(&created.await.ok(), "members"), [1662, 3000, 3001]);
    let half = json!({"members": [{"id": 3000, "name": "B2"}, {"id": 3001, "name": ""}]});
    let answer = put(&admin, "/member", half).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.response()["error"].as_str().unwrap().starts_with("'members[1].name'"),
        "{:?}",
        answer.body
    );
    assert_eq!(admin.get("/member?id=3000").await.ok()["member"]["name"], "B");
    let both = json!({"members": [{"id": 3000, "name": "B2"}, {"id": 3001, "name": "C2"}]});
    assert_eq!(put(&admin, "/member", both).await.ok()["members"][1]["name"], "C2");
}
