//! The structural rules once more, over a parsed tree: slow and plain, to check the reader against.

use super::structure::{MAX_INT, MAX_USER_ID_BYTES, StructureLimits};
use ia_model::lenient;
use serde_json::{Map, Value, json};

/// What the reader must make of a request.
pub(super) struct Expected {
    /// Users that pass.
    pub(super) users: usize,
    /// Blocks that pass.
    pub(super) segments: usize,
    /// Users and blocks that do not pass.
    pub(super) malformed: usize,
    /// The structural warnings.
    pub(super) warnings: Vec<Value>,
    /// A request of what passes alone, with a string for each user id and an integer for each number.
    pub(super) plainest: Value,
}

/// Checks a parsed body; fails with the message where it is no request.
pub(super) fn check(body: &Value, limits: StructureLimits) -> Result<Expected, &'static str> {
    let body = body.as_object().ok_or("The request body must be a JSON object with an 'rt_segment' array")?;
    let users = match body.get("rt_segment") {
        None | Some(Value::Null) => return Err("'rt_segment' is required"),
        Some(Value::Array(users)) => users,
        Some(_) => return Err("'rt_segment' must be an array"),
    };
    let (mut malformed, mut segments, mut warnings, mut passed) = (0, 0, Vec::new(), Vec::new());
    for (index, user) in users.iter().enumerate() {
        if is_over(index, limits.users_per_request) {
            malformed += 1;
            let shown = user.as_object().map_or_else(
                || user.clone(),
                |user| {
                    let blocks = user.get("seg_block").map(|blocks| shown_blocks(blocks, true));
                    json!({"user_id": user.get("user_id"), "seg_block": blocks})
                },
            );
            warnings.push(warning("Too many user_ids in request.", shown));
            continue;
        }
        let (id, domain, blocks) = match check_user(user) {
            Ok(checked) => checked,
            Err(message) => {
                malformed += 1;
                warnings.push(warning(message, shown_user(user)));
                continue;
            }
        };
        let mut good = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            let surplus = || format!("Too many segments for user_id: {id}.");
            let is_over = is_over(index, limits.segments_per_user);
            match if is_over { Err(surplus()) } else { check_block(block).map_err(str::to_owned) } {
                Ok(block) => good.push(block),
                Err(message) => {
                    malformed += 1;
                    warnings.push(warning(&message, shown_block(block, false)));
                }
            }
        }
        if good.is_empty() {
            warnings.push(warning(&format!("No valid segments for user_id: {id}."), shown_user(user)));
        } else {
            segments += good.len();
            passed.push(json!({"user_id": id, "domain": domain, "seg_block": good}));
        }
    }
    if passed.is_empty() {
        let users: Vec<Value> = users.iter().map(shown_user).collect();
        warnings.push(warning("No valid rt_segment in request.", json!({"rt_segment": users})));
    }
    let users = passed.len();
    Ok(Expected { users, segments, malformed, warnings, plainest: json!({"rt_segment": passed}) })
}

fn is_over(index: usize, limit: usize) -> bool {
    limit > 0 && index >= limit
}

fn warning(message: &str, entity: Value) -> Value {
    json!({"message": message, "entity": entity})
}

fn check_user(user: &Value) -> Result<(String, Option<&str>, &[Value]), &'static str> {
    let user = user.as_object().ok_or("'rt_segment' must be an array of objects")?;
    let id = match field(user, "user_id") {
        Some(Value::String(id)) if id.trim().len() > MAX_USER_ID_BYTES => {
            return Err("'user_id' must be a string of at most 255 bytes");
        }
        Some(Value::String(id)) if !id.trim().is_empty() => id.trim().to_owned(),
        Some(Value::Number(id)) if !id.is_f64() => id.to_string(),
        Some(Value::String(_)) | None => return Err("'user_id' is required and cannot be empty"),
        Some(_) => return Err("'user_id' must be a string, or an integer without point and exponent"),
    };
    let domain = match field(user, "domain") {
        None => None,
        Some(Value::String(domain)) => Some(domain.trim()).filter(|domain| !domain.is_empty()),
        Some(_) => return Err("'domain' must be a string"),
    };
    match field(user, "seg_block") {
        Some(Value::Array(blocks)) if !blocks.is_empty() => Ok((id, domain, blocks)),
        Some(Value::Array(_)) | None => Err("'seg_block' is required"),
        Some(_) => Err("'seg_block' must be an array"),
    }
}

