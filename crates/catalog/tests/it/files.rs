//! Files that are at fault in themselves.

use ia_catalog::CatalogFile;

/// Reads `text` and gives the whole message.
fn fault(text: &str) -> String {
    CatalogFile::parse(text.as_bytes()).expect_err(text).to_string()
}

fn with_segment(fields: &str) -> String {
    format!(r#"{{"segments": [{{"id": 1, "member_id": 2, "code": "ok"}}, {{{fields}}}]}}"#)
}

#[test]
fn text_that_is_not_the_format_names_line_column_and_path() {
    let cases = [
        ("", "line 1, column 0: EOF while parsing a value"),
        ("[]", "line 1, column 0: invalid type: sequence, expected an object"),
        ("7", "invalid type: integer, expected an object"),
        ("{\"members\": [[1, \"a\"]]}", "members[0]: invalid type: sequence, expected an object"),
        (
            "{\"members\": [{\"id\": 1, \"name\": \"a\", \"limits\": [1]}]}",
            "members[0].limits: invalid type: sequence, expected an object",
        ),
        ("{\"members\": {}}", "members: invalid type: map, expected a sequence"),
        ("{\n  \"members\": [\n    {\"id\": 1,}\n  ]\n}", "line 3, column 14: members[0]"),
        ("{} {}", "line 1, column 4: trailing characters"),
        ("{\n\"member\": []}", "line 2, column 8: member: unknown field `member`"),
        (
            "{\"members\": [\n{\"id\": 1, \"name\": \"a\", \"nmae\": 2}]}",
            "line 2, column 29: members[0].nmae: unknown field `nmae`",
        ),
        (
            "{\"members\": [{\"id\": 1, \"name\": \"a\", \"limits\": {\"posts\": 1}}]}",
            "members[0].limits.posts: unknown field `posts`",
        ),
        ("{\"members\": [{\"id\": 1}]}", "members[0]: missing field `name`"),
        ("{\"members\": [{\"id\": -1, \"name\": \"a\"}]}", "members[0].id: an integer from 0 to"),
        ("{\"members\": [{\"id\": 4294967296, \"name\": \"a\"}]}", "members[0].id: an integer from 0 to"),
        ("{\"members\": [{\"id\": \"one\", \"name\": \"a\"}]}", "members[0].id: an integer from 0 to"),
        (
            "{\"members\": [{\"id\": 1.5, \"name\": \"a\"}]}",
            "members[0].id: an integer from 0 to 4294967295 is needed",
        ),
        ("{\"members\": [{\"id\": \"NaN\", \"name\": \"a\"}]}", "members[0].id: an integer from 0 to"),
        ("{\"members\": [{\"id\": NaN, \"name\": \"a\"}]}", "members[0].id: expected value"),
        (
            "{\"members\": [{\"id\": [1], \"name\": \"a\"}]}",
            "members[0].id: invalid type: sequence, expected an integer",
        ),
        (
            "{\"members\": [{\"id\": 1, \"name\": \"a\", \"segment_access\": [2, 2.5]}]}",
            "members[0].segment_access[1]: an integer from 0 to",
        ),
        (
            "{\"members\": [{\"id\": 1, \"name\": \"a\", \"limits\": {\"payload_bytes\": \"1e99\"}}]}",
            "members[0].limits.payload_bytes: an integer from 0 to",
        ),
        ("{\"members\": [{\"id\": 1, \"id\": 1, \"name\": \"a\"}]}", "members[0]: duplicate field `id`"),
        (
            "{\"segments\": [{\"id\": 1, \"member_id\": 1, \"state\": \"on\"}]}",
            "segments[0].state: unknown variant, expected `active` or `inactive`",
        ),
        (
            "{\"segments\": [{\"id\": 1, \"member_id\": 1, \"expire_minutes\": -1}]}",
            "segments[0].expire_minutes: an integer from 0 to",
        ),
        (
            "{\"users\": [{\"username\": \"a\", \"member_id\": 1, \"user_type\": \"root\"}]}",
            "users[0].user_type: unknown variant, expected",
        ),
        (
            "{\"sharing\": [{\"data_member_id\": 1, \"buyer_member_id\": 2}]}",
            "sharing[0]: missing field `segment_exposure`",
        ),
    ];
    for (text, expected) in cases {
        let message = fault(text);
        assert!(message.contains(expected), "{text}\n gave {message}\n not {expected}");
        assert!(message.starts_with("line "), "{message}");
    }
    let not_utf8 = CatalogFile::parse(b"{\"members\": [{\"id\": 1, \"name\": \"\xff\"}]}").unwrap_err();
    assert_eq!(not_utf8.path, "members[0].name");
}

#[test]
fn integers_come_in_any_form_and_text_in_utf_8() {
    let whole = |one: &str, minutes: &str, none: &str| {
        format!(
            r#"{{"members": [{{"id": {one}, "name": "a", "default_expiration": {minutes}, "external_member_uid": {none},
                             "segment_access": [{one}], "limits": {{"payload_bytes": {minutes}}}}}],
                "users": [{{"username": "a", "member_id": {one}}}],
                "segments": [{{"id": {one}, "member_id": {one}, "expire_minutes": {minutes}}}],
                "sharing": [{{"data_member_id": {one}, "buyer_member_id": 2, "segment_exposure": "list", "segments": [{one}]}}]}}"#
        )
    };
    let read = |text: &str| format!("{:?}", CatalogFile::parse(text.as_bytes()).expect(text));
    let plain = read(&whole("1", "1440", "null"));
    assert!(plain.contains("Set(1440)") && plain.contains("Clear"), "{plain}");
    for (one, minutes) in [
        ("1.0", "1440.0"),
        ("\"1\"", "\"1440\""),
        ("\"1.0\"", "\" 1440.0 \""),
        ("10e-1", "1.44e3"),
        ("\"1e0\"", "\"1.44E+3\""),
    ] {
        assert_eq!(read(&whole(one, minutes, "null")), plain, "{one} {minutes}");
    }
    assert_eq!(read(&format!("\u{feff}{}", whole("1", "1440", "null"))), plain, "with a byte order mark");
    let utf_16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let fault = CatalogFile::parse(&utf_16).unwrap_err().to_string();
    assert_eq!(fault, "the file is UTF-16: save it as UTF-8");
}

