//! Adding to packed bytes without unpacking them: the change that nearly all records make.
//!
//! An entry passes from the old bytes to the new ones as it is, relative to the base: only its age grows
//! by as much as the base. `membership` has the rules in full; the test compares the two.

use crate::Applied;
use crate::codec::{self, Entry, Facts, Malformed, Reader, Writer};
use ia_model::{Change, Minute, Operation};

/// Adds to the profile in `packed`, where no bytes are no memberships, and writes the new profile to the
/// front of `room`. Returns its length, and the changes.
///
/// `None`: something else than adding, in ascending order of time and segments, which leaves a profile; or a membership
/// has a pause.
pub(crate) fn add(
    packed: &[u8],
    operations: &[Operation],
    seen: Minute,
    room: &mut Vec<u8>,
) -> Result<Option<(usize, Applied)>, Malformed> {
    let adds = |operation: &Operation| match operation.change {
        Change::Add { expires, .. } => expires.is_live(seen),
        Change::AddLater { .. } | Change::Remove => false,
    };
    let ascend = operations.is_sorted_by(|one, other| one.segment < other.segment);
    if operations.is_empty() || !ascend || !operations.iter().all(adds) {
        return Ok(None);
    }
    // An entry has one byte at least.
    let max_bytes = codec::max_bytes(packed.len() + operations.len());
    if room.len() < max_bytes {
        room.resize(max_bytes, 0);
    }
    let mut input = packed;
    let mut later = 0;
    if !input.is_empty() {
        match seen.0.checked_sub(codec::read_base(&mut input)?.0) {
            Some(minutes) => later = minutes,
            None => return Ok(None),
        }
    }
    let mut writer = Writer::new(room, seen);
    let mut before = Reader::new(input, later);
    let applied = merge(&mut before, operations, seen, &mut writer)?;
    // What was written lacks the pause.
    Ok((!before.has_pause()).then_some((writer.length(), applied)))
}

fn merge(
    before: &mut Reader<'_>,
    operations: &[Operation],
    seen: Minute,
    to: &mut Writer<'_>,
) -> Result<Applied, Malformed> {
    let mut applied = Applied::default();
    let mut operations = operations.iter();
    let mut next = operations.next();
    for entry in before {
        let Entry { segment, facts, .. } = entry?;
        while let Some(operation) = next
            && operation.segment.0 < segment
        {
            applied.added += 1;
            to.entry(operation.segment.0, added(operation, 0, seen));
            next = operations.next();
        }
        let is_live = facts.is_live();
        if let Some(operation) = next
            && operation.segment.0 == segment
        {
            let lag = if is_live {
                applied.refreshed += 1;
                facts.minutes_since_added()?
            } else {
                applied.added += 1;
                0
            };
            to.entry(segment, added(operation, lag, seen));
            next = operations.next();
        } else if is_live {
            to.entry(segment, facts);
        }
    }
    while let Some(operation) = next {
        applied.added += 1;
        to.entry(operation.segment.0, added(operation, 0, seen));
        next = operations.next();
    }
    Ok(applied)
}

fn added(operation: &Operation, lag: i64, seen: Minute) -> Facts {
    let Change::Add { expires, value } = operation.change else {
        unreachable!("`add` takes nothing else");
    };
    Facts::of_add(expires, value, lag, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::{Edit, Merger};
    use ia_model::{Expiry, SegmentId};
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
        let later = (1u32..6, 1u32..6, 0u32..3).prop_map(|(begins, minutes, value)| Change::AddLater {
            begins: Minute(begins),
            expires: Expiry::At(Minute(begins + minutes)),
            value,
        });
        let change = prop_oneof![15 => add, 1 => Just(Change::Remove), 1 => later];
        (segment, change).prop_map(|(segment, change)| Operation { segment: SegmentId(segment), change })
    }

    /// Expiries count from the minute of the record.
    fn at(seen: u32, mut operations: Vec<Operation>) -> Vec<Operation> {
        for operation in &mut operations {
            if let Change::AddLater { begins, .. } = &mut operation.change {
                begins.0 += seen;
            }
            if let Change::Add { expires: Expiry::At(minute), .. }
            | Change::AddLater { expires: Expiry::At(minute), .. } = &mut operation.change
            {
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
    fn other_operations_are_left_alone() {
        let (now, mut room) = (Minute(100), Vec::new());
        let operation = |segment, change| Operation { segment: SegmentId(segment), change };
        let forever = Change::Add { expires: Expiry::Never, value: 1 };
        let over = Change::Add { expires: Expiry::At(now), value: 1 };
        let plain = [operation(3, forever), operation(4, forever)];
        let (length, _) = add(&[], &plain, now, &mut room).unwrap().unwrap();
        let packed = room[..length].to_vec();
        let later = Change::AddLater { begins: Minute(101), expires: Expiry::Never, value: 1 };
        let others: [&[Operation]; 6] = [
            &[operation(3, later)],
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
        let mut merger = Merger::default();
        merger.merge(Edit::Operations(&[operation(9, later)]), now);
        let mut with_pause = Vec::new();
        codec::pack(&merger.after, &mut with_pause);
        assert_eq!(add(&with_pause, &plain, now, &mut room), Ok(None));
    }
}
