//! What is shown of an object.

use super::{ServiceError, plain_name};
use ia_catalog::listing::{Field, Resource};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use utoipa::openapi::schema::Schema;

/// An object of an answer: names and values in the order of the resource's table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerObject(pub Vec<(&'static str, Value)>);

impl AnswerObject {
    /// Its id, which comes first.
    pub fn id(&self) -> Option<u64> {
        self.0.first().and_then(|(_, id)| id.as_u64())
    }
}

impl Serialize for AnswerObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What answers show of an object, as `answer_fields!` defines it.
pub trait AnswerFields {
    /// The object with all fields.
    fn show(self) -> AnswerObject;

    /// What the OpenAPI document says of it. Only the id is always there.
    fn schema() -> Schema;
}

/// Defines what answers show of an object, once for the writer and for the OpenAPI document: fields with their types,
/// how each follows from what the catalog keeps, and its schema where the type alone does not say it. The first is
/// the id.
macro_rules! answer_fields {
    (@schema $type:ty) => {
        $crate::services::rules::of_rust(<$type as utoipa::PartialSchema>::schema())
    };
    (@schema $type:ty, $schema:expr) => {
        $schema
    };
    (
        $(#[doc = $about:literal])*
        $kept:ident: $object:ty {
            $id:ident: $id_type:ty = $id_value:expr,
            $($(#[doc = $doc:literal])* $name:ident: $type:ty = $value:expr $(=> $schema:expr)?,)+
        }
    ) => {
        impl $crate::services::AnswerFields for $object {
            fn show(self) -> $crate::services::AnswerObject {
                let $kept = self;
                $crate::services::AnswerObject(vec![
                    (stringify!($id), <serde_json::Value as From<$id_type>>::from($id_value)),
                    $((stringify!($name), <serde_json::Value as From<$type>>::from($value)),)+
                ])
            }

            fn schema() -> utoipa::openapi::schema::Schema {
                let properties = vec![
                    (stringify!($id), [].as_slice(), $crate::services::answer_fields!(@schema $id_type)),
                    $((stringify!($name), [$($doc),*].as_slice(), $crate::services::answer_fields!(@schema $type $(, $schema)?)),)+
                ];
                let about = concat!($($about),*);
                let object = $crate::services::request_object::object_schema(about, properties);
                object.required(stringify!($id)).into()
            }
        }
    };
}

pub(crate) use answer_fields;

/// The fields that were asked for; all when none was named.
#[derive(Debug, Default)]
pub struct FieldSelection(Option<Vec<&'static Field>>);

impl FieldSelection {
    /// Reads `fields=a,b`. The id is always shown.
    pub fn parse(resource: &'static Resource, value: &str) -> Result<FieldSelection, ServiceError> {
        let field = |name: &str| {
            let name = name.trim();
            resource.field(name).ok_or_else(|| {
                ServiceError::bad("fields", format_args!("names an unknown field: '{}'", plain_name(name)))
            })
        };
        let mut fields = value.split(',').map(field).collect::<Result<Vec<_>, _>>()?;
        fields.push(&resource.fields[0]);
        Ok(FieldSelection(Some(fields)))
    }

    /// Leaves only those fields.
    pub fn of(&self, mut object: AnswerObject) -> AnswerObject {
        if let Some(fields) = &self.0 {
            object.0.retain(|(name, _)| fields.iter().any(|field| field.name == *name));
        }
        object
    }
}
