//! The packed bytes of a profile. `docs/FORMAT.md` describes them byte by byte.
//!
//! A segment costs its distance from the one before and one bit, as long as its other facts (age, time
//! of the first add, time to live, value) equal those of the entry before; so a user that was put into
//! ten segments by one request pays for those facts once.

use crate::{Membership, ProfilesError};
use ia_model::{Domain, Expiry, Minute, SegmentId, varint};

/// The version of the blobs that this program writes, and the first byte of each.
pub const BLOB_FORMAT_VERSION: u8 = 1;

pub(crate) const AGE: u8 = 1;
pub(crate) const LAG: u8 = 1 << 1;
pub(crate) const EXPIRY_SHIFT: u8 = 2;
pub(crate) const EXPIRY_NEVER: u8 = 0;
pub(crate) const EXPIRY_GIVEN: u8 = 1;
pub(crate) const EXPIRY_AS_BEFORE: u8 = 2;
pub(crate) const VALUE_SHIFT: u8 = 4;
pub(crate) const VALUE_ZERO: u8 = 0;
const VALUE_ONE: u8 = 1;
pub(crate) const VALUE_GIVEN: u8 = 2;

/// Which part of packed bytes does not hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The most bytes that an entry takes: each of its numbers has at most 33 bits.
pub(crate) const MAX_ENTRY_BYTES: usize = 26;
pub(crate) const MAX_BASE_BYTES: usize = 5;

/// Appends the packed form of `entries`, which ascend by segment and are not empty.
pub(crate) fn pack(entries: &[Membership], out: &mut Vec<u8>) {
    let base = entries.iter().map(|entry| entry.last_seen).max().unwrap_or_default();
    let start = out.len();
    // Room for the worst, so that no byte has to ask for it.
    out.resize(start + MAX_BASE_BYTES + MAX_ENTRY_BYTES * entries.len(), 0);
    let mut writer = Writer { out: &mut out[start..], at: 0 };
    writer.number(u64::from(base.0));
    let mut last_ttl = None;
    // What the first entry is compared with.
    let mut before = Membership {
        segment: SegmentId(0),
        value: 0,
        added_at: base,
        last_seen: base,
        expires: Expiry::Never,
    };
    for entry in entries {
        debug_assert!(entry.segment > before.segment, "segments ascend from 1");
        let step = u64::from(entry.segment.0 - before.segment.0) << 1;
        if has_facts_of(entry, &before) {
            writer.number(step);
        } else {
            writer.number(step | 1);
            writer.facts(entry, base, &mut last_ttl);
        }
        before = *entry;
    }
    let end = start + writer.at;
    out.truncate(end);
}

/// Whether the facts beside the segment, as far as they are relative to last seen, are the same.
fn has_facts_of(entry: &Membership, other: &Membership) -> bool {
    entry.value == other.value
        && entry.last_seen == other.last_seen
        && entry.added_at == other.added_at
        && entry.expires == other.expires
}

/// Writes into bytes that are there already.
pub(crate) struct Writer<'a> {
    pub(crate) out: &'a mut [u8],
    pub(crate) at: usize,
}

impl Writer<'_> {
    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.out[self.at] = byte;
        self.at += 1;
    }

    /// A varint.
    #[inline]
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// `last_ttl` is the last time to live that was written out.
    #[inline]
    fn facts(&mut self, entry: &Membership, base: Minute, last_ttl: &mut Option<i64>) {
        let age = base.0 - entry.last_seen.0;
        // Negative only where the clock went back.
        let lag = i64::from(entry.last_seen.0) - i64::from(entry.added_at.0);
        let (expiry, ttl) = match entry.expires {
            Expiry::Never => (EXPIRY_NEVER, 0),
            Expiry::At(minute) => {
                let ttl = i64::from(minute.0) - i64::from(entry.last_seen.0);
                let is_as_before = last_ttl.replace(ttl) == Some(ttl);
                (if is_as_before { EXPIRY_AS_BEFORE } else { EXPIRY_GIVEN }, ttl)
            }
        };
        // 0 and 1 stand for themselves.
        let value = entry.value.min(u32::from(VALUE_GIVEN)) as u8;
        let flags = (u8::from(age > 0) * AGE) | (u8::from(lag != 0) * LAG);
        self.byte(flags | expiry << EXPIRY_SHIFT | value << VALUE_SHIFT);
        if age > 0 {
            self.number(u64::from(age));
        }
        if lag != 0 {
            self.number(zigzag(lag));
        }
        if expiry == EXPIRY_GIVEN {
            self.number(zigzag(ttl));
        }
        if value == VALUE_GIVEN {
            self.number(u64::from(entry.value));
        }
    }
}

