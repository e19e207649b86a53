//! The rows of members, logins, sharing and batch set-ups. Each cell is sent several times, so none may change
//! anything: a request that an admin may make contains a fault.

use super::rows::{Expected, Row, Things, status};
use super::{Ask, get};
use hyper::Method;
use ia_testkit::Answer;
use serde_json::{Value, json};

const NO: &str = "403 UNAUTH";
const NONE: &str = "404 SYNTAX";
const BAD: &str = "400 SYNTAX";
const TAKEN: &str = "409 INTEGRITY";

/// A read. Bidders have the rights of members here.
const fn read(member: [&'static str; 3], admin: [&'static str; 3]) -> Expected {
    Expected { member, reader: member, bidder: member, admin, outsider: None, alike: true }
}

/// A change, which a read-only login may not make.
const fn change(member: [&'static str; 3], admin: [&'static str; 3]) -> Expected {
    Expected { member, reader: [NO; 3], bidder: member, admin, outsider: None, alike: true }
}

const SEEN: Expected = read(["shown", "nothing", "nothing"], ["shown", "shown", "nothing"]);
const SEEN_ALONE: Expected = read(["shown", NONE, NONE], ["shown", "shown", NONE]);
const ALWAYS: Expected = read(["200"; 3], ["200"; 3]);

fn send(method: Method, target: impl Into<String>, body: Value) -> Ask {
    Ask { method, target: target.into(), body: (!body.is_null()).then_some(body) }
}

fn listed(answer: &Answer) -> String {
    match answer.response()["count"].as_u64() {
        Some(0) => "nothing".to_owned(),
        Some(_) => "shown".to_owned(),
        None => status(answer),
    }
}

fn a_member(about: &Things) -> Value {
    json!({
        "id": about.member, "name": "", "state": "active", "default_expiration": 5, "use_external_uids": true,
        "external_member_uid": 4712,
        "limits": {"posts_per_second": 0, "gets_per_second": 0, "users_per_request": 0, "users_per_second": 0,
                   "segments_per_user": 0, "payload_bytes": 0},
        "redirect_hosts": ["www.example.com"],
    })
}

fn a_user(about: &Things, entity: u64) -> Value {
    json!({
        "id": about.login_id(), "username": "new", "password": null, "email": "a@b.example", "first_name": "A",
        "last_name": "B", "state": "active", "user_type": "admin", "read_only": false, "entity_id": entity,
    })
}

fn a_sharing(about: &Things, segments: Value) -> Value {
    json!({"data_member_id": about.member, "buyer_member_id": 1262, "segment_exposure": "list", "segments": segments})
}

fn a_batch(about: &Things) -> Value {
    json!({
        "member_id": about.member, "default_expiration": 5, "use_external_uids": false, "external_member_uid": null,
        "member_segment_access": [{"segment_owner_member_id": 4712}], "separator_1": ":", "separator_2": ";",
        "separator_3": ",", "separator_4": "#", "separator_5": "^", "segment_fields": ["SEG_ID"],
        "hourly_byte_limit": 1, "hourly_num_lines_limit": 1, "daily_byte_limit": 1, "daily_num_lines_limit": 1,
        "max_concurrent_uploads": 1, "num_error_log_lines": 1, "num_invalid_before_error": 1,
    })
}

type Outcome = fn(&Answer) -> String;

fn row(
    operation: &'static str,
    object: &'static str,
    ask: fn(&Things, &Things) -> Ask,
    outcome: Outcome,
    expected: Expected,
) -> Row {
    Row { operation, object, ask, outcome, expected }
}

