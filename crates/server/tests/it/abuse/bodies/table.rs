//! Bodies, and what becomes of them.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Stands beside the canary with something wrong with it.
pub(super) const SPOILED_USER: &str = "7777777";

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Answered with this; nothing of it is applied.
    Status(u16),
    /// OK without a warning; the canary is applied.
    Whole,
    /// OK with a warning; the canary is applied, what is wrong is not.
    Warned,
    /// OK, with a warning or a count in the report; the canary is applied, what is wrong is not.
    Spoiled,
    /// OK; neither is applied.
    Nobody,
}

/// One body.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// With `@` where the canary's id belongs, in what is not packed.
    body: Vec<u8>,
    pack: fn(Vec<u8>) -> Vec<u8>,
    pub(super) expected: Expected,
}

impl Case {
    fn new(name: impl Into<String>, body: impl Into<Vec<u8>>, expected: Expected) -> Case {
        let (name, body) = (name.into(), body.into());
        Case { name, path: "/rt-segment", headers: Vec::new(), body, pack: |body| body, expected }
    }

    fn at(self, path: &'static str) -> Case {
        Case { name: format!("{path}: {}", self.name), path, ..self }
    }

    fn packed(self, pack: fn(Vec<u8>) -> Vec<u8>) -> Case {
        Case { headers: vec![("content-encoding", "gzip")], pack, ..self }
    }

    fn with_headers(self, headers: &[(&'static str, &'static str)]) -> Case {
        Case { headers: headers.to_vec(), ..self }
    }

    /// The bytes to send.
    pub(super) fn body_with(&self, canary: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.body.len() + canary.len());
        for &byte in &self.body {
            if byte == b'@' { body.extend_from_slice(canary.as_bytes()) } else { body.push(byte) }
        }
        (self.pack)(body)
    }
}