fn check_block(block: &Value) -> Result<Value, &'static str> {
    let block = block.as_object().ok_or("'seg_block' must be an array of objects")?;
    let id = int(block, "seg_id", 1, i64::from(u32::MAX))
        .ok_or("'seg_id' must be an integer from 1 to 4294967295")?;
    let member = int(block, "member_id", 1, i64::from(u32::MAX))
        .ok_or("'member_id' must be an integer from 1 to 4294967295")?;
    let code = match field(block, "seg_code") {
        None => None,
        Some(Value::String(code)) => Some(code.trim()).filter(|code| !code.is_empty()),
        Some(_) => return Err("'seg_code' must be a string"),
    };
    let value = int(block, "value", 0, MAX_INT).ok_or("'value' must be an integer from 0 to 2147483647")?;
    let expiration = int(block, "expiration", -1, MAX_INT)
        .ok_or("'expiration' must be an integer from -1 to 2147483647")?;
    let mut plainest = match (id, code, member) {
        (Some(_), Some(_), _) => return Err("'seg_id' and 'seg_code' cannot be used together"),
        (Some(id), None, _) => json!({"seg_id": id}),
        (None, Some(code), Some(member)) => json!({"seg_code": code, "member_id": member}),
        _ => return Err("'seg_id' or 'seg_code' and 'member_id' are required"),
    };
    plainest["value"] = json!(value.unwrap_or(0));
    if let Some(expiration) = expiration {
        plainest["expiration"] = json!(expiration);
    }
    Ok(plainest)
}

/// `Some(None)` where there is none, `None` where it is wrong.
fn int(block: &Map<String, Value>, name: &str, min: i64, max: i64) -> Option<Option<i64>> {
    let int = match field(block, name) {
        None => return Some(None),
        Some(Value::String(text)) => lenient::integer(text)?,
        // A float of 64 bits holds each whole number in the ranges of the fields. One with a fraction so small that it
        // is lost is told apart by the reader alone.
        Some(Value::Number(number)) if number.is_f64() => lenient::integer(&number.as_f64()?.to_string())?,
        Some(value) => value.as_i64()?,
    };
    (min..=max).contains(&int).then_some(Some(int))
}

/// A field that is not null.
fn field<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn shown_user(user: &Value) -> Value {
    let Some(object) = user.as_object() else { return user.clone() };
    let mut shown = Map::new();
    for name in ["user_id", "seg_block", "domain"] {
        if let Some(value) = field(object, name) {
            let value = if name == "seg_block" { shown_blocks(value, false) } else { value.clone() };
            shown.insert(name.to_owned(), value);
        }
    }
    shown.into()
}

fn shown_blocks(blocks: &Value, nulls: bool) -> Value {
    let shown = |list: &Vec<Value>| list.iter().map(|block| shown_block(block, nulls)).collect();
    blocks.as_array().map_or_else(|| blocks.clone(), shown)
}

fn shown_block(block: &Value, nulls: bool) -> Value {
    let Some(object) = block.as_object() else { return block.clone() };
    let mut shown = Map::new();
    for name in ["seg_id", "seg_code", "value", "expiration", "member_id"] {
        let value = field(object, name).cloned();
        if nulls || value.is_some() {
            shown.insert(name.to_owned(), value.unwrap_or_default());
        }
    }
    shown.into()
}
