//! Reads the OpenAPI document: its operations, and whether an answer matches it.

use super::schema;
use ia_testkit::{Answer, Kit};
use serde_json::Value;
use std::collections::BTreeSet;

/// The document of a running server.
pub(crate) struct Description(pub(crate) Value);

/// An operation of the document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
}

impl Description {
    pub(crate) async fn of(kit: &Kit) -> Description {
        let answer = kit.anonymous().get("/openapi.json").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
        Description(answer.json())
    }

    /// All operations.
    pub(crate) fn operations(&self) -> BTreeSet<Operation> {
        let mut all = BTreeSet::new();
        for (path, item) in self.0["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("operations").keys() {
                all.insert(Operation { method: method.to_ascii_uppercase(), path: path.clone() });
            }
        }
        all
    }

    /// The document's object for an operation.
    pub(crate) fn operation(&self, method: &str, path: &str) -> &Value {
        let operation = &self.0["paths"][path][method.to_ascii_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not described");
        operation
    }

    /// Collects the names of all fields that a schema has, at any depth.
    pub(crate) fn field_names(&self, part: &Value, names: &mut BTreeSet<String>) {
        match schema::resolve(&self.0, part) {
            Value::Object(map) => {
                names.extend(
                    map.get("properties")
                        .and_then(Value::as_object)
                        .into_iter()
                        .flat_map(|p| p.keys().cloned()),
                );
                let inner = map.iter().filter(|(keyword, _)| *keyword != "example");
                inner.for_each(|(_, inner)| self.field_names(inner, names));
            }
            Value::Array(list) => list.iter().for_each(|inner| self.field_names(inner, names)),
            _ => {}
        }
    }

    /// The statuses of an operation.
    pub(crate) fn statuses(&self, operation: &Operation) -> BTreeSet<u16> {
        let responses = &self.operation(&operation.method, &operation.path)["responses"];
        responses.as_object().expect("responses").keys().map(|status| status.parse().unwrap()).collect()
    }

    /// Panics unless status, headers and body of an answer match the document.
    pub(crate) fn assert_describes(&self, method: &str, path: &str, answer: &Answer) {
        let status = answer.status.as_u16();
        let what = format!("{method} {path} {status}");
        let response = &self.operation(method, path)["responses"][status.to_string()];
        assert!(response.is_object(), "{what} is not described");
        let response = schema::resolve(&self.0, response);
        self.assert_headers(&what, &response["headers"], answer);
        let no_content = serde_json::Map::new();
        let content = response["content"].as_object().unwrap_or(&no_content);
        if content.is_empty() {
            assert_eq!(
                (answer.header("content-type"), answer.body.len()),
                (None, 0),
                "{what} has no content"
            );
            return;
        }
        let content_type = answer.header("content-type").expect("a content type");
        let media = content.get(content_type).unwrap_or_else(|| panic!("{what} has {content_type}"));
        if content_type == "application/json" {
            let mut faults = Vec::new();
            schema::check(&self.0, &media["schema"], &answer.json(), &mut faults);
            assert!(faults.is_empty(), "{what}: {faults:#?}");
        }
    }

    /// Headers of every HTTP answer need no description; all others do, and each described header must be there.
    fn assert_headers(&self, what: &str, described: &Value, answer: &Answer) {
        let usual = ["content-type", "content-length", "date", "connection"];
        let described: Vec<(String, &Value)> = described
            .as_object()
            .expect("headers")
            .iter()
            .map(|(name, header)| (name.to_ascii_lowercase(), &header["schema"]))
            .collect();
        for name in answer.headers.keys().map(|name| name.as_str()).filter(|name| !usual.contains(name)) {
            assert!(described.iter().any(|(known, _)| known == name), "{what}: {name} is not described");
        }
        for (name, header_schema) in described {
            let text = answer.header(&name).unwrap_or_else(|| panic!("{what}: no {name}"));
            let value = match header_schema["type"].as_str() {
                Some("integer") => Value::from(text.parse::<u64>().expect("an integer")),
                _ => Value::from(text),
            };
            let mut faults = Vec::new();
            schema::check(&self.0, header_schema, &value, &mut faults);
            assert!(faults.is_empty(), "{what}: {name}: {faults:#?}");
        }
    }
}
