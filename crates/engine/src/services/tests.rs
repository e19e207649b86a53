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
        (read(integer(0, 9), json!(1.0)), no_digit),
        (read(integer(0, 9), json!("+1")), no_digit),
        (read(integer(0, 9), json!("")), no_digit),
        (read(count(), json!("9007199254740991")), "Some(Some(9007199254740991))"),
        (
            read(count(), json!(1_u64 << 53)),
            "'objects[1].field' must be an integer from 0 to 9007199254740991",
        ),
        (read(decimal(5), json!("0.5")), "Some(Some(0.5))"),
        (read(decimal(5), json!(5.5)), "'objects[1].field' must be a number from 0 to 5"),
        (read(flag(), json!(1)), "Some(Some(true))"),
        (read(flag(), json!("FALSE")), "Some(Some(false))"),
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
