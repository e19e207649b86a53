//! Reads the body of a `POST /rt-segment` without judging it.
//!
//! Every known field may hold anything: what is wrong with it is found later, block by block, and shown
//! to the caller with the values that were sent. Strings borrow from the body.

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A whole request.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    /// The elements of `rt_segment`, in their order.
    pub users: Vec<Element<User<'a>>>,
}

/// Something that should be an object.
#[derive(Debug)]
pub(crate) enum Element<T> {
    /// It is one.
    Object(T),
    /// It is something else.
    Other(Value),
}

/// One user of the request.
#[derive(Debug, Default)]
pub(crate) struct User<'a> {
    /// `user_id`
    pub user_id: Field<'a>,
    /// `seg_block`
    pub seg_block: Blocks<'a>,
    /// `domain`
    pub domain: Field<'a>,
}

/// What stands in a `seg_block`.
#[derive(Debug, Default)]
pub(crate) enum Blocks<'a> {
    /// Nothing, or null.
    #[default]
    Absent,
    /// An array.
    List(Vec<Element<Block<'a>>>),
    /// Something else.
    Other(Value),
}

/// One segment block.
#[derive(Debug, Default)]
pub(crate) struct Block<'a> {
    /// `seg_id`
    pub seg_id: Field<'a>,
    /// `seg_code`
    pub seg_code: Field<'a>,
    /// `value`
    pub value: Field<'a>,
    /// `expiration`
    pub expiration: Field<'a>,
    /// `member_id`
    pub member_id: Field<'a>,
}

/// A field's value, whatever its type. Null counts as absent.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Field<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    /// An integer of 64 bits.
    Int(i64),
    /// An integer too large for [`Field::Int`].
    BigInt(u64),
    /// A string.
    Text(Cow<'a, str>),
    /// Anything else.
    Other(Value),
}

/// A body that cannot be read at all: the whole request fails.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Nothing was sent.
    #[error("The request body is empty; a JSON object with an 'rt_segment' array is required")]
    Empty,
    /// Not UTF-8.
    #[error("The request body is not UTF-8 (first bad byte at offset {0})")]
    NotUtf8(usize),
    /// Not JSON, or nested too deeply.
    #[error("The request body is not valid JSON: {0}")]
    NotJson(String),
    /// JSON, but no object with an array in it.
    #[error("{0}")]
    Shape(&'static str),
}

impl<'a> Body<'a> {
    /// Reads a body.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Body<'a>, BodyError> {
        let text = std::str::from_utf8(bytes).map_err(|error| BodyError::NotUtf8(error.valid_up_to()))?;
        if text.trim_ascii().is_empty() {
            return Err(BodyError::Empty);
        }
        let top: TopLevel = serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => BodyError::Shape("The request body must be a JSON object"),
            _ => BodyError::NotJson(error.to_string()),
        })?;
        match top.rt_segment {
            Users::List(users) => Ok(Body { users }),
            Users::Absent => Err(BodyError::Shape("'rt_segment' is required")),
            Users::Other => Err(BodyError::Shape("'rt_segment' must be an array")),
        }
    }
}

#[derive(Default)]
struct TopLevel<'a> {
    rt_segment: Users<'a>,
}

#[derive(Default)]
enum Users<'a> {
    #[default]
    Absent,
    List(Vec<Element<User<'a>>>),
    Other,
}

/// The visits of everything that is neither an object, an array nor null: `$wrap` takes the [`Value`].
macro_rules! visit_scalars {
    ($wrap:expr) => {
        fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
            Ok($wrap(Value::from(value)))
        }
        fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
            Ok($wrap(Value::from(value)))
        }
    };
}

/// Like [`visit_scalars`], with numbers and strings.
macro_rules! visit_all_scalars {
    ($wrap:expr) => {
        visit_scalars!($wrap);
        fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
            Ok($wrap(Value::from(value)))
        }
        fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
            Ok($wrap(Value::from(value)))
        }
        fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
            Ok($wrap(Value::from(value)))
        }
    };
}

struct AnyField;

impl<'de> Visitor<'de> for AnyField {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    visit_scalars!(Field::Other);

    fn visit_unit<E>(self) -> Result<Field<'de>, E> {
        Ok(Field::Absent)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Field<'de>, E> {
        Ok(Field::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Field<'de>, E> {
        Ok(i64::try_from(value).map_or(Field::BigInt(value), Field::Int))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Field<'de>, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field<'de>, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(Field::Other)
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyField)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum BlockKey {
    SegId,
    SegCode,
    Value,
    Expiration,
    MemberId,
    #[serde(other)]
    Unknown,
}

/// An object of the wire, read field by field.
trait FromMap<'de>: Sized {
    const EXPECTED: &'static str;

    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

struct AnyElement<T>(PhantomData<T>);

impl<'de, T: FromMap<'de>> Visitor<'de> for AnyElement<T> {
    type Value = Element<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    visit_all_scalars!(Element::Other);

