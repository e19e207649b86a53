//! Refused input: the message of each refusal, and that nothing is changed.

use super::{ask, everything, outcome};
use hyper::Method;
use ia_testkit::{Kit, PASSWORD};
use serde_json::{Value, json};

/// Method and target, the object in the body, the expected outcome, and the start of the error message.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    let user = |field: &str, value: Value| {
        let mut user = json!({"username": "new", "password": PASSWORD, "entity_id": 958});
        user[field] = value;
        json!({"user": user})
    };
    let member = |field: &str, value: Value| json!({"member": {field: value}});
    let share = |fields: Value| json!({"member_data_sharing": fields});
    let batch = |field: &str, value: Value| json!({"batch_segment_config": {field: value}});
    let long = "x".repeat(256);
    let mut cases = vec![
        ("POST /member", json!({}), "400 SYNTAX 'member' is required"),
        ("POST /member", json!({"member": 5}), "400 SYNTAX 'member' must be an object"),
        ("POST /member", json!({"members": []}), "400 SYNTAX 'members' must have 1 to"),
        ("POST /member", member("id", json!(5000)), "400 SYNTAX 'name': it is required"),
        (
            "POST /member",
            json!({"member": {"id": 958, "name": "Again"}}),
            "409 INTEGRITY 'id': there is a member 958",
        ),
        ("POST /member", member("name", json!(5)), "400 SYNTAX 'name' must be"),
        ("PUT /member?id=77", member("name", json!(long)), "400 SYNTAX 'name' must be"),
        ("PUT /member?id=77", member("name", json!(" a")), "400 SYNTAX 'name': no control"),
        ("PUT /member?id=77", member("name", json!("a\nb")), "400 SYNTAX 'name'"),
        (
            "PUT /member?id=77",
            member("state", json!("off")),
            "400 SYNTAX 'state' must be one of active, inactive",
        ),
        (
            "PUT /member?id=77",
            member("default_expiration", json!(-1)),
            "400 SYNTAX 'default_expiration' must be",
        ),
        (
            "PUT /member?id=77",
            member("default_expiration", json!(3_000_000_000_u64)),
            "400 SYNTAX 'default_expiration': 3000000000 is over",
        ),
        (
            "PUT /member?id=77",
            member("external_member_uid", json!(4712)),
            "400 SYNTAX 'external_member_uid': there is no member 4712",
        ),
        (
            "PUT /member?id=77",
            member("limits", json!({"posts_per_second": "many"})),
            "400 SYNTAX 'limits.posts_per_second' must be",
        ),
        (
            "PUT /member?id=77",
            member("limits", json!({"posts_per_second": 5, "post_per_second": 5})),
            "400 SYNTAX 'limits.post_per_second' must be one of posts_per_second,",
        ),
        ("PUT /member?id=77", member("limits", json!([])), "400 SYNTAX 'limits' must be an object"),
        ("PUT /member?id=77", member("id", json!(958)), "400 SYNTAX 'id' is not that of the query"),
        ("PUT /member", member("name", json!("New")), "400 SYNTAX 'id' is required"),
        ("PUT /member?id=x", member("name", json!("New")), "400 SYNTAX 'id' must be positive integers"),
        ("DELETE /member?id=77", Value::Null, "404 SYNTAX Members are never deleted"),
        (
            "POST /user",
            user("username", json!("PROVIDER")),
            "409 INTEGRITY 'username': another login has this name",
        ),
        ("POST /user", user("username", Value::Null), "400 SYNTAX 'username': it is required"),
        (
            "POST /user",
            user("password", json!("short")),
            "400 SYNTAX 'password' is refused: a password has 10 to 64",
        ),
        (
            "POST /user",
            user("password", json!("no-upper-case-1")),
            "400 SYNTAX 'password' is refused: a password needs an upper-case",
        ),
        ("POST /user", user("password", json!(12_345_678)), "400 SYNTAX 'password' must be"),
        ("POST /user", user("password", Value::Null), "400 SYNTAX 'password': it is required"),
        ("POST /user", user("entity_id", json!(4712)), "400 SYNTAX 'entity_id': there is no member 4712"),
        ("POST /user", user("email", json!("nobody")), "400 SYNTAX 'email': this is no email address"),
        (
            "POST /user",
            user("user_type", json!("root")),
            "400 SYNTAX 'user_type' must be one of member, bidder, admin",
        ),
        ("POST /user", user("read_only", json!("perhaps")), "400 SYNTAX 'read_only' must be true or false"),
        (
            "PUT /user?id=1,4711",
            json!({"user": {"email": "a@b.example"}}),
            "404 SYNTAX user 4711 does not exist",
        ),
        ("PUT /user", json!({"users": [{"id": 1}, {"id": 1}]}), "400 SYNTAX 'users[1].id' stands twice"),
        (
            "PUT /user",
            json!({"users": [{"id": 1, "username": "x"}, {"id": 2, "username": "X"}]}),
            "409 INTEGRITY 'users[1].username'",
        ),
        ("DELETE /user?id=5,4711", Value::Null, "404 SYNTAX user 4711 does not exist"),
        ("DELETE /user", Value::Null, "400 SYNTAX 'id' is required"),
        (
            "POST /member-data-sharing",
            share(json!({"segment_exposure": "all"})),
            "400 SYNTAX 'buyer_member_id': it is required",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"buyer_member_id": 958, "segment_exposure": "all"})),
            "400 SYNTAX 'buyer_member_id': a member sees its own",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"buyer_member_id": 4712, "segment_exposure": "all"})),
            "400 SYNTAX 'buyer_member_id': there is no member 4712",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"buyer_member_id": 77})),
            "400 SYNTAX 'segment_exposure': it is required",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"buyer_member_id": 77, "segment_exposure": "some"})),
            "400 SYNTAX 'segment_exposure' must be one of",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"buyer_member_id": 77, "segment_exposure": "list"})),
            "400 SYNTAX 'segments': the exposure 'list' needs",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"buyer_member_id": 77, "segment_exposure": "all", "segments": [{"id": 12}]})),
            "400 SYNTAX 'segments': only the exposure 'list'",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"buyer_member_id": 77, "segment_exposure": "list", "segments": [12, {"id": 777}]})),
            "400 SYNTAX 'segments[1]': member 958 has no segment 777",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"buyer_member_id": 77, "segment_exposure": "list", "segments": [{"code": "x"}]})),
            "400 SYNTAX 'segments' must be a list",
        ),
        (
            "POST /member-data-sharing",
            share(json!({"data_member_id": 1661, "buyer_member_id": 958, "segment_exposure": "all"})),
            "409 INTEGRITY 'buyer_member_id': sharing 1 is",
        ),
        (
            "PUT /member-data-sharing?id=1",
            share(json!({"buyer_member_id": 77})),
            "400 SYNTAX 'buyer_member_id': the members of a sharing stay",
        ),
        (
            "PUT /member-data-sharing?id=1",
            share(json!({"segments": [{"id": 30001}]})),
            "400 SYNTAX 'segments': only the exposure 'list'",
        ),
        ("PUT /member-data-sharing?id=1&append=perhaps", share(json!({})), "400 SYNTAX 'append' must be"),
        (
            "POST /batch-segment-config",
            batch("separator_1", json!(";")),
            "400 SYNTAX 'member_id' is required",
        ),
        (
            "POST /batch-segment-config?member_id=4712",
            batch("separator_1", json!("~")),
            "404 SYNTAX member 4712 does not exist",
        ),
        (
            "PUT /batch-segment-config?member_id=77",
            batch("member_id", json!(958)),
            "400 SYNTAX 'member_id' is not that of the query",
        ),
        (
            "PUT /batch-segment-config?member_id=77",
            batch(
                "member_segment_access",
                json!([{"segment_owner_member_id": 958}, {"segment_owner_member_id": 4712}]),
            ),
            "400 SYNTAX 'member_segment_access[1].segment_owner_member_id': there is no member 4712",
        ),
        (
            "PUT /batch-segment-config?member_id=77",
            batch("member_segment_access", json!("all")),
            "400 SYNTAX 'member_segment_access' must be a list",
        ),
        (
            "PUT /batch-segment-config?member_id=77",
            batch("separator_1", json!("a")),
            "400 SYNTAX 'separator_1': a separator is one",
        ),
        (
            "PUT /batch-segment-config?member_id=77",
            batch("separator_1", json!(";")),
            "400 SYNTAX 'separator_1': it is the same as separator_2",
        ),
        (
            "PUT /batch-segment-config?member_id=77",
            batch("segment_fields", json!(["SEG_ID", "COLOUR"])),
            "400 SYNTAX 'segment_fields[1]': a field is one of",
        ),
        (
            "PUT /batch-segment-config?member_id=77",
            batch("segment_fields", json!(["SEG_ID", "SEG_CODE"])),
            "400 SYNTAX 'segment_fields': SEG_ID and SEG_CODE",
        ),
        (
            "PUT /batch-segment-config?member_id=77",
            batch("daily_byte_limit", json!(-5)),
            "400 SYNTAX 'daily_byte_limit' must be",
        ),
        (
            "DELETE /batch-segment-config?member_id=77",
            Value::Null,
            "404 SYNTAX The set-up of a member is never deleted",
        ),
    ];
    for target in
        ["/member", "/user", "/member-data-sharing", "/member-data-sharings", "/batch-segment-config"]
    {
        for (query, error) in [
            ("num_elements=0", "400 SYNTAX 'num_elements' must be"),
            ("start_element=-1", "400 SYNTAX 'start_element' must be"),
            ("sort=password.asc", "400 SYNTAX 'sort' names no field"),
            ("sort=id.up", "400 SYNTAX 'sort' must be"),
            ("fields=id,colour", "400 SYNTAX 'fields' names an unknown field: 'colour'"),
            ("min_id=x", "400 SYNTAX 'min_id' must be an integer"),
        ] {
            let ask: &'static str = Box::leak(format!("GET {target}?{query}").into_boxed_str());
            cases.push((ask, Value::Null, error));
        }
    }
    cases.push(("GET /user?password=x", Value::Null, "400 SYNTAX 'password' names no field to filter by"));
    cases.push(("GET /user?code=x", Value::Null, "400 SYNTAX 'code' is no field of this service"));
    cases
}

#[tokio::test]
async fn each_fault_is_named_and_changes_nothing() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let before = everything(&kit.login("admin").await).await;
    let mut wrong = Vec::new();
    for (request, body, expected) in cases() {
        let (method, target) = request.split_once(' ').unwrap();
        let answer = ask(&admin, method.parse::<Method>().unwrap(), target, &body).await;
        let error = answer.response()["error"].as_str().unwrap_or_default().to_owned();
        let found = format!("{} {error}", outcome(&answer));
        if !found.starts_with(expected) {
            wrong.push(format!("{request} {body}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(everything(&kit.login("admin").await).await, before);
}
