//! Bodies of the other routes.

use super::{Case, Expected, gzip};

/// The routes that read small bodies.
pub(super) fn other_routes() -> Vec<Case> {
    use Expected::{Nobody, Status};
    let mut cases = Vec::new();
    for value in [
        "null",
        "true",
        "1",
        "-1",
        "1.5",
        "1e400",
        "\"\"",
        r#""\ud800""#,
        "\"\0\"",
        "[]",
        "{}",
        "[1]",
        &"[".repeat(60_000),
        &"{\"a\":".repeat(12_000),
        "",
    ] {
        let shown: String = value.chars().take(8).collect();
        for (name, body) in [
            ("the body", value.to_owned()),
            ("auth", format!(r#"{{"auth": {value}}}"#)),
            ("username", format!(r#"{{"auth": {{"username": {value}, "password": "x"}}}}"#)),
            ("password", format!(r#"{{"auth": {{"username": "nobody", "password": {value}}}}}"#)),
            ("an unknown field", format!(r#"{{"auth": 5, "x": {value}}}"#)),
        ] {
            let is_text = value == "\"\"" && (name == "username" || name == "password");
            let expected = if is_text { Status(401) } else { Status(400) };
            cases.push(Case::new(format!("{shown} as {name}"), body, expected).at("/auth"));
        }
        for (name, body) in [
            ("the body", value.to_owned()),
            ("users", format!(r#"{{"users": {value}}}"#)),
            ("a user", format!(r#"{{"users": [{value}]}}"#)),
            ("user_id", format!(r#"{{"users": [{{"user_id": {value}}}]}}"#)),
            ("domain", format!(r#"{{"users": [{{"user_id": "1", "domain": {value}}}]}}"#)),
        ] {
            let is_good = matches!(
                (value, name),
                ("[]", "users") | ("", "a user") | ("1", "user_id") | ("null" | "\"\"", "domain")
            );
            let expected = if is_good { Nobody } else { Status(400) };
            cases.push(Case::new(format!("{shown} as {name}"), body, expected).at("/user-segment"));
        }
    }
    cases.extend([
        Case::new("70 KB", format!(r#"{{"auth": {}"#, " ".repeat(70_000)), Status(413)).at("/auth"),
        Case::new("a bomb", vec![b' '; 16 << 20], Status(413)).packed(gzip).at("/auth"),
        Case::new("a bomb", vec![b' '; 16 << 20], Status(413)).packed(gzip).at("/user-segment"),
        Case::new("a million users", format!(r#"{{"users": [{}0]}}"#, "0,".repeat(500_000)), Status(400))
            .at("/user-segment"),
        Case::new(
            "1,001 users",
            format!(r#"{{"users": [{}{{"user_id": 1}}]}}"#, r#"{"user_id":1},"#.repeat(1000)),
            Status(400),
        )
        .at("/user-segment"),
        Case::new(
            "a name of 60 KB",
            format!(r#"{{"auth": {{"username": "{}", "password": "x"}}}}"#, "n".repeat(60_000)),
            Status(401),
        )
        .at("/auth"),
        Case::new(
            "equal keys",
            r#"{"auth": {"username": 5, "password": "x", "username": "nobody"}}"#,
            Status(401),
        )
        .at("/auth"),
    ]);
    cases
}
