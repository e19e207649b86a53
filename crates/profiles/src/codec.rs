//! The packed bytes of a profile. `docs/FORMAT.md` describes them byte by byte.
//!
//! A segment costs its distance from the one before and one bit, as long as its other facts (age, time
//! of the first add, time to live, value) equal those of the entry before. So a user that one request
//! put into ten segments pays for those facts once.

use crate::{Membership, Pause, ProfilesError};
use ia_model::{Domain, Expiry, Minute, SegmentId, varint};

/// The newest version of the blobs, which a blob with a pause has.
pub const BLOB_FORMAT_VERSION: u8 = 2;
/// The version of the blobs without one. The version is the first byte of a blob.
const VERSION_WITHOUT_PAUSE: u8 = 1;

const AGE: u8 = 1;
const LAG: u8 = 1 << 1;
const EXPIRY_SHIFT: u8 = 2;
const EXPIRY_NEVER: u8 = 0;
const EXPIRY_GIVEN: u8 = 1;
const EXPIRY_AS_BEFORE: u8 = 2;
const VALUE_SHIFT: u8 = 4;
const VALUE_GIVEN: u8 = 2;
const PAUSE_SHIFT: u8 = 6;
const PAUSE: u8 = 1 << PAUSE_SHIFT;
const UNUSED: u8 = 1 << 7;

/// The part of packed bytes that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Malformed {
    pub(crate) fn in_profile(self, domain: Domain) -> ProfilesError {
        ProfilesError::DamagedProfile { domain, part: self.0 }
    }
}

/// The most bytes of a base minute and of an entry, whose numbers have at most 33 bits each.
const MAX_BASE_BYTES: usize = 5;
const MAX_ENTRY_BYTES: usize = 26;
const MAX_PAUSE_BYTES: usize = 10;

/// The most bytes of a profile of that many entries without a pause.
pub(crate) fn max_bytes(entries: usize) -> usize {
    MAX_BASE_BYTES + MAX_ENTRY_BYTES * entries
}

/// The time to live of a membership without expiry. No other one is that long.
const NEVER: u64 = u64::MAX;

/// The facts of an entry beside its segment, relative to the base minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Minutes from the last add to the base.
    age: u32,
    value: u32,
    /// Minutes from the first add to the last, as [`zigzag`] writes them.
    lag: u64,
    /// Minutes from the last add to the expiry, as [`zigzag`] writes them, or [`NEVER`].
    ttl: u64,
}

impl Facts {
    /// The first entry is compared with these.
    const FIRST: Facts = Facts { age: 0, value: 0, lag: 0, ttl: NEVER };

    /// The facts of a membership that was added last at the base minute, and first `lag` minutes before.
    pub(crate) fn of_add(expires: Expiry, value: u32, lag: i64, base: Minute) -> Facts {
        let ttl = match expires {
            Expiry::Never => NEVER,
            Expiry::At(minute) => zigzag(i64::from(minute.0) - i64::from(base.0)),
        };
        Facts { age: 0, value, lag: zigzag(lag), ttl }
    }

    fn of(entry: &Membership, base: Minute) -> Facts {
        // Negative only where the clock went back.
        let lag = i64::from(entry.last_seen.0) - i64::from(entry.added_at.0);
        let age = base.0 - entry.last_seen.0;
        Facts { age, ..Facts::of_add(entry.expires, entry.value, lag, entry.last_seen) }
    }

    fn membership(self, segment: SegmentId, base: Minute) -> Result<Membership, Malformed> {
        let last_seen = Minute(base.0.checked_sub(self.age).ok_or(Malformed("last seen"))?);
        let seen = i64::from(last_seen.0);
        let minute = |sum: Option<i64>| sum.and_then(|sum| u32::try_from(sum).ok()).map(Minute);
        let added_at = minute(seen.checked_sub(unzigzag(self.lag))).ok_or(Malformed("added at"))?;
        let expires = if self.ttl == NEVER {
            Expiry::Never
        } else {
            Expiry::At(minute(seen.checked_add(unzigzag(self.ttl))).ok_or(Malformed("expiry"))?)
        };
        Ok(Membership { segment, value: self.value, added_at, last_seen, expires, pause: None })
    }

    /// The same membership, relative to a base that is so many minutes later.
    pub(crate) fn later(self, minutes: u32) -> Facts {
        Facts { age: self.age + minutes, ..self }
    }

