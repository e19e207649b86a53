//! The short way and the long way are one.

use super::resolve::tests::snapshot;
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

static EVERYBODY: KnownUsers = KnownUsers::everybody();

const LIMITS: StructureLimits = StructureLimits { users_per_request: 4, segments_per_user: 4 };

fn request(snapshot: &Snapshot, member: u32, verbose: bool) -> Request<'_> {
    Request {
        snapshot,
        member: MemberId(member),
        now_ms: 90_000,
        request_id: "r",
        limits: LIMITS,
        expiration: ExpirationRules { default_minutes: 60, max_minutes: Some(1000) },
        opt_outs: InForce::of_nobody(),
        known: &EVERYBODY,
        gives_way: true,
        verbose,
    }
}

fn context<'c>(request: &Request<'c>) -> Context<'c> {
    Context {
        snapshot: request.snapshot,
        member: request.member,
        now_ms: request.now_ms,
        expiration: request.expiration,
        opt_outs: request.opt_outs,
        known: request.known,
    }
}

fn is_plain(text: &str) -> bool {
    let snapshot = snapshot();
    let request = request(&snapshot, 1, false);
    plain::read(text.as_bytes(), LIMITS, context(&request), true).is_some()
}

/// All that a request leads to: what is committed, the answer, the users, what was dropped; or the error.
type Outcome = Result<(Option<Box<Ingest>>, String, usize, String), String>;

/// By the way that `prepare` takes, and by the long one.
fn both_ways(text: &str, verbose: bool) -> [Outcome; 2] {
    both_ways_of(1, text, verbose)
}

fn both_ways_of(member: u32, text: &str, verbose: bool) -> [Outcome; 2] {
    let snapshot = snapshot();
    let request = request(&snapshot, member, verbose);
    let short = prepare(text.as_bytes(), &request);
    let long = prepare_with_care(text.as_bytes(), &request, context(&request));
    [short, long].map(|prepared| {
        let Prepared { ingest, answer, users, dropped } = prepared.map_err(|error| error.to_string())?;
        Ok((ingest, String::from_utf8(answer).unwrap(), users, format!("{dropped:?}")))
    })
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
    fn both_ways_lead_to_the_same(
        users in prop::collection::vec(user(), 0..6),
        member in prop_oneof![3 => Just(1u32), 1 => Just(4)],
        verbose in any::<bool>(),
        cut in prop::option::weighted(0.05, any::<prop::sample::Index>()),
    ) {
        let mut text = json!({"rt_segment": users}).to_string();
        if let Some(cut) = cut {
            text.truncate(cut.index(text.len()));
        }
        let [short, long] = both_ways_of(member, &text, verbose);
        prop_assert_eq!(short, long);
    }
}

#[test]
fn what_providers_send_takes_the_short_way() {
    for text in [
        r#"{"rt_segment":[{"user_id":"1","seg_block":[{"seg_id":10,"value":1,"expiration":1440}]}]}"#,
        r#" { "rt_segment" : [ {"seg_block":[{"seg_code":"C10","member_id":1},{"seg_id":20}],"user_id":"2","domain":null} ] } "#,
        r#"{"rt_segment":[{"user_id":"aebe52e703ee455ab3c4e57283966239","domain":"idfa","seg_block":[{"seg_id":10,"expiration":-1},{"seg_id":10}]}]}"#,
    ] {
        assert!(is_plain(text), "{text}");
        let [short, long] = both_ways(text, true);
        assert_eq!(short, long);
        assert!(short.unwrap().0.is_some());
    }
}

#[test]
fn an_id_without_a_domain_is_of_the_name_space_of_who_sends_it() {
    let long = "ü".repeat(127);
    let ids = ["7", "007", "Cart 7", &long, "0", "a\tb", "see hbapi:1:x:y", "A\tB"];
    let users = ids.map(|id| json!({"user_id": id, "seg_block": [{"seg_id": 10}]}));
    for users in users.chunks(4) {
        let text = json!({"rt_segment": users}).to_string();
        let [short, long] = both_ways_of(4, &text, true);
        assert_eq!(short, long);
        let ingest = short.unwrap().0.unwrap();
        for (key, _) in ingest.batch.iter() {
            assert_eq!(key.namespace(), Some(MemberId(3)));
            assert!(users.iter().any(|user| user["user_id"] == key.id().as_str()), "as it was sent");
        }
        let expected = if users[0]["user_id"] == "7" { (4, 0) } else { (1, 3) };
        assert_eq!((ingest.batch.users(), ingest.usage.invalid_users.count), expected);
    }
}

#[test]
fn whatever_is_not_plain_takes_the_long_way() {
    let block = r#"{"seg_id":10}"#;
    let user = |id: &str| format!(r#"{{"user_id":{id},"seg_block":[{block}]}}"#);
    let five = [r#""1""#, r#""2""#, r#""3""#, r#""4""#, r#""5""#].map(user).join(",");
    for users in [
        String::new(),
        format!("{},{}", user(r#""1""#), user(r#""1""#)),
        five,
        user("1"),
        user(r#""\u0031""#),
        format!(r#"{{"user_id":"1","user_id":"2","seg_block":[{block}]}}"#),
        format!(r#"{{"user_id":"1","seg_block":[{block}],"seg_block":[{block}]}}"#),
        format!(r#"{{"user_id":"1","seg_block":[{block},{block},{block},{block},{block}]}}"#),
        r#"{"user_id":"1","seg_block":[{"seg_id":10,"seg_id":11}]}"#.to_owned(),
        r#"{"user_id":"1","seg_block":[{"seg_id":12}]}"#.to_owned(),
        r#"{"user_id":"1","seg_block":[{"seg_id":30}]}"#.to_owned(),
    ] {
        for text in [format!(r#"{{"rt_segment":[{users}]}}"#), format!(r#"{{"rt_segment":[{users}]}} x"#)] {
            assert!(!is_plain(&text), "{text}");
            let [short, long] = both_ways(&text, false);
            assert_eq!(short, long, "{text}");
        }
    }
    for text in [r#"{"a":1,"rt_segment":[]}"#, r#"{"rt_segment":[],"rt_segment":[]}"#, "", "[]", "{}"] {
        assert!(!is_plain(text), "{text}");
    }
}
