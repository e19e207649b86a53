//! The schema that a file was written with: a list of types that refer to each other by their places in it.
//!
//! Only what is needed to find the end of each value is kept and checked. Names, orders, defaults, aliases, logical
//! types and further attributes change nothing about that. Schemas of clients bend the rules of the specification in
//! places (a `long` with a name of its own, for one), so more is taken than it allows.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// The largest schema, in bytes of its JSON: memory for parsing is up to a hundred times that.
pub(super) const MAX_SCHEMA_BYTES: usize = 128 << 10;

/// A place in [`Schema::types`].
pub(super) type TypeId = usize;

/// All types of a schema.
#[derive(Debug)]
pub(super) struct Schema {
    types: Vec<Type>,
    /// The type of the values in the file.
    pub(super) root: TypeId,
}

#[derive(Debug)]
pub(super) struct Type {
    pub(super) form: Form,
    /// The attribute `name`, without a namespace; empty where there is none.
    pub(super) name: String,
    /// Whether a value takes no bytes at all.
    pub(super) is_empty: bool,
}

/// How a value is written.
#[derive(Debug)]
pub(super) enum Form {
    Null,
    Boolean,
    /// `int` is written in the same way.
    Long,
    Float,
    Double,
    /// `bytes` are written in the same way.
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    /// In the order of their values. Fields whose values take no bytes stand behind all others.
    Record(Vec<Field>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    /// A record whose fields are being parsed.
    Unfinished,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) type_id: TypeId,
}

/// The JSON is no schema, and why. No content of the file is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSchema(pub(super) &'static str);

impl Schema {
    pub(super) fn parse(json: &[u8]) -> Result<Schema, NoSchema> {
        // Its parser bounds how deeply the JSON is nested, and so how deeply `Parser` calls itself.
        let json: Value = serde_json::from_slice(json).map_err(|_| NoSchema("the schema is no JSON"))?;
        let mut parser = Parser { types: Vec::new(), names: HashMap::new() };
        let root = parser.parse(&json, "")?;
        Ok(Schema { types: parser.types, root })
    }

    pub(super) fn get(&self, type_id: TypeId) -> &Type {
        &self.types[type_id]
    }
}

struct Parser {
    types: Vec<Type>,
    /// Types by name, with the namespace.
    names: HashMap<String, TypeId>,
}

impl Parser {
    fn parse(&mut self, json: &Value, namespace: &str) -> Result<TypeId, NoSchema> {
        match json {
            Value::String(name) => self.named(name, namespace, ""),
            Value::Array(branches) => {
                let branches: Result<Vec<TypeId>, NoSchema> =
                    branches.iter().map(|branch| self.parse(branch, namespace)).collect();
                let branches = branches?;
                let is_union = |&type_id: &TypeId| matches!(self.types[type_id].form, Form::Union(_));
                if branches.iter().any(is_union) {
                    return Err(NoSchema("a union in the schema is a branch of a union"));
                }
                Ok(self.add(Form::Union(branches), ""))
            }
            Value::Object(object) => self.object(object, namespace),
            _ => Err(NoSchema("a type in the schema is no string, array or object")),
        }
    }

