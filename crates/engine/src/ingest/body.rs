//! Why a body cannot be read at all.

use crate::not_json;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use std::fmt;
use std::str::Utf8Error;

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
    /// Something else, which the message names.
    #[error("{0}")]
    Recognized(&'static str),
}

impl BodyError {
    /// What is wrong with a body that is not UTF-8.
    #[cold]
    pub(super) fn explain_bytes(body: &[u8], error: Utf8Error) -> BodyError {
        not_json::recognize(body).map_or(BodyError::NotUtf8(error.valid_up_to()), BodyError::Recognized)
    }

    /// What is wrong with a body that is not a JSON object. `serde_json` reads it again and says where.
    #[cold]
    pub(super) fn explain(body: &str) -> BodyError {
        if body.trim_ascii().is_empty() {
            return BodyError::Empty;
        }
        if let Some(message) = not_json::recognize(body.as_bytes()) {
            return BodyError::Recognized(message);
        }
        match serde_json::from_str(body) {
            Err(error) if error.classify() == Category::Data => {
                BodyError::Shape("The request body must be a JSON object with an 'rt_segment' array")
            }
            Err(error) => BodyError::NotJson(error.to_string()),
            Ok(AnyObject) => BodyError::NotJson("not understood".to_owned()),
        }
    }
}

/// A JSON object, read to its end and not kept.
struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyObject, D::Error> {
        deserializer.deserialize_map(ReadToEnd).map(|()| AnyObject)
    }
}

/// A JSON value, read to its end and not kept. [`IgnoredAny`] would neither bound its nesting nor read its numbers.
struct AnyValue;

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyValue, D::Error> {
        deserializer.deserialize_any(ReadToEnd).map(|()| AnyValue)
    }
}

struct ReadToEnd;

impl<'de> Visitor<'de> for ReadToEnd {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<AnyValue>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, AnyValue>()?.is_some() {}
        Ok(())
    }
}
