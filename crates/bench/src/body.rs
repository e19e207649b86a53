//! The body of `POST /rt-segment`, in each of the forms in which clients write it.

use crate::population::Membership;
use bytes::Bytes;
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::{Arguments, Write};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// Only the fields that have a value, without spaces.
    Compact,
    /// As the service is documented: every field of a user and of a block, null where it has no value.
    Documented,
    /// Compact, with a space after every comma and colon.
    Spaced,
    /// Compact; one block in the middle names no segment and is refused.
    Refused,
    /// Compact; one user in the middle has the id of the first.
    Twice,
    /// Compact; user ids are JSON integers, not strings.
    Integers,
    /// Compact; segments are named by their code and member, not by their id.
    Codes,
}

/// A user and what is added to it.
pub(crate) type Adds = (u64, Vec<Membership>);

impl Form {
    /// About how many bytes a user takes.
    pub(crate) fn bytes_of_user(self, segments: u64) -> u64 {
        let (user, block) = match self {
            Form::Compact | Form::Refused | Form::Twice => (46, 44),
            Form::Documented => (60, 77),
            Form::Spaced => (50, 50),
            Form::Integers => (44, 44),
            Form::Codes => (46, 72),
        };
        user + block * segments
    }

    /// The name on the command line and in reports.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// How many blocks of a body with `users` users are refused.
    pub(crate) fn refused_blocks(self) -> u64 {
        u64::from(self == Form::Refused)
    }

    /// The body that adds each user to its memberships.
    pub(crate) fn body(self, mut users: Vec<Adds>) -> Bytes {
        let middle = users.len() / 2;
        if self == Form::Twice {
            repeat_first(&mut users);
        }
        let space = if self == Form::Spaced { " " } else { "" };
        let mut text = format!(r#"{{"rt_segment":{space}["#);
        for (index, (id, memberships)) in users.into_iter().enumerate() {
            comma(&mut text, index, space);
            let quote = if self == Form::Integers { "" } else { "\"" };
            append(
                &mut text,
                format_args!(r#"{{"user_id":{space}{quote}{id}{quote},{space}"seg_block":{space}["#),
            );
            for (block, membership) in memberships.into_iter().enumerate() {
                comma(&mut text, block, space);
                let is_refused = self == Form::Refused && (index, block) == (middle, 0);
                self.block(&mut text, membership, is_refused);
            }
            text.push_str(if self == Form::Documented { r#"],"domain":null}"# } else { "]}" });
        }
        text.push_str("]}");
        text.into()
    }

    fn block(self, text: &mut String, membership: Membership, is_refused: bool) {
        let Membership { segment, value, expiration } = membership;
        match self {
            Form::Documented => append(
                text,
                format_args!(
                    r#"{{"seg_id":{segment},"seg_code":null,"value":{value},"expiration":{expiration},"member_id":null}}"#
                ),
            ),
            Form::Spaced => append(
                text,
                format_args!(r#"{{"seg_id": {segment}, "value": {value}, "expiration": {expiration}}}"#),
            ),
            Form::Codes => append(
                text,
                format_args!(
                    r#"{{"seg_code":"segment_{segment}","value":{value},"expiration":{expiration},"member_id":1}}"#
                ),
            ),
            Form::Refused if is_refused => {
                append(text, format_args!(r#"{{"value":{value},"expiration":{expiration}}}"#));
            }
            Form::Compact | Form::Refused | Form::Twice | Form::Integers => append(
                text,
                format_args!(r#"{{"seg_id":{segment},"value":{value},"expiration":{expiration}}}"#),
            ),
        }
    }
}

/// Gives the id of the first user to one from the middle on that shares no segment with it: so the body still
/// writes as many memberships as it has blocks.
fn repeat_first(users: &mut [Adds]) {
    let Some((first, memberships)) = users.first().cloned() else { return };
    let is_apart = |other: &Membership| memberships.iter().all(|own| own.segment != other.segment);
    let middle = users.len().div_ceil(2);
    if let Some(user) = users[middle..].iter_mut().find(|user| user.1.iter().all(is_apart)) {
        user.0 = first;
    }
}

fn comma(text: &mut String, index: usize, space: &str) {
    if index > 0 {
        text.push(',');
        text.push_str(space);
    }
}

fn append(text: &mut String, arguments: Arguments) {
    text.write_fmt(arguments).expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{Population, WRITTEN};
    use serde_json::{Value, json};
    use std::collections::HashSet;

    fn users(count: u64) -> Vec<Adds> {
        let population = Population::new(WRITTEN, count);
        (0..count).map(|user| (population.id(user), population.memberships(user, 1, 10).collect())).collect()
    }

    fn parsed(form: Form) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&form.body(users(100))).unwrap();
        body["rt_segment"].as_array().unwrap().clone()
    }

    #[test]
    fn the_documented_form_has_every_field() {
        let (id, memberships) = users(1).remove(0);
        let blocks: Vec<Value> = memberships
            .iter()
            .map(|m| {
                json!({"seg_id": m.segment, "seg_code": null, "value": m.value, "expiration": m.expiration,
                       "member_id": null})
            })
            .collect();
        let user = json!({"user_id": id.to_string(), "seg_block": blocks, "domain": null});
        assert_eq!(parsed(Form::Documented)[0], user);
    }

    #[test]
    fn each_form_differs_from_the_compact_one_as_it_says() {
        let compact = parsed(Form::Compact);
        assert_eq!(parsed(Form::Spaced), compact);
        let (first, block) = (compact[0]["user_id"].clone(), &compact[50]["seg_block"][0]);
        let refused = &parsed(Form::Refused)[50]["seg_block"][0];
        assert_eq!(*refused, json!({"value": block["value"], "expiration": block["expiration"]}));
        let twice = parsed(Form::Twice);
        assert_eq!(twice.iter().filter(|user| user["user_id"] == first).count(), 2);
        let pairs: HashSet<String> = twice
            .iter()
            .flat_map(|user| user["seg_block"].as_array().unwrap().iter().map(move |b| (user, b)))
            .map(|(user, block)| format!("{} {}", user["user_id"], block["seg_id"]))
            .collect();
        assert_eq!(pairs.len(), 1000, "as many memberships as blocks");
        assert_eq!(parsed(Form::Integers)[0]["user_id"].to_string(), first.as_str().unwrap());
        let coded = &parsed(Form::Codes)[50]["seg_block"][0];
        assert_eq!(coded["seg_code"], format!("segment_{}", block["seg_id"]));
        assert_eq!(coded["member_id"], 1);
    }

    #[test]
    fn the_size_of_each_form_is_known_beforehand() {
        for form in Form::value_variants() {
            let (bytes, expected) =
                (form.body(users(1000)).len() as f64, form.bytes_of_user(10) as f64 * 1e3);
            assert!((bytes / expected - 1.0).abs() < 0.05, "{}: {bytes} for {expected}", form.name());
        }
    }
}