    /// The same, relative to a base that is so many minutes earlier, and not before the last add.
    pub(crate) fn earlier(self, minutes: u32) -> Facts {
        Facts { age: self.age - minutes, ..self }
    }

    /// Minutes from the last add to the base.
    pub(crate) fn age(&self) -> u32 {
        self.age
    }

    /// Whether the membership is live so many minutes before the base minute.
    pub(crate) fn is_live(&self, minutes_before: u32) -> bool {
        let age = i64::from(self.age) - i64::from(minutes_before);
        (self.ttl == NEVER) | (unzigzag(self.ttl) > age)
    }

    /// Minutes from the first add to so many minutes before the base minute.
    pub(crate) fn minutes_since_added(&self, minutes_before: u32) -> Result<i64, Malformed> {
        let age = i64::from(self.age) - i64::from(minutes_before);
        unzigzag(self.lag).checked_add(age).ok_or(Malformed("added at"))
    }
}

/// The pause of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PauseFacts {
    /// Minutes from the last add to its start; 0 if the membership has not been there before.
    from: u32,
    /// Minutes from the last add to its end.
    until: u32,
}

impl PauseFacts {
    fn of(entry: &Membership) -> Option<PauseFacts> {
        let (pause, seen) = (entry.pause?, entry.last_seen.0);
        // Both are later than the last add.
        let from = pause.from().map_or(0, |from| from.0 - seen);
        Some(PauseFacts { from, until: pause.until().0 - seen })
    }

    fn pause(self, last_seen: Minute) -> Result<Pause, Malformed> {
        // It begins before it ends.
        let until = last_seen.0.checked_add(self.until).ok_or(Malformed("pause"))?;
        let from = if self.from == 0 { 0 } else { last_seen.0 + self.from };
        Ok(Pause::new(Minute(from), Minute(until)))
    }
}

/// An entry as it was read.
pub(crate) struct Entry {
    pub(crate) segment: u32,
    pub(crate) facts: Facts,
    /// Whether the facts differ from those of the entry before.
    has_new_facts: bool,
}

/// Reads the base minute, with which a packed profile begins.
pub(crate) fn read_base(input: &mut &[u8]) -> Result<Minute, Malformed> {
    varint::read_u32(input).map(Minute).ok_or(Malformed("base minute"))
}

/// Reads the entries behind a base minute.
pub(crate) struct Reader<'a> {
    input: &'a [u8],
    later: u32,
    segment: u32,
    facts: Facts,
    /// The pause that was read last.
    pause: Option<PauseFacts>,
    /// The last time to live that was read; [`NEVER`] before the first.
    last_ttl: u64,
}

impl Reader<'_> {
    /// Ages count to a base that is `later` minutes later than the one in the bytes.
    pub(crate) fn new(input: &[u8], later: u32) -> Reader<'_> {
        Reader {
            input,
            later,
            segment: 0,
            facts: Facts { age: later, ..Facts::FIRST },
            pause: None,
            last_ttl: NEVER,
        }
    }

    /// Whether one of the entries that were read has a pause.
    pub(crate) fn has_pause(&self) -> bool {
        self.pause.is_some()
    }

    #[inline]
    fn read(&mut self) -> Result<Entry, Malformed> {
        let head = varint::read(&mut self.input).ok_or(Malformed("segment"))?;
        let step = u32::try_from(head >> 1).map_err(|_| Malformed("segment"))?;
        self.segment = match self.segment.checked_add(step) {
            Some(segment) if step > 0 => segment,
            _ => return Err(Malformed("segment")),
        };
        let has_new_facts = head & 1 == 1;
        if has_new_facts {
            self.facts = self.read_facts()?;
        }
        Ok(Entry { segment: self.segment, facts: self.facts, has_new_facts })
    }

    #[inline]
    fn read_facts(&mut self) -> Result<Facts, Malformed> {
        let (&flags, rest) = self.input.split_first().ok_or(Malformed("flags"))?;
        self.input = rest;
        let mut facts = Facts { age: self.later, ..Facts::FIRST };
        if flags & AGE != 0 {
            let age = varint::read_u32(&mut self.input).ok_or(Malformed("last seen"))?;
            facts.age = self.later.checked_add(age).ok_or(Malformed("last seen"))?;
        }
        if flags & LAG != 0 {
            facts.lag = varint::read(&mut self.input).ok_or(Malformed("added at"))?;
        }
        let expiry = flags >> EXPIRY_SHIFT & 3;
        if expiry == EXPIRY_GIVEN {
            self.last_ttl = varint::read(&mut self.input).ok_or(Malformed("expiry"))?;
        }
        // All bits are set in `NEVER`.
        facts.ttl = self.last_ttl | u64::from(expiry != EXPIRY_NEVER).wrapping_sub(1);
        if (facts.ttl == NEVER && expiry != EXPIRY_NEVER) || expiry > EXPIRY_AS_BEFORE {
            return Err(Malformed("expiry"));
        }
        facts.value = match flags >> VALUE_SHIFT & 3 {
            VALUE_GIVEN => varint::read_u32(&mut self.input).ok_or(Malformed("value"))?,
            // 0 and 1 are their own codes.
            value if value < VALUE_GIVEN => u32::from(value),
            _ => return Err(Malformed("value")),
        };
        if flags >> PAUSE_SHIFT != 0 {
            (self.input, self.pause) = read_pause(self.input, flags, facts)?;
        }
        Ok(facts)
    }
}