/// Reads the packed form into `entries`, in place of what they held.
pub(crate) fn unpack(packed: &[u8], entries: &mut Vec<Membership>) -> Result<(), Malformed> {
    entries.clear();
    // An entry of typical facts has four bytes.
    entries.reserve(packed.len() / 4 + 1);
    let mut input = packed;
    let base = Minute(varint::read_u32(&mut input).ok_or(Malformed("base minute"))?);
    let mut entry = Membership {
        segment: SegmentId(0),
        value: 0,
        added_at: base,
        last_seen: base,
        expires: Expiry::Never,
    };
    let mut last_ttl = None;
    while !input.is_empty() {
        let head = varint::read(&mut input).ok_or(Malformed("segment"))?;
        let step = u32::try_from(head >> 1).map_err(|_| Malformed("segment"))?;
        let segment = match entry.segment.0.checked_add(step) {
            Some(next) if step > 0 => SegmentId(next),
            _ => return Err(Malformed("segment")),
        };
        if head & 1 == 1 {
            read_facts(&mut input, base, &mut last_ttl, &mut entry)?;
        }
        entry.segment = segment;
        entries.push(entry);
    }
    Ok(())
}

/// Reads all of an entry but its segment. `last_ttl` is the last time to live that was read.
#[inline]
fn read_facts(
    input: &mut &[u8],
    base: Minute,
    last_ttl: &mut Option<i64>,
    entry: &mut Membership,
) -> Result<(), Malformed> {
    let (&flags, rest) = input.split_first().ok_or(Malformed("flags"))?;
    *input = rest;
    if flags >> 6 != 0 {
        return Err(Malformed("flags"));
    }
    entry.last_seen = base;
    if flags & AGE != 0 {
        let age = varint::read_u32(input).ok_or(Malformed("last seen"))?;
        entry.last_seen = Minute(base.0.checked_sub(age).ok_or(Malformed("last seen"))?);
    }
    let last_seen = i64::from(entry.last_seen.0);
    entry.added_at = entry.last_seen;
    if flags & LAG != 0 {
        let lag = unzigzag(varint::read(input).ok_or(Malformed("added at"))?);
        entry.added_at = minute(last_seen.checked_sub(lag)).ok_or(Malformed("added at"))?;
    }
    let ttl = match flags >> EXPIRY_SHIFT & 3 {
        EXPIRY_NEVER => None,
        EXPIRY_GIVEN => {
            *last_ttl = Some(unzigzag(varint::read(input).ok_or(Malformed("expiry"))?));
            *last_ttl
        }
        EXPIRY_AS_BEFORE if last_ttl.is_some() => *last_ttl,
        _ => return Err(Malformed("expiry")),
    };
    entry.expires = match ttl {
        None => Expiry::Never,
        Some(ttl) => Expiry::At(minute(last_seen.checked_add(ttl)).ok_or(Malformed("expiry"))?),
    };
    entry.value = match flags >> VALUE_SHIFT & 3 {
        VALUE_ZERO => 0,
        VALUE_ONE => 1,
        VALUE_GIVEN => varint::read_u32(input).ok_or(Malformed("value"))?,
        _ => return Err(Malformed("value")),
    };
    Ok(())
}

fn minute(sum: Option<i64>) -> Option<Minute> {
    sum.and_then(|sum| u32::try_from(sum).ok()).map(Minute)
}

/// Reads a blob: the version, then the packed form, which must be exactly what [`pack`] makes of what it
/// says. So two blobs of one profile are equal, and damage that happens to be readable is seldom
/// canonical as well.
pub(crate) fn read_blob(
    blob: &[u8],
    domain: Domain,
    entries: &mut Vec<Membership>,
) -> Result<(), ProfilesError> {
    let damaged = |Malformed(part)| ProfilesError::DamagedProfile { domain, part };
    let packed = match blob.split_first() {
        Some((&BLOB_FORMAT_VERSION, packed)) => packed,
        Some((&found, _)) => {
            let known = BLOB_FORMAT_VERSION;
            return Err(ProfilesError::UnknownVersion { what: "a stored profile", found, known });
        }
        None => return Err(damaged(Malformed("version"))),
    };
    unpack(packed, entries).map_err(damaged)?;
    if entries.is_empty() {
        return Err(damaged(Malformed("entries")));
    }
    let mut again = Vec::with_capacity(packed.len());
    pack(entries, &mut again);
    if again == packed { Ok(()) } else { Err(damaged(Malformed("canonical form"))) }
}

/// Small numbers of either sign become small numbers without one.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests;
