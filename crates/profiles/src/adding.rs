//! Adding to packed bytes without unpacking them: what nearly all records do.
//!
//! An entry passes from the old bytes to the new ones as it stands there, relative to the base: only its
//! age grows by what the base grows. `membership` has the rules in full; the test holds this against it.

use crate::Applied;
use crate::codec::{
    AGE, EXPIRY_GIVEN, EXPIRY_NEVER, EXPIRY_SHIFT, LAG, MAX_BASE_BYTES, MAX_ENTRY_BYTES, Malformed,
    VALUE_GIVEN, VALUE_SHIFT, VALUE_ZERO, Writer, unzigzag, zigzag,
};
use ia_model::{Change, Expiry, Minute, Operation, varint};

/// The time to live of what never expires; no other one is that long.
const NEVER: u64 = u64::MAX;

/// What an entry says beside its segment, as `docs/FORMAT.md` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    age: u32,
    value: u32,
    /// A signed number as it is written.
    lag: u64,
    /// A signed number as it is written, or [`NEVER`].
    ttl: u64,
}

const FIRST: Facts = Facts { age: 0, value: 0, lag: 0, ttl: NEVER };

/// Adds to the profile in `packed`, where no bytes are no memberships, and writes the profile after it to
/// the front of `room`. Tells its length, and what it did.
///
/// `None`: this is no plain adding, in the order of time and segments, that a profile is left of.
pub(crate) fn add(
    packed: &[u8],
    operations: &[Operation],
    seen: Minute,
    room: &mut Vec<u8>,
) -> Result<Option<(usize, Applied)>, Malformed> {
    let is_plain = |operation: &Operation| match operation.change {
        Change::Add { expires, .. } => expires.is_live(seen),
        Change::Remove => false,
    };
    let ascend = operations.is_sorted_by(|one, other| one.segment < other.segment);
    if operations.is_empty() || !ascend || !operations.iter().all(is_plain) {
        return Ok(None);
    }
    // An entry takes a byte at the least.
    let most = MAX_BASE_BYTES + MAX_ENTRY_BYTES * (packed.len() + operations.len());
    if room.len() < most {
        room.resize(most, 0);
    }
    let mut input = packed;
    let mut later = 0;
    if !input.is_empty() {
        let base = varint::read_u32(&mut input).ok_or(Malformed("base minute"))?;
        match seen.0.checked_sub(base) {
            Some(minutes) => later = minutes,
            None => return Ok(None),
        }
    }
    let writer = Writer { out: room, at: 0 };
    let mut entries = Entries { writer, segment: 0, before: FIRST, last_ttl: NEVER };
    entries.writer.number(u64::from(seen.0));
    let applied = merge(input, later, operations, seen, &mut entries)?;
    Ok(Some((entries.writer.at, applied)))
}

fn merge(
    mut input: &[u8],
    later: u32,
    operations: &[Operation],
    seen: Minute,
    to: &mut Entries<'_>,
) -> Result<Applied, Malformed> {
    let mut applied = Applied::default();
    let mut operations = operations.iter();
    let mut next = operations.next();
    let (mut segment, mut facts, mut last_ttl) = (0u32, Facts { age: later, ..FIRST }, NEVER);
    while !input.is_empty() {
        let head = varint::read(&mut input).ok_or(Malformed("segment"))?;
        let step = u32::try_from(head >> 1).map_err(|_| Malformed("segment"))?;
        segment = segment.checked_add(step).ok_or(Malformed("segment"))?;
        if head & 1 == 1 {
            facts = read_facts(&mut input, later, &mut last_ttl)?;
        }
        while let Some(operation) = next
            && operation.segment.0 < segment
        {
            applied.added += 1;
            to.write(operation.segment.0, added(operation, 0, seen));
            next = operations.next();
        }
        // It expires its time to live after it was seen last.
        let is_live = (facts.ttl == NEVER) | (unzigzag(facts.ttl) > i64::from(facts.age));
        if let Some(operation) = next
            && operation.segment.0 == segment
        {
            let lag = if is_live {
                applied.refreshed += 1;
                unzigzag(facts.lag).checked_add(i64::from(facts.age)).ok_or(Malformed("added at"))?
            } else {
                applied.added += 1;
                0
            };
            to.write(segment, added(operation, lag, seen));
            next = operations.next();
        } else if is_live {
            to.write(segment, facts);
        }
    }
    while let Some(operation) = next {
        applied.added += 1;
        to.write(operation.segment.0, added(operation, 0, seen));
        next = operations.next();
    }
    Ok(applied)
}

fn added(operation: &Operation, lag: i64, seen: Minute) -> Facts {
    let Change::Add { expires, value } = operation.change else {
        unreachable!("`add` takes nothing else");
    };
    let ttl = match expires {
        Expiry::Never => NEVER,
        Expiry::At(minute) => zigzag(i64::from(minute.0) - i64::from(seen.0)),
    };
    Facts { age: 0, value, lag: zigzag(lag), ttl }
}

/// The base is `later` minutes later than the one that the bytes were written with.
#[inline]
fn read_facts(input: &mut &[u8], later: u32, last_ttl: &mut u64) -> Result<Facts, Malformed> {
    let (&flags, rest) = input.split_first().ok_or(Malformed("flags"))?;
    *input = rest;
    let mut facts = Facts { age: later, ..FIRST };
    if flags & AGE != 0 {
        let age = varint::read_u32(input).ok_or(Malformed("last seen"))?;
        facts.age = later.checked_add(age).ok_or(Malformed("last seen"))?;
    }
    if flags & LAG != 0 {
        facts.lag = varint::read(input).ok_or(Malformed("added at"))?;
    }
    let expiry = flags >> EXPIRY_SHIFT & 3;
    if expiry == EXPIRY_GIVEN {
        *last_ttl = varint::read(input).ok_or(Malformed("expiry"))?;
    }
    // All bits are set in `NEVER`.
    facts.ttl = *last_ttl | u64::from(expiry != EXPIRY_NEVER).wrapping_sub(1);
    facts.value = match flags >> VALUE_SHIFT {
        VALUE_GIVEN => varint::read_u32(input).ok_or(Malformed("value"))?,
        // 0 and 1 stand for themselves.
        value => u32::from(value),
    };
    Ok(facts)
}

