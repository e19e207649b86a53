//! The rights of callers.

use super::{ask, delete, everything, outcome, post, put, user_id};
use hyper::Method;
use ia_testkit::{Client, Kit, PASSWORD};
use serde_json::{Value, json};

const CALLERS: [&str; 5] = ["provider", "reader", "bidder", "stranger", "admin"];

/// Requests that change nothing for most callers, and the answer to each of [`CALLERS`]. `{provider}` in a target is
/// the id of that login. The admin asks last, because its requests take effect.
fn table() -> Vec<(Method, &'static str, Value, [&'static str; 5])> {
    const NO: &str = "403 UNAUTH";
    const NONE: &str = "404 SYNTAX";
    let (post, put, delete) = (Method::POST, Method::PUT, Method::DELETE);
    let new_user =
        json!({"user": {"username": "new", "password": PASSWORD, "entity_id": 958, "user_type": "admin"}});
    let user = |field: &str, value: Value| json!({"user": {field: value}});
    let member = |field: &str, value: Value| json!({"member": {field: value}});
    let share = |owner: u64, buyer: u64| json!({"member_data_sharing": {"data_member_id": owner, "buyer_member_id": buyer, "segment_exposure": "all"}});
    let access =
        json!({"batch_segment_config": {"member_segment_access": [{"segment_owner_member_id": 77}]}});
    vec![
        (post.clone(), "/member", json!({"member": {"name": "New"}}), [NO, NO, NO, NO, "200"]),
        (put.clone(), "/member?id=958", member("name", json!("Mine")), [NO, NO, NO, NONE, "200"]),
        (
            put.clone(),
            "/member?id=958",
            member("state", json!("inactive")),
            [NO, NO, NO, NONE, "409 INTEGRITY"],
        ),
        (put.clone(), "/member?id=958", member("use_external_uids", json!(true)), [NO, NO, NO, NONE, "200"]),
        (put.clone(), "/member?id=958", member("external_member_uid", json!(77)), [NO, NO, NO, NONE, "200"]),
        (
            put.clone(),
            "/member?id=958",
            member("limits", json!({"posts_per_second": 0})),
            [NO, NO, NO, NONE, "200"],
        ),
        (put.clone(), "/member?id=4712", member("name", json!("Nobody")), [NONE, NO, NONE, NONE, NONE]),
        (post.clone(), "/user", new_user, [NO, NO, NO, NO, "200"]),
        (put.clone(), "/user?id={provider}", user("user_type", json!("admin")), [NO, NO, NO, NONE, "200"]),
        (put.clone(), "/user?id={provider}", user("user_type", json!("bidder")), [NO, NO, NO, NONE, "200"]),
        (put.clone(), "/user?id={provider}", user("read_only", json!(true)), [NO, NO, NO, NONE, "200"]),
        (put.clone(), "/user?id={provider}", user("entity_id", json!(77)), [NO, NO, NO, NONE, "200"]),
        (put.clone(), "/user?id=4711", user("email", json!("a@b.example")), [NONE, NO, NONE, NONE, NONE]),
        (delete.clone(), "/user?id={provider}", Value::Null, [NO, NO, NO, NO, "200"]),
        (delete.clone(), "/user?id=4711", Value::Null, [NO, NO, NO, NO, NONE]),
        (post.clone(), "/member-data-sharing", share(1262, 77), [NO, NO, NO, NO, "200"]),
        // It is shared with member 958, which sees it but may not change it.
        (
            put.clone(),
            "/member-data-sharing?id=1",
            json!({"member_data_sharing": {"segment_exposure": "list", "segments": []}}),
            [NO, NO, NO, NONE, "200"],
        ),
        (delete.clone(), "/member-data-sharing?id=1", Value::Null, [NO, NO, NO, NONE, "200"]),
        (delete, "/member-data-sharing?id=4711", Value::Null, [NONE, NO, NONE, NONE, NONE]),
        (post, "/batch-segment-config?member_id=958", access.clone(), [NO, NO, NO, NO, "200"]),
        (put, "/batch-segment-config?member_id=958", access, [NO, NO, NO, NO, "200"]),
    ]
}

#[tokio::test]
async fn nobody_but_an_admin_changes_what_is_an_admins() {
    let kit = Kit::start().await;
    let provider = user_id(&kit, "provider").await.to_string();
    let mut clients: Vec<Client> = Vec::new();
    for name in CALLERS {
        clients.push(kit.login(name).await);
    }
    let before = everything(&kit.login("admin").await).await;
    for (method, target, body, expected) in table() {
        let target = target.replace("{provider}", &provider);
        for index in 0..CALLERS.len() - 1 {
            let answer = ask(&clients[index], method.clone(), &target, &body).await;
            assert_eq!(outcome(&answer), expected[index], "{} {method} {target} {body}", CALLERS[index]);
        }
    }
    assert_eq!(everything(&kit.login("admin").await).await, before);
    for (method, target, body, expected) in table() {
        let target = target.replace("{provider}", &provider);
        let answer = ask(&clients[4], method.clone(), &target, &body).await;
        assert_eq!(outcome(&answer), expected[4], "admin {method} {target} {body}");
    }
}

