//! The body of a change: one object or a list, under the resource's name.

use super::{RequestObject, ServiceError, plain_name};
use crate::not_json;
use ia_catalog::listing::Resource;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

/// The most objects that one request creates, changes or deletes.
pub const MAX_CHANGED: usize = 1000;

/// The most steps of a path in an error; the resources are less deep.
const MAX_PATH: usize = 4;

/// The most warnings of one answer.
const MAX_WARNINGS: usize = 20;

/// The body of a change.
#[derive(Debug)]
pub struct ChangeBody {
    /// At least one.
    pub objects: Vec<RequestObject>,
    /// The keys of one object and of several that the body used; the answer uses them too.
    pub keys: (&'static str, &'static str),
    /// What was ignored, for the answer.
    pub warnings: Vec<String>,
}

/// Reads `{"segment": {…}}` and `{"segments": [{…}, …]}`, and either key with the other's form. Two of the keys at once
/// are refused: one of them would be dropped.
///
/// A field that the resource does not have is left out with a warning, and so is a key beside the resource's: bodies
/// written for other servers have more than this one knows.
pub fn read(resource: &'static Resource, bytes: &[u8]) -> Result<ChangeBody, ServiceError> {
    let mut body = parse(bytes)?;
    let mut warnings = Warnings(Vec::new());
    let mut found: Option<(&'static str, Value, (&'static str, &'static str))> = None;
    for keys in resource.keys() {
        for key in [keys.0, keys.1] {
            match (&found, body.remove(key)) {
                (_, None) => {}
                (Some(_), Some(Value::Null)) => {}
                (Some((first, value, _)), Some(_)) if !value.is_null() => {
                    return Err(ServiceError::bad(
                        first,
                        format_args!("and '{key}' cannot be used together"),
                    ));
                }
                (_, Some(value)) => found = Some((key, value, keys)),
            }
        }
    }
    let found = found.ok_or_else(|| ServiceError::bad(resource.singular, "is required"));
    let (key, value, keys) = found?;
    let singular = keys.0;
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
    Ok(ChangeBody { objects, keys, warnings: warnings.0 })
}

/// The object that a body is. The error names the place of a fault, which may be a number that JSON does not have: some
/// libraries write `NaN`.
fn parse(bytes: &[u8]) -> Result<Map<String, Value>, ServiceError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let read = Map::deserialize(tracked).and_then(|body| deserializer.end().map(|()| body));
    read.map_err(|error| {
        if let Some(message) = not_json::recognize(bytes) {
            return ServiceError::Syntax(message.to_owned());
        }
        let (line, column) = (error.line(), error.column());
        let fault = if error.is_data() { "must be an object" } else { "is not valid JSON" };
        let path = track.path();
        let place = match path.iter().next() {
            Some(_) => format!(", in '{}'", shown_path(&path)),
            None => String::new(),
        };
        ServiceError::Syntax(format!("The request body {fault}, at line {line} column {column}{place}"))
    })
}

/// The start of a path whose names came from a caller, fit for a message.
fn shown_path(path: &serde_path_to_error::Path) -> String {
    let mut shown = String::new();
    for segment in path.iter().take(MAX_PATH) {
        match segment {
            Segment::Seq { index } => shown.push_str(&format!("[{index}]")),
            Segment::Map { key } => {
                let point = if shown.is_empty() { "" } else { "." };
                shown.push_str(&format!("{point}{}", plain_name(key)));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    shown
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