fn members() -> Vec<Row> {
    vec![
        row("GET /member", "id", |a, _| get(format!("/member?id={}", a.member)), listed, SEEN_ALONE),
        row("GET /member", "ids", |a, _| get(format!("/member?id={},4713", a.member)), listed, SEEN),
        row("GET /member", "none", |_, _| get("/member"), status, ALWAYS),
        row("GET /member", "search", |a, _| get(format!("/member?search={}", a.member)), listed, SEEN),
        row("GET /member/meta", "none", |_, _| get("/member/meta"), status, ALWAYS),
        row(
            "POST /member",
            "id",
            |a, _| send(Method::POST, "/member", json!({"member": a_member(a)})),
            status,
            change([NO; 3], [TAKEN, TAKEN, BAD]),
        ),
        row(
            "POST /member",
            "ids",
            |a, _| send(Method::POST, "/member", json!({"members": [a_member(a)]})),
            status,
            change([NO; 3], [TAKEN, TAKEN, BAD]),
        ),
        row(
            "PUT /member",
            "id",
            |a, _| {
                let target = format!("/member?id={}", a.member);
                send(Method::PUT, target, json!({"member": {"external_member_uid": 4712}}))
            },
            status,
            change([NO, NONE, NONE], [BAD, BAD, NONE]),
        ),
        row(
            "PUT /member",
            "ids",
            |a, _| send(Method::PUT, "/member", json!({"members": [a_member(a), {"id": 4711}]})),
            status,
            change([BAD, NONE, NONE], [BAD, BAD, NONE]),
        ),
    ]
}

fn users() -> Vec<Row> {
    vec![
        row("GET /user", "id", |a, _| get(format!("/user?id={}", a.login_id())), listed, SEEN_ALONE),
        row("GET /user", "entity_id", |a, _| get(format!("/user?entity_id={}", a.member)), listed, SEEN),
        row("GET /user", "current", |_, _| get("/user?current"), status, ALWAYS),
        row("GET /user/meta", "none", |_, _| get("/user/meta"), status, ALWAYS),
        row(
            "POST /user",
            "entity_id",
            |a, _| send(Method::POST, "/user", json!({"user": a_user(a, a.member)})),
            status,
            change([NO; 3], [BAD; 3]),
        ),
        row(
            "POST /user",
            "entity_ids",
            |a, _| send(Method::POST, "/user", json!({"users": [a_user(a, a.member)]})),
            status,
            change([NO; 3], [BAD; 3]),
        ),
        row(
            "PUT /user",
            "id",
            |a, _| send(Method::PUT, format!("/user?id={}", a.login_id()), json!({"user": a_user(a, 4712)})),
            status,
            change([NO, NONE, NONE], [BAD, BAD, NONE]),
        ),
        row(
            "PUT /user",
            "ids",
            |a, _| send(Method::PUT, "/user", json!({"users": [a_user(a, 4712)]})),
            status,
            change([NO, NONE, NONE], [BAD, BAD, NONE]),
        ),
        row(
            "PUT /user",
            "current",
            |_, _| send(Method::PUT, "/user?current", json!({"user": {}})),
            status,
            change(["200"; 3], ["200"; 3]),
        ),
        row(
            "DELETE /user",
            "id",
            |a, _| send(Method::DELETE, format!("/user?id={},4711", a.login_id()), Value::Null),
            status,
            change([NO; 3], [NONE; 3]),
        ),
    ]
}