/// Writes entries, segments ascending.
struct Entries<'a> {
    writer: Writer<'a>,
    segment: u32,
    before: Facts,
    /// The time to live that was written out last.
    last_ttl: u64,
}

impl Entries<'_> {
    #[inline]
    fn write(&mut self, segment: u32, facts: Facts) {
        let step = u64::from(segment - self.segment) << 1;
        self.segment = segment;
        if facts == self.before {
            self.writer.number(step);
            return;
        }
        self.before = facts;
        self.writer.number(step | 1);
        // 0, or 1 for one that is given, or 2 for the one before. Without a branch: which of a user's
        // memberships expire cannot be foreseen.
        let expires = facts.ttl != NEVER;
        let expiry = u8::from(expires) << u8::from(expires & (facts.ttl == self.last_ttl));
        let value = facts.value.clamp(u32::from(VALUE_ZERO), u32::from(VALUE_GIVEN)) as u8;
        let flags = (u8::from(facts.age > 0) * AGE) | (u8::from(facts.lag != 0) * LAG);
        self.writer.byte(flags | expiry << EXPIRY_SHIFT | value << VALUE_SHIFT);
        if facts.age > 0 {
            self.writer.number(u64::from(facts.age));
        }
        if facts.lag != 0 {
            self.writer.number(facts.lag);
        }
        if expiry == EXPIRY_GIVEN {
            self.writer.number(facts.ttl);
            self.last_ttl = facts.ttl;
        }
        if value == VALUE_GIVEN {
            self.writer.number(u64::from(facts.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::membership::{Edit, Merger};
    use ia_model::SegmentId;
    use proptest::prelude::*;

    fn any_operation() -> impl Strategy<Value = Operation> {
        let expires = prop_oneof![
            Just(Expiry::Never),
            (1u32..4).prop_map(|minutes| Expiry::At(Minute(minutes))),
            any::<u32>().prop_map(|minutes| Expiry::At(Minute(minutes))),
        ];
        let segment = prop_oneof![4 => 1u32..40, 1 => 1u32..=u32::MAX];
        let value = prop_oneof![0u32..4, any::<u32>()];
        let add = (expires, value).prop_map(|(expires, value)| Change::Add { expires, value });
        let change = prop_oneof![15 => add, 1 => Just(Change::Remove)];
        (segment, change).prop_map(|(segment, change)| Operation { segment: SegmentId(segment), change })
    }

    /// Expiries count from the minute of the record.
    fn at(seen: u32, mut operations: Vec<Operation>) -> Vec<Operation> {
        for operation in &mut operations {
            if let Change::Add { expires: Expiry::At(minute), .. } = &mut operation.change {
                minute.0 = minute.0.saturating_add(seen);
            }
        }
        operations.sort_by_key(|operation| operation.segment);
        operations
    }

    proptest! {
        #[test]
        fn adding_to_bytes_does_what_unpacking_and_merging_does(
            records in proptest::collection::vec(
                (prop_oneof![4 => 0u32..4, 1 => 0u32..40_000], any::<bool>(),
                 proptest::collection::vec(any_operation(), 1..8)),
                1..20,
            ),
        ) {
            let (mut packed, mut room) = (Vec::new(), Vec::new());
            let mut merger = Merger::default();
            let mut seen = 29_000_000;
            for (minutes, is_back, operations) in records {
                // Now and then a clock is set back.
                seen = if is_back && minutes == 3 { seen - 3 } else { seen + minutes };
                let operations = at(seen, operations);
                merger.read(&packed).unwrap();
                let applied = merger.merge(Edit::Operations(&operations), Minute(seen));
                let mut expected = Vec::new();
                if !merger.after.is_empty() {
                    codec::pack(&merger.after, &mut expected);
                }
                if let Some((length, found)) = add(&packed, &operations, Minute(seen), &mut room).unwrap() {
                    prop_assert_eq!(found, applied);
                    prop_assert_eq!(&room[..length], &expected[..]);
                }
                packed = expected;
            }
        }
    }

    #[test]
    fn what_is_no_plain_adding_is_left_alone() {
        let (now, mut room) = (Minute(100), Vec::new());
        let operation = |segment, change| Operation { segment: SegmentId(segment), change };
        let forever = Change::Add { expires: Expiry::Never, value: 1 };
        let over = Change::Add { expires: Expiry::At(now), value: 1 };
        let plain = [operation(3, forever), operation(4, forever)];
        let (length, _) = add(&[], &plain, now, &mut room).unwrap().unwrap();
        let packed = room[..length].to_vec();
        let others: [&[Operation]; 5] = [
            &[],
            &[operation(3, Change::Remove)],
            &[operation(3, over)],
            &[operation(4, forever), operation(3, forever)],
            &[operation(4, forever), operation(4, forever)],
        ];
        for operations in others {
            assert_eq!(add(&packed, operations, now, &mut room), Ok(None));
        }
        assert_eq!(add(&packed, &plain, Minute(99), &mut room), Ok(None), "the clock went back");
        assert!(add(&packed, &plain, now, &mut room).unwrap().is_some());
        assert!(add(&packed[..packed.len() - 2], &plain, now, &mut room).is_err());
    }
}
