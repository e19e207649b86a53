use super::*;
use crate::ingest::fuzz;
use crate::ingest::resolve::ExpirationRules;
use crate::ingest::resolve::tests::snapshot;
use crate::ingest::{Request, prepare};
use crate::nobody::Nobody;
use crate::opt_outs::InForce;
use ia_catalog::KnownUsers;
use ia_model::MemberId;
use proptest::prelude::*;
use serde_json::{Value, json};

const LIMITS: StructureLimits = StructureLimits { users_per_request: 3, segments_per_user: 2 };

fn try_to_read(text: &str, limits: StructureLimits, member: u32) -> Result<ReadRequest<'_>, NoRequest> {
    let context = Context {
        snapshot: &snapshot(),
        member: MemberId(member),
        now_ms: 60_000,
        expiration: ExpirationRules { default_minutes: 0, max_minutes: None },
        opt_outs: InForce::of_nobody(),
        known: &KnownUsers::everybody(),
        nobody: &Nobody::default(),
    };
    read(text, ReadRules { limits, verbose: false, turns: Turns::never() }, context)
}

fn error_of(body: &[u8]) -> String {
    let snapshot = snapshot();
    let request = Request {
        context: Context {
            snapshot: &snapshot,
            member: MemberId(1),
            now_ms: 60_000,
            expiration: ExpirationRules { default_minutes: 0, max_minutes: None },
            opt_outs: InForce::of_nobody(),
            known: &KnownUsers::everybody(),
            nobody: &Nobody::default(),
        },
        request_id: "r",
        limits: LIMITS,
        turns: Turns::never(),
        verbose: false,
    };
    prepare(body, &request).err().unwrap().to_string()
}

/// A request as the member of that id sends it.
pub(in crate::ingest) fn read_with(text: &str, limits: StructureLimits, member: u32) -> ReadRequest<'_> {
    try_to_read(text, limits, member).unwrap()
}

/// The warnings of a request, as the caller sees them, and what passed.
fn check_json(request: &Value) -> (Value, usize, usize) {
    let text = request.to_string();
    let read = read_with(&text, LIMITS, 1);
    (serde_json::to_value(&read.warnings).unwrap(), read.users, read.segments)
}

/// A request of one good user and one user with this block beside a good one.
fn warnings_of_block(block: &Value) -> Value {
    let good = json!({"seg_id": 1});
    let (warnings, users, _) = check_json(&json!({"rt_segment": [
        {"user_id": "1", "seg_block": [good]}, {"user_id": "2", "seg_block": [block, good]}
    ]}));
    assert_eq!(users, 2, "a bad block spoils neither its user nor another");
    warnings
}

#[test]
fn each_field_of_a_block_has_its_type() {
    let cases = [
        (json!({"seg_id": 1.5}), "'seg_id' must be an integer from 1 to 4294967295"),
        (json!({"seg_id": 0}), "'seg_id' must be an integer from 1 to 4294967295"),
        (json!({"seg_id": "x"}), "'seg_id' must be an integer from 1 to 4294967295"),
        (json!({"seg_id": u64::MAX}), "'seg_id' must be an integer from 1 to 4294967295"),
        (json!({"seg_code": 5, "member_id": 1}), "'seg_code' must be a string"),
        (json!({"seg_code": "a", "member_id": [1]}), "'member_id' must be an integer from 1 to 4294967295"),
        (json!({"seg_id": 1, "value": -1}), "'value' must be an integer from 0 to 2147483647"),
        (json!({"seg_id": 1, "value": 2_147_483_648_u32}), "'value' must be an integer from 0 to 2147483647"),
        (json!({"seg_id": 1, "value": true}), "'value' must be an integer from 0 to 2147483647"),
        (json!({"seg_id": 1, "expiration": -2}), "'expiration' must be an integer from -1 to 2147483647"),
        (json!({"seg_id": 1, "expiration": ""}), "'expiration' must be an integer from -1 to 2147483647"),
        (json!({"seg_id": 1, "seg_code": "a"}), "'seg_id' and 'seg_code' cannot be used together"),
        (json!({"seg_code": "a"}), "'seg_id' or 'seg_code' and 'member_id' are required"),
        (json!({"member_id": 1}), "'seg_id' or 'seg_code' and 'member_id' are required"),
        (json!({}), "'seg_id' or 'seg_code' and 'member_id' are required"),
    ];
    for (block, message) in cases {
        assert_eq!(warnings_of_block(&block), json!([{"message": message, "entity": block}]));
    }
    let other = warnings_of_block(&json!("a"));
    assert_eq!(other, json!([{"message": "'seg_block' must be an array of objects", "entity": "a"}]));
}