/// Reads the pause behind the other facts of an entry. Without a reference to the reader, whose fields so stay in
/// registers.
#[cold]
fn read_pause(mut input: &[u8], flags: u8, facts: Facts) -> Result<(&[u8], Option<PauseFacts>), Malformed> {
    if flags & UNUSED != 0 {
        return Err(Malformed("flags"));
    }
    let mut number = || varint::read_u32(&mut input).ok_or(Malformed("pause"));
    let pause = PauseFacts { from: number()?, until: number()? };
    let expires_later = facts.ttl == NEVER || unzigzag(facts.ttl) > i64::from(pause.until);
    // Of a membership that has not been there before, nothing is known but its last add.
    if pause.from >= pause.until || !expires_later || (pause.from == 0 && facts.lag != 0) {
        return Err(Malformed("pause"));
    }
    Ok((input, Some(pause)))
}

impl Iterator for Reader<'_> {
    type Item = Result<Entry, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Result<Entry, Malformed>> {
        (!self.input.is_empty()).then(|| self.read())
    }
}

/// Writes a packed profile into bytes that are there already, [`max_bytes`] at most.
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
    segment: u32,
    before: Facts,
    last_ttl: u64,
}

impl Writer<'_> {
    pub(crate) fn new(out: &mut [u8], base: Minute) -> Writer<'_> {
        let mut writer = Writer { out, at: 0, segment: 0, before: Facts::FIRST, last_ttl: NEVER };
        writer.number(u64::from(base.0));
        writer
    }

    /// Bytes that were written.
    pub(crate) fn length(&self) -> usize {
        self.at
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.out[self.at] = byte;
        self.at += 1;
    }

    /// A varint.
    #[inline]
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// Writes an entry without a pause. Segments ascend from 1.
    #[inline]
    pub(crate) fn entry(&mut self, segment: u32, facts: Facts) {
        self.write(segment, facts, None, None);
    }

    /// Writes an entry behind one with the pause `pause_before`.
    #[inline(always)]
    fn write(
        &mut self,
        segment: u32,
        facts: Facts,
        pause: Option<PauseFacts>,
        pause_before: Option<PauseFacts>,
    ) {
        debug_assert!(segment > self.segment, "segments ascend from 1");
        let step = u64::from(segment - self.segment) << 1;
        self.segment = segment;
        if facts == self.before && pause == pause_before {
            self.number(step);
            return;
        }
        self.before = facts;
        self.number(step | 1);
        // Never, given or as before: 0, 1 or 2. Without a branch, because nothing predicts which of a
        // user's memberships expire.
        let expires = facts.ttl != NEVER;
        let expiry = u8::from(expires) << u8::from(expires & (facts.ttl == self.last_ttl));
        let value = facts.value.min(u32::from(VALUE_GIVEN)) as u8;
        let flags = (u8::from(facts.age > 0) * AGE) | (u8::from(facts.lag != 0) * LAG);
        let flags = flags | (u8::from(pause.is_some()) * PAUSE);
        self.byte(flags | expiry << EXPIRY_SHIFT | value << VALUE_SHIFT);
        if facts.age > 0 {
            self.number(u64::from(facts.age));
        }
        if facts.lag != 0 {
            self.number(facts.lag);
        }
        if expiry == EXPIRY_GIVEN {
            self.number(facts.ttl);
            self.last_ttl = facts.ttl;
        }
        if value == VALUE_GIVEN {
            self.number(u64::from(facts.value));
        }
        if let Some(pause) = pause {
            self.number(u64::from(pause.from));
            self.number(u64::from(pause.until));
        }
    }
}

