//! Warnings: what did not pass the structural check, shown as it was sent.

use super::body::{Block, Blocks, Body, Element, Field, User};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// One element of `warnings`. It borrows all that it says: a request can earn hundreds of thousands.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Warning<'r> {
    /// One clear sentence.
    pub(crate) message: Message<'r>,
    /// What it is about.
    pub(crate) entity: Entity<'r>,
}

impl<'r> Warning<'r> {
    /// A warning with a fixed message.
    pub(crate) fn new(message: &'static str, entity: Entity<'r>) -> Warning<'r> {
        Warning { message: Message::Fixed(message), entity }
    }

    /// Whether it says that nothing of the request is left.
    pub(crate) fn is_about_request(&self) -> bool {
        matches!(self.entity, Entity::Request(_))
    }
}

/// The sentence of a warning.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Message<'r> {
    /// The sentence as it stands.
    Fixed(&'static str),
    /// The sentence, then the user's id, then a full stop.
    OfUser(&'static str, &'r Field<'r>),
    /// So many warnings were left out.
    LeftOut(usize),
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Message::Fixed(sentence) => serializer.serialize_str(sentence),
            Message::OfUser(sentence, Field::Text(id)) => {
                serializer.collect_str(&format_args!("{sentence}{id}."))
            }
            Message::OfUser(sentence, Field::Int(id)) => {
                serializer.collect_str(&format_args!("{sentence}{id}."))
            }
            Message::OfUser(sentence, Field::BigInt(id)) => {
                serializer.collect_str(&format_args!("{sentence}{id}."))
            }
            Message::OfUser(sentence, _) => serializer.serialize_str(sentence),
            Message::LeftOut(count) => {
                serializer.collect_str(&format_args!("{count} more warnings are left out."))
            }
        }
    }
}

/// The part of a request that a warning shows: its known fields in a fixed order, without nulls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entity<'r> {
    /// A block.
    Block(&'r Element<Block<'r>>),
    /// A block that passed this check and failed a later one.
    DroppedBlock(&'r Block<'r>),
    /// A user.
    User(&'r Element<User<'r>>),
    /// A user over the limit: here alone nulls are shown, and the domain is not.
    SurplusUser(&'r Element<User<'r>>),
    /// The whole request.
    Request(&'r Body<'r>),
    /// Nothing in particular.
    Nothing,
}

impl Serialize for Entity<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Entity::Block(element) => {
                serialize_element(element, serializer, |block| Fields { block, nulls: false })
            }
            Entity::DroppedBlock(block) => Fields { block, nulls: false }.serialize(serializer),
            Entity::User(element) => serialize_element(element, serializer, ShownUser),
            Entity::SurplusUser(element) => serialize_element(element, serializer, ShownSurplus),
            Entity::Request(body) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("rt_segment", &ShownUsers(&body.users))?;
                map.end()
            }
            Entity::Nothing => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

/// Objects by `show`, anything else as it was sent.
fn serialize_element<'r, T, W: Serialize, S: Serializer>(
    element: &'r Element<T>,
    serializer: S,
    show: impl Fn(&'r T) -> W,
) -> Result<S::Ok, S::Error> {
    match element {
        Element::Object(object) => show(object).serialize(serializer),
        Element::Other(value) => value.serialize(serializer),
    }
}

struct Fields<'r> {
    block: &'r Block<'r>,
    nulls: bool,
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, field) in [
            ("seg_id", &self.block.seg_id),
            ("seg_code", &self.block.seg_code),
            ("value", &self.block.value),
            ("expiration", &self.block.expiration),
            ("member_id", &self.block.member_id),
        ] {
            if self.nulls || *field != Field::Absent {
                map.serialize_entry(name, field)?;
            }
        }
        map.end()
    }
}

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::Absent => serializer.serialize_unit(),
            Field::Int(int) => serializer.serialize_i64(*int),
            Field::BigInt(int) => serializer.serialize_u64(*int),
            Field::Text(text) => serializer.serialize_str(text),
            Field::Other(value) => value.serialize(serializer),
        }
    }
}

struct ShownUsers<'r>(&'r [Element<User<'r>>]);

impl Serialize for ShownUsers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Entity::User))
    }
}

struct ShownUser<'r>(&'r User<'r>);

impl Serialize for ShownUser<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.0.user_id != Field::Absent {
            map.serialize_entry("user_id", &self.0.user_id)?;
        }
        match &self.0.seg_block {
            Blocks::Absent => {}
            blocks => map.serialize_entry("seg_block", &ShownBlocks { blocks, nulls: false })?,
        }
        if self.0.domain != Field::Absent {
            map.serialize_entry("domain", &self.0.domain)?;
        }
        map.end()
    }
}

struct ShownSurplus<'r>(&'r User<'r>);

impl Serialize for ShownSurplus<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("user_id", &self.0.user_id)?;
        map.serialize_entry("seg_block", &ShownBlocks { blocks: &self.0.seg_block, nulls: true })?;
        map.end()
    }
}

struct ShownBlocks<'r> {
    blocks: &'r Blocks<'r>,
    nulls: bool,
}

impl Serialize for ShownBlocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.blocks {
            Blocks::Absent => serializer.serialize_unit(),
            Blocks::Other(value) => value.serialize(serializer),
            Blocks::List(list) => {
                serializer.collect_seq(list.iter().map(|element| ShownBlock { element, nulls: self.nulls }))
            }
        }
    }
}

struct ShownBlock<'r> {
    element: &'r Element<Block<'r>>,
    nulls: bool,
}

impl Serialize for ShownBlock<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_element(self.element, serializer, |block| Fields { block, nulls: self.nulls })
    }
}
