//! The rows of the table: each route with each kind of object that it takes, and the expected outcomes.

mod files;
mod pixels;
mod public_keys;
mod segments;

use super::account_rows;
use super::{Ask, credentials, delete, get, post, put, shown_segments};
use hyper::Method;
use ia_testkit::Answer;
use serde_json::{Value, json};

/// The objects of one member, which other members must not learn about.
pub(super) struct Things {
    pub(super) member: u64,
    pub(super) segment: u64,
    pub(super) code: &'static str,
    pub(super) inactive_code: &'static str,
    /// A user in this member's segment and in no other.
    pub(super) user: &'static str,
    pub(super) login: &'static str,
    /// The id of that login.
    pub(super) login_id: u32,
    /// The id of its public key.
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

/// A user whose profile must not change.
pub(super) const VICTIM: &str = "11000000000000001";

/// A user to whose profile the requests write.
pub(super) const WRITTEN: &str = "12000000000000001";

impl Things {
    /// Their forms in requests and answers, which are masked before answers are compared.
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

    /// The id of its login.
    pub(super) fn login_id(&self) -> u32 {
        match self.member {
            958 => 1,
            77 => 5,
            _ => 4711,
        }
    }

    /// The id of its sharing with member 1262; it shares no segments.
    pub(super) fn sharing_id(&self) -> u32 {
        match self.member {
            958 => 2,
            77 => 3,
            _ => 4711,
        }
    }

    /// Texts that reveal the objects anywhere in an answer.
    pub(super) fn canaries(&self) -> Vec<String> {
        let name = match self.member {
            958 => "Provider",
            _ => "Stranger",
        };
        [self.code, self.inactive_code, self.user, name].map(str::to_owned).to_vec()
    }
}

/// The outcomes of a row by kind of caller, each for own, foreign and absent.
pub(super) struct Expected {
    pub(super) member: [&'static str; 3],
    pub(super) reader: [&'static str; 3],
    pub(super) bidder: [&'static str; 3],
    pub(super) admin: [&'static str; 3],
    /// For callers without a valid token.
    pub(super) outsider: Option<[&'static str; 3]>,
    /// Whether a member must get the same answer for a foreign object as for an absent one.
    pub(super) alike: bool,
}

/// A row of the table: a route and the kind of object that it takes.
pub(super) struct Row {
    pub(super) operation: &'static str,
    pub(super) object: &'static str,
    /// The request about the objects of `about`; those of `base` are the caller's own.
    pub(super) ask: fn(about: &Things, base: &Things) -> Ask,
    /// The outcome of an answer, in a few words.
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

/// A read of memberships: bidders and admins see everything.
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

/// All rows. Outcomes are in the order own, foreign, absent.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row =
        |operation, object, ask: fn(&Things, &Things) -> Ask, outcome: fn(&Answer) -> String, expected| {
            rows.push(Row { operation, object, ask, outcome, expected });
        };
    // These routes ignore the caller's token.
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

    // Reports before writes, because a report repeats what the member has sent.
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

    public_keys::add(&mut row);

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
        "user id beside extended ids",
        |a, _| {
            let mut body = users(a);
            let eids = json!([{"source": "a.example", "uids": [{"id": "1", "atype": 1}]}]);
            for user in body["users"].as_array_mut().expect("a list") {
                user["eids"] = eids.clone();
                user["ext"] = json!({"eids": eids});
            }
            post("/user-segment", body)
        },
        read_outcome,
        READ,
    );
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
    // Whose own ids are meant; none of these members has any.
    for (object, ask) in [
        ("member_id of an external id", (|a, _| external_ids(a, None)) as fn(&Things, &Things) -> Ask),
        ("member_id of an external id, in the query", |a, _| external_ids(a, Some(a.member))),
    ] {
        let own = ["422 SYNTAX", "403 UNAUTH", "403 UNAUTH"];
        let expected = Expected {
            member: own,
            reader: own,
            bidder: ["403 UNAUTH"; 3],
            admin: ["422 SYNTAX"; 3],
            ..READ
        };
        row("POST /privacy/consumer-request", object, ask, status, expected);
    }
    row(
        "POST /rt-segment",
        "segment id",
        |a, _| post("/rt-segment", add(json!({"seg_id": a.segment}), VICTIM)),
        status,
        write(["200"; 3], true),
    );
    // The only place where a foreign object differs from an absent one: the report has a count for each.
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
    // Last, because they delete everything about these users.
    for (object, ask) in [
        ("identifier to delete", (|a, _| consumer_request(a, "delete")) as fn(&Things, &Things) -> Ask),
        ("identifier to opt out", |a, _| consumer_request(a, "opt_out")),
        ("identifier to opt in", |a, _| consumer_request(a, "opt_in")),
    ] {
        let expected = Expected { bidder: ["403 UNAUTH"; 3], ..write(["200"; 3], true) };
        row("POST /privacy/consumer-request", object, ask, status, expected);
    }
    pixels::add(&mut rows);
    rows.extend(files::rows());
    rows.extend(segments::rows());
    rows.extend(account_rows::rows());
    rows
}

fn consumer_request(about: &Things, request_type: &str) -> Ask {
    let body = json!({"identifier": about.user, "identifier_type": "uuid2", "request_type": request_type});
    post("/privacy/consumer-request", body)
}

fn external_ids(of: &Things, in_query: Option<u64>) -> Ask {
    let mut body = json!({"identifier": VICTIM, "identifier_type": "external", "request_type": "access"});
    match in_query {
        Some(member) => post(format!("/privacy/consumer-request?member_id={member}"), body),
        None => {
            body["member_id"] = json!(of.member);
            post("/privacy/consumer-request", body)
        }
    }
}

fn users(about: &Things) -> Value {
    json!({"users": [{"user_id": about.user}, {"user_id": about.user, "domain": null}]})
}

/// Parameters and fields of the document that name no object.
pub(super) const NO_OBJECTS: [&str; 36] = [
    "array",
    "X-Request-Id",
    "Sec-GPC",
    "us_privacy",
    "gdpr",
    "gdpr_consent",
    "gpp",
    "gpp_sid",
    "verbose",
    "dry_run",
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

fn report_outcome(answer: &Answer) -> String {
    if answer.status == 200 { "report".to_owned() } else { status(answer) }
}

fn read_outcome(answer: &Answer) -> String {
    if answer.status != 200 {
        return status(answer);
    }
    if shown_segments(answer).is_empty() { "nothing" } else { "shown" }.to_owned()
}
