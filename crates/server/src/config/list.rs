use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// A list of texts: an array, or one text with commas, because an environment variable cannot hold an array.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List(pub Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArrayOrText;
        impl<'de> Visitor<'de> for ArrayOrText {
            type Value = List;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of texts, or one text with commas between the items")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<List, E> {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(List(parts.map(str::to_owned).collect()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<List, A::Error> {
                let mut list = Vec::new();
                while let Some(text) = array.next_element()? {
                    list.push(text);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_any(ArrayOrText)
    }
}

impl Serialize for List {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