macro_rules! sharing_rows {
    ($path:literal) => {
        vec![
            row(
                concat!("GET ", $path),
                "id",
                |a, _| get(format!(concat!($path, "?id={}"), a.sharing_id())),
                listed,
                SEEN_ALONE,
            ),
            row(
                concat!("GET ", $path),
                "data_member_id",
                |a, _| get(format!(concat!($path, "?data_member_id={}"), a.member)),
                listed,
                SEEN,
            ),
            row(concat!("GET ", $path, "/meta"), "none", |_, _| get(concat!($path, "/meta")), status, ALWAYS),
            row(
                concat!("POST ", $path),
                "data_member_id",
                |a, _| {
                    let sharing = a_sharing(a, json!([{"id": a.segment, "name": "x"}]));
                    send(Method::POST, $path, json!({"member_data_sharing": sharing}))
                },
                status,
                change([TAKEN, NO, NO], [TAKEN, TAKEN, BAD]),
            ),
            // A member that could share with another may learn whether that one exists.
            row(
                concat!("POST ", $path),
                "buyer_member_id",
                |a, _| {
                    let sharing = json!({"buyer_member_id": a.member, "segment_exposure": "all", "segments": [1]});
                    send(Method::POST, $path, json!({"member_data_sharing": sharing}))
                },
                status,
                Expected { alike: false, ..change([BAD; 3], [BAD; 3]) },
            ),
            row(
                concat!("POST ", $path),
                "segments",
                |a, _| {
                    let segments = json!([a.segment, 4710]);
                    let sharing =
                        json!({"buyer_member_id": 1661, "segment_exposure": "list", "segments": segments});
                    send(Method::POST, $path, json!({"member_data_sharings": [sharing]}))
                },
                status,
                change([BAD; 3], [BAD; 3]),
            ),
            row(
                concat!("PUT ", $path),
                "id",
                |a, _| {
                    let sharing = a_sharing(a, json!([{"id": 4710, "name": "x"}]));
                    let target = format!(concat!($path, "?append=true&id={}"), a.sharing_id());
                    send(Method::PUT, target, json!({"member_data_sharing": sharing}))
                },
                status,
                change([BAD, NONE, NONE], [BAD, BAD, NONE]),
            ),
            row(
                concat!("PUT ", $path),
                "segments",
                |a, base| {
                    let sharing = json!({"id": base.sharing_id(), "segments": [a.segment, 4710]});
                    send(Method::PUT, $path, json!({"member_data_sharings": [sharing]}))
                },
                status,
                change([BAD; 3], [BAD; 3]),
            ),
            row(
                concat!("DELETE ", $path),
                "id",
                |a, _| {
                    send(Method::DELETE, format!(concat!($path, "?id={},4711"), a.sharing_id()), Value::Null)
                },
                status,
                change([NONE; 3], [NONE; 3]),
            ),
        ]
    };
}

fn batch() -> Vec<Row> {
    const PATH: &str = "/batch-segment-config";
    vec![
        row(
            "GET /batch-segment-config",
            "member_id",
            |a, _| get(format!("{PATH}?member_id={}", a.member)),
            listed,
            read([NO; 3], ["shown", "shown", NONE]),
        ),
        row(
            "GET /batch-segment-config",
            "member_ids",
            |a, _| get(format!("{PATH}?member_id={},4713", a.member)),
            listed,
            read([NO; 3], ["shown", "shown", "nothing"]),
        ),
        row(
            "GET /batch-segment-config/meta",
            "none",
            |_, _| get("/batch-segment-config/meta"),
            status,
            ALWAYS,
        ),
        row(
            "POST /batch-segment-config",
            "member_id",
            |a, _| {
                let target = format!("{PATH}?member_id={}", a.member);
                send(Method::POST, target, json!({"batch_segment_config": a_batch(a)}))
            },
            status,
            change([NO; 3], [BAD, BAD, NONE]),
        ),
        row(
            "POST /batch-segment-config",
            "member_ids",
            |a, _| send(Method::POST, PATH, json!({"batch_segment_configs": [a_batch(a)]})),
            status,
            change([NO; 3], [BAD, BAD, NONE]),
        ),
        row(
            "PUT /batch-segment-config",
            "member_id",
            |a, _| {
                let target = format!("{PATH}?append=true&member_id={}", a.member);
                send(Method::PUT, target, json!({"batch_segment_config": a_batch(a)}))
            },
            status,
            change([NO; 3], [BAD, BAD, NONE]),
        ),
        row(
            "POST /batch-segment-config",
            "member_ids under the vendor's key",
            |a, _| send(Method::POST, PATH, json!({"batch_segment_upload_configs": [a_batch(a)]})),
            status,
            change([NO; 3], [BAD, BAD, NONE]),
        ),
        row(
            "PUT /batch-segment-config",
            "member_ids under the vendor's key",
            |a, _| send(Method::PUT, PATH, json!({"batch_segment_upload_configs": [a_batch(a)]})),
            status,
            change([NO; 3], [BAD, BAD, NONE]),
        ),
        row(
            "PUT /batch-segment-config",
            "member_ids",
            |a, _| send(Method::PUT, PATH, json!({"batch_segment_configs": [a_batch(a)]})),
            status,
            change([NO; 3], [BAD, BAD, NONE]),
        ),
    ]
}

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = members();
    rows.extend(users());
    rows.extend(sharing_rows!("/member-data-sharing"));
    rows.extend(sharing_rows!("/member-data-sharings"));
    rows.extend(batch());
    rows
}
