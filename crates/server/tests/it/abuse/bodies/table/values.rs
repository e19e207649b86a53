//! Values of the fields of a body.

use super::{Case, Expected, beside_canary, block, user};

pub(super) fn numbers() -> Vec<Case> {
    use Expected::{Status, Warned};
    let digits = format!("1{}", "0".repeat(5000));
    let fraction = format!("1.{}", "1".repeat(5000));
    let mut cases = Vec::new();
    for number in [
        "1e400",
        "-1e400",
        &digits,
        "1e-400",
        "1.0",
        "1e2",
        "99e0",
        "0.0",
        "-0",
        "-0.0",
        &fraction,
        "9223372036854775808",
        "18446744073709551616",
        "1E+999999999999999999999",
        "-1",
    ] {
        let name: String = number.chars().take(30).collect();
        let is_zero = ["0.0", "-0", "-0.0"].contains(&number);
        let is_whole = is_zero || ["1.0", "1e2", "99e0"].contains(&number);
        // A number that is not an integer of the range is invalid, but only in its own block. One that is stands beside
        // a segment that does not exist.
        let (seg_id, expected) = if is_whole { (99, Expected::Whole) } else { (12, Warned) };
        for field in ["seg_id", "value", "member_id", "seg_code"] {
            let rest = if field == "seg_id" { String::new() } else { format!(r#", "seg_id": {seg_id}"#) };
            let is_id = field.ends_with("_id");
            let expected = if field == "seg_code" || (is_id && is_zero) { Warned } else { expected };
            let block = block(&format!(r#""{field}": {number}{rest}"#));
            cases.push(Case::new(format!("{name} as {field}"), block, expected));
        }
        if number != "-1" {
            let block = block(&format!(r#""seg_id": {seg_id}, "expiration": {number}"#));
            cases.push(Case::new(format!("{name} as expiration"), block, expected));
        }
        let is_integer = number.parse::<u64>().is_ok() || number == "-1";
        let expected = if is_integer { Expected::Spoiled } else { Warned };
        cases.push(Case::new(
            format!("{name} as user_id"),
            user(&format!(r#""user_id": {number}"#)),
            if number == "9223372036854775808" { Expected::Whole } else { expected },
        ));
        cases.push(Case::new(
            format!("{name} as domain"),
            user(&format!(r#""user_id": "7777777", "domain": {number}"#)),
            Warned,
        ));
        cases.push(Case::new(format!("{name} as a user"), beside_canary(&format!(", {number}")), Warned));
        cases.push(Case::new(
            format!("{name} as rt_segment"),
            format!(r#"{{"rt_segment": {number}}}"#),
            Status(400),
        ));
        cases.push(Case::new(
            format!("{name} in an unknown field"),
            block(&format!(r#""seg_id": 99, "x": [{number}]"#)),
            Expected::Whole,
        ));
    }
    for number in [
        "012",
        "+1",
        ".5",
        "1.",
        "1.e400",
        "1e",
        "0x10",
        "nan",
        "+Infinity",
        "1_000",
        "--1",
        "-",
        "1e400e",
        "01e400",
        "1 2",
    ] {
        cases.push(Case::new(
            format!("{number} as value"),
            block(&format!(r#""seg_id": 12, "value": {number}"#)),
            Status(400),
        ));
    }
    for gap in ["NaN", "Infinity", "-Infinity"] {
        let block = block(&format!(r#""seg_id": 12, "value": {gap}"#));
        cases.push(Case::new(format!("{gap} as value"), block, Warned));
    }
    cases
}

pub(super) fn keys() -> Vec<Case> {
    use Expected::{Nobody, Spoiled, Warned, Whole};
    let canary = r#"{"user_id": "@", "seg_block": [{"seg_id": 12}]}"#;
    vec![
        Case::new(
            "rt_segment twice, the last is empty",
            format!(r#"{{"rt_segment": [{canary}], "rt_segment": []}}"#),
            Nobody,
        ),
        Case::new(
            "rt_segment twice, the first is a number",
            format!(r#"{{"rt_segment": 5, "rt_segment": [{canary}]}}"#),
            Whole,
        ),
        Case::new(
            "rt_segment twice, the last is null",
            format!(r#"{{"rt_segment": [{canary}], "rt_segment": null}}"#),
            Expected::Status(400),
        ),
        Case::new(
            "user_id twice",
            beside_canary("").replace(r#""user_id": "@""#, r#""user_id": "7777777", "user_id": "@""#),
            Whole,
        ),
        Case::new(
            "seg_block twice",
            beside_canary("").replace(r#""seg_block""#, r#""seg_block": [{"seg_id": 99}], "seg_block""#),
            Whole,
        ),
        Case::new(
            "seg_block twice, the last is empty",
            beside_canary(r#", {"user_id": "7777777", "seg_block": [{"seg_id": 12}], "seg_block": []}"#),
            Warned,
        ),
        Case::new("domain twice", user(r#""user_id": "7777777", "domain": null, "domain": "idfa""#), Spoiled),
        Case::new("seg_id twice", block(r#""seg_id": 12, "seg_id": 99"#), Whole),
        Case::new("seg_id twice, the last is null", block(r#""seg_id": 12, "seg_id": null"#), Warned),
        Case::new("value twice", block(r#""seg_id": 12, "value": 1, "value": -1"#), Warned),
        Case::new("an escaped key", beside_canary("").replace("user_id", r"\u0075ser_id"), Whole),
        Case::new(
            "an escaped key beside the same",
            beside_canary("").replace(r#""user_id": "@""#, r#""user_id": "7777777", "\u0075ser_id": "@""#),
            Whole,
        ),
        Case::new(
            "a key in other letters",
            beside_canary(r#", {"USER_ID": "7777777", "seg_block": [{"seg_id": 12}]}"#),
            Warned,
        ),
        Case::new("100,000 keys", block(&format!(r#"{}"seg_id": 99"#, r#""a":1,"#.repeat(100_000))), Whole),
        Case::new("a comment", beside_canary("/* */"), Expected::Status(400)),
        Case::new("a comma too much", beside_canary(","), Expected::Status(400)),
        Case::new("single quotes", "{'rt_segment': []}", Expected::Status(400)),
        Case::new("two values", format!("{} {{}}", beside_canary("")), Expected::Status(400)),
        Case::new("__proto__", block(r#""__proto__": {"seg_id": 12}, "constructor": 5"#), Warned),
        Case::new(
            "keys of the parser's own",
            block(
                r#""seg_id": {"$serde_json::private::Number": "12", "$serde_json::private::RawValue": "12"}"#,
            ),
            Warned,
        ),
    ]
}

pub(super) fn texts() -> Vec<Case> {
    use Expected::{Spoiled, Status, Whole};
    let mut cases = Vec::new();
    // Half of a surrogate pair is not a character, so a text with it matches no user and no segment.
    for half in [
        r"\ud800",
        r"\udfff",
        r"\uD83D",
        r"\udc00\ud800",
        r"\ud800\ud800\udc00",
        r"\ud83d\u0041",
        r"\ud83dx",
        r"\ud83d\n",
    ] {
        cases.extend([
            Case::new(
                format!("{half} in a user_id"),
                user(&format!(r#""user_id": "7777777{half}""#)),
                Spoiled,
            ),
            Case::new(
                format!("{half} in a domain"),
                user(&format!(r#""user_id": "7777777", "domain": "{half}""#)),
                Spoiled,
            ),
            Case::new(
                format!("{half} in a seg_code"),
                block(&format!(r#""seg_code": "cars{half}", "member_id": 958"#)),
                Spoiled,
            ),
            Case::new(
                format!("{half} as a seg_id"),
                block(&format!(r#""seg_id": "12{half}""#)),
                Expected::Warned,
            ),
            Case::new(
                format!("{half} as a value"),
                block(&format!(r#""seg_id": 12, "value": "1{half}""#)),
                Expected::Warned,
            ),
            Case::new(format!("{half} in a key"), block(&format!(r#""seg_id{half}": 12"#)), Expected::Warned),
            Case::new(
                format!("{half} in an unknown field"),
                block(&format!(r#""seg_id": 99, "x": "{half}""#)),
                Whole,
            ),
        ]);
    }
    cases.extend([
        Case::new("a whole pair", block(r#""seg_code": "\ud83d\ude00", "member_id": 958"#), Spoiled),
        Case::new("half an escape", user(r#""user_id": "7777777\ud8""#), Status(400)),
        Case::new("an unknown escape", user(r#""user_id": "7777777\x41""#), Status(400)),
        Case::new("an escaped NUL in a user_id", user(r#""user_id": "7777777\u0000""#), Spoiled),
        Case::new("an escaped NUL before a user_id", user(r#""user_id": "\u00007777777""#), Spoiled),
        Case::new(
            "an escaped NUL in a seg_code",
            block(r#""seg_code": "cars\u0000", "member_id": 958"#),
            Spoiled,
        ),
        Case::new("a line break in a user_id", user(r#""user_id": "7777\n777""#), Spoiled),
        Case::new("a space in a user_id", user(r#""user_id": "7777 777""#), Spoiled),
        Case::new("a sign in a user_id", user(r#""user_id": "+7777777""#), Spoiled),
        Case::new("digits beyond ASCII", user(r#""user_id": "٧٧٧٧٧٧٧""#), Spoiled),
        Case::new("wide digits", user(r#""user_id": "７７７７７７７""#), Spoiled),
        Case::new("a NUL in a string", user("\"user_id\": \"7777777\0\""), Status(400)),
        Case::new("a NUL between", beside_canary("\0"), Status(400)),
        Case::new("a NUL at the end", format!("{}\0", beside_canary("")), Status(400)),
        Case::new("a raw line break in a string", user("\"user_id\": \"7777777\n\""), Status(400)),
        Case::new("a mark before it", format!("\u{feff}{}", beside_canary("")), Whole),
        Case::new("a no-break space between", beside_canary("\u{a0}"), Status(400)),
        Case::new("nothing but spaces", " ".repeat(10_000), Status(400)),
    ]);
    for (name, bytes) in [
        ("0xff", &b"\xff"[..]),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong NUL", b"\xc0\x80"),
        ("half a pair in UTF-8", b"\xed\xa0\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
        ("a character cut short", b"\xe2\x82"),
    ] {
        let body = user(r#""user_id": "7777777%""#);
        let (front, back) = body.split_once('%').unwrap();
        cases.push(Case::new(name, [front.as_bytes(), bytes, back.as_bytes()].concat(), Status(400)));
    }
    let wide: Vec<u8> = beside_canary("").encode_utf16().flat_map(u16::to_le_bytes).collect();
    cases.push(Case::new("UTF-16", wide, Status(400)));
    cases
}

/// Every JSON type in every field. Some are valid, so the segment beside the value does not exist.
pub(super) fn types() -> Vec<Case> {
    use Expected::{Spoiled, Status};
    let mut cases = Vec::new();
    for value in [
        "null",
        "true",
        "false",
        "1",
        "-1",
        "1.5",
        "\"\"",
        "\"x\"",
        "\"1\"",
        "[]",
        "[1]",
        "[null]",
        "{}",
        r#"{"a": 1}"#,
        r#"[{"seg_id": 99}]"#,
    ] {
        for field in ["seg_id", "seg_code", "member_id", "value", "expiration"] {
            let seg_id = if field == "seg_id" { "" } else { r#", "seg_id": 99"# };
            cases.push(Case::new(
                format!("{value} as {field}"),
                block(&format!(r#""{field}": {value}{seg_id}"#)),
                Spoiled,
            ));
        }
        for field in ["user_id", "domain", "seg_block"] {
            let body = beside_canary(&format!(
                r#", {{"user_id": "7777777", "seg_block": [{{"seg_id": 99}}], "{field}": {value}}}"#
            ));
            cases.push(Case::new(format!("{value} as {field}"), body, Spoiled));
        }
        cases.push(Case::new(
            format!("{value} as a block"),
            beside_canary(&format!(r#", {{"user_id": "7777777", "seg_block": [{value}]}}"#)),
            Spoiled,
        ));
        cases.push(Case::new(format!("{value} as a user"), beside_canary(&format!(", {value}")), Spoiled));
        let is_list = value.starts_with('[');
        let expected = if is_list { Expected::Nobody } else { Status(400) };
        cases.push(Case::new(
            format!("{value} as rt_segment"),
            format!(r#"{{"rt_segment": {value}}}"#),
            expected,
        ));
        cases.push(Case::new(format!("{value} as the body"), value, Status(400)));
    }
    cases
}
