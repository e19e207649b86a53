//! The short way of a plain request: one walk over the body reads, checks and resolves, and builds no tree.
//!
//! Most bodies have nothing wrong with them, and for those the long way (`body`, `structure`, `resolve`)
//! spends most of its time on keeping what a warning would have to show. Here whatever is not plain (a field
//! of a lenient type, an unknown key, an escape in a string, a refused segment, a user that stands twice)
//! ends the walk, and the request takes the long way from its start. So this file decides nothing: what it
//! lets through is what the long way would have made, to the byte, which a test holds it to.

use super::resolve::{Context, Resolved, Resolver};
use super::structure::{Expiration, MAX_INT, MAX_USER_ID_BYTES, SegmentName, StructureLimits, Wanted};
use ia_model::{MemberId, SegmentId};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What a user with one short block takes.
const SHORT_USER_BYTES: usize = 64;
/// No room is made for more users before they are there: as many as a request may have, as shipped.
const MANY_USERS: usize = 1000;

/// How many users are read before others get their turn: a tenth of a millisecond, or two.
const USERS_PER_TURN: usize = 128;

/// A plain request with its facts.
pub(super) struct Plain<'r> {
    /// Users of the request.
    pub(super) users: usize,
    /// Blocks of the request, over all users.
    pub(super) segments: usize,
    /// What becomes of them.
    pub(super) resolved: Resolved<'r>,
}

/// Reads a plain request; `None` sends it the long way.
pub(super) fn read<'r>(
    bytes: &'r [u8],
    limits: StructureLimits,
    context: Context<'_>,
    gives_way: bool,
) -> Option<Plain<'r>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut walk = Walk {
        limits,
        gives_way,
        resolver: Resolver::new((bytes.len() / SHORT_USER_BYTES).min(MANY_USERS), context),
        blocks: Vec::new(),
        segments: 0,
        users: 0,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(TopLevel(&mut walk)).ok()?;
    json.end().ok()?;
    // An empty request earns a warning.
    (walk.users > 0).then(|| Plain {
        users: walk.users,
        segments: walk.segments,
        resolved: walk.resolver.finish(),
    })
}

struct Walk<'r, 'c> {
    limits: StructureLimits,
    /// Never on an async worker: what it has to do is as urgent as what waits.
    gives_way: bool,
    resolver: Resolver<'r, 'c>,
    /// Those of the user that is being read.
    blocks: Vec<Wanted<'r>>,
    segments: usize,
    users: usize,
}

impl<'r> Walk<'r, '_> {
    /// Takes a user that was read to its end; `None` when it is not plain.
    fn take_user(&mut self, id: &'r str, domain: Option<&'r str>) -> Option<()> {
        let is_over = |count, limit| limit > 0 && count > limit;
        self.users += 1;
        self.segments += self.blocks.len();
        if id.is_empty()
            || id.len() > MAX_USER_ID_BYTES
            || self.blocks.is_empty()
            || is_over(self.users, self.limits.users_per_request)
            || is_over(self.blocks.len(), self.limits.segments_per_user)
        {
            return None;
        }
        if self.gives_way && self.users.is_multiple_of(USERS_PER_TURN) {
            // Large bodies do not keep a request that came in meanwhile from the processor.
            std::thread::yield_now();
        }
        let key = self.resolver.user_key(domain, id).ok()?;
        self.resolver.add_accepted(key, &self.blocks)?;
        self.blocks.clear();
        Some(())
    }
}

/// The one error of the walk; what it says is never shown.
fn not_plain<E: serde::de::Error>() -> E {
    E::custom("not plain")
}

macro_rules! expecting {
    ($what:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($what)
        }
    };
}

struct TopLevel<'w, 'r, 'c>(&'w mut Walk<'r, 'c>);

impl<'r> Visitor<'r> for TopLevel<'_, 'r, '_> {
    type Value = ();

    expecting!("an object");

    fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<(), A::Error> {
        if map.next_key::<&str>()? != Some("rt_segment") {
            return Err(not_plain());
        }
        map.next_value_seed(Users(self.0))?;
        if map.next_key::<&str>()?.is_some() { Err(not_plain()) } else { Ok(()) }
    }
}