#[tokio::test]
async fn a_login_changes_its_own_names_and_password() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let other = kit.login("provider").await;
    let mut own = provider.get("/user?current").await.ok()["user"].clone();
    assert_eq!(own["username"], "provider");
    own["email"] = json!("ann@provider.example");
    own["first_name"] = json!("Ann");
    // The whole object may be sent back.
    let answer = put(&provider, "/user?current", json!({"user": own})).await.ok();
    assert_eq!((&answer["user"]["email"], &answer["user"]["last_name"]), (&own["email"], &Value::Null));
    assert_eq!(outcome(&other.get("/user").await), "200", "its tokens live");

    let password = "Another-horse-2";
    let answer = put(&provider, "/user?current", json!({"user": {"password": password}})).await;
    assert!(!String::from_utf8_lossy(&answer.body).contains("horse"), "a password is never shown");
    answer.ok();
    for client in [&provider, &other] {
        assert_eq!(outcome(&client.get("/user").await), "401 NOAUTH", "a new password ends all tokens");
    }
    let credentials = |password: &str| json!({"auth": {"username": "provider", "password": password}});
    assert_eq!(outcome(&kit.anonymous().post("/auth", &credentials(PASSWORD)).await), "401 NOAUTH");
    kit.anonymous().post("/auth", &credentials(password)).await.ok();
}

#[tokio::test]
async fn a_member_sets_its_default_expiration_alone() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let mut own = provider.get("/member").await.ok()["member"].clone();
    own["default_expiration"] = json!(60);
    let changed = put(&provider, "/member?id=958", json!({"member": own})).await.ok();
    assert_eq!(changed["member"]["default_expiration"], 60);
    provider.add("7", None, json!([{"seg_id": 12}])).await;
    let read = provider.get("/user-segment?user_id=7").await.ok();
    assert_eq!(read["user_segment"]["segments"][0]["expires_on"], "2026-01-31 14:00:00");
}

#[tokio::test]
async fn a_login_that_is_switched_off_or_deleted_is_out_at_once() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    for (name, end) in [("provider", "401 NOAUTH_DISABLED"), ("bidder", "401 NOAUTH")] {
        let client = kit.login(name).await;
        let id = user_id(&kit, name).await;
        match name {
            "provider" => {
                let off = json!({"user": {"state": "inactive"}});
                put(&admin, &format!("/user?id={id}"), off).await.ok()
            }
            _ => delete(&admin, &format!("/user?id={id}")).await.ok(),
        };
        for target in ["/user", "/user-segment?user_id=7"] {
            assert_eq!(outcome(&client.get(target).await), end, "{name} {target}");
        }
    }
    // An inactive member's logins are inactive, too.
    let stranger = kit.login("stranger").await;
    put(&admin, "/member?id=77", json!({"member": {"state": "inactive"}})).await.ok();
    assert_eq!(outcome(&stranger.get("/user").await), "401 NOAUTH_DISABLED");
    // As with a login, the old tokens stay invalid for ever.
    put(&admin, "/member?id=77", json!({"member": {"state": "active"}})).await.ok();
    assert_eq!(outcome(&stranger.get("/user").await), "401 NOAUTH");
    kit.login("stranger").await.get("/user").await.ok();
}

#[tokio::test]
async fn an_id_of_a_login_is_never_used_again() {
    let mut kit = Kit::start().await;
    let new = json!({"user": {"username": "late", "password": PASSWORD, "entity_id": 77}});
    let mut ids = Vec::new();
    for _ in 0..2 {
        let admin = kit.login("admin").await;
        let id = post(&admin, "/user", new.clone()).await.ok()["id"].as_u64().unwrap();
        delete(&admin, &format!("/user?id={id}")).await.ok();
        ids.push(id);
        kit.restart().await;
    }
    assert_eq!(ids[1], ids[0] + 1);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let id = user_id(&kit, "admin").await;
    let second =
        json!({"user": {"username": "second", "password": PASSWORD, "entity_id": 77, "user_type": "admin"}});
    let before = everything(&kit.login("admin").await).await;
    let ways = [
        (Method::DELETE, format!("/user?id={id}"), Value::Null),
        (Method::PUT, format!("/user?id={id}"), json!({"user": {"state": "inactive"}})),
        (Method::PUT, format!("/user?id={id}"), json!({"user": {"user_type": "member"}})),
        (Method::PUT, format!("/user?id={id}"), json!({"user": {"read_only": true}})),
        (Method::PUT, "/member?id=958".to_owned(), json!({"member": {"state": "inactive"}})),
    ];
    for (method, target, body) in &ways {
        let answer = ask(&admin, method.clone(), target, body).await;
        assert_eq!(outcome(&answer), "409 INTEGRITY", "{method} {target} {body}");
    }
    assert_eq!(everything(&kit.login("admin").await).await, before);
    // Either of two admins may be deleted, but not both.
    let second = post(&admin, "/user", second).await.ok()["id"].clone();
    let both = delete(&admin, &format!("/user?id={id},{second}")).await;
    assert_eq!(outcome(&both), "409 INTEGRITY");
    delete(&admin, &format!("/user?id={id}")).await.ok();
}

#[tokio::test]
async fn of_two_admins_that_delete_each_other_one_stays() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let new =
        json!({"user": {"username": "second", "password": PASSWORD, "entity_id": 77, "user_type": "admin"}});
    let second_id = post(&admin, "/user", new).await.ok()["id"].clone();
    let (second, id) = (kit.login("second").await, user_id(&kit, "admin").await);
    let (first, other) = (format!("/user?id={second_id}"), format!("/user?id={id}"));
    let (one, two) = tokio::join!(delete(&admin, &first), delete(&second, &other));
    let gone = [&one, &two].into_iter().filter(|answer| answer.status == 200).count();
    assert_eq!(gone, 1, "{} {}", outcome(&one), outcome(&two));
}