    /// A type that is written as a name: of a primitive type, or of one that was defined before.
    fn named(&mut self, name: &str, namespace: &str, label: &str) -> Result<TypeId, NoSchema> {
        let form = match name {
            "null" => Form::Null,
            "boolean" => Form::Boolean,
            "int" | "long" => Form::Long,
            "float" => Form::Float,
            "double" => Form::Double,
            "bytes" | "string" => Form::Text,
            _ => {
                let known = self.names.get(&full_name(name, namespace)).or_else(|| self.names.get(name));
                return known.copied().ok_or(NoSchema("the schema uses a type that it does not define"));
            }
        };
        Ok(self.add(form, label))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, NoSchema> {
        let text = |key| object.get(key).and_then(Value::as_str);
        let kind = match object.get("type").ok_or(NoSchema("a type in the schema has no 'type'"))? {
            Value::String(kind) => kind,
            nested => return self.parse(nested, namespace),
        };
        let name = text("name").unwrap_or("");
        let part =
            |key| object.get(key).ok_or(NoSchema("an array or map in the schema has no type of items"));
        match kind.as_str() {
            "array" => {
                let items = self.parse(part("items")?, namespace)?;
                Ok(self.add(Form::Array(items), ""))
            }
            "map" => {
                let values = self.parse(part("values")?, namespace)?;
                Ok(self.add(Form::Map(values), ""))
            }
            "enum" => {
                let form = Form::Enum(symbols(object)?);
                let type_id = self.add(form, name);
                self.define(type_id, name, text("namespace").unwrap_or(namespace));
                Ok(type_id)
            }
            "fixed" => {
                let size =
                    object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let form = Form::Fixed(size.ok_or(NoSchema("a fixed type in the schema has no size"))?);
                let type_id = self.add(form, name);
                self.define(type_id, name, text("namespace").unwrap_or(namespace));
                Ok(type_id)
            }
            "record" | "error" => self.record(object, name, text("namespace").unwrap_or(namespace)),
            other => self.named(other, namespace, name),
        }
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        name: &str,
        namespace: &str,
    ) -> Result<TypeId, NoSchema> {
        let type_id = self.add(Form::Unfinished, name);
        self.define(type_id, name, namespace);
        let full_name = full_name(name, namespace);
        let namespace = full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let fields = object.get("fields").and_then(Value::as_array);
        let mut parsed: Vec<Field> = Vec::new();
        for field in fields.ok_or(NoSchema("a record in the schema has no fields"))? {
            let name = field.get("name").and_then(Value::as_str);
            let name = name.ok_or(NoSchema("a field in the schema has no name"))?.to_owned();
            // A field whose type has attributes, written without a level for the type.
            let type_id = match field.get("type") {
                Some(Value::String(kind)) if is_complex(kind) => self.parse(field, namespace)?,
                Some(json) => self.parse(json, namespace)?,
                None => return Err(NoSchema("a field in the schema has no type")),
            };
            parsed.push(Field { name, type_id });
        }
        let mut names: Vec<&str> = parsed.iter().map(|field| field.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(NoSchema("a record in the schema has two fields of one name"));
        }
        // So that who passes over values stops there: thousands of fields without bytes would cost time for each byte.
        parsed.sort_by_key(|field| self.types[field.type_id].is_empty);
        // One that contains itself is never empty: it has no end.
        let is_empty = parsed.iter().all(|field| self.types[field.type_id].is_empty);
        self.types[type_id].form = Form::Record(parsed);
        self.types[type_id].is_empty = is_empty;
        Ok(type_id)
    }

    fn add(&mut self, form: Form, name: &str) -> TypeId {
        let is_empty = matches!(form, Form::Null | Form::Fixed(0));
        let name = name.rsplit('.').next().unwrap_or("").to_owned();
        self.types.push(Type { form, name, is_empty });
        self.types.len() - 1
    }

    fn define(&mut self, type_id: TypeId, name: &str, namespace: &str) {
        self.names.insert(full_name(name, namespace), type_id);
    }
}

fn is_complex(kind: &str) -> bool {
    matches!(kind, "array" | "map" | "enum" | "fixed" | "record" | "error")
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn symbols(object: &Map<String, Value>) -> Result<Vec<String>, NoSchema> {
    let symbols = object.get("symbols").and_then(Value::as_array);
    let symbols = symbols.and_then(|symbols| {
        symbols.iter().map(|symbol| symbol.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>()
    });
    symbols.ok_or(NoSchema("an enum in the schema has no symbols"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Schema, NoSchema> {
        Schema::parse(json.as_bytes())
    }

    #[test]
    fn names_are_found_with_and_without_their_namespaces() {
        let json = r#"{"type": "record", "name": "a.b.R", "fields": [
            {"name": "one", "type": {"type": "enum", "name": "E", "symbols": ["x"]}},
            {"name": "two", "type": "a.b.E"}, {"name": "three", "type": "E"},
            {"name": "four", "type": {"type": "fixed", "name": "F", "namespace": "c", "size": 3}},
            {"name": "five", "type": "c.F"}, {"name": "six", "type": ["null", "R"]}]}"#;
        let schema = parse(json).unwrap();
        let Form::Record(fields) = &schema.get(schema.root).form else { panic!("a record") };
        let ids: Vec<TypeId> = fields.iter().map(|field| field.type_id).collect();
        assert_eq!((ids[1], ids[2], ids[4]), (ids[0], ids[0], ids[3]));
        assert!(matches!(&schema.get(ids[5]).form, Form::Union(branches) if branches[1] == schema.root));
        assert_eq!(schema.get(schema.root).name, "R");
    }

    #[test]
    fn what_takes_no_bytes_is_known() {
        let is_empty = |json| parse(json).map(|schema| schema.get(schema.root).is_empty);
        let twice = r#"{"type": "record", "name": "A", "fields": [{"name": "a", "type": "null"},
            {"name": "b", "type": {"type": "record", "name": "B", "fields": []}}]}"#;
        assert_eq!(is_empty(twice), Ok(true));
        let endless = r#"{"type": "record", "name": "A", "fields": [{"name": "a", "type": "null"}, {"name": "b", "type": "A"}]}"#;
        assert_eq!(is_empty(endless), Ok(false));
        assert_eq!(is_empty(r#"["null"]"#), Ok(false));
    }

    #[test]
    fn faults_are_named() {
        let fault = |json| parse(json).unwrap_err().0;
        assert_eq!(fault("{"), "the schema is no JSON");
        assert_eq!(fault("7"), "a type in the schema is no string, array or object");
        assert_eq!(fault(r#""uuid""#), "the schema uses a type that it does not define");
        assert_eq!(fault(r#"["null", ["int"]]"#), "a union in the schema is a branch of a union");
        assert_eq!(fault(r#"{"name": "a"}"#), "a type in the schema has no 'type'");
        assert_eq!(fault(r#"{"type": "array"}"#), "an array or map in the schema has no type of items");
        assert_eq!(fault(r#"{"type": "fixed", "size": -1}"#), "a fixed type in the schema has no size");
        assert_eq!(fault(r#"{"type": "enum", "symbols": [1]}"#), "an enum in the schema has no symbols");
        assert_eq!(fault(r#"{"type": "record"}"#), "a record in the schema has no fields");
        let twice =
            r#"{"type": "record", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}"#;
        assert_eq!(fault(twice), "a record in the schema has two fields of one name");
        let deep = format!("{}\"int\"{}", "{\"type\":".repeat(1000), "}".repeat(1000));
        assert_eq!(fault(&deep), "the schema is no JSON");
    }
}