#[test]
fn lenient_forms_pass() {
    for block in [
        json!({"seg_id": "12", "value": "7", "expiration": "-1"}),
        json!({"seg_id": 12, "seg_code": null, "value": null, "expiration": null, "member_id": null}),
        json!({"seg_id": 12, "seg_code": "", "unknown": {"a": [1]}}),
        json!({"seg_id": 12, "member_id": 5}),
        json!({"seg_code": "A-1", "member_id": "1661", "value": 2_147_483_647}),
        json!({"seg_id": 12.0, "value": 7.0, "expiration": -1.0}),
        json!({"seg_id": "12.0", "value": " 7 ", "expiration": "1.44e3"}),
        json!({"seg_code": " A-1\t", "member_id": 1661.0, "value": -0.0}),
        json!({"seg_id": 12, "seg_code": " "}),
    ] {
        assert_eq!(warnings_of_block(&block), json!([]), "{block}");
    }
}

#[test]
fn each_field_of_a_user_has_its_type() {
    let seg_block = json!([{"seg_id": 1}]);
    let no_id = "'user_id' must be a string, or an integer without point and exponent";
    let cases = [
        (json!({"user_id": "", "seg_block": seg_block}), "'user_id' is required and cannot be empty"),
        (json!({"user_id": " \t", "seg_block": seg_block}), "'user_id' is required and cannot be empty"),
        (json!({"user_id": true, "seg_block": seg_block}), no_id),
        (json!({"user_id": 1.5, "seg_block": seg_block}), no_id),
        (json!({"user_id": 12345.0, "seg_block": seg_block}), no_id),
        (json!({"user_id": 1e19, "seg_block": seg_block}), no_id),
        (json!({"user_id": "1", "seg_block": seg_block, "domain": 5}), "'domain' must be a string"),
        (
            json!({"user_id": "x".repeat(256), "seg_block": seg_block}),
            "'user_id' must be a string of at most 255 bytes",
        ),
        (json!({"user_id": "1", "seg_block": []}), "'seg_block' is required"),
        (json!({"user_id": "1", "seg_block": {"seg_id": 1}}), "'seg_block' must be an array"),
        (json!(5), "'rt_segment' must be an array of objects"),
    ];
    for (user, message) in cases {
        let good = json!({"user_id": 7, "seg_block": seg_block});
        let (warnings, users, segments) = check_json(&json!({"rt_segment": [user, good]}));
        assert_eq!((users, segments), (1, 1), "{user}");
        assert_eq!(warnings, json!([{"message": message, "entity": user}]));
    }
}

#[test]
fn surplus_blocks_and_users_are_named_one_by_one() {
    let block = |id: u32| json!({"seg_id": id, "seg_code": null});
    let user = |id: &str| json!({"user_id": id, "seg_block": [block(1)], "domain": "idfa"});
    let request = json!({"rt_segment": [
        {"user_id": "a", "seg_block": [block(1), block(2), block(3), block(4)]},
        user("b"), user("c"), user("d"), user("e"),
    ]});
    let (warnings, users, segments) = check_json(&request);
    assert_eq!((users, segments), (3, 4));
    let with_nulls =
        json!({"seg_id": 1, "seg_code": null, "value": null, "expiration": null, "member_id": null});
    assert_eq!(
        warnings,
        json!([
            {"message": "Too many segments for user_id: a.", "entity": {"seg_id": 3}},
            {"message": "Too many segments for user_id: a.", "entity": {"seg_id": 4}},
            {"message": "Too many user_ids in request.", "entity": {"user_id": "d", "seg_block": [with_nulls]}},
            {"message": "Too many user_ids in request.", "entity": {"user_id": "e", "seg_block": [with_nulls]}},
        ])
    );
    let text = r#"{"rt_segment": [{"domain": null, "user_id": "a", "more": 1, "seg_block": [ {"value": 1, "seg_id": 0} ]}]}"#;
    let warnings = serde_json::to_string(&read_with(text, LIMITS, 1).warnings[1]).unwrap();
    let in_order = r#""entity":{"user_id":"a","seg_block":[{"seg_id":0,"value":1}]}}"#;
    assert!(warnings.ends_with(in_order), "{warnings}");
}

#[test]
fn an_empty_request_is_told_so() {
    let (warnings, ..) = check_json(&json!({"rt_segment": []}));
    assert_eq!(
        warnings,
        json!([{"message": "No valid rt_segment in request.", "entity": {"rt_segment": []}}])
    );
}

#[test]
fn a_body_that_is_no_request_says_what_is_wrong() {
    assert!(error_of(b"  ").contains("empty"));
    assert!(error_of(b"{\"rt_segment\": [\xff]}").contains("not UTF-8 (first bad byte at offset 16)"));
    assert!(error_of(b"{\"rt_segment\": [").contains("not valid JSON"));
    assert!(error_of(b"{\"rt_segment\": []} x").contains("trailing"));
    assert_eq!(error_of(b"[]"), "The request body must be a JSON object with an 'rt_segment' array");
    assert_eq!(error_of(b"5"), "The request body must be a JSON object with an 'rt_segment' array");
    assert_eq!(error_of(b"{}"), "'rt_segment' is required");
    assert_eq!(error_of(b"{\"rt_segment\": null}"), "'rt_segment' is required");
    for other in ["{}", "5", "-5", "1.5", "\"x\"", "true"] {
        let body = format!("{{\"rt_segment\": {other}}}");
        assert_eq!(error_of(body.as_bytes()), "'rt_segment' must be an array", "{other}");
    }
}

