//! The structural check: what of a request is well formed, and a warning for each thing that is not.
//!
//! Whether the ids exist is no question here; that is `resolve`'s.

use super::body::{Block, Blocks, Body, Element, Field, User};
use super::warning::{Entity, Message, Warning};
use ia_model::{MemberId, SegmentId};
use std::borrow::Cow;

/// The largest `value` and `expiration` of a block.
pub(crate) const MAX_INT: i64 = i32::MAX as i64;

/// The longest `user_id`, in bytes: ids that a member maps itself may have as many.
pub(crate) const MAX_USER_ID_BYTES: usize = 255;

/// The bounds that the check applies; 0 lifts one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StructureLimits {
    /// How many users of a request are read.
    pub users_per_request: usize,
    /// How many blocks of a user are read.
    pub segments_per_user: usize,
}

/// A request after the check.
#[derive(Debug, Default)]
pub(crate) struct Checked<'r> {
    /// The users that passed, each with at least one block.
    pub users: Vec<CheckedUser<'r>>,
    /// How many blocks passed, over all users.
    pub segments: usize,
    /// How many blocks and users did not pass.
    pub(crate) malformed: usize,
    /// What did not pass: block, then its user, then the request.
    pub warnings: Vec<Warning<'r>>,
}

/// A well-formed user.
#[derive(Debug)]
pub(crate) struct CheckedUser<'r> {
    /// Not empty.
    pub user_id: Cow<'r, str>,
    /// As it was sent; `None` for the platform's own ids.
    pub domain: Option<&'r str>,
    /// At least one.
    pub blocks: Vec<CheckedBlock<'r>>,
}

/// A well-formed block.
#[derive(Debug)]
pub(crate) struct CheckedBlock<'r> {
    /// What it asks for.
    pub wanted: Wanted<'r>,
    /// The block itself, for warnings.
    pub source: &'r Block<'r>,
}

/// What a block asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted<'r> {
    /// Which segment.
    pub segment: SegmentName<'r>,
    /// 0 to 2^31-1.
    pub value: u32,
    /// What becomes of the membership.
    pub expiration: Expiration,
}

/// How a block names its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SegmentName<'r> {
    /// By `seg_id`.
    Id(SegmentId),
    /// By its owner and the owner's code for it.
    Code(MemberId, &'r str),
}

/// The meaning of `expiration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiration {
    /// Absent: the segment, the member or the server decides.
    Default,
    /// 0
    Never,
    /// 1 and more.
    AfterMinutes(u32),
    /// -1
    Remove,
}

impl Expiration {
    /// The meaning of an `expiration` that was sent; `None` where it has none.
    pub(crate) fn from_wire(minutes: i64) -> Option<Expiration> {
        match minutes {
            -1 => Some(Expiration::Remove),
            0 => Some(Expiration::Never),
            1..=MAX_INT => u32::try_from(minutes).ok().map(Expiration::AfterMinutes),
            _ => None,
        }
    }
}

/// Checks a whole request.
pub(crate) fn check<'r>(body: &'r Body<'r>, limits: StructureLimits) -> Checked<'r> {
    let mut checked = Checked::default();
    for (index, element) in body.users.iter().enumerate() {
        if limits.users_per_request > 0 && index >= limits.users_per_request {
            checked.malformed += 1;
            checked
                .warnings
                .push(Warning::new("Too many user_ids in request.", Entity::SurplusUser(element)));
        } else if let Some(user) = check_user(element, limits, &mut checked) {
            checked.segments += user.blocks.len();
            checked.users.push(user);
        }
    }
    if checked.users.is_empty() {
        checked.warnings.push(Warning::new("No valid rt_segment in request.", Entity::Request(body)));
    }
    checked
}

fn check_user<'r>(
    element: &'r Element<User<'r>>,
    limits: StructureLimits,
    checked: &mut Checked<'r>,
) -> Option<CheckedUser<'r>> {
    let mut refuse = |message: &'static str| {
        checked.malformed += 1;
        checked.warnings.push(Warning::new(message, Entity::User(element)));
        None
    };
    let Element::Object(user) = element else { return refuse("'rt_segment' must be an array of objects") };
    let user_id = match &user.user_id {
        Field::Text(text) if text.len() > MAX_USER_ID_BYTES => {
            return refuse("'user_id' must be a string of at most 255 bytes");
        }
        Field::Text(text) if !text.is_empty() => Cow::Borrowed(text.as_ref()),
        Field::Int(int) => Cow::Owned(int.to_string()),
        Field::BigInt(int) => Cow::Owned(int.to_string()),
        Field::Absent | Field::Text(_) => return refuse("'user_id' is required and cannot be empty"),
        Field::Other(_) => return refuse("'user_id' must be a string"),
    };
    let domain = match &user.domain {
        Field::Absent => None,
        Field::Text(name) => Some(name.as_ref()),
        _ => return refuse("'domain' must be a string"),
    };
    let list = match &user.seg_block {
        Blocks::List(list) if !list.is_empty() => list,
        Blocks::List(_) | Blocks::Absent => return refuse("'seg_block' is required"),
        Blocks::Other(_) => return refuse("'seg_block' must be an array"),
    };
    let mut blocks = Vec::with_capacity(list.len());
    for (index, element) in list.iter().enumerate() {
        let surplus = limits.segments_per_user > 0 && index >= limits.segments_per_user;
        match if surplus { Err(None) } else { check_block(element).map_err(Some) } {
            Ok(block) => blocks.push(block),
            Err(fault) => {
                let surplus = Message::OfUser("Too many segments for user_id: ", &user.user_id);
                let message = fault.map_or(surplus, Message::Fixed);
                checked.malformed += 1;
                checked.warnings.push(Warning { message, entity: Entity::Block(element) });
            }
        }
    }
    if blocks.is_empty() {
        let message = Message::OfUser("No valid segments for user_id: ", &user.user_id);
        checked.warnings.push(Warning { message, entity: Entity::User(element) });
        return None;
    }
    Some(CheckedUser { user_id, domain, blocks })
}

