//! Warnings: what of a request was not taken, shown as it was sent.

use super::json::{Json, NotJson, Read, Text};
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

/// One element of `warnings`. It borrows all that it says: a request can earn hundreds of thousands.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Warning<'r> {
    /// One clear sentence.
    pub(crate) message: Message<'r>,
    /// What it is about.
    pub(crate) entity: Entity<'r>,
}

impl Warning<'_> {
    /// Whether it says that nothing of the request is left.
    pub(crate) fn is_about_request(&self) -> bool {
        matches!(self.entity, Entity::Request(_))
    }
}

/// The sentence of a warning.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Message<'r> {
    /// The sentence as it is.
    Fixed(&'static str),
    /// The sentence, then the user's id, then a full stop.
    OfUser(&'static str, Text<'r>),
    /// That many warnings were left out.
    LeftOut(usize),
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Message::Fixed(sentence) => serializer.serialize_str(sentence),
            Message::OfUser(sentence, id) => {
                serializer.collect_str(&format_args!("{sentence}{}.", id.trimmed()))
            }
            Message::LeftOut(count) => {
                serializer.collect_str(&format_args!("{count} more warnings are left out."))
            }
        }
    }
}

/// The part of a request that a warning shows: its known fields in a fixed order, without nulls.
///
/// The texts begin with that part of the body and go on behind it. They are read a second time when the warning is
/// written.
#[derive(Debug)]
pub(crate) enum Entity<'r> {
    /// A block.
    Block(&'r str),
    /// A user.
    User(&'r str),
    /// A user over the limit: here alone nulls are shown, and the domain is not.
    SurplusUser(&'r str),
    /// The whole request: its users.
    Request(Vec<&'r str>),
    /// Nothing in particular.
    Nothing,
}

impl<'r> Entity<'r> {
    /// The user that it is.
    pub(super) fn as_user(&self) -> Option<&'r str> {
        match self {
            Entity::User(text) | Entity::SurplusUser(text) => Some(text),
            _ => None,
        }
    }
}

impl Serialize for Entity<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Entity::Block(text) => {
                let element = Element::read(&mut Json::new(text), BLOCK_FIELDS).map_err(unread)?;
                ShownBlock { element, nulls: false }.serialize(serializer)
            }
            Entity::User(text) => ShownUser(text).serialize(serializer),
            Entity::SurplusUser(text) => ShownSurplusUser(text).serialize(serializer),
            Entity::Request(users) => {
                let mut map = serializer.serialize_map(Some(1))?;
                let users: Vec<_> = users.iter().map(|user| ShownUser(user)).collect();
                map.serialize_entry("rt_segment", &users)?;
                map.end()
            }
            Entity::Nothing => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

/// The fields of a block, in the order in which they are shown.
const BLOCK_FIELDS: [&str; 5] = ["seg_id", "seg_code", "value", "expiration", "member_id"];

/// Something that should be an object.
enum Element<'r, const N: usize> {
    /// Its fields of certain names; `None` for one that is null or not there.
    Object([Option<Shown<'r>>; N]),
    /// It is something else.
    Other(Shown<'r>),
}

impl<'r, const N: usize> Element<'r, N> {
    fn read(json: &mut Json<'r>, names: [&str; N]) -> Read<Element<'r, N>> {
        if json.peek()? != b'{' {
            return Ok(Element::Other(Shown::read(json)?));
        }
        let mut fields = [None; N];
        let mut more = json.enter(b'}')?;
        while more {
            let key = json.key()?.decode();
            json.colon()?;
            let is_null = json.peek()? == b'n';
            let value = Shown::read(json)?;
            if let Some(index) = names.iter().position(|name| *name == key) {
                fields[index] = (!is_null).then_some(value);
            }
            more = json.next(b'}')?;
        }
        Ok(Element::Object(fields))
    }
}

/// A warning is only made of what has been read before.
fn unread<E: Error>(_: NotJson) -> E {
    E::custom("the entity of a warning is JSON")
}

/// A value as it was sent.
#[derive(Clone, Copy)]
struct Shown<'r>(&'r str);

impl<'r> Shown<'r> {
    fn read(json: &mut Json<'r>) -> Read<Shown<'r>> {
        json.peek()?;
        let start = json.at();
        // The whole request has been read: nothing in it is nested too deeply.
        json.skip(0)?;
        Ok(Shown(json.since(start)))
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: Value = serde_json::from_str(self.0).map_err(S::Error::custom)?;
        value.serialize(serializer)
    }
}

struct ShownBlock<'r> {
    element: Element<'r, 5>,
    nulls: bool,
}

impl Serialize for ShownBlock<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = match &self.element {
            Element::Object(fields) => fields,
            Element::Other(value) => return value.serialize(serializer),
        };
        let mut map = serializer.serialize_map(None)?;
        for (name, field) in BLOCK_FIELDS.into_iter().zip(fields) {
            if self.nulls || field.is_some() {
                map.serialize_entry(name, field)?;
            }
        }
        map.end()
    }
}

struct ShownUser<'r>(&'r str);

impl Serialize for ShownUser<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = ["user_id", "seg_block", "domain"];
        let [user_id, seg_block, domain] = match Element::read(&mut Json::new(self.0), names) {
            Ok(Element::Object(fields)) => fields,
            Ok(Element::Other(value)) => return value.serialize(serializer),
            Err(error) => return Err(unread(error)),
        };
        let mut map = serializer.serialize_map(None)?;
        if let Some(user_id) = user_id {
            map.serialize_entry("user_id", &user_id)?;
        }
        if let Some(value) = seg_block {
            map.serialize_entry("seg_block", &ShownBlocks { value, nulls: false })?;
        }
        if let Some(domain) = domain {
            map.serialize_entry("domain", &domain)?;
        }
        map.end()
    }
}

struct ShownSurplusUser<'r>(&'r str);

impl Serialize for ShownSurplusUser<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [user_id, seg_block] = match Element::read(&mut Json::new(self.0), ["user_id", "seg_block"]) {
            Ok(Element::Object(fields)) => fields,
            Ok(Element::Other(value)) => return value.serialize(serializer),
            Err(error) => return Err(unread(error)),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("user_id", &user_id)?;
        map.serialize_entry("seg_block", &seg_block.map(|value| ShownBlocks { value, nulls: true }))?;
        map.end()
    }
}

struct ShownBlocks<'r> {
    value: Shown<'r>,
    nulls: bool,
}

impl Serialize for ShownBlocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = Json::new(self.value.0);
        if json.peek().map_err(unread)? != b'[' {
            return self.value.serialize(serializer);
        }
        let mut list = serializer.serialize_seq(None)?;
        let mut more = json.enter(b']').map_err(unread)?;
        while more {
            let element = Element::read(&mut json, BLOCK_FIELDS).map_err(unread)?;
            list.serialize_element(&ShownBlock { element, nulls: self.nulls })?;
            more = json.next(b']').map_err(unread)?;
        }
        list.end()
    }
}