struct Users<'w, 'r, 'c>(&'w mut Walk<'r, 'c>);

impl<'r> DeserializeSeed<'r> for Users<'_, 'r, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'r>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'r> Visitor<'r> for Users<'_, 'r, '_> {
    type Value = ();

    expecting!("an array of users");

    fn visit_seq<A: SeqAccess<'r>>(self, mut users: A) -> Result<(), A::Error> {
        while users.next_element_seed(User(self.0))?.is_some() {}
        Ok(())
    }
}

struct User<'w, 'r, 'c>(&'w mut Walk<'r, 'c>);

impl<'r> DeserializeSeed<'r> for User<'_, 'r, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'r>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'r> Visitor<'r> for User<'_, 'r, '_> {
    type Value = ();

    expecting!("a user");

    fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut id, mut domain) = (None, None);
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "user_id" if id.is_none() => id = Some(map.next_value::<&str>()?),
                "seg_block" if self.0.blocks.is_empty() => map.next_value_seed(Blocks(&mut self.0.blocks))?,
                "domain" if domain.is_none() => domain = Some(map.next_value::<Option<&str>>()?),
                _ => return Err(not_plain()),
            }
        }
        let id = id.ok_or_else(not_plain)?;
        self.0.take_user(id, domain.flatten()).ok_or_else(not_plain)
    }
}

struct Blocks<'w, 'r>(&'w mut Vec<Wanted<'r>>);

impl<'r> DeserializeSeed<'r> for Blocks<'_, 'r> {
    type Value = ();

    fn deserialize<D: Deserializer<'r>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'r> Visitor<'r> for Blocks<'_, 'r> {
    type Value = ();

    expecting!("an array of segment blocks");

    fn visit_seq<A: SeqAccess<'r>>(self, mut blocks: A) -> Result<(), A::Error> {
        while let Some(block) = blocks.next_element::<Block>()? {
            self.0.push(block.wanted().ok_or_else(not_plain)?);
        }
        Ok(())
    }
}

/// A block whose fields have the types that they are documented with.
#[derive(Default)]
struct Block<'r> {
    seg_id: Option<u32>,
    seg_code: Option<&'r str>,
    member_id: Option<u32>,
    value: Option<u32>,
    expiration: Option<i64>,
}

impl<'r> Block<'r> {
    fn wanted(&self) -> Option<Wanted<'r>> {
        let segment = match (self.seg_id, self.seg_code, self.member_id) {
            (Some(id), None, _) if id > 0 => SegmentName::Id(SegmentId(id)),
            (None, Some(code), Some(member)) if member > 0 && !code.is_empty() => {
                SegmentName::Code(MemberId(member), code)
            }
            _ => return None,
        };
        if self.member_id == Some(0) {
            return None;
        }
        let value = self.value.unwrap_or(0);
        let expiration = self.expiration.map_or(Some(Expiration::Default), Expiration::from_wire)?;
        (i64::from(value) <= MAX_INT).then_some(Wanted { segment, value, expiration })
    }
}

impl<'de: 'r, 'r> Deserialize<'de> for Block<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Block<'r>, D::Error> {
        deserializer.deserialize_map(AnyBlock)
    }
}

struct AnyBlock;

impl<'r> Visitor<'r> for AnyBlock {
    type Value = Block<'r>;

    expecting!("a segment block");

    fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<Block<'r>, A::Error> {
        let mut block = Block::default();
        while let Some(key) = map.next_key::<&str>()? {
            // A null is absent, and one that comes after a value would take it back: not plain.
            match key {
                "seg_id" if block.seg_id.is_none() => block.seg_id = Some(map.next_value()?),
                "seg_code" if block.seg_code.is_none() => block.seg_code = Some(map.next_value()?),
                "member_id" if block.member_id.is_none() => block.member_id = Some(map.next_value()?),
                "value" if block.value.is_none() => block.value = Some(map.next_value()?),
                "expiration" if block.expiration.is_none() => block.expiration = Some(map.next_value()?),
                _ => return Err(not_plain()),
            }
        }
        Ok(block)
    }
}
