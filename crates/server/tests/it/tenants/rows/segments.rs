//! The rows of `/segment`.

use super::*;

/// A service for the caller's own objects: foreign ones are refused; an admin sees and changes all existing ones.
const SERVICE: Expected = Expected {
    admin: ["200", "200", "404 SYNTAX"],
    reader: ["403 UNAUTH"; 3],
    ..same(["200", "403 UNAUTH", "403 UNAUTH"], true)
};

/// The rows of `/segment`, by query and by path.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row =
        |operation, object, ask: fn(&Things, &Things) -> Ask, outcome: fn(&Answer) -> String, expected| {
            rows.push(Row { operation, object, ask, outcome, expected });
        };
    let list = || same(["shown", "nothing", "nothing"], true);
    let of_member = || Expected {
        admin: ["shown", "shown", "nothing"],
        ..same(["shown", "403 UNAUTH", "403 UNAUTH"], true)
    };
    let change = || write(["200", "404 SYNTAX", "404 SYNTAX"], true);
    row("GET /segment/meta", "none", |_, _| get("/segment/meta"), status, same(["200"; 3], true));
    row(
        "GET /segment",
        "id",
        |a, _| get(format!("/segment?id={}", a.segment)),
        list_outcome,
        same(["shown", "404 SYNTAX", "404 SYNTAX"], true),
    );
    row("GET /segment", "ids", |a, _| get(format!("/segment?id={},4713", a.segment)), list_outcome, list());
    row("GET /segment", "code", |a, _| get(format!("/segment?code={}", a.code)), list_outcome, list());
    row("GET /segment", "search", |a, _| get(format!("/segment?search={}", a.code)), list_outcome, list());
    row(
        "GET /segment",
        "member_id",
        |a, _| get(format!("/segment?member_id={}", a.member)),
        list_outcome,
        of_member(),
    );
    row(
        "GET /segment/{member_id}",
        "member_id, id and search",
        |a, _| get(format!("/segment/{}?id={}&search={}", a.member, a.segment, a.code)),
        list_outcome,
        of_member(),
    );
    row(
        "GET /segment/{member_id}/{id}",
        "member_id and id",
        |a, _| get(format!("/segment/{}/{}", a.member, a.segment)),
        list_outcome,
        Expected { admin: ["shown", "shown", "404 SYNTAX"], ..of_member() },
    );
    row(
        "POST /segment",
        "member_id",
        |a, _| post(format!("/segment?member_id={}", a.member), json!({"segment": {"short_name": "A name"}})),
        status,
        SERVICE,
    );
    row(
        "POST /segment",
        "member_id of the body",
        |a, _| post("/segment", json!({"segment": {"member_id": a.member}})),
        status,
        SERVICE,
    );
    row(
        "POST /segment",
        "parent_segment_id",
        |a, _| post("/segment", json!({"segment": {"parent_segment_id": a.segment, "code": null}})),
        status,
        write(["200", "400 SYNTAX", "400 SYNTAX"], true),
    );
    row(
        "POST /segment/{member_id}",
        "member_id",
        |a, _| {
            post(
                format!("/segment/{}", a.member),
                json!({"segment": {"parent_segment_id": null, "code": null, "member_id": a.member}}),
            )
        },
        status,
        SERVICE,
    );
    row(
        "PUT /segment",
        "id",
        |a, _| put(format!("/segment?id={}", a.segment), json!({"segment": {"short_name": "A name"}})),
        status,
        change(),
    );
    row(
        "PUT /segment",
        "id of the body",
        |a, _| put("/segment", json!({"segments": [{"id": a.segment, "short_name": "A name"}]})),
        status,
        change(),
    );
    row(
        "PUT /segment",
        "code",
        |a, _| put(format!("/segment?code={}", a.code), json!({"segment": {"short_name": "A name"}})),
        status,
        change(),
    );
    row(
        "PUT /segment",
        "own id and another's",
        |a, base| {
            put(
                format!("/segment?id={},{}", a.segment, base.segment),
                json!({"segment": {"short_name": "A name"}}),
            )
        },
        status,
        change(),
    );
    row(
        "PUT /segment",
        "parent_segment_id",
        |a, base| {
            put(format!("/segment?id={}", base.segment), json!({"segment": {"parent_segment_id": a.segment}}))
        },
        status,
        // A segment cannot be its own parent.
        write(["400 SYNTAX"; 3], true),
    );
    row(
        "PUT /segment",
        "member_id and id",
        |a, _| {
            let target = format!("/segment?member_id={}&id={}", a.member, a.segment);
            put(target, json!({"segment": {"short_name": "A name"}}))
        },
        status,
        SERVICE,
    );
    row(
        "PUT /segment/{member_id}",
        "member_id and id",
        |a, _| {
            let body = json!({"segment": {"short_name": "A name", "parent_segment_id": null, "code": a.code, "member_id": null}});
            put(format!("/segment/{}?id={}", a.member, a.segment), body)
        },
        status,
        SERVICE,
    );
    row(
        "PUT /segment/{member_id}/{id}",
        "member_id and id",
        |a, _| {
            let body = json!({"segment": {"short_name": "A name", "parent_segment_id": null, "code": a.code, "member_id": null}});
            put(format!("/segment/{}/{}", a.member, a.segment), body)
        },
        status,
        SERVICE,
    );
    // Later rows need the caller's own segment, so this deletes an absent one in its place.
    row(
        "DELETE /segment",
        "id",
        |a, base| delete(format!("/segment?id={}", if a.member == base.member { 4711 } else { a.segment })),
        status,
        write(["404 SYNTAX"; 3], true),
    );
    row(
        "DELETE /segment",
        "code",
        |a, base| delete(format!("/segment?code={}", if a.member == base.member { "none" } else { a.code })),
        status,
        write(["404 SYNTAX"; 3], true),
    );
    row(
        "DELETE /segment",
        "member_id and id",
        |a, _| delete(format!("/segment?member_id={}&id=4711", a.member)),
        status,
        Expected { admin: ["404 SYNTAX"; 3], ..write(["404 SYNTAX", "403 UNAUTH", "403 UNAUTH"], true) },
    );
    row(
        "DELETE /segment/{member_id}",
        "member_id and id",
        |a, _| delete(format!("/segment/{}?id=4711", a.member)),
        status,
        Expected { admin: ["404 SYNTAX"; 3], ..write(["404 SYNTAX", "403 UNAUTH", "403 UNAUTH"], true) },
    );
    row(
        "DELETE /segment/{member_id}",
        "member_id and code",
        |a, _| delete(format!("/segment/{}?code=none", a.member)),
        status,
        Expected { admin: ["404 SYNTAX"; 3], ..write(["404 SYNTAX", "403 UNAUTH", "403 UNAUTH"], true) },
    );
    row(
        "DELETE /segment/{member_id}/{id}",
        "member_id",
        |a, _| delete(format!("/segment/{}/4711", a.member)),
        status,
        Expected { admin: ["404 SYNTAX"; 3], ..write(["404 SYNTAX", "403 UNAUTH", "403 UNAUTH"], true) },
    );
    rows
}

fn list_outcome(answer: &Answer) -> String {
    if answer.status != 200 {
        return status(answer);
    }
    let response = answer.ok();
    if response["segment"].is_object() {
        return "shown".to_owned();
    }
    assert_eq!(response["segments"].as_array().unwrap().is_empty(), response["count"] == 0);
    if response["count"] == 0 { "nothing" } else { "shown" }.to_owned()
}
