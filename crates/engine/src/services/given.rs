//! One object of a request's body, field by field.

use super::ServiceError;
use ia_catalog::listing::Kind;
use serde_json::{Map, Value};

/// An object that was sent. Each field is absent (`None`: it stays as it is), null (`Some(None)`: it is emptied)
/// or a value. Every error names the field, and where it stands in a list of objects.
#[derive(Debug)]
pub struct Given {
    object: Map<String, Value>,
    /// What stands before the name of a field in an error, like `segments[3].`.
    path: String,
}

type Read<T> = Result<Option<Option<T>>, ServiceError>;

impl Given {
    /// An object that stands at `path`, which is empty or ends with a point.
    pub(super) fn new(object: Map<String, Value>, path: String) -> Given {
        Given { object, path }
    }

    /// The names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.object.keys().map(String::as_str)
    }

    /// Where a field stands.
    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// A fault of one of its fields.
    pub fn bad(&self, name: &str, reason: impl std::fmt::Display) -> ServiceError {
        ServiceError::bad(self.path(name), reason)
    }

    fn read<T>(
        &self,
        name: &str,
        expected: impl std::fmt::Display,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Read<T> {
        match self.object.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => match parse(value) {
                Some(value) => Ok(Some(Some(value))),
                None => Err(self.bad(name, format_args!("must be {expected}"))),
            },
        }
    }

    /// Text of at most `max_characters`, without control characters other than line breaks and tabs, and without
    /// those in `forbidden`.
    pub fn text(&self, name: &str, max_characters: usize, forbidden: &[char]) -> Read<String> {
        let without: String = forbidden.iter().map(|c| format!(", without {c}")).collect();
        let expected = format_args!("text of at most {max_characters} characters{without}");
        let is_fit = |text: &str| {
            text.chars().count() <= max_characters
                && !text.contains(forbidden)
                && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        };
        self.read(name, expected, |value| value.as_str().filter(|text| is_fit(text)).map(str::to_owned))
    }

    /// Text of one line, of at most `max_characters`.
    pub fn line(&self, name: &str, max_characters: usize) -> Read<String> {
        let expected = format_args!("one line of at most {max_characters} characters");
        let is_fit =
            |text: &str| text.chars().count() <= max_characters && !text.chars().any(char::is_control);
        self.read(name, expected, |value| value.as_str().filter(|text| is_fit(text)).map(str::to_owned))
    }

    /// A JSON object of at most `max_bytes`, written out.
    pub fn object(&self, name: &str, max_bytes: usize) -> Read<Value> {
        self.read(name, format_args!("an object of at most {max_bytes} bytes"), |value| {
            (value.is_object() && value.to_string().len() <= max_bytes).then(|| value.clone())
        })
    }

    /// An integer, also as a decimal string, of at least `least` and at most `most`.
    pub fn integer(&self, name: &str, least: u32, most: u32) -> Read<u32> {
        self.read(name, format_args!("an integer from {least} to {most}"), |value| {
            integer(value).filter(|number| (least..=most).contains(number))
        })
    }

    /// A count that may be large, also as a decimal string.
    pub fn count(&self, name: &str) -> Read<u64> {
        const MOST: u64 = (1 << 53) - 1;
        self.read(name, format_args!("an integer from 0 to {MOST}"), |value| {
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
            (number <= MOST).then_some(number)
        })
    }

    /// An object in this one.
    pub fn nested(&self, name: &str) -> Read<Given> {
        let path = format!("{}.", self.path(name));
        self.read(name, "an object", |value| Some(Given::new(value.as_object()?.clone(), path)))
    }

    /// A number from 0 to `most`, also as a decimal string.
    pub fn decimal(&self, name: &str, most: f64) -> Read<f64> {
        self.read(name, format_args!("a number from 0 to {most}"), |value| {
            let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
            (0.0..=most).contains(&number).then_some(number)
        })
    }

    /// `true`, `false`, or 1 and 0.
    pub fn flag(&self, name: &str) -> Read<bool> {
        self.read(name, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => match number.as_u64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        })
    }

    /// One of the words of a [`Kind::Choice`].
    pub fn choice(&self, name: &str, words: &'static [&'static str]) -> Read<&'static str> {
        self.read(name, format_args!("one of {}", words.join(", ")), |value| {
            let text = value.as_str()?;
            words.iter().copied().find(|word| *word == text)
        })
    }

    /// One of the words of that field's kind.
    pub fn choice_of(&self, field: &ia_catalog::listing::Field) -> Read<&'static str> {
        let Kind::Choice(words) = field.kind else { panic!("'{}' is no choice", field.name) };
        self.choice(field.name, words)
    }

    /// A list, each element of it read by `parse`. A single value counts as a list of one.
    pub fn list<T>(
        &self,
        name: &str,
        max_elements: usize,
        expected: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Read<Vec<T>> {
        self.read(name, format_args!("a list of at most {max_elements} of: {expected}"), |value| {
            let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            if elements.len() > max_elements {
                return None;
            }
            elements.iter().map(parse).collect()
        })
    }
}

/// An integer, also as a decimal string.
pub fn integer(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}
