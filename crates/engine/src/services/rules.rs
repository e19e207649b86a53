//! The rules for single fields: how a value is read, in which words it is refused, and what the OpenAPI document says
//! of it.

use ia_catalog::segments::STATES;
use ia_model::{lenient, time};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOf, Schema, SchemaFormat, SchemaType, Type,
};

/// The largest number that a client with 32-bit signed integers reads.
pub const MAX_INT: u32 = i32::MAX as u32;

/// The largest number that JSON clients read exactly.
const MAX_COUNT: u64 = (1 << 53) - 1;

/// A rule for a value of a request.
pub struct Rule<T> {
    /// What the OpenAPI document says of the value.
    pub schema: Schema,
    /// The rule in words, after "must be".
    pub expected: String,
    read: Box<Read<T>>,
}

type Read<T> = dyn Fn(&Value) -> Option<T>;

impl<T: 'static> Rule<T> {
    /// A rule that takes what `read` reads.
    pub fn new(
        schema: impl Into<Schema>,
        expected: impl Into<String>,
        read: impl Fn(&Value) -> Option<T> + 'static,
    ) -> Rule<T> {
        Rule { schema: schema.into(), expected: expected.into(), read: Box::new(read) }
    }

    /// The value, where it keeps the rule.
    pub fn read(&self, value: &Value) -> Option<T> {
        (self.read)(value)
    }

    /// The same rule, which gives something else.
    pub fn map<U: 'static>(self, map: impl Fn(T) -> U + 'static) -> Rule<U> {
        let Rule { schema, expected, read } = self;
        Rule::new(schema, expected, move |value| read(value).map(&map))
    }

    /// The same rule, described more closely: the catalog has further rules for the value.
    pub fn described(self, schema: impl Into<Schema>) -> Rule<T> {
        Rule { schema: schema.into(), ..self }
    }
}

/// A schema of that type.
pub fn of_type(schema_type: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(schema_type)
}

/// Allows null beside what a schema allows.
pub fn or_null(mut schema: Schema) -> Schema {
    let add = |schema_type: &mut SchemaType| {
        if let SchemaType::Type(one) = schema_type {
            *schema_type = SchemaType::from_iter([one.clone(), Type::Null]);
        }
    };
    match &mut schema {
        Schema::Object(object) => {
            add(&mut object.schema_type);
            object.enum_values.iter_mut().for_each(|values| values.push(Value::Null));
        }
        Schema::Array(array) => add(&mut array.schema_type),
        _ => {}
    }
    schema
}

/// The schema of a Rust type. `Option` adds null to the type, in place of a choice of two schemas.
pub fn of_rust(schema: RefOr<Schema>) -> Schema {
    match schema {
        RefOr::T(Schema::OneOf(OneOf { mut items, .. })) => match items.pop() {
            Some(RefOr::T(inner)) => or_null(inner),
            _ => Schema::default(),
        },
        RefOr::T(schema) => schema,
        RefOr::Ref(_) => Schema::default(),
    }
}

/// A number that is whole, in any form: `1440`, `1440.0` and `1.44e3`, also as text with white space around.
pub fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| lenient::integer(&number.to_string())),
        Value::String(text) => lenient::integer(text),
        _ => None,
    }
}

/// An integer, in any form of a [`whole`] number.
pub fn integer(least: u32, most: u32) -> Rule<u32> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int32);
    let schema = of_type(Type::Integer).format(Some(format)).minimum(Some(least));
    let schema = schema.maximum((most < u32::MAX).then_some(most));
    Rule::new(schema, format!("an integer from {least} to {most}"), move |value| {
        u32::try_from(whole(value)?).ok().filter(|number| (least..=most).contains(number))
    })
}

/// The id of an object.
pub fn id() -> Rule<u32> {
    integer(1, u32::MAX)
}

/// A number up to [`MAX_INT`], a bound that the catalog checks itself: catalog files have it, too.
pub fn catalog_integer() -> Rule<u32> {
    integer(0, u32::MAX).described(integer(0, MAX_INT).schema)
}

/// A count that may be large, in any form of a [`whole`] number.
pub fn count() -> Rule<u64> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    let schema = of_type(Type::Integer).format(Some(format)).minimum(Some(0)).maximum(Some(MAX_COUNT));
    Rule::new(schema, format!("an integer from 0 to {MAX_COUNT}"), |value| {
        let number = u64::try_from(whole(value)?).ok()?;
        (number <= MAX_COUNT).then_some(number)
    })
}

/// A number from 0 to `most`, also as a decimal string.
pub fn decimal(most: u32) -> Rule<f64> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Double);
    let schema = of_type(Type::Number).format(Some(format)).minimum(Some(0)).maximum(Some(most));
    Rule::new(schema, format!("a number from 0 to {most}"), move |value| {
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
        (0.0..=f64::from(most)).contains(&number).then_some(number)
    })
}