#[test]
fn values_that_may_not_be_name_their_path() {
    let long = "x".repeat(256);
    let cases = [
        (with_segment(r#""id": 1, "member_id": 2"#), "segments[1].id: segments[0] has the same id"),
        (
            with_segment(r#""id": 2, "member_id": 2, "code": "OK""#),
            "segments[1].code: segments[0] has the same code",
        ),
        (with_segment(r#""id": 0, "member_id": 2"#), "segments[1].id: an id is at least 1"),
        (with_segment(r#""id": 2, "member_id": 0"#), "segments[1].member_id: an id is at least 1"),
        (with_segment(r#""id": 2, "member_id": 2, "code": "a b""#), "segments[1].code: a code has 1 to 50 "),
        (with_segment(r#""id": 2, "member_id": 2, "code": "é""#), "segments[1].code: a code has 1 to 50 "),
        (with_segment(r#""id": 2, "member_id": 2, "code": """#), "segments[1].code: a code has 1 to 50 "),
        (
            with_segment(&format!(r#""id": 2, "member_id": 2, "code": "{}""#, "x".repeat(51))),
            "segments[1].code: a code has 1 to 50 ",
        ),
        (
            with_segment(&format!(r#""id": 2, "member_id": 2, "short_name": "{long}""#)),
            "segments[1].short_name: 1 to 255 characters",
        ),
        (
            with_segment(r#""id": 2, "member_id": 2, "expire_minutes": 2147483648"#),
            "segments[1].expire_minutes: 2147483648 is over 2147483647",
        ),
        (format!(r#"{{"members": [{{"id": 1, "name": "{long}"}}]}}"#), "members[0].name: 1 to 255 characters"),
        (r#"{"members": [{"id": 1, "name": ""}]}"#.into(), "members[0].name: 1 to 255 characters"),
        (r#"{"members": [{"id": 1, "name": "a\nb"}]}"#.into(), "members[0].name: no control characters"),
        (
            r#"{"members": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}"#.into(),
            "members[1].id: members[0] has the same id",
        ),
        (
            r#"{"members": [{"id": 1, "name": "a", "segment_access": [2, 0]}]}"#.into(),
            "members[0].segment_access[1]: an id is at least 1",
        ),
        (
            r#"{"members": [{"id": 1, "name": "a", "limits": {"payload_bytes": 3000000000}}]}"#.into(),
            "members[0].limits.payload_bytes: 3000000000 is over 2147483647",
        ),
        (
            r#"{"members": [{"id": 1, "name": "a", "default_expiration": 4000000000}]}"#.into(),
            "members[0].default_expiration: 4000000000 is over",
        ),
        (
            r#"{"members": [{"id": 1, "name": "a", "redirect_hosts": ["a.example", "*"]}]}"#.into(),
            "members[0].redirect_hosts[1]: is not a host,",
        ),
        (
            r#"{"users": [{"username": "a", "member_id": 1, "password": "short"}]}"#.into(),
            "users[0].password: a password has 10 to 64 characters",
        ),
        (
            r#"{"users": [{"username": "a", "member_id": 1}, {"username": "A", "member_id": 2}]}"#.into(),
            "users[1].username: users[0] has the same username",
        ),
        (r#"{"users": [{"username": " a", "member_id": 1}]}"#.into(), "users[0].username: no control characters"),
        (
            r#"{"sharing": [{"data_member_id": 1, "buyer_member_id": 1, "segment_exposure": "all"}]}"#.into(),
            "sharing[0].buyer_member_id: a member sees its own",
        ),
        (
            r#"{"sharing": [{"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "all", "segments": []}]}"#
                .into(),
            "sharing[0].segments: only the exposure 'list'",
        ),
        (
            r#"{"sharing": [{"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "all"},
                            {"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "all"}]}"#
                .into(),
            "sharing[1].buyer_member_id: sharing[0] has the same pair of members",
        ),
    ];
    for (text, expected) in cases {
        let message = fault(&text);
        assert!(message.starts_with(expected), "{text}\n gave {message}\n not {expected}");
    }
}

#[test]
fn the_edges_of_what_may_be_are_taken() {
    let code = "x".repeat(50);
    let name = "é".repeat(255);
    let text = format!(
        r#"{{"members": [{{"id": 4294967295, "name": "{name}", "default_expiration": 0}}],
             "segments": [{{"id": 1, "member_id": 1, "code": "{code}", "expire_minutes": 2147483647}},
                          {{"id": 2, "member_id": 2, "code": "{code}"}},
                          {{"id": 3, "member_id": 1, "code": "_-9", "short_name": null}},
                          {{"id": 4, "member_id": 1, "code": null}}]}}"#
    );
    CatalogFile::parse(text.as_bytes()).unwrap();
    CatalogFile::parse(b"{}").unwrap();
}
