//! The fields of a service, with those to filter and sort by.

use super::AnswerObject;
use ia_catalog::listing::{Kind, Resource, Writing};
use serde_json::{Value, json};

/// The fields of a resource, described.
pub fn fields(resource: &Resource) -> Vec<AnswerObject> {
    let describe = |field: &ia_catalog::listing::Field| {
        let is_listed = field.column.is_some();
        let mut described: Vec<(&'static str, Value)> = vec![
            ("name", field.name.into()),
            ("type", field.kind.name().into()),
            ("sort_by", is_listed.into()),
            ("filter_by", is_listed.into()),
            ("read_only", (field.writing == Writing::Never).into()),
            ("required_on", if field.required { json!("POST") } else { Value::Null }),
        ];
        if let Kind::Choice(words) = field.kind {
            described.push(("enum", words.into()));
        }
        AnswerObject(described)
    };
    resource.fields.iter().map(describe).collect()
}
