//! The rows of the table: each route with each kind of object that it takes, and what must come of it.

use super::account_rows;
use super::{Ask, credentials, delete, get, post, put, shown_segments};
use ia_testkit::Answer;
use serde_json::{Value, json};

/// Everything of a member that another must not learn, and what is asked about.
pub(super) struct Things {
    pub(super) member: u64,
    pub(super) segment: u64,
    pub(super) code: &'static str,
    pub(super) inactive_code: &'static str,
    /// A user that is in this member's segment and in no other.
    pub(super) user: &'static str,
    pub(super) login: &'static str,
    /// The id of that login.
    pub(super) login_id: u32,
    /// The id of a public key of it.
    pub(super) key: u32,
}

pub(super) const PROVIDERS: Things = Things {
    member: 958,
    segment: 10_001,
    code: "cars",
    inactive_code: "cars-off",
    user: "95800000000000001",
    login: "provider",
    login_id: 1,
    key: 1,
};

pub(super) const STRANGERS: Things = Things {
    member: 77,
    segment: 777,
    code: "secret",
    inactive_code: "secret-off",
    user: "77000000000000001",
    login: "stranger",
    login_id: 5,
    key: 2,
};

pub(super) const NOBODYS: Things = Things {
    member: 4712,
    segment: 4711,
    code: "nothing",
    inactive_code: "nothing-off",
    user: "47110000000000001",
    login: "nobody",
    login_id: 4713,
    key: 4714,
};

/// A user in whose profile nothing may change.
pub(super) const VICTIM: &str = "11000000000000001";

/// A user whose profile is written to.
pub(super) const WRITTEN: &str = "12000000000000001";

impl Things {
    /// How they stand in requests and answers, to be hidden before answers are compared.
    pub(super) fn names(&self) -> Vec<String> {
        let Things { member, segment, code, inactive_code, user, key, .. } = self;
        vec![
            format!("\"seg_id\":{segment}"),
            format!("segment {segment} does"),
            format!("other segment {segment}\""),
            format!("\"member_id\":{member}"),
            format!("\"seg_code\":\"{inactive_code}\""),
            format!("\"seg_code\":\"{code}\""),
            (*user).to_owned(),
            format!("public key {key} "),
            format!("member {member} "),
            format!("segment {segment}"),
            format!("user {} ", self.login_id()),
            format!("member-data-sharing {} ", self.sharing_id()),
        ]
    }

    /// Of its login.
    pub(super) fn login_id(&self) -> u32 {
        match self.member {
            958 => 1,
            77 => 5,
            _ => 4711,
        }
    }

    /// Of what it shares with member 1262, which is nothing.
    pub(super) fn sharing_id(&self) -> u32 {
        match self.member {
            958 => 2,
            77 => 3,
            _ => 4711,
        }
    }

    /// What gives them away wherever it stands.
    pub(super) fn canaries(&self) -> Vec<String> {
        let name = match self.member {
            958 => "Provider",
            _ => "Stranger",
        };
        [self.code, self.inactive_code, self.user, name].map(str::to_owned).to_vec()
    }
}