/// The block's content, or the message of its warning.
fn check_block<'r>(element: &'r Element<Block<'r>>) -> Result<CheckedBlock<'r>, &'static str> {
    let Element::Object(block) = element else { return Err("'seg_block' must be an array of objects") };
    let id = |field, message| match int(field, 1, i64::from(u32::MAX)) {
        Ok(id) => Ok(id.map(|id| u32::try_from(id).expect("checked to be in the range"))),
        Err(WrongInt) => Err(message),
    };
    let seg_id = id(&block.seg_id, "'seg_id' must be an integer from 1 to 4294967295")?;
    let member_id = id(&block.member_id, "'member_id' must be an integer from 1 to 4294967295")?;
    let seg_code = match &block.seg_code {
        Field::Absent => None,
        Field::Text(code) => Some(code.as_ref()).filter(|code| !code.is_empty()),
        _ => return Err("'seg_code' must be a string"),
    };
    let value = int(&block.value, 0, MAX_INT)
        .map_err(|WrongInt| "'value' must be an integer from 0 to 2147483647")?
        .unwrap_or(0);
    let expiration = int(&block.expiration, -1, MAX_INT)
        .and_then(|minutes| {
            minutes.map_or(Ok(Expiration::Default), |minutes| Expiration::from_wire(minutes).ok_or(WrongInt))
        })
        .map_err(|WrongInt| "'expiration' must be an integer from -1 to 2147483647")?;
    let segment = match (seg_id, seg_code, member_id) {
        (Some(_), Some(_), _) => return Err("'seg_id' and 'seg_code' cannot be used together"),
        (Some(id), None, _) => SegmentName::Id(SegmentId(id)),
        (None, Some(code), Some(member)) => SegmentName::Code(MemberId(member), code),
        _ => return Err("'seg_id' or 'seg_code' and 'member_id' are required"),
    };
    let value = u32::try_from(value).expect("checked to be in the range");
    Ok(CheckedBlock { wanted: Wanted { segment, value, expiration }, source: block })
}

struct WrongInt;

/// An integer within the bounds, also as a decimal string; `None` where there is none.
fn int(field: &Field, min: i64, max: i64) -> Result<Option<i64>, WrongInt> {
    let int = match field {
        Field::Absent => return Ok(None),
        Field::Int(int) => *int,
        Field::Text(text) => text.parse().map_err(|_| WrongInt)?,
        Field::BigInt(_) | Field::Other(_) => return Err(WrongInt),
    };
    if (min..=max).contains(&int) { Ok(Some(int)) } else { Err(WrongInt) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const LIMITS: StructureLimits = StructureLimits { users_per_request: 3, segments_per_user: 2 };

    /// The warnings of a request, as the caller sees them, and what passed.
    fn check_json(request: &Value) -> (Value, usize, usize) {
        let text = request.to_string();
        let body = Body::parse(text.as_bytes()).unwrap();
        let checked = check(&body, LIMITS);
        (serde_json::to_value(&checked.warnings).unwrap(), checked.users.len(), checked.segments)
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
            (
                json!({"seg_code": "a", "member_id": [1]}),
                "'member_id' must be an integer from 1 to 4294967295",
            ),
            (json!({"seg_id": 1, "value": -1}), "'value' must be an integer from 0 to 2147483647"),
            (
                json!({"seg_id": 1, "value": 2_147_483_648_u32}),
                "'value' must be an integer from 0 to 2147483647",
            ),
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
        ] {
            assert_eq!(warnings_of_block(&block), json!([]), "{block}");
        }
    }

    #[test]
    fn each_field_of_a_user_has_its_type() {
        let seg_block = json!([{"seg_id": 1}]);
        let cases = [
            (json!({"user_id": "", "seg_block": seg_block}), "'user_id' is required and cannot be empty"),
            (json!({"user_id": true, "seg_block": seg_block}), "'user_id' must be a string"),
            (json!({"user_id": 1.5, "seg_block": seg_block}), "'user_id' must be a string"),
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
    fn large_user_ids_keep_their_digits() {
        let text = r#"{"rt_segment": [{"user_id": 12345678900987654321, "seg_block": [{"seg_id": 1}]}]}"#;
        let body = Body::parse(text.as_bytes()).unwrap();
        assert_eq!(check(&body, LIMITS).users[0].user_id, "12345678900987654321");
    }
}
