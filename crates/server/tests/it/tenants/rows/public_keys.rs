//! The rows of `/public-key`.

use super::*;

/// A key belongs to a login, not to a member: it is foreign to other logins of the member.
pub(super) fn add(
    row: &mut impl FnMut(&'static str, &'static str, fn(&Things, &Things) -> Ask, fn(&Answer) -> String, Expected),
) {
    const FORBIDDEN: [&str; 3] = ["403 UNAUTH"; 3];
    const ABSENT: [&str; 3] = ["404 SYNTAX"; 3];
    let read =
        |member, others, admin| Expected { reader: others, bidder: others, admin, ..same(member, true) };
    let change = |member, bidder, admin| Expected { bidder, admin, ..write(member, true) };
    row("GET /public-key/meta", "none", |_, _| get("/public-key/meta"), status, same(["200"; 3], true));
    row(
        "GET /public-key",
        "user_id",
        |a, _| get(format!("/public-key?user_id={}", a.login_id)),
        status,
        read(["200", "403 UNAUTH", "403 UNAUTH"], FORBIDDEN, ["200"; 3]),
    );
    row(
        "GET /public-key",
        "id",
        |a, _| {
            get(format!(
                "/public-key?id={}&sort=id.asc&fields=name&start_element=0&num_elements=5&search=",
                a.key
            ))
        },
        |answer| match answer.json()["response"]["count"].as_u64() {
            Some(0) => "nothing".to_owned(),
            Some(_) => "shown".to_owned(),
            None => status(answer),
        },
        read(["shown", "404 SYNTAX", "404 SYNTAX"], ABSENT, ["shown", "shown", "404 SYNTAX"]),
    );
    row(
        "GET /public-key",
        "key_id",
        |a, _| get(format!("/public-key?key_id={}", a.key)),
        status,
        read(["200", "404 SYNTAX", "404 SYNTAX"], ABSENT, ["200", "200", "404 SYNTAX"]),
    );
    row(
        "POST /public-key",
        "user_id",
        |a, _| {
            let key = json!({"active": true, "name": "x", "encoded_value": "no key", "user_id": a.login_id});
            post(format!("/public-key?user_id={}", a.login_id), json!({"public-key": key}))
        },
        status,
        change(["400 SYNTAX", "403 UNAUTH", "403 UNAUTH"], FORBIDDEN, ["400 SYNTAX"; 3]),
    );
    row(
        "PUT /public-key",
        "id",
        |a, _| {
            put(
                format!("/public-key?id={}", a.key),
                json!({"public-key": {"active": true, "name": "x", "encoded_value": "x", "user_id": a.login_id}}),
            )
        },
        status,
        change(["200", "404 SYNTAX", "404 SYNTAX"], ABSENT, ["200", "200", "404 SYNTAX"]),
    );
    row(
        "PUT /public-key",
        "key_id and user_id",
        |a, _| {
            put(
                format!("/public-key?key_id={}&user_id={}", a.key, a.login_id),
                json!({"public-key": {"active": true}}),
            )
        },
        status,
        change(["200", "403 UNAUTH", "403 UNAUTH"], FORBIDDEN, ["200", "200", "404 SYNTAX"]),
    );
    // With an absent key, so that nothing is deleted (all or none) and the row can be sent again.
    row(
        "DELETE /public-key",
        "id",
        |a, _| delete(format!("/public-key?id={},999999", a.key)),
        status,
        change(ABSENT, ABSENT, ABSENT),
    );
    row(
        "DELETE /public-key",
        "key_id and user_id",
        |a, _| delete(format!("/public-key?key_id={},999999&user_id={}", a.key, a.login_id)),
        status,
        change(["404 SYNTAX", "403 UNAUTH", "403 UNAUTH"], FORBIDDEN, ABSENT),
    );
}