/// `true`, `false`, or 1 and 0, also as text.
pub fn flag() -> Rule<bool> {
    Rule::new(of_type(Type::Boolean), "true or false", |value| match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => match whole(value)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    })
}

fn characters(max_characters: usize, expected: String, is_fit: fn(char) -> bool) -> Rule<String> {
    let schema = of_type(Type::String).max_length(Some(max_characters));
    Rule::new(schema, expected, move |value| {
        let text = value.as_str()?;
        let fits = text.chars().count() <= max_characters && text.chars().all(is_fit);
        fits.then(|| text.to_owned())
    })
}

/// One line of text.
pub fn line(max_characters: usize) -> Rule<String> {
    let expected = format!("one line of at most {max_characters} characters");
    characters(max_characters, expected, |c| !c.is_control())
}

/// Text without control characters other than line breaks and tabs.
pub fn text(max_characters: usize) -> Rule<String> {
    let expected = format!("text of at most {max_characters} characters");
    characters(max_characters, expected, is_text)
}

/// [`text`] without `'` and `\`.
pub fn unquoted_text(max_characters: usize) -> Rule<String> {
    let expected = format!("text of at most {max_characters} characters, without ', without \\");
    characters(max_characters, expected, |c| is_text(c) && !matches!(c, '\'' | '\\'))
}

fn is_text(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\r' | '\t')
}

/// A name out of ASCII letters, digits and a few other characters: `pattern` has them in brackets.
pub fn name(max_characters: usize, pattern: &str, expected: &str, others: &'static [u8]) -> Rule<String> {
    let pattern = format!("^{pattern}{{1,{max_characters}}}$");
    let schema = of_type(Type::String).pattern(Some(pattern));
    Rule::new(schema, format!("1 to {max_characters} {expected}"), move |value| {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
        let name = value.as_str()?;
        ((1..=max_characters).contains(&name.len()) && name.bytes().all(is_fit)).then(|| name.to_owned())
    })
}

/// One of a few words.
pub fn one_of(words: &'static [&'static str]) -> Rule<&'static str> {
    let schema = of_type(Type::String).enum_values(Some(words.iter().copied()));
    Rule::new(schema, format!("one of {}", words.join(", ")), move |value| {
        let text = value.as_str()?;
        words.iter().copied().find(|word| *word == text)
    })
}

/// Whether an object is active.
pub fn state() -> Rule<bool> {
    one_of(STATES).map(|state| state == STATES[0])
}

/// The word for [`state`].
pub fn state_of(active: bool) -> String {
    STATES[usize::from(!active)].to_owned()
}

/// A JSON object of at most `max_bytes` in its shortest form.
pub fn json_object(max_bytes: usize) -> Rule<Value> {
    Rule::new(of_type(Type::Object), format!("an object of at most {max_bytes} bytes"), move |value| {
        (value.is_object() && value.to_string().len() <= max_bytes).then(|| value.clone())
    })
}

/// An object, whose fields have rules of their own.
pub fn object(schema: Schema) -> Rule<Map<String, Value>> {
    Rule::new(schema, "an object", |value| value.as_object().cloned())
}

/// A list of at most `most` elements. A single element counts as a list of one.
pub fn list<T: 'static>(element: Rule<T>, most: usize) -> Rule<Vec<T>> {
    let schema = list_of(element.schema.clone()).max_items(Some(most));
    let expected = format!("a list of at most {most} of: {}", element.expected);
    Rule::new(schema, expected, move |value| {
        let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        if elements.len() > most {
            return None;
        }
        elements.iter().map(|value| element.read(value)).collect()
    })
}

/// The schema of a list.
pub fn list_of(element: Schema) -> ArrayBuilder {
    ArrayBuilder::new().items(RefOr::T(element))
}

/// The schema of an object that refers to another by an id, which is the field of that name.
pub fn reference(name: &str) -> ObjectBuilder {
    of_type(Type::Object).property(name, id().schema).required(name)
}

/// An id, or an object with an id under that name.
pub fn referred(name: &'static str, schema: ObjectBuilder, expected: &str) -> Rule<u32> {
    let id = id();
    Rule::new(schema, expected, move |value| id.read(value).or_else(|| id.read(value.get(name)?)))
}

/// The schema of a time.
pub fn time() -> Schema {
    let time = of_type(Type::String).pattern(Some(r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$"));
    time.description(Some("UTC, `YYYY-MM-DD HH:MM:SS`")).into()
}

/// A time of an answer, where it is known.
pub fn time_of(unix_ms: Option<u64>) -> Option<String> {
    unix_ms.map(time::format_utc)
}
