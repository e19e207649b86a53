//! The rules of fields, and that the three definitions of a kind have the same fields.

use super::accounts::{Batch, Members, Sharing, Users};
use super::public_key::PublicKeys;
use super::rules::{
    Rule, count, decimal, flag, id, integer, json_object, line, list, state, text, unquoted_text,
};
use super::segment::Segments;
use super::*;
use ia_catalog::listing::Writing;
use serde_json::{Value, json};
use std::fmt::Debug;
use utoipa::openapi::schema::Schema;

fn read<T: Debug + 'static>(rule: Rule<T>, value: Value) -> String {
    let object = json!({"field": value}).as_object().unwrap().clone();
    match RequestObject::new(object, "objects[1].".to_owned()).read("field", || rule) {
        Ok(read) => format!("{read:?}"),
        Err(error) => error.to_string(),
    }
}

/// A value as a client sends it.
fn from_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn each_rule_takes_what_it_says_and_names_the_rest() {
    let no_digit = "'objects[1].field' must be an integer from 0 to 9";
    let no_line = "'objects[1].field' must be one line of at most 3 characters";
    let no_list = "'objects[1].field' must be a list of at most 2 of: an integer from 1 to 4294967295";
    for (found, expected) in [
        (read(id(), Value::Null), "Some(None)"),
        (read(integer(0, 9), json!(9)), "Some(Some(9))"),
        (read(integer(0, 9), json!("09")), "Some(Some(9))"),
        (read(integer(0, 9), json!(10)), no_digit),
        (read(integer(0, 9), json!(-1)), no_digit),
        (read(integer(0, 9), json!(1.0)), "Some(Some(1))"),
        (read(integer(0, 9), json!(" 9.0\n")), "Some(Some(9))"),
        (read(integer(0, 9), json!(0.9e1)), "Some(Some(9))"),
        (read(integer(0, 9), json!("90e-1")), "Some(Some(9))"),
        (read(integer(0, 9), json!(-0.0)), "Some(Some(0))"),
        (read(integer(0, 9), json!(1.5)), no_digit),
        (read(integer(0, 9), json!("1.5")), no_digit),
        (read(integer(0, 9), json!("NaN")), no_digit),
        (read(integer(0, 9), json!("Infinity")), no_digit),
        (read(integer(0, 9), json!(1e300)), no_digit),
        (read(integer(0, 9), json!(u64::MAX)), no_digit),
        (read(integer(0, 9), json!(true)), no_digit),
        (read(integer(0, 9), json!("+1")), "Some(Some(1))"),
        (read(integer(0, 9), json!("")), no_digit),
        (read(count(), json!("9007199254740991")), "Some(Some(9007199254740991))"),
        (read(count(), from_text("9007199254740991.0")), "Some(Some(9007199254740991))"),
        (read(count(), from_text("9.007199254740991e15")), "Some(Some(9007199254740991))"),
        (
            read(count(), from_text("9007199254740993.0")),
            "'objects[1].field' must be an integer from 0 to 9007199254740991",
        ),
        (
            read(count(), json!(1_u64 << 53)),
            "'objects[1].field' must be an integer from 0 to 9007199254740991",
        ),
        (read(decimal(5), json!(" 0.5 ")), "Some(Some(0.5))"),
        (read(decimal(5), json!(5.5)), "'objects[1].field' must be a number from 0 to 5"),
        (read(flag(), json!(1)), "Some(Some(true))"),
        (read(flag(), json!("FALSE")), "Some(Some(false))"),
        (read(flag(), json!(1.0)), "Some(Some(true))"),
        (read(flag(), json!(" 0.0 ")), "Some(Some(false))"),
        (read(flag(), json!(2)), "'objects[1].field' must be true or false"),
        (read(line(3), json!("äöü")), "Some(Some(\"äöü\"))"),
        (read(line(3), json!("four")), no_line),
        (read(line(3), json!("a\n")), no_line),
        (read(line(3), json!(5)), no_line),
        (read(text(3), json!("a\nb")), "Some(Some(\"a\\nb\"))"),
        (read(text(3), json!("a\0")), "'objects[1].field' must be text of at most 3 characters"),
        (
            read(unquoted_text(3), json!("it's")),
            "'objects[1].field' must be text of at most 3 characters, without ', without \\",
        ),
        (read(state(), json!("inactive")), "Some(Some(false))"),
        (read(state(), json!("Active")), "'objects[1].field' must be one of active, inactive"),
        (read(state(), json!(true)), "'objects[1].field' must be one of active, inactive"),
        (read(list(id(), 2), json!([1, "2"])), "Some(Some([1, 2]))"),
        (read(list(id(), 2), json!(1)), "Some(Some([1]))"),
        (read(list(id(), 2), json!([1, 2, 3])), no_list),
        (read(list(id(), 2), json!([0])), no_list),
        (read(json_object(7), json!({"a": 1})), "Some(Some(Object {\"a\": Number(1)}))"),
        (read(json_object(6), json!({"a": 1})), "'objects[1].field' must be an object of at most 6 bytes"),
        (read(json_object(6), json!([])), "'objects[1].field' must be an object of at most 6 bytes"),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_fault_of_json_names_its_place() {
    let read = |body: &str| match change_body::read(&SEGMENT, body.as_bytes()) {
        Ok(read) => format!("{:?}", read.keys),
        Err(error) => error.to_string(),
    };
    let invalid = "The request body is not valid JSON, at line 1 column";
    for (body, expected) in [
        (r#"{"segment": {"expire_minutes": NaN}}"#, format!("{invalid} 32, in 'segment.expire_minutes'")),
        (r#"{"segments": [{}, {"price": 1e999}]}"#, format!("{invalid} 33, in 'segments[1].price'")),
        (r#"{"hbapi:1:x:y": {"id": -Infinity}}"#, format!("{invalid} 25, in '(no name).id'")),
        (r#"{"a": {"b": {"c": {"d": {"e": x}}}}}"#, format!("{invalid} 31, in 'a.b.c.d'")),
        ("", "The request body is not valid JSON, at line 1 column 0".to_owned()),
        ("{} x", format!("{invalid} 4")),
        ("5", "The request body must be an object, at line 1 column 1".to_owned()),
    ] {
        assert_eq!(read(body), expected, "{body}");
    }
}

#[test]
fn a_body_names_its_resource_by_one_key() {
    let read = |body: &str| match change_body::read(&BATCH_SEGMENT_CONFIG, body.as_bytes()) {
        Ok(read) => format!("{} {} {:?}", read.keys.0, read.objects.len(), read.warnings),
        Err(error) => error.to_string(),
    };
    let (ours, theirs) = ("batch_segment_config", "batch_segment_upload_config");
    for (body, expected) in [
        (json!({ours: {}}), format!("{ours} 1 []")),
        (json!({theirs: {}}), format!("{theirs} 1 []")),
        (json!({theirs: [{}, {}]}), format!("{theirs} 2 []")),
        (json!({format!("{theirs}s"): [{}]}), format!("{theirs} 1 []")),
        (json!({format!("{theirs}s"): {}, ours: null}), format!("{theirs} 1 []")),
        (json!({ours: {}, format!("{ours}s"): null, theirs: null}), format!("{ours} 1 []")),
        (json!({ours: {}, theirs: {}}), format!("'{ours}' and '{theirs}' cannot be used together")),
        (
            json!({theirs: {}, format!("{theirs}s"): []}),
            format!("'{theirs}' and '{theirs}s' cannot be used together"),
        ),
        (json!({theirs: null}), format!("'{theirs}' must be an object or a list of objects")),
        (json!({"segment": {}}), format!("'{ours}' is required")),
        (
            json!({theirs: {"x": 1}, "y": 1}),
            format!(
                "{theirs} 1 [\"'x' is no field of {theirs} and was ignored\", \"'y' stands beside '{theirs}' and was ignored\"]"
            ),
        ),
    ] {
        assert_eq!(read(&body.to_string()), expected, "{body}");
    }
}

fn names(schema: Schema) -> Vec<String> {
    let Schema::Object(object) = schema else { panic!("no object") };
    object.properties.keys().cloned().collect()
}

fn check<K: ResourceKind>() {
    let request = names(K::Request::schema());
    let answer = names(K::Answer::schema());
    for field in K::TABLE.fields {
        let is_written = request.iter().any(|name| name == field.name);
        let is_shown = answer.iter().any(|name| name == field.name);
        let is_id = field.name == K::ID_NAME;
        assert!(is_written == (field.writing != Writing::Never) || is_id, "{} {}", K::NAME, field.name);
        assert_eq!(is_shown, field.name != "password", "{} {}", K::NAME, field.name);
    }
    for name in request.iter().chain(&answer) {
        assert!(K::TABLE.field(name).is_some(), "{} {name} is not in the table", K::NAME);
    }
    let mut names = K::Request::NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(request, names);
}

#[test]
fn requests_and_answers_have_the_fields_of_the_table() {
    check::<Segments>();
    check::<PublicKeys>();
    check::<Members>();
    check::<Users>();
    check::<Sharing>();
    check::<Batch>();
}
