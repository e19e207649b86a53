//! One object of a request's body, field by field.

use super::ServiceError;
use super::rules::{self, Rule};
use ia_catalog::Change;
use serde_json::{Map, Value};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// An object of a body. Each field is absent (`None`: it stays as it is), null (`Some(None)`: it is emptied) or a
/// value. Every error names the field, and the object's place in a list of objects.
#[derive(Debug)]
pub struct RequestObject {
    object: Map<String, Value>,
    /// What comes before the name of a field in an error, like `segments[3].`.
    path: String,
}

impl RequestObject {
    /// An object at `path`, which is empty or ends with a point.
    pub(super) fn new(object: Map<String, Value>, path: String) -> RequestObject {
        RequestObject { object, path }
    }

    /// The names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.object.keys().map(String::as_str)
    }

    /// What comes before the name of a field in an error.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A fault of one of its fields.
    pub fn bad(&self, name: &str, reason: impl std::fmt::Display) -> ServiceError {
        ServiceError::bad(format_args!("{}{name}", self.path), reason)
    }

    /// Whether a field is null.
    pub fn is_null(&self, name: &str) -> bool {
        self.object.get(name) == Some(&Value::Null)
    }

    /// Reads a field by its rule, which is made only for a field that is there.
    pub fn read<T>(
        &self,
        name: &str,
        rule: impl FnOnce() -> Rule<T>,
    ) -> Result<Option<Option<T>>, ServiceError>
    where
        T: 'static,
    {
        match self.object.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => {
                let rule = rule();
                let read = rule.read(value).map(|value| Some(Some(value)));
                read.ok_or_else(|| self.bad(name, format_args!("must be {}", rule.expected)))
            }
        }
    }

    /// Reads a field for which null says as little as its absence.
    pub fn value<T: 'static>(&self, name: &str, rule: fn() -> Rule<T>) -> Result<Option<T>, ServiceError> {
        Ok(self.read(name, rule)?.flatten())
    }

    /// Reads an object in this one.
    pub fn nested<F: RequestFields>(&self, name: &str) -> Result<Option<RequestObject>, ServiceError> {
        let path = format!("{}{name}.", self.path);
        let object = self.read(name, || rules::object(F::schema()))?.flatten();
        Ok(object.map(|object| RequestObject { object, path }))
    }
}

/// What can become of a field: a field of a change in the catalog.
pub trait FieldChange<T> {
    /// From what was read.
    fn from_read(read: Option<Option<T>>) -> Self;
}

impl<T> FieldChange<T> for Option<T> {
    fn from_read(read: Option<Option<T>>) -> Option<T> {
        read.flatten()
    }
}

impl<T> FieldChange<T> for Option<Option<T>> {
    fn from_read(read: Option<Option<T>>) -> Option<Option<T>> {
        read
    }
}

impl<T> FieldChange<T> for Change<T> {
    fn from_read(read: Option<Option<T>>) -> Change<T> {
        match read {
            None => Change::Keep,
            Some(None) => Change::Clear,
            Some(Some(value)) => Change::Set(value),
        }
    }
}

/// What a request can say of an object, as `request_fields!` defines it.
pub trait RequestFields: Default {
    /// The names of the fields.
    const NAMES: &'static [&'static str];

    /// Reads the fields of an object.
    fn read(object: &RequestObject) -> Result<Self, ServiceError>;

    /// What the OpenAPI document says of them.
    fn schema() -> Schema;
}

/// The schema of an object with these properties: name, text and schema.
pub(super) fn object_schema(about: &str, properties: Vec<(&str, &[&str], Schema)>) -> ObjectBuilder {
    let about = about.trim();
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let object = object.description((!about.is_empty()).then_some(about));
    properties.into_iter().fold(object, |object, (name, about, mut schema)| {
        let about = about.concat();
        if !about.is_empty() {
            let text = Some(about.trim().to_owned());
            match &mut schema {
                Schema::Object(inner) => inner.description = text,
                Schema::Array(inner) => inner.description = text,
                _ => {}
            }
        }
        object.property(name, schema)
    })
}

/// Defines what a request can say of an object, once for the reader and for the OpenAPI document: fields with their
/// rules, and the change in the catalog that they are read into.
///
/// A field goes into the field of that name. `name => [place] = rule` is for another place, and `name => _ = rule` for a
/// field that is read elsewhere.
macro_rules! request_fields {
    (@read $object:ident $change:ident $name:ident $rule:expr, $field:ident _) => {};
    (@read $object:ident $change:ident $name:ident $rule:expr, $field:ident $([$($place:tt)+])?) => {
        $crate::services::request_fields!(@put $change ($($($place)+)?) $field = $object.read(stringify!($name), || $rule)?);
    };
    (@put $change:ident () $field:ident = $read:expr) => {
        $change.$field = $crate::services::FieldChange::from_read($read);
    };
    (@put $change:ident ($($place:tt)+) $field:ident = $read:expr) => {
        $change.$($place)+ = $crate::services::FieldChange::from_read($read);
    };
    (
        $(#[doc = $about:literal])*
        $change:ty {
            $($(#[doc = $doc:literal])* $name:ident $(=> $place:tt)? = $rule:expr,)+
        }
    ) => {
        impl $crate::services::RequestFields for $change {
            const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            fn read(
                object: &$crate::services::RequestObject,
            ) -> Result<Self, $crate::services::ServiceError> {
                let mut change = <$change>::default();
                $($crate::services::request_fields!(@read object change $name $rule, $name $($place)?);)+
                Ok(change)
            }

            fn schema() -> utoipa::openapi::schema::Schema {
                let properties = vec![
                    $((
                        stringify!($name),
                        [$($doc),*].as_slice(),
                        $crate::services::rules::or_null($rule.schema),
                    ),)+
                ];
                $crate::services::request_object::object_schema(concat!($($about),*), properties).into()
            }
        }
    };
}

pub(crate) use request_fields;