    fn visit_unit<E>(self) -> Result<Element<T>, E> {
        Ok(Element::Other(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Element<T>, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(Element::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element<T>, A::Error> {
        T::from_map(map).map(Element::Object)
    }
}

impl<'de, T: FromMap<'de>> Deserialize<'de> for Element<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyElement(PhantomData))
    }
}

impl<'de> FromMap<'de> for Block<'de> {
    const EXPECTED: &'static str = "a segment block";

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut block = Block::default();
        while let Some(key) = map.next_key()? {
            let field: Field = map.next_value()?;
            match key {
                BlockKey::SegId => block.seg_id = field,
                BlockKey::SegCode => block.seg_code = field,
                BlockKey::Value => block.value = field,
                BlockKey::Expiration => block.expiration = field,
                BlockKey::MemberId => block.member_id = field,
                BlockKey::Unknown => {}
            }
        }
        Ok(block)
    }
}

struct AnyBlocks;

impl<'de> Visitor<'de> for AnyBlocks {
    type Value = Blocks<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of segment blocks")
    }

    visit_all_scalars!(Blocks::Other);

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Blocks::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Blocks::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(Blocks::Other)
    }
}

impl<'de> Deserialize<'de> for Blocks<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyBlocks)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum UserField {
    UserId,
    SegBlock,
    Domain,
    #[serde(other)]
    Unknown,
}

impl<'de> FromMap<'de> for User<'de> {
    const EXPECTED: &'static str = "a user";

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut user = User::default();
        while let Some(key) = map.next_key()? {
            match key {
                UserField::UserId => user.user_id = map.next_value()?,
                UserField::SegBlock => user.seg_block = map.next_value()?,
                UserField::Domain => user.domain = map.next_value()?,
                // Read and dropped as a value, not skipped: skipping has no depth limit.
                UserField::Unknown => drop(map.next_value::<Field>()?),
            }
        }
        Ok(user)
    }
}

struct AnyUsers;

impl<'de> Visitor<'de> for AnyUsers {
    type Value = Users<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of users")
    }

    visit_all_scalars!(|_: Value| Users::Other);

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Users::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Users::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(|_| Users::Other)
    }
}

impl<'de> Deserialize<'de> for Users<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyUsers)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum TopLevelKey {
    RtSegment,
    #[serde(other)]
    Unknown,
}

struct AnyTopLevel;

impl<'de> Visitor<'de> for AnyTopLevel {
    type Value = TopLevel<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut top = TopLevel::default();
        while let Some(key) = map.next_key()? {
            match key {
                TopLevelKey::RtSegment => top.rt_segment = map.next_value()?,
                TopLevelKey::Unknown => drop(map.next_value::<Field>()?),
            }
        }
        Ok(top)
    }
}

impl<'de> Deserialize<'de> for TopLevel<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyTopLevel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &[u8]) -> String {
        Body::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_body_that_is_no_request_says_what_is_wrong() {
        assert!(error_of(b"  ").contains("empty"));
        assert!(error_of(b"{\"rt_segment\": [\xff]}").contains("not UTF-8 (first bad byte at offset 16)"));
        assert!(error_of(b"{\"rt_segment\": [").contains("not valid JSON"));
        assert!(error_of(b"{\"rt_segment\": []} x").contains("trailing"));
        assert_eq!(error_of(b"[]"), "The request body must be a JSON object");
        assert_eq!(error_of(b"5"), "The request body must be a JSON object");
        assert_eq!(error_of(b"{}"), "'rt_segment' is required");
        assert_eq!(error_of(b"{\"rt_segment\": null}"), "'rt_segment' is required");
        for other in ["{}", "5", "-5", "1.5", "\"x\"", "true"] {
            let body = format!("{{\"rt_segment\": {other}}}");
            assert_eq!(error_of(body.as_bytes()), "'rt_segment' must be an array", "{other}");
        }
    }

    #[test]
    fn nesting_is_bounded_even_where_nobody_looks() {
        let bomb = "[".repeat(100_000);
        for body in [
            bomb.clone(),
            format!("{{\"unknown\": {bomb}"),
            format!("{{\"rt_segment\": [{{\"unknown\": {bomb}"),
            format!("{{\"rt_segment\": [{{\"seg_block\": [{{\"unknown\": {bomb}"),
        ] {
            let error = error_of(body.as_bytes());
            assert!(error.contains("recursion limit") || error.contains("JSON object"), "{error}");
        }
    }

    #[test]
    fn any_type_may_stand_anywhere() {
        let values =
            ["null", "true", "1", "-1", "18446744073709551615", "1e99", "1.5", "\"\\u00e9\"", "[1]", "{}"];
        for value in values {
            let body = format!(
                r#"{{"rt_segment": [{value}, {{"user_id": {value}, "domain": {value}, "seg_block": {value}}},
                    {{"seg_block": [{value}, {{"seg_id": {value}, "seg_code": {value}, "value": {value}}}]}}]}}"#
            );
            assert_eq!(Body::parse(body.as_bytes()).unwrap().users.len(), 3, "{value}");
        }
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        let body = Body::parse(br#"{"rt_segment": [{"user_id": "a", "user_id": "b"}]}"#).unwrap();
        let Element::Object(user) = &body.users[0] else { panic!("an object was sent") };
        assert_eq!(user.user_id, Field::Text("b".into()));
    }
}
