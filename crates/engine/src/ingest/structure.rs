//! The structural rules: what makes a user and a block well formed, and the message where one is not.
//!
//! Whether the ids exist is no question here; that is `resolve`'s.

use super::json::{Scalar, Text};
use ia_model::{MemberId, Minute, SegmentId, lenient};

/// The largest `value` and `expiration` of a block.
pub(crate) const MAX_INT: i64 = i32::MAX as i64;

/// The longest `user_id`, in bytes: ids that a member maps itself may have as many.
pub(crate) const MAX_USER_ID_BYTES: usize = 255;

/// How much of a request is read; 0 lifts a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StructureLimits {
    /// How many users of a request are read.
    pub users_per_request: usize,
    /// How many blocks of a user are read.
    pub segments_per_user: usize,
}

/// What a well-formed block asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRequest<'r> {
    /// Which segment.
    pub segment: SegmentName<'r>,
    /// 0 to 2^31-1.
    pub value: u32,
    /// What becomes of the membership.
    pub expiration: Expiration,
    /// When it begins, and its expiration is counted from; `None` is now. Only files say so.
    pub begins: Option<Minute>,
}

/// How a block names its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentName<'r> {
    /// By `seg_id`.
    Id(SegmentId),
    /// By its owner and the owner's code for it.
    Code(MemberId, Text<'r>),
}

/// The meaning of `expiration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiration {
    /// Absent: the segment, the member or the server decides.
    Default,
    /// 0
    Never,
    /// 1 and more.
    AfterMinutes(u32),
    /// -1
    Remove,
}

impl Expiration {
    /// The meaning of an `expiration` that was sent; `None` where it has none.
    pub(crate) fn from_wire(minutes: i64) -> Option<Expiration> {
        match minutes {
            -1 => Some(Expiration::Remove),
            0 => Some(Expiration::Never),
            1..=MAX_INT => u32::try_from(minutes).ok().map(Expiration::AfterMinutes),
            _ => None,
        }
    }
}

/// The fields of a user.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct User<'r> {
    pub(super) user_id: Scalar<'r>,
    /// As it was sent.
    pub(super) raw_user_id: &'r str,
    pub(super) domain: Scalar<'r>,
    pub(super) seg_block: SegBlock,
}

/// What the field `seg_block` holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum SegBlock {
    /// Nothing, null or an empty array.
    #[default]
    Absent,
    /// An array with at least one element.
    List,
    /// Something else.
    Other,
}

impl<'r> User<'r> {
    /// Its id and domain, or the message of its warning.
    pub(super) fn check(&self) -> Result<(Text<'r>, Option<Text<'r>>), &'static str> {
        let user_id = match self.user_id {
            Scalar::Text(text) => match text.trimmed().len() {
                0 => return Err("'user_id' is required and cannot be empty"),
                1..=MAX_USER_ID_BYTES => text,
                _ => return Err("'user_id' must be a string of at most 255 bytes"),
            },
            Scalar::Int(_) | Scalar::BigInt => Text::verbatim(self.raw_user_id),
            Scalar::Absent => return Err("'user_id' is required and cannot be empty"),
            // Whoever sends such a number has kept the id as a float, which has lost the last digits of a long one.
            Scalar::WholeFloat(_) | Scalar::Other => {
                return Err("'user_id' must be a string, or an integer without point and exponent");
            }
        };
        let domain = match self.domain {
            Scalar::Absent => None,
            Scalar::Text(name) => Some(name).filter(|name| !name.trimmed().is_empty()),
            _ => return Err("'domain' must be a string"),
        };
        match self.seg_block {
            SegBlock::List => Ok((user_id, domain)),
            SegBlock::Absent => Err("'seg_block' is required"),
            SegBlock::Other => Err("'seg_block' must be an array"),
        }
    }
}

/// The fields of a block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Block<'r> {
    pub(super) seg_id: Scalar<'r>,
    pub(super) seg_code: Scalar<'r>,
    pub(super) value: Scalar<'r>,
    pub(super) expiration: Scalar<'r>,
    pub(super) member_id: Scalar<'r>,
}

impl<'r> Block<'r> {
    /// What it asks for, or the message of its warning.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<BlockRequest<'r>, &'static str> {
        let seg_id =
            id(self.seg_id).map_err(|WrongInt| "'seg_id' must be an integer from 1 to 4294967295")?;
        let member_id =
            id(self.member_id).map_err(|WrongInt| "'member_id' must be an integer from 1 to 4294967295")?;
        let seg_code = match self.seg_code {
            Scalar::Absent => None,
            Scalar::Text(code) => Some(code).filter(|code| !code.trimmed().is_empty()),
            _ => return Err("'seg_code' must be a string"),
        };
        let value = int(self.value)
            .and_then(|value| u32::try_from(value.unwrap_or(0)).map_err(|_| WrongInt))
            .and_then(|value| if i64::from(value) <= MAX_INT { Ok(value) } else { Err(WrongInt) })
            .map_err(|WrongInt| "'value' must be an integer from 0 to 2147483647")?;
        let expiration = int(self.expiration)
            .and_then(|minutes| {
                minutes
                    .map_or(Ok(Expiration::Default), |minutes| Expiration::from_wire(minutes).ok_or(WrongInt))
            })
            .map_err(|WrongInt| "'expiration' must be an integer from -1 to 2147483647")?;
        let segment = match (seg_id, seg_code, member_id) {
            (Some(_), Some(_), _) => return Err("'seg_id' and 'seg_code' cannot be used together"),
            (Some(id), None, _) => SegmentName::Id(SegmentId(id)),
            (None, Some(code), Some(member)) => SegmentName::Code(MemberId(member), code),
            _ => return Err("'seg_id' or 'seg_code' and 'member_id' are required"),
        };
        Ok(BlockRequest { segment, value, expiration, begins: None })
    }
}

struct WrongInt;

/// An integer, also in a string or with a point and zeros behind it; `None` where there is none.
#[inline(always)]
fn int(field: Scalar<'_>) -> Result<Option<i64>, WrongInt> {
    match field {
        Scalar::Absent => Ok(None),
        Scalar::Int(int) | Scalar::WholeFloat(int) => Ok(Some(int)),
        Scalar::Text(text) => lenient::integer(&text.decode()).map(Some).ok_or(WrongInt),
        Scalar::BigInt | Scalar::Other => Err(WrongInt),
    }
}

/// The id of a segment or member.
#[inline(always)]
fn id(field: Scalar<'_>) -> Result<Option<u32>, WrongInt> {
    match int(field)? {
        None => Ok(None),
        Some(id) => u32::try_from(id).ok().filter(|&id| id > 0).map(Some).ok_or(WrongInt),
    }
}
