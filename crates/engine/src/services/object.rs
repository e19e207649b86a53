//! What is shown of an object.

use super::{ServiceError, plain_name};
use ia_catalog::listing::{Field, Resource};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// An object of an answer: names and values in the order of the resource's table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object(pub Vec<(&'static str, Value)>);

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The fields that were asked for; all when none was named.
#[derive(Debug, Default)]
pub struct Shown(Option<Vec<&'static Field>>);

impl Shown {
    /// Reads `fields=a,b`. The id is always shown.
    pub fn parse(resource: &'static Resource, value: &str) -> Result<Shown, ServiceError> {
        let field = |name: &str| {
            let name = name.trim();
            resource.field(name).ok_or_else(|| {
                ServiceError::bad("fields", format_args!("names an unknown field: '{}'", plain_name(name)))
            })
        };
        let mut fields = value.split(',').map(field).collect::<Result<Vec<_>, _>>()?;
        fields.push(&resource.fields[0]);
        Ok(Shown(Some(fields)))
    }

    /// Leaves only those fields.
    pub fn of(&self, mut object: Object) -> Object {
        if let Some(fields) = &self.0 {
            object.0.retain(|(name, _)| fields.iter().any(|field| field.name == *name));
        }
        object
    }
}
