//! The body of a change: one object or a list, under the resource's name.

use super::{RequestObject, ServiceError, plain_name};
use crate::not_json;
use ia_catalog::listing::Resource;
use serde_json::{Map, Value};

/// The most objects that one request creates, changes or deletes.
pub const MAX_CHANGED: usize = 1000;

/// The most warnings of one answer.
const MAX_WARNINGS: usize = 20;

/// The body of a change.
#[derive(Debug)]
pub struct ChangeBody {
    /// At least one.
    pub objects: Vec<RequestObject>,
    /// What was ignored, for the answer.
    pub warnings: Vec<String>,
}

/// Reads `{"segment": {…}}` and `{"segments": [{…}, …]}`, and either key with the other's form. Both at once are
/// refused: one of them would be dropped.
///
/// A field that the resource does not have is left out with a warning, and so is a key beside the resource's: bodies
/// written for other servers have more than this one knows.
pub fn read(resource: &'static Resource, bytes: &[u8]) -> Result<ChangeBody, ServiceError> {
    let mut body: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| {
        if let Some(message) = not_json::recognize(bytes) {
            return ServiceError::Syntax(message.to_owned());
        }
        let (line, column) = (error.line(), error.column());
        let fault = if error.is_data() { "must be an object" } else { "is not valid JSON" };
        ServiceError::Syntax(format!("The request body {fault}, at line {line} column {column}"))
    })?;
    let (singular, plural) = (resource.singular, resource.plural);
    let mut warnings = Warnings(Vec::new());
    let (key, value) = match (body.remove(singular), body.remove(plural)) {
        (None, None) => return Err(ServiceError::bad(singular, "is required")),
        (Some(value), None | Some(Value::Null)) => (singular, value),
        (None | Some(Value::Null), Some(value)) => (plural, value),
        (Some(_), Some(_)) => {
            return Err(ServiceError::bad(singular, format_args!("and '{plural}' cannot be used together")));
        }
    };
    let objects = match value {
        Value::Object(object) => vec![RequestObject::new(object, String::new())],
        Value::Array(list) => objects(key, list)?,
        _ => return Err(ServiceError::bad(key, "must be an object or a list of objects")),
    };
    for name in objects.iter().flat_map(RequestObject::names).filter(|name| resource.field(name).is_none()) {
        warnings.add(format_args!("'{}' is no field of {singular}", plain_name(name)));
    }
    for name in body.keys() {
        warnings.add(format_args!("'{}' stands beside '{key}'", plain_name(name)));
    }
    Ok(ChangeBody { objects, warnings: warnings.0 })
}

struct Warnings(Vec<String>);

impl Warnings {
    fn add(&mut self, what: impl std::fmt::Display) {
        let warning = format!("{what} and was ignored");
        if self.0.len() < MAX_WARNINGS && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }
}

fn objects(key: &str, list: Vec<Value>) -> Result<Vec<RequestObject>, ServiceError> {
    if list.is_empty() || list.len() > MAX_CHANGED {
        return Err(ServiceError::bad(key, format_args!("must have 1 to {MAX_CHANGED} objects")));
    }
    let object = |(index, value)| match value {
        Value::Object(object) => Ok(RequestObject::new(object, format!("{key}[{index}]."))),
        _ => Err(ServiceError::bad(format_args!("{key}[{index}]"), "must be an object")),
    };
    list.into_iter().enumerate().map(object).collect()
}