/// Appends the packed form of `entries`, which ascend by segment and are not empty.
pub(crate) fn pack(entries: &[Membership], out: &mut Vec<u8>) {
    let base = entries.iter().map(|entry| entry.last_seen).max().unwrap_or_default();
    let start = out.len();
    // Room for the largest entries, so that no byte has to check for room.
    let pauses = entries.iter().filter(|entry| entry.pause.is_some()).count();
    out.resize(start + max_bytes(entries.len()) + MAX_PAUSE_BYTES * pauses, 0);
    let mut writer = Writer::new(&mut out[start..], base);
    let mut pause_before = None;
    for entry in entries {
        let pause = PauseFacts::of(entry);
        writer.write(entry.segment.0, Facts::of(entry, base), pause, pause_before);
        pause_before = pause;
    }
    let end = start + writer.length();
    out.truncate(end);
}

/// Reads the packed form into `entries`, in place of what they held.
pub(crate) fn unpack(packed: &[u8], entries: &mut Vec<Membership>) -> Result<(), Malformed> {
    entries.clear();
    // An entry of typical facts has three or four bytes. Room that is not used costs less than room that is too small.
    entries.reserve(packed.len() / 2 + 1);
    let mut input = packed;
    let base = read_base(&mut input)?;
    let mut membership = Facts::FIRST.membership(SegmentId(0), base)?;
    let mut reader = Reader::new(input, 0);
    while let Some(entry) = reader.next() {
        let Entry { segment, facts, has_new_facts } = entry?;
        if has_new_facts {
            membership = facts.membership(SegmentId(segment), base)?;
            if let Some(pause) = reader.pause.take() {
                membership.pause = Some(pause.pause(membership.last_seen)?);
            }
        }
        membership.segment = SegmentId(segment);
        entries.push(membership);
    }
    Ok(())
}

/// Reads a blob: the version, then the packed form, which must be exactly the bytes that [`pack`] makes of
/// its entries. So two blobs of one profile are equal, and damaged bytes that can be read are seldom
/// canonical as well.
pub(crate) fn read_blob(
    blob: &[u8],
    domain: Domain,
    entries: &mut Vec<Membership>,
) -> Result<(), ProfilesError> {
    let (found, packed) = match blob.split_first() {
        Some((&found @ (VERSION_WITHOUT_PAUSE | BLOB_FORMAT_VERSION), packed)) => (found, packed),
        Some((&found, _)) => {
            let (what, known) = ("a stored profile", BLOB_FORMAT_VERSION);
            return Err(ProfilesError::UnknownVersion { what, found, known });
        }
        None => return Err(Malformed("version").in_profile(domain)),
    };
    unpack(packed, entries).map_err(|damage| damage.in_profile(domain))?;
    if entries.is_empty() {
        return Err(Malformed("entries").in_profile(domain));
    }
    if found != version(entries.iter().any(|entry| entry.pause.is_some())) {
        return Err(Malformed("version").in_profile(domain));
    }
    let mut again = Vec::with_capacity(packed.len());
    pack(entries, &mut again);
    if again == packed { Ok(()) } else { Err(Malformed("canonical form").in_profile(domain)) }
}

/// The version of the blob of a packed profile.
pub(crate) fn version_of(packed: &[u8]) -> u8 {
    let mut input = packed;
    let mut reader = Reader::new(if read_base(&mut input).is_ok() { input } else { &[] }, 0);
    while !reader.has_pause()
        && let Some(Ok(_)) = reader.next()
    {}
    version(reader.has_pause())
}

/// The version of a blob. A program that knows no pauses refuses it by its version, and does not call it damaged.
fn version(has_pause: bool) -> u8 {
    if has_pause { BLOB_FORMAT_VERSION } else { VERSION_WITHOUT_PAUSE }
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
