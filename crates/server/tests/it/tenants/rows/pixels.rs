//! The rows of the pixels.

use super::*;

/// Pixels: they ignore tokens, and no answer reveals which objects exist.
pub(super) fn add(rows: &mut Vec<Row>) {
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
            get(format!(
                "/mapuid?member={}&user={}&eid=a.example:{}&seg={}&seg_code={}",
                a.member, a.user, a.user, a.segment, a.code
            ))
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

fn pixel_outcome(answer: &Answer) -> String {
    if answer.status.is_client_error() { status(answer) } else { answer.status.as_u16().to_string() }
}
