//! Merging adds and removals into packed bytes without unpacking them: the change that nearly all records make.
//!
//! An entry passes from the old bytes to the new ones as it is, relative to the base: only its age grows
//! by as much as the base. `membership` has the rules in full; the test compares the two.

use crate::Applied;
use crate::codec::{self, Entry, Facts, Malformed, Reader, Writer};
use crate::membership::Timed;
use ia_model::{Change, Minute};

/// Merges operations into the profile in `packed`, where no bytes are no memberships, and writes the new profile to the
/// front of `room`; what has expired at `last` is left out. Returns its length, 0 where nothing is left, and the changes.
/// The operations ascend by segment, those on one segment by minute; `last` is the last of these minutes.
///
/// `None`: an operation is something else than a removal or an add of what is live when it comes; the clock has gone back; or
/// a membership has a pause.
pub(crate) fn merge<O: Iterator<Item = Timed> + Clone>(
    packed: &[u8],
    operations: O,
    last: Minute,
    room: &mut Vec<u8>,
) -> Result<Option<(usize, Applied)>, Malformed> {
    let is_plain = |timed: Timed| match timed.operation.change {
        Change::Add { expires, .. } => expires.is_live(timed.seen),
        Change::Remove => true,
        Change::AddLater { .. } => false,
    };
    let mut input = packed;
    let mut since_base = 0;
    let mut first = last;
    if !input.is_empty() {
        first = codec::read_base(&mut input)?;
        match last.0.checked_sub(first.0) {
            Some(minutes) => since_base = minutes,
            None => return Ok(None),
        }
    }
    let mut count = 0;
    for timed in operations.clone() {
        if !is_plain(timed) || timed.seen < first && !packed.is_empty() {
            return Ok(None);
        }
        count += 1;
    }
    // An entry has one byte at least.
    let max_bytes = codec::max_bytes(packed.len() + count);
    if room.len() < max_bytes {
        room.resize(max_bytes, 0);
    }
    let mut before = Reader::new(input, since_base);
    let mut merge = Merge { last, to: Writer::new(room, last), youngest: None, applied: Applied::default() };
    merge.run(&mut before, operations)?;
    let Merge { to, youngest, applied, .. } = merge;
    let mut length = to.length();
    if before.has_pause() {
        // What was written lacks it.
        return Ok(None);
    }
    match youngest {
        None => length = 0,
        Some(0) => {}
        Some(age) => length = rebase(room, length, last, age)?,
    }
    Ok(Some((length, applied)))
}

/// Writes a profile anew whose youngest entry is older than its base: the base is the minute of the last add.
fn rebase(room: &mut [u8], length: usize, base: Minute, age: u32) -> Result<usize, Malformed> {
    let written = room[..length].to_vec();
    let mut input = &written[..];
    codec::read_base(&mut input)?;
    let mut writer = Writer::new(room, Minute(base.0 - age));
    for entry in Reader::new(input, 0) {
        let Entry { segment, facts, .. } = entry?;
        writer.entry(segment, facts.earlier(age));
    }
    Ok(writer.length())
}

struct Merge<'a> {
    last: Minute,
    to: Writer<'a>,
    /// The age of the entry that was added last.
    youngest: Option<u32>,
    applied: Applied,
}

impl Merge<'_> {
    fn run(
        &mut self,
        before: &mut Reader<'_>,
        mut operations: impl Iterator<Item = Timed>,
    ) -> Result<(), Malformed> {
        let mut next = operations.next();
        for entry in before {
            let Entry { segment, facts, .. } = entry?;
            while let Some(timed) = next
                && timed.operation.segment.0 < segment
            {
                next = self.change(None, timed, &mut operations)?;
            }
            match next {
                Some(timed) if timed.operation.segment.0 == segment => {
                    next = self.change(Some(facts), timed, &mut operations)?;
                }
                _ => self.put(segment, facts),
            }
        }
        while let Some(timed) = next {
            next = self.change(None, timed, &mut operations)?;
        }
        Ok(())
    }

    /// Writes an entry, if it is live.
    #[inline]
    fn put(&mut self, segment: u32, facts: Facts) {
        if facts.is_live(0) {
            self.to.entry(segment, facts);
            self.youngest = Some(self.youngest.map_or(facts.age(), |age| age.min(facts.age())));
        }
    }

    /// Makes all changes of one segment. Returns the first operation on another.
    #[inline]
    fn change(
        &mut self,
        before: Option<Facts>,
        first: Timed,
        operations: &mut impl Iterator<Item = Timed>,
    ) -> Result<Option<Timed>, Malformed> {
        let segment = first.operation.segment;
        let mut entry = before;
        let mut next = Some(first);
        while let Some(timed) = next
            && timed.operation.segment == segment
        {
            let before_last = self.last.0 - timed.seen.0;
            let live = entry.filter(|facts| facts.is_live(before_last));
            let counted = u64::from(timed.is_counted);
            entry = match timed.operation.change {
                Change::Add { expires, value } => {
                    let lag = match live {
                        Some(facts) => facts.minutes_since_added(before_last)?,
                        None => 0,
                    };
                    let counter =
                        if live.is_some() { &mut self.applied.refreshed } else { &mut self.applied.added };
                    *counter += counted;
                    Some(Facts::of_add(expires, value, lag, timed.seen).later(before_last))
                }
                _ => {
                    self.applied.removed += if live.is_some() { counted } else { 0 };
                    None
                }
            };
            next = operations.next();
        }
        if let Some(facts) = entry {
            self.put(segment.0, facts);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::{Edit, Merger, sorted};
    use ia_model::{Expiry, Operation, SegmentId};
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
        let change = prop_oneof![15 => add, 3 => Just(Change::Remove), 1 => later];
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
        fn merging_into_bytes_does_what_unpacking_and_merging_does(
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
                let timed = sorted(&operations, Minute(seen));
                if let Some((length, found)) =
                    merge(&packed, timed.into_iter(), Minute(seen), &mut room).unwrap()
                {
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
        let mut merge_at = |packed: &[u8], operations: &[Operation], seen| {
            let merged = merge(packed, sorted(operations, seen).into_iter(), seen, &mut room)?;
            Ok::<_, Malformed>(merged.map(|(length, _)| room[..length].to_vec()))
        };
        let forever = Change::Add { expires: Expiry::Never, value: 1 };
        let over = Change::Add { expires: Expiry::At(now), value: 1 };
        let plain = [operation(3, forever), operation(4, forever)];
        let packed = merge_at(&[], &plain, now).unwrap().unwrap();
        let later = Change::AddLater { begins: Minute(101), expires: Expiry::Never, value: 1 };
        for operations in [operation(3, later), operation(3, over)] {
            assert_eq!(merge_at(&packed, &[operations], now), Ok(None));
        }
        let all_removed = [operation(4, Change::Remove), operation(3, Change::Remove)];
        assert_eq!(merge_at(&packed, &all_removed, now), Ok(Some(vec![])));
        assert_eq!(merge_at(&packed, &plain, Minute(99)), Ok(None), "the clock went back");
        assert!(merge_at(&packed, &plain, now).unwrap().is_some());
        assert!(merge_at(&packed[..packed.len() - 2], &plain, now).is_err());
        let mut merger = Merger::default();
        merger.merge(Edit::Operations(&[operation(9, later)]), now);
        let mut with_pause = Vec::new();
        codec::pack(&merger.after, &mut with_pause);
        assert_eq!(merge_at(&with_pause, &plain, now), Ok(None));
    }
}
