//! The body of a change: one object or a list, under the resource's name.

use super::{Given, ServiceError, plain_name};
use ia_catalog::listing::Resource;
use serde_json::{Map, Value};

/// The most objects of one request.
const MAX_OBJECTS: usize = 1000;

/// The most warnings of one answer.
const MAX_WARNINGS: usize = 20;

/// What was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    /// At least one.
    pub objects: Vec<Given>,
    /// What was ignored, for the answer.
    pub warnings: Vec<String>,
}

/// Reads `{"segment": {…}}` and `{"segments": [{…}, …]}`, and either key with the other's form.
///
/// A field that the resource does not have is left out with a warning: bodies written for other servers have more
/// fields than this one knows.
pub(crate) fn read(resource: &'static Resource, bytes: &[u8]) -> Result<Sent, ServiceError> {
    let body: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let fault = if error.is_data() { "must be an object" } else { "is not valid JSON" };
        ServiceError::Syntax(format!("The request body {fault}, at line {line} column {column}"))
    })?;
    let (singular, plural) = (resource.singular, resource.plural);
    let mut body = body;
    let (key, value) = [singular, plural]
        .into_iter()
        .find_map(|key| Some((key, body.remove(key)?)))
        .ok_or_else(|| ServiceError::bad(singular, "is required"))?;
    let mut warnings = Vec::new();
    let objects = match value {
        Value::Object(object) => vec![Given::new(object, String::new())],
        Value::Array(list) => objects(key, list)?,
        _ => return Err(ServiceError::bad(key, "must be an object or a list of objects")),
    };
    for name in objects.iter().flat_map(Given::names).filter(|name| resource.field(name).is_none()) {
        let warning = format!("'{}' is no field of {singular} and was ignored", plain_name(name));
        if warnings.len() < MAX_WARNINGS && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(Sent { objects, warnings })
}

fn objects(key: &str, list: Vec<Value>) -> Result<Vec<Given>, ServiceError> {
    if list.is_empty() || list.len() > MAX_OBJECTS {
        return Err(ServiceError::bad(key, format_args!("must have 1 to {MAX_OBJECTS} objects")));
    }
    let object = |(index, value)| match value {
        Value::Object(object) => Ok(Given::new(object, format!("{key}[{index}]."))),
        _ => Err(ServiceError::bad(format_args!("{key}[{index}]"), "must be an object")),
    };
    list.into_iter().enumerate().map(object).collect()
}