/// A good user, then what is given, in one request.
fn beside_canary(rest: &str) -> String {
    format!(r#"{{"rt_segment": [{{"user_id": "@", "seg_block": [{{"seg_id": 12}}]}}{rest}]}}"#)
}

/// A good user, then one whose only block is given.
fn block(block: &str) -> String {
    beside_canary(&format!(r#", {{"user_id": "{SPOILED_USER}", "seg_block": [{{{block}}}]}}"#))
}

/// A good user, then one with these fields and a good block.
fn user(fields: &str) -> String {
    beside_canary(&format!(r#", {{{fields}, "seg_block": [{{"seg_id": 13}}]}}"#))
}

/// Packed with gzip.
pub(super) fn gzip(content: Vec<u8>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&content).unwrap();
    encoder.finish().unwrap()
}

/// All of the table.
pub(super) fn all() -> Vec<Case> {
    let mut cases = nesting();
    cases.extend(packing());
    cases.extend(numbers());
    cases.extend(keys());
    cases.extend(texts());
    cases.extend(sizes());
    cases.extend(types());
    cases.extend(other_routes());
    cases
}

/// Those that take most memory or time.
pub(super) fn heaviest() -> Vec<Case> {
    let names = [
        "as many empty blocks as fit",
        "as many empty users as fit",
        "a bomb of 24 MB",
        "as deep as it fits",
        "a string of a megabyte as user_id",
        "as many empty blocks as fit, packed",
    ];
    all().into_iter().filter(|case| names.contains(&case.name.as_str())).collect()
}

fn nesting() -> Vec<Case> {
    use Expected::{Status, Warned, Whole};
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep_objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let mut cases = vec![
        Case::new("as deep as it fits", "[".repeat(1 << 20), Status(400)),
        Case::new("objects as deep as it fits", r#"{"a":"#.repeat(200_000), Status(400)),
        Case::new("deep and closed", deep(500_000), Status(400)),
        Case::new("objects, deep and closed", deep_objects(150_000), Status(400)),
        Case::new("arrays and objects in turn", r#"[{"a":"#.repeat(170_000), Status(400)),
        Case::new(
            "a field of 100 levels",
            block(&format!(r#""seg_id": 12, "value": {}"#, deep(100))),
            Warned,
        ),
        Case::new(
            "an unknown field of 100 levels",
            block(&format!(r#""seg_id": 99, "x": {}"#, deep(100))),
            Whole,
        ),
    ];
    for (place, body) in [
        ("rt_segment", format!(r#"{{"rt_segment": {}"#, "[".repeat(1_000_000))),
        ("a user", beside_canary(&format!(", {}", deep(200_000)))),
        ("user_id", user(&format!(r#""user_id": {}"#, deep(200_000)))),
        (
            "seg_block",
            beside_canary(&format!(r#", {{"user_id": "7777777", "seg_block": {}}}"#, deep(200_000))),
        ),
        ("a field", block(&format!(r#""seg_id": {}"#, deep(200_000)))),
        ("an unknown field of a block", block(&format!(r#""x": {}"#, deep_objects(100_000)))),
        ("an unknown field of a user", user(&format!(r#""x": {}"#, deep_objects(100_000)))),
        ("an unknown field", format!(r#"{{"x": {}, "rt_segment": []}}"#, deep(200_000))),
    ] {
        cases.push(Case::new(format!("deep in {place}"), body, Status(400)));
    }
    cases
}

fn packing() -> Vec<Case> {
    use Expected::{Status, Whole};
    let good = || beside_canary("");
    let blocks = format!(
        r#"{{"rt_segment": [{{"user_id": "@", "seg_block": [{{"seg_id": 12}}{}]}}]}}"#,
        ",{}".repeat(340_000)
    );
    let packed =
        |name: &str, pack: fn(Vec<u8>) -> Vec<u8>, expected| Case::new(name, good(), expected).packed(pack);
    vec![
        packed("packed", gzip, Whole),
        packed(
            "a bomb of 24 MB",
            |mut body| {
                body.resize(24 << 20, b' ');
                gzip(body)
            },
            Status(413),
        ),
        packed(
            "a bomb of zeros",
            |mut body| {
                body.resize(24 << 20, 0);
                gzip(body)
            },
            Status(413),
        ),
        packed("packed twice", |body| gzip(gzip(body)), Status(400)),
        packed(
            "a bomb in a bomb",
            |mut body| {
                body.resize(16 << 20, b' ');
                gzip(gzip(body))
            },
            Status(400),
        ),
        packed(
            "a member for each byte",
            |body| body.chunks(1).flat_map(|byte| gzip(byte.to_vec())).collect(),
            Whole,
        ),
        packed("40,000 empty members", |body| [gzip(Vec::new()).repeat(40_000), gzip(body)].concat(), Whole),
        packed(
            "a member that grows over the bound",
            |body| [gzip(vec![b' '; 1 << 20]), gzip(body)].concat(),
            Status(413),
        ),
        packed(
            "cut short",
            |body| {
                let mut packed = gzip(body);
                packed.truncate(packed.len() - 9);
                packed
            },
            Status(400),
        ),
        packed(
            "cut in its last byte",
            |body| {
                let mut packed = gzip(body);
                packed.pop();
                packed
            },
            Status(400),
        ),
        packed(
            "cut in its head",
            |body| {
                let mut packed = gzip(body);
                packed.truncate(5);
                packed
            },
            Status(400),
        ),
        packed("bytes after the end", |body| [gzip(body), b"xyz".to_vec()].concat(), Status(400)),
        packed("zeros after the end", |body| [gzip(body), vec![0; 100]].concat(), Status(400)),
        packed("JSON after the end", |body| [gzip(body.clone()), body].concat(), Status(400)),
        packed(
            "a wrong checksum",
            |body| {
                let mut packed = gzip(body);
                let at = packed.len() - 8;
                packed[at] ^= 1;
                packed
            },
            Status(400),
        ),
        packed(
            "a wrong length",
            |body| {
                let mut packed = gzip(body);
                let at = packed.len() - 1;
                packed[at] ^= 1;
                packed
            },
            Status(400),
        ),
        packed(
            "a flipped bit",
            |body| {
                let mut packed = gzip(body);
                let at = packed.len() / 2;
                packed[at] ^= 16;
                packed
            },
            Status(400),
        ),
        packed("not packed", |body| body, Status(400)),
        packed("nothing, packed", |_| gzip(Vec::new()), Status(400)),
        packed("nothing", |_| Vec::new(), Status(400)),
        packed(
            "a long name in the head",
            |body| {
                let mut packed = gzip(body);
                packed[3] |= 8;
                packed.splice(10..10, [vec![b'n'; 60_000], vec![0]].concat());
                packed
            },
            Whole,
        ),
        Case::new("packed, and not said", good(), Status(400)).packed(gzip).with_headers(&[]),
        Case::new("packed twice, as it says", good(), Status(400))
            .packed(|body| gzip(gzip(body)))
            .with_headers(&[("content-encoding", "gzip, gzip")]),
        Case::new("two encodings", good(), Status(400))
            .packed(gzip)
            .with_headers(&[("content-encoding", "gzip"), ("content-encoding", "gzip")]),
        Case::new("gzip and identity", good(), Status(400))
            .packed(gzip)
            .with_headers(&[("content-encoding", "gzip"), ("content-encoding", "identity")]),
        Case::new("deflate", good(), Status(400)).with_headers(&[("content-encoding", "deflate")]),
        Case::new("brotli", good(), Status(400)).with_headers(&[("content-encoding", "br")]),
        Case::new("identity", good(), Whole).with_headers(&[("content-encoding", "identity")]),
        Case::new("as many empty blocks as fit, packed", blocks, Expected::Warned).packed(gzip),
    ]
}

fn numbers() -> Vec<Case> {
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
        "12e0",
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
        // What is no integer of the range is a wrong value, of its block alone.
        let fields = ["seg_id", "value", "member_id", "seg_code"];
        for field in fields.iter().filter(|&&field| field != "value" || number != "-0") {
            let rest = if *field == "seg_id" { String::new() } else { r#", "seg_id": 12"#.to_owned() };
            cases.push(Case::new(
                format!("{name} as {field}"),
                block(&format!(r#""{field}": {number}{rest}"#)),
                Warned,
            ));
        }
        if number != "-1" {
            cases.push(Case::new(
                format!("{name} as expiration"),
                block(&format!(r#""seg_id": 12, "expiration": {number}"#)),
                Warned,
            ));
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
        "NaN",
        "Infinity",
        "-Infinity",
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
    cases
}

fn keys() -> Vec<Case> {
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

fn texts() -> Vec<Case> {
    use Expected::{Spoiled, Status, Whole};
    let mut cases = Vec::new();
    // Half a pair is no character: what has it names nobody and nothing.
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
        Case::new("a line break in a user_id", user(r#""user_id": "7777777\n""#), Spoiled),
        Case::new("a space in a user_id", user(r#""user_id": " 7777777""#), Spoiled),
        Case::new("a sign in a user_id", user(r#""user_id": "+7777777""#), Spoiled),
        Case::new("digits beyond ASCII", user(r#""user_id": "٧٧٧٧٧٧٧""#), Spoiled),
        Case::new("wide digits", user(r#""user_id": "７７７７７７７""#), Spoiled),
        Case::new("a NUL in a string", user("\"user_id\": \"7777777\0\""), Status(400)),
        Case::new("a NUL between", beside_canary("\0"), Status(400)),
        Case::new("a NUL at the end", format!("{}\0", beside_canary("")), Status(400)),
        Case::new("a raw line break in a string", user("\"user_id\": \"7777777\n\""), Status(400)),
        Case::new("a mark before it", format!("\u{feff}{}", beside_canary("")), Status(400)),
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

fn sizes() -> Vec<Case> {
    use Expected::{Spoiled, Status, Warned};
    let megabyte = "7".repeat(1_000_000);
    let fitting = |front: &str, part: &str, back: &str| {
        let times = ((1 << 20) - front.len() - back.len() - 16) / part.len();
        format!("{front}{}{back}", part.repeat(times))
    };
    let (front, back) = (r#"{"rt_segment": [{"user_id": "@", "seg_block": [{"seg_id": 12}"#, "]}]}");
    let users = r#"{"rt_segment": [{"user_id": "@", "seg_block": [{"seg_id": 12}]}"#;
    vec![
        Case::new("a string of a megabyte as user_id", user(&format!(r#""user_id": "{megabyte}""#)), Warned),
        Case::new("a number of a megabyte as user_id", user(&format!(r#""user_id": {megabyte}"#)), Warned),
        Case::new(
            "a string of a megabyte as domain",
            user(&format!(r#""user_id": "7777777", "domain": "{megabyte}""#)),
            Spoiled,
        ),
        Case::new(
            "a string of a megabyte as seg_code",
            block(&format!(r#""seg_code": "{megabyte}", "member_id": 958"#)),
            Spoiled,
        ),
        Case::new("a string of a megabyte as seg_id", block(&format!(r#""seg_id": "{megabyte}""#)), Warned),
        Case::new("a key of a megabyte", block(&format!(r#""{megabyte}": 12"#)), Warned),
        Case::new(
            "escapes of a megabyte",
            user(&format!(r#""user_id": "{}""#, r"\u0037".repeat(160_000))),
            Warned,
        ),
        Case::new("as many empty blocks as fit", fitting(front, ",{}", back), Warned),
        Case::new("as many blocks as fit", fitting(front, r#",{"seg_id":99}"#, back), Warned),
        Case::new("as many zeros for blocks as fit", fitting(front, ",0", back), Warned),
        Case::new("as many empty users as fit", fitting(users, ",{}", "]}"), Warned),
        Case::new("as many zeros for users as fit", fitting(users, ",0", "]}"), Warned),
        Case::new("as many empty arrays as fit", fitting(users, ",[]", "]}"), Warned),
        Case::new(
            "an array of a million",
            format!(r#"{{"rt_segment": [{}0]}}"#, "0,".repeat(1_000_000)),
            Status(413),
        ),
        Case::new(
            "a string of 4 MB",
            user(&format!(r#""user_id": "{}""#, "7".repeat(4_000_000))),
            Status(413),
        ),
    ]
}

/// Every type in every field. What is wrong stands beside a segment that does not exist, since some of it is right.
fn types() -> Vec<Case> {
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

/// The routes that read small bodies.
fn other_routes() -> Vec<Case> {
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