#[test]
fn nesting_is_bounded_even_where_nobody_looks() {
    let bomb = "[".repeat(100_000);
    for body in [
        bomb.clone(),
        format!("{{\"unknown\": {bomb}"),
        format!("{{\"rt_segment\": [{{\"unknown\": {bomb}"),
        format!("{{\"rt_segment\": [{{\"seg_block\": [{{\"unknown\": {bomb}"),
    ] {
        let error = error_of(body.as_bytes());
        assert!(error.contains("recursion limit") || error.contains("JSON object"), "{error}");
    }
}

#[test]
fn any_type_may_stand_anywhere() {
    let values =
        ["null", "true", "1", "-1", "18446744073709551615", "1e99", "1.5", "\"\\u00e9\"", "[1]", "{}"];
    for value in values {
        let body = format!(
            r#"{{"rt_segment": [{value}, {{"user_id": {value}, "domain": {value}, "seg_block": {value}}},
                {{"seg_block": [{value}, {{"seg_id": {value}, "seg_code": {value}, "value": {value}}}]}}]}}"#
        );
        assert!(try_to_read(&body, LIMITS, 1).is_ok(), "{value}");
    }
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let text = r#"{"rt_segment": 5, "rt_segment": [
        {"user_id": "a", "user_id": "b", "seg_block": [{"seg_id": 0}], "seg_block": [{"seg_id": 0, "seg_id": null}]}]}"#;
    let warnings = read_with(text, LIMITS, 1).warnings;
    let messages: Vec<Value> =
        warnings.iter().map(|warning| serde_json::to_value(warning.message).unwrap()).collect();
    assert_eq!(
        messages,
        [
            "'seg_id' or 'seg_code' and 'member_id' are required",
            "No valid segments for user_id: b.",
            "No valid rt_segment in request.",
        ]
    );
}

/// A value as it should be, now and then something else.
fn mostly(good: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    let odd = prop::sample::select(vec![
        json!(null),
        json!(0),
        json!(-1),
        json!(1.0),
        json!("10"),
        json!(""),
        json!("a\"b"),
        json!([1]),
        json!({"a": 1}),
        json!(true),
        json!(u64::MAX),
        json!(4_294_967_296_u64),
        json!(2_147_483_648_u64),
    ]);
    prop_oneof![40 => good.prop_map(Some), 1 => odd.prop_map(Some), 2 => Just(None)]
}

fn numbers(numbers: &'static [i64]) -> impl Strategy<Value = Value> {
    prop::sample::select(numbers).prop_map(Value::from)
}

fn object(fields: Vec<(&'static str, Option<Value>)>) -> Value {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn block() -> impl Strategy<Value = Value> {
    let segment = prop_oneof![
        30 => mostly(numbers(&[10, 11, 13, 20])).prop_map(|id| (id, None, None)),
        2 => mostly(numbers(&[12, 30, 99])).prop_map(|id| (id, None, None)),
        10 => (mostly(prop::sample::select(vec!["c10", "C11", "c99"]).prop_map(Value::from)), mostly(numbers(&[1, 2, 3])))
            .prop_map(|(code, member)| (None, code, member)),
    ];
    let expiration = mostly(numbers(&[-1, 0, 1, 999, 1001, 2_147_483_647, -2, 2_147_483_648]));
    (segment, mostly(numbers(&[0, 1, 7, 2_147_483_647])), expiration).prop_map(
        |((id, code, member), value, expiration)| {
            object(vec![
                ("seg_id", id),
                ("seg_code", code),
                ("member_id", member),
                ("value", value),
                ("expiration", expiration),
            ])
        },
    )
}

fn user() -> impl Strategy<Value = Value> {
    let uuid = "aebe52e7-03ee-455a-b3c4-e57283966239";
    let ids = vec!["1", "2", "3", "18446744073709551615", "0", "x", "X", "a\nb", "hbapi:7:x:y", uuid];
    let domain =
        prop_oneof![20 => Just(None), 2 => mostly(Just(json!("idfa"))), 1 => Just(Some(json!("sha1mac")))];
    let id = mostly(prop::sample::select(ids).prop_map(Value::from));
    let blocks = prop::collection::vec(block(), 0..6).prop_map(Value::from);
    let unknown = prop_oneof![20 => Just(None), 1 => Just(Some(json!([{}])))];
    (id, mostly(blocks), domain, unknown).prop_map(|(id, blocks, domain, unknown)| {
        object(vec![("user_id", id), ("seg_block", blocks), ("domain", domain), ("more", unknown)])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_reader_makes_of_a_request_what_the_reference_does(
        users in prop::collection::vec(user(), 0..6),
        pick in 0..32u8,
        pretty in any::<bool>(),
        cut in prop::option::weighted(0.05, any::<prop::sample::Index>()),
    ) {
        let request = json!({"rt_segment": users});
        let mut text = if pretty { format!("{request:#}") } else { request.to_string() };
        if let Some(cut) = cut {
            text.truncate(cut.index(text.len()));
        }
        fuzz::request(&[&[pick], text.as_bytes()].concat());
    }
}