/// What comes of a cell, by the kind of the caller, each for own, foreign and absent.
pub(super) struct Expected {
    pub(super) member: [&'static str; 3],
    pub(super) reader: [&'static str; 3],
    pub(super) bidder: [&'static str; 3],
    pub(super) admin: [&'static str; 3],
    /// For callers without a good token.
    pub(super) outsider: Option<[&'static str; 3]>,
    /// Whether a foreign object must answer as an absent one does to a member.
    pub(super) alike: bool,
}

/// A row of the table: a route and the kind of object that it takes.
pub(super) struct Row {
    pub(super) operation: &'static str,
    pub(super) object: &'static str,
    /// The request about the things of one member; `base` are the caller's own.
    pub(super) ask: fn(about: &Things, base: &Things) -> Ask,
    /// What an answer comes to.
    pub(super) outcome: fn(&Answer) -> String,
    pub(super) expected: Expected,
}

const fn same(all: [&'static str; 3], alike: bool) -> Expected {
    Expected { member: all, reader: all, bidder: all, admin: all, outsider: None, alike }
}

/// As [`same`], but a login that may only read is refused.
const fn write(all: [&'static str; 3], alike: bool) -> Expected {
    Expected { reader: ["403 UNAUTH"; 3], ..same(all, alike) }
}

/// A read of memberships: bidders and admins see all.
const READ: Expected = Expected {
    bidder: ["shown", "shown", "nothing"],
    admin: ["shown", "shown", "nothing"],
    ..same(["shown", "nothing", "nothing"], true)
};

const REPORT: Expected =
    Expected { admin: ["report", "report", "report"], ..same(["report", "403 UNAUTH", "403 UNAUTH"], true) };

fn add(block: Value, user: &str) -> Value {
    json!({"rt_segment": [{"user_id": user, "seg_block": [block]}]})
}

const VERBOSE: &str = "/rt-segment?verbose=true";

/// All rows. `expected` is own, foreign, absent.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row =
        |operation, object, ask: fn(&Things, &Things) -> Ask, outcome: fn(&Answer) -> String, expected| {
            rows.push(Row { operation, object, ask, outcome, expected });
        };
    // What the caller's token is plays no part in these two.
    let open = |all| Expected { outsider: Some(all), ..same(all, true) };
    row(
        "POST /auth",
        "wrong password of a login",
        |a, _| post("/auth", credentials(a.login, "wrong")),
        status,
        open(["401 NOAUTH"; 3]),
    );
    row(
        "POST /auth",
        "password that is no text",
        |a, _| post("/auth", json!({"auth": {"username": a.login, "password": 5}})),
        status,
        open(["400 SYNTAX"; 3]),
    );
    row(
        "POST /v2/auth/jwt",
        "token that a login has not signed",
        |a, _| post("/v2/auth/jwt", json!(format!("x.{}.y", a.login))),
        status,
        open(["401 NOAUTH"; 3]),
    );
    row("GET /openapi.json", "none", |_, _| get("/openapi.json"), status, open(["200"; 3]));

    // Reports before writes: a report repeats what was sent in one's own name.
    row(
        "GET /rt-segment-processed",
        "member_id",
        |a, _| get(format!("/rt-segment-processed?member_id={}", a.member)),
        report_outcome,
        REPORT,
    );
    row(
        "GET /rt-segment-processed",
        "member_id, summed up",
        |a, _| get(format!("/rt-segment-processed?agg=true&member_id={}", a.member)),
        report_outcome,
        REPORT,
    );
    row(
        "GET /rt-segment-processed",
        "member_id and a range",
        |a, _| get(format!("/rt-segment-processed?start=2026-01-01&end=2026-12-31&member_id={}", a.member)),
        report_outcome,
        REPORT,
    );
    row(
        "GET /rt-segment-processed",
        "range without traffic of one's own",
        |_, _| get("/rt-segment-processed?start=2026-01-01&end=2026-01-02"),
        report_outcome,
        same(["report"; 3], true),
    );

    public_keys(&mut row);

    row(
        "GET /user-segment",
        "user id",
        |a, _| get(format!("/user-segment?user_id={}", a.user)),
        read_outcome,
        READ,
    );
    row(
        "GET /user-segment",
        "user id, openrtb",
        |a, _| get(format!("/user-segment?format=openrtb&user_id={}", a.user)),
        read_outcome,
        READ,
    );
    row(
        "GET /user-segment",
        "user id, codes",
        |a, _| get(format!("/user-segment?format=codes&user_id={}", a.user)),
        read_outcome,
        READ,
    );
    row(
        "GET /user-segment",
        "member_id",
        |a, _| get(format!("/user-segment?user_id={VICTIM}&member_id={}", a.member)),
        read_outcome,
        READ,
    );
    row(
        "GET /user-segment",
        "member_id, openrtb",
        |a, _| get(format!("/user-segment?format=openrtb&user_id={VICTIM}&member_id={}", a.member)),
        read_outcome,
        READ,
    );
    row(
        "GET /user-segment",
        "member_id, codes",
        |a, _| get(format!("/user-segment?format=codes&user_id={VICTIM}&member_id={}", a.member)),
        read_outcome,
        READ,
    );
    row("POST /user-segment", "user id", |a, _| post("/user-segment", users(a)), read_outcome, READ);
    row(
        "POST /user-segment",
        "user id, openrtb",
        |a, _| post("/user-segment?format=openrtb", users(a)),
        read_outcome,
        READ,
    );
    row(
        "POST /user-segment",
        "member_id",
        |a, _| post(format!("/user-segment?member_id={}", a.member), json!({"users": [{"user_id": VICTIM}]})),
        read_outcome,
        READ,
    );
    row(
        "POST /user-segment",
        "member_id, openrtb",
        |a, _| {
            post(
                format!("/user-segment?format=openrtb&member_id={}", a.member),
                json!({"users": [{"user_id": VICTIM}]}),
            )
        },
        read_outcome,
        READ,
    );

    row(
        "POST /privacy/consumer-request",
        "identifier to see",
        |a, _| consumer_request(a, "access"),
        read_outcome,
        Expected { bidder: ["403 UNAUTH"; 3], ..READ },
    );
    row(
        "POST /rt-segment",
        "segment id",
        |a, _| post("/rt-segment", add(json!({"seg_id": a.segment}), VICTIM)),
        status,
        write(["200"; 3], true),
    );
    // The one place where a foreign object may be told from an absent one: the report has a count for either.
    row(
        "POST /rt-segment",
        "segment id, verbose",
        |a, _| post(VERBOSE, add(json!({"seg_id": a.segment}), WRITTEN)),
        write_outcome,
        write(["accepted", "unauthorized", "absent"], false),
    );
    row(
        "POST /rt-segment",
        "removal by segment id",
        |a, _| post(VERBOSE, add(json!({"seg_id": a.segment, "expiration": -1}), WRITTEN)),
        write_outcome,
        write(["accepted", "unauthorized", "absent"], false),
    );
    row(
        "POST /rt-segment",
        "code of a member",
        |a, _| post(VERBOSE, add(json!({"seg_code": a.code, "member_id": a.member}), WRITTEN)),
        write_outcome,
        write(["accepted", "unauthorized", "unauthorized"], true),
    );
    row(
        "POST /rt-segment",
        "inactive code of a member",
        |a, _| post(VERBOSE, add(json!({"seg_code": a.inactive_code, "member_id": a.member}), WRITTEN)),
        write_outcome,
        write(["inactive", "unauthorized", "unauthorized"], true),
    );
    row(
        "POST /rt-segment",
        "absent code of a member",
        |a, _| post(VERBOSE, add(json!({"seg_code": NOBODYS.code, "member_id": a.member}), WRITTEN)),
        write_outcome,
        write(["absent", "unauthorized", "unauthorized"], true),
    );
    row(
        "POST /rt-segment",
        "own code in another's name",
        |a, base| post(VERBOSE, add(json!({"seg_code": base.code, "member_id": a.member}), WRITTEN)),
        write_outcome,
        write(["accepted", "unauthorized", "unauthorized"], true),
    );
    row(
        "POST /rt-segment",
        "user id",
        |a, base| post(VERBOSE, add(json!({"seg_id": base.segment, "expiration": -1}), a.user)),
        write_outcome,
        write(["accepted"; 3], true),
    );
    // At the end: nothing is left of these users then.
    for (object, ask) in [
        ("identifier to delete", (|a, _| consumer_request(a, "delete")) as fn(&Things, &Things) -> Ask),
        ("identifier to opt out", |a, _| consumer_request(a, "opt_out")),
        ("identifier to opt in", |a, _| consumer_request(a, "opt_in")),
    ] {
        let expected = Expected { bidder: ["403 UNAUTH"; 3], ..write(["200"; 3], true) };
        row("POST /privacy/consumer-request", object, ask, status, expected);
    }
    pixel_rows(&mut rows);
    rows.extend(segment_rows());
    rows.extend(account_rows::rows());
    rows
}

/// What pages call: no token plays a part in it, and no answer tells what there is.
fn pixel_rows(rows: &mut Vec<Row>) {
    let mut row = |operation, object, ask: fn(&Things, &Things) -> Ask, outcome: &'static str| {
        let expected = Expected { outsider: Some([outcome; 3]), ..same([outcome; 3], true) };
        rows.push(Row { operation, object, ask, outcome: pixel_outcome, expected });
    };
    row("GET /getuid", "none", |_, _| get("/getuid?https://ok.example.com/"), "302");
    row("GET /getuidnb", "none", |_, _| get("/getuidnb?https://ok.example.com/"), "302");
    row("GET /getuidu", "none", |_, _| get("/getuidu?https://ok.example.com/"), "302");
    row("GET /getuidj", "none", |_, _| get("/getuidj"), "200");
    row("GET /getuidp", "none", |_, _| get("/getuidp?callback=f"), "200");
    row(
        "GET /mapuid",
        "member, user, segment id, code",
        |a, _| {
            get(format!("/mapuid?member={}&user={}&seg={}&seg_code={}", a.member, a.user, a.segment, a.code))
        },
        "200",
    );
    row(
        "GET /seg",
        "segment id in one's own name",
        |a, base| get(format!("/seg?add={}&value=1&member={}", a.segment, base.member)),
        "200",
    );
    row(
        "GET /seg",
        "segment id in its owner's name",
        |a, _| get(format!("/seg?remove={}&t=1", a.segment)),
        "200",
    );
    row(
        "GET /seg",
        "codes of a member",
        |a, _| {
            get(format!(
                "/seg?add_code={}&remove_code={}&member={}&redir=https://ok.example.com/",
                a.code, a.inactive_code, a.member
            ))
        },
        "302",
    );
    row("GET /optout", "none", |_, _| get("/optout"), "200");
    row("POST /optout", "a form of another page", |_, _| post("/optout", json!({})), "403 UNAUTH");
}

fn consumer_request(about: &Things, request_type: &str) -> Ask {
    let body = json!({"identifier": about.user, "identifier_type": "uuid2", "request_type": request_type});
    post("/privacy/consumer-request", body)
}

/// A key belongs to a login, not to a member: other logins of the member are strangers to it.
fn public_keys(
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
        read(["shown", "nothing", "nothing"], ["nothing"; 3], ["shown", "shown", "nothing"]),
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
    // With an absent one beside it, so that the row can be asked again: all are deleted or none.
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

/// A service that is the caller's own: another's is refused, and an admin sees and changes all that there is.
const SERVICE: Expected = Expected {
    admin: ["200", "200", "404 SYNTAX"],
    reader: ["403 UNAUTH"; 3],
    ..same(["200", "403 UNAUTH", "403 UNAUTH"], true)
};

/// The rows of `/segment`, by query and by path.
fn segment_rows() -> Vec<Row> {
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
    row("GET /segment", "id", |a, _| get(format!("/segment?id={}", a.segment)), list_outcome, list());
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
        // No segment is its own parent.
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
    // One's own segments are needed further on: of those only what is not there.
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
    rows
}

fn list_outcome(answer: &Answer) -> String {
    if answer.status != 200 {
        return status(answer);
    }
    let response = answer.ok();
    assert_eq!(response["segments"].as_array().unwrap().is_empty(), response["count"] == 0);
    if response["count"] == 0 { "nothing" } else { "shown" }.to_owned()
}

fn users(about: &Things) -> Value {
    json!({"users": [{"user_id": about.user}, {"user_id": about.user, "domain": null}]})
}

/// What the document names and a row need not: it says how, not what.
pub(super) const NO_OBJECTS: [&str; 28] = [
    "X-Request-Id",
    "verbose",
    "agg",
    "format",
    "domain",
    "value",
    "expiration",
    "search",
    "sort",
    "fields",
    "start_element",
    "num_elements",
    "include_shared",
    "append",
    "segments",
    "state",
    "description",
    "expire_minutes",
    "advertiser_id",
    "enable_rm_piggyback",
    "max_usersync_pixels",
    "piggyback_pixels",
    "url",
    "pixel_type",
    "querystring_mapping",
    "querystring_mapping_key_value",
    "price",
    "short_name",
];

pub(super) fn status(answer: &Answer) -> String {
    let code = answer.status.as_u16().to_string();
    match answer.json()["response"]["error_id"].as_str() {
        Some(id) => format!("{code} {id}"),
        None => code,
    }
}

fn write_outcome(answer: &Answer) -> String {
    if answer.status != 200 {
        return status(answer);
    }
    let response = answer.ok();
    match response["warnings"][0]["message"].as_str() {
        None if response["message"]["segments_accepted"] == 1 => "accepted",
        Some("This member may not write to the segment.") => "unauthorized",
        Some("The segment does not exist.") => "absent",
        Some("The segment is inactive.") => "inactive",
        other => panic!("{other:?}"),
    }
    .to_owned()
}

fn pixel_outcome(answer: &Answer) -> String {
    if answer.status.is_client_error() { status(answer) } else { answer.status.as_u16().to_string() }
}

fn report_outcome(answer: &Answer) -> String {
    if answer.status == 200 { "report".to_owned() } else { status(answer) }
}

fn read_outcome(answer: &Answer) -> String {
    if answer.status != 200 {
        return status(answer);
    }
    if shown_segments(answer).is_empty() { "nothing" } else { "shown" }.to_owned()
}
