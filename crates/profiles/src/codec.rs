//! The packed bytes of a profile. `docs/FORMAT.md` describes them byte by byte.
//!
//! A segment costs its distance from the one before and one bit, as long as its other facts (age, time
//! of the first add, time to live, value) equal those of the entry before; so a user that was put into
//! ten segments by one request pays for those facts once.

use crate::{Membership, ProfilesError};
use ia_model::{Domain, Expiry, Minute, SegmentId, varint};

/// The version of the blobs that this program writes, and the first byte of each.
pub const BLOB_FORMAT_VERSION: u8 = 1;

const AGE: u8 = 1;
const LAG: u8 = 1 << 1;
const EXPIRY_SHIFT: u8 = 2;
const EXPIRY_NEVER: u8 = 0;
const EXPIRY_GIVEN: u8 = 1;
const EXPIRY_AS_BEFORE: u8 = 2;
const VALUE_SHIFT: u8 = 4;
const VALUE_ZERO: u8 = 0;
const VALUE_ONE: u8 = 1;
const VALUE_GIVEN: u8 = 2;

/// Which part of packed bytes does not hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What an entry says beside its segment, relative to the base and to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Facts {
    /// Base minus last seen, in minutes; never negative.
    age: u32,
    /// Last seen minus added at. Negative only where the clock went back.
    lag: i64,
    /// Expiry minus last seen; `None` is never.
    ttl: Option<i64>,
    value: u32,
}

/// Appends the packed form of `entries`, which ascend by segment and are not empty.
pub(crate) fn pack(entries: &[Membership], out: &mut Vec<u8>) {
    let base = entries.iter().map(|entry| entry.last_seen).max().unwrap_or_default();
    varint::write(out, u64::from(base.0));
    let mut previous = Facts::default();
    let mut previous_segment = 0;
    let mut last_ttl = None;
    for entry in entries {
        debug_assert!(entry.segment.0 > previous_segment, "segments ascend from 1");
        let facts = Facts::of(entry, base);
        let step = u64::from(entry.segment.0 - previous_segment) << 1;
        if facts == previous {
            varint::write(out, step);
        } else {
            varint::write(out, step | 1);
            facts.write(out, &mut last_ttl);
        }
        previous = facts;
        previous_segment = entry.segment.0;
    }
}

/// Reads the packed form into `entries`, in place of what they held. Zero bytes after the last entry
/// are room in the slot and do not count. Returns how many bytes count.
pub(crate) fn unpack(packed: &[u8], entries: &mut Vec<Membership>) -> Result<usize, Malformed> {
    entries.clear();
    let mut input = packed;
    let base = Minute(varint::read_u32(&mut input).ok_or(Malformed("base minute"))?);
    let mut facts = Facts::default();
    let mut segment = 0u32;
    let mut last_ttl = None;
    // The step of an entry is never 0, so its first byte never is.
    while input.first().is_some_and(|&byte| byte != 0) {
        let head = varint::read(&mut input).ok_or(Malformed("segment"))?;
        let step = u32::try_from(head >> 1).map_err(|_| Malformed("segment"))?;
        segment = match segment.checked_add(step) {
            Some(next) if step > 0 => next,
            _ => return Err(Malformed("segment")),
        };
        if head & 1 == 1 {
            facts = Facts::read(&mut input, &mut last_ttl)?;
        }
        entries.push(facts.membership(SegmentId(segment), base)?);
    }
    Ok(packed.len() - input.len())
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

impl Facts {
    fn of(entry: &Membership, base: Minute) -> Facts {
        Facts {
            age: base.0 - entry.last_seen.0,
            lag: i64::from(entry.last_seen.0) - i64::from(entry.added_at.0),
            ttl: match entry.expires {
                Expiry::Never => None,
                Expiry::At(minute) => Some(i64::from(minute.0) - i64::from(entry.last_seen.0)),
            },
            value: entry.value,
        }
    }

    fn membership(&self, segment: SegmentId, base: Minute) -> Result<Membership, Malformed> {
        let last_seen = base.0.checked_sub(self.age).ok_or(Malformed("last seen"))?;
        let minute = |offset: i64, part| {
            let minute = i64::from(last_seen).checked_add(offset).and_then(|sum| u32::try_from(sum).ok());
            minute.map(Minute).ok_or(Malformed(part))
        };
        Ok(Membership {
            segment,
            value: self.value,
            added_at: minute(self.lag.checked_neg().ok_or(Malformed("added at"))?, "added at")?,
            last_seen: Minute(last_seen),
            expires: match self.ttl {
                None => Expiry::Never,
                Some(ttl) => Expiry::At(minute(ttl, "expiry")?),
            },
        })
    }

    /// `last_ttl` is the last time to live that was written out.
    fn write(&self, out: &mut Vec<u8>, last_ttl: &mut Option<i64>) {
        let expiry = match self.ttl {
            None => EXPIRY_NEVER,
            ttl if ttl == *last_ttl => EXPIRY_AS_BEFORE,
            Some(_) => EXPIRY_GIVEN,
        };
        let value = match self.value {
            0 => VALUE_ZERO,
            1 => VALUE_ONE,
            _ => VALUE_GIVEN,
        };
        let age = if self.age > 0 { AGE } else { 0 };
        let lag = if self.lag != 0 { LAG } else { 0 };
        out.push(age | lag | expiry << EXPIRY_SHIFT | value << VALUE_SHIFT);
        if self.age > 0 {
            varint::write(out, u64::from(self.age));
        }
        if self.lag != 0 {
            varint::write(out, zigzag(self.lag));
        }
        if let (EXPIRY_GIVEN, Some(ttl)) = (expiry, self.ttl) {
            varint::write(out, zigzag(ttl));
            *last_ttl = self.ttl;
        }
        if value == VALUE_GIVEN {
            varint::write(out, u64::from(self.value));
        }
    }

    fn read(input: &mut &[u8], last_ttl: &mut Option<i64>) -> Result<Facts, Malformed> {
        let (&flags, rest) = input.split_first().ok_or(Malformed("flags"))?;
        *input = rest;
        if flags >> 6 != 0 {
            return Err(Malformed("flags"));
        }
        let age = match flags & AGE {
            0 => 0,
            _ => varint::read_u32(input).ok_or(Malformed("last seen"))?,
        };
        let lag = match flags & LAG {
            0 => 0,
            _ => unzigzag(varint::read(input).ok_or(Malformed("added at"))?),
        };
        let ttl = match flags >> EXPIRY_SHIFT & 3 {
            EXPIRY_NEVER => None,
            EXPIRY_GIVEN => {
                *last_ttl = Some(unzigzag(varint::read(input).ok_or(Malformed("expiry"))?));
                *last_ttl
            }
            EXPIRY_AS_BEFORE if last_ttl.is_some() => *last_ttl,
            _ => return Err(Malformed("expiry")),
        };
        let value = match flags >> VALUE_SHIFT & 3 {
            VALUE_ZERO => 0,
            VALUE_ONE => 1,
            VALUE_GIVEN => varint::read_u32(input).ok_or(Malformed("value"))?,
            _ => return Err(Malformed("value")),
        };
        Ok(Facts { age, lag, ttl, value })
    }
}

/// Small numbers of either sign become small numbers without one.
fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests;
