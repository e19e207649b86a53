//! The rows of `/batch-segment` and `/segment-upload`. Jobs have ids that nobody guesses, so that foreign ones are in the
//! tests of files; here they are named by their numbers, of which each member has one.

use super::*;

/// The number of the job that the table has made for a member.
fn number(about: &Things) -> u64 {
    match about.member {
        958 => 1,
        77 => 2,
        _ => 4711,
    }
}

fn jobs_outcome(answer: &Answer) -> String {
    match (answer.status.as_u16(), answer.json()["response"]["count"].as_u64()) {
        (200, Some(0)) => "nothing".to_owned(),
        (200, Some(_)) => "shown".to_owned(),
        _ => status(answer),
    }
}

/// The rows.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row =
        |operation, object, ask: fn(&Things, &Things) -> Ask, outcome: fn(&Answer) -> String, expected| {
            rows.push(Row { operation, object, ask, outcome, expected });
        };
    row("GET /batch-segment/meta", "none", |_, _| get("/batch-segment/meta"), status, same(["200"; 3], true));
    row(
        "GET /batch-segment",
        "member_id",
        |a, _| get(format!("/batch-segment?member_id={}", a.member)),
        jobs_outcome,
        Expected {
            admin: ["shown", "shown", "nothing"],
            ..same(["shown", "403 UNAUTH", "403 UNAUTH"], true)
        },
    );
    row(
        "GET /batch-segment",
        "number of a job",
        |a, _| get(format!("/batch-segment?id={}", number(a))),
        jobs_outcome,
        same(["shown", "nothing", "nothing"], true),
    );
    row(
        "GET /batch-segment",
        "job_id that there is not",
        |a, _| get(format!("/batch-segment?job_id={}", a.code.repeat(8))),
        status,
        same(["404 SYNTAX"; 3], true),
    );
    row(
        "POST /batch-segment",
        "member_id",
        |a, _| ask_for_job(format!("/batch-segment?member_id={}", a.member)),
        status,
        Expected { admin: ["200", "200", "404 SYNTAX"], ..write(["200", "403 UNAUTH", "403 UNAUTH"], true) },
    );
    row(
        "POST /batch-segment",
        "segment to replace",
        |a, _| ask_for_job(format!("/batch-segment?replace={}", a.segment)),
        status,
        // The counters of a file tell one from the other, too.
        write(["200", "403 UNAUTH", "404 SYNTAX"], false),
    );
    for (operation, method) in
        [("POST /segment-upload/{job_id}", Method::POST), ("PUT /segment-upload/{job_id}", Method::PUT)]
    {
        let ask: fn(&Things, &Things) -> Ask = match method {
            Method::POST => |a, _| post(unknown_upload(a), json!({})),
            _ => |a, _| put(unknown_upload(a), json!({})),
        };
        let expected = Expected { outsider: Some(["404 SYNTAX"; 3]), ..same(["404 SYNTAX"; 3], true) };
        row(operation, "upload that there is not", ask, status, expected);
    }
    rows
}

fn ask_for_job(target: String) -> Ask {
    Ask { method: Method::POST, target, body: None }
}

fn unknown_upload(about: &Things) -> String {
    format!("/segment-upload/{}", about.code.repeat(8))
}
