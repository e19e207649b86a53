//! The part of JSON Schema that the document uses. Stricter in one point: an unnamed property is a fault, because every
//! part of an answer should be described. An unknown keyword panics.

use serde_json::Value;

/// Follows a reference, if it is one.
pub(crate) fn resolve<'d>(document: &'d Value, mut schema: &'d Value) -> &'d Value {
    while let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("references stay in the document");
        schema = document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
    }
    schema
}

/// Collects the faults of `value`.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value, faults: &mut Vec<String>) {
    Checker { document, faults }.check(schema, value, "$", true);
}

struct Checker<'a> {
    document: &'a Value,
    faults: &'a mut Vec<String>,
}

impl Checker<'_> {
    fn check(&mut self, schema: &Value, value: &Value, at: &str, is_strict: bool) {
        let schema = resolve(self.document, schema).as_object().expect("a schema is an object");
        for (keyword, wanted) in schema {
            let holds =
                match keyword.as_str() {
                    "description" | "example" | "format" => true,
                    "type" => is_of_type(wanted, value),
                    "enum" => wanted.as_array().unwrap().contains(value),
                    "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
                    "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
                    "minLength" => {
                        value.as_str().is_none_or(|text| text.len() as u64 >= wanted.as_u64().unwrap())
                    }
                    "maxLength" => {
                        value.as_str().is_none_or(|text| text.len() as u64 <= wanted.as_u64().unwrap())
                    }
                    "minItems" => {
                        value.as_array().is_none_or(|list| list.len() as u64 >= wanted.as_u64().unwrap())
                    }
                    "maxItems" => {
                        value.as_array().is_none_or(|list| list.len() as u64 <= wanted.as_u64().unwrap())
                    }
                    "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().unwrap(), text)),
                    "required" => wanted.as_array().unwrap().iter().all(|name| {
                        value.as_object().is_none_or(|map| map.contains_key(name.as_str().unwrap()))
                    }),
                    "items" => {
                        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                            self.check(wanted, item, &format!("{at}[{index}]"), is_strict);
                        }
                        true
                    }
                    "properties" => {
                        self.check_properties(wanted, value, at, is_strict);
                        true
                    }
                    // The first part names all properties, so only it is strict.
                    "allOf" => {
                        for (index, part) in wanted.as_array().unwrap().iter().enumerate() {
                            self.check(part, value, at, is_strict && index == 0);
                        }
                        true
                    }
                    "oneOf" => self.fitting(wanted, value, is_strict) == 1,
                    _ => panic!("{at}: {keyword} is not known here"),
                };
            if !holds {
                self.faults.push(format!("{at}: {keyword} {wanted} does not hold for {value}"));
            }
        }
    }

    fn check_properties(&mut self, properties: &Value, value: &Value, at: &str, is_strict: bool) {
        for (name, inner) in value.as_object().into_iter().flatten() {
            match properties.get(name) {
                Some(schema) => self.check(schema, inner, &format!("{at}.{name}"), is_strict),
                None if is_strict => self.faults.push(format!("{at}.{name} is not described")),
                None => {}
            }
        }
    }

    /// How many of the schemas match.
    fn fitting(&self, schemas: &Value, value: &Value, is_strict: bool) -> usize {
        let fits = |schema: &&Value| {
            let mut faults = Vec::new();
            Checker { document: self.document, faults: &mut faults }.check(schema, value, "$", is_strict);
            faults.is_empty()
        };
        schemas.as_array().unwrap().iter().filter(fits).count()
    }
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => panic!("{name} is no type"),
    };
    match wanted {
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        name => is(name.as_str().unwrap()),
    }
}

/// The few patterns of the document.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$" => {
            let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            shape == "0000-00-00 00:00:00"
        }
        "^[A-Za-z0-9_.:-]+$" => {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
        }
        "^eid:[A-Za-z0-9._-]{1,255}$" => text.strip_prefix("eid:").is_some_and(|source| {
            let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            (1..=255).contains(&source.len()) && source.bytes().all(is_of_name)
        }),
        _ => panic!("the pattern {pattern} is not known here"),
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    use serde_json::json;
    let document = json!({"parts": {"id": {"type": "integer", "minimum": 1}}});
    let schema = json!({
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"$ref": "#/parts/id"},
            "name": {"type": ["string", "null"], "maxLength": 3},
            "of": {"oneOf": [{"type": "array", "items": {"enum": ["a"]}, "maxItems": 1}, {"type": "null"}]},
        },
    });
    let faults = |value: Value| {
        let mut faults = Vec::new();
        check(&document, &schema, &value, &mut faults);
        faults.len()
    };
    for good in [json!({"id": 1}), json!({"id": 2, "name": null, "of": ["a"]}), json!({"id": 1, "of": null})]
    {
        assert_eq!(faults(good), 0);
    }
    for bad in [
        json!({}),
        json!({"id": 0}),
        json!({"id": "1"}),
        json!({"id": 1, "name": "abcd"}),
        json!({"id": 1, "name": 5}),
        json!({"id": 1, "of": ["b"]}),
        json!({"id": 1, "of": ["a", "a"]}),
        json!({"id": 1, "more": 1}),
    ] {
        assert_eq!(faults(bad.clone()), 1, "{bad}");
    }
}
