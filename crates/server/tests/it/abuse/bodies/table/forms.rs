//! Nesting, packing and size of bodies.

use super::{Case, Expected, beside_canary, block, gzip, user};

pub(super) fn nesting() -> Vec<Case> {
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

pub(super) fn packing() -> Vec<Case> {
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
        Case::new("packed, and not said", good(), Whole).packed(gzip).with_headers(&[]),
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

pub(super) fn sizes() -> Vec<Case> {
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
