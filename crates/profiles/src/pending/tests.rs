use super::*;
use crate::membership::Merger;
use crate::stored::{self, Content};
use crate::{Applied, links};
use proptest::prelude::*;

fn any_change() -> impl Strategy<Value = (u32, u8, u32, u32, u32)> {
    (1u32..30, 0u8..8, 0u32..6, 0u32..6, prop_oneof![0u32..3, any::<u32>()])
}

/// Minutes count from the minute of the record.
fn operation(seen: u32, (segment, kind, begins, minutes, value): (u32, u8, u32, u32, u32)) -> Operation {
    let begins = Minute(seen + begins);
    let expires = if kind % 2 == 0 { Expiry::Never } else { Expiry::At(Minute(begins.0 + minutes)) };
    let change = match kind {
        0 => Change::Remove,
        1..=5 => Change::Add { expires, value },
        _ => Change::AddLater { begins, expires, value },
    };
    Operation { segment: SegmentId(segment), change }
}

proptest! {
    /// Also where the clock goes back between two records, and where some of the changes are counted elsewhere.
    #[test]
    fn changes_that_were_put_off_do_what_they_would_have_done_at_once(
        records in proptest::collection::vec(
            (-2i32..4, proptest::collection::vec(any_change(), 1..12)), 1..20
        ),
        merged in 0usize..20,
        taken in 0usize..20,
    ) {
        let mut seen = 1000u32;
        let records: Vec<(Minute, Vec<Operation>)> = records.into_iter().map(|(later, changes)| {
            seen = seen.saturating_add_signed(later);
            (Minute(seen), changes.into_iter().map(|change| operation(seen, change)).collect())
        }).collect();
        let (merged, taken) = (merged.min(records.len()), taken.min(records.len()));
        let mut at_once = Merger::default();
        let (mut counted, mut changes, mut taken_bytes) = (Applied::default(), Vec::new(), 0);
        let (mut base, mut put_off) = (Vec::new(), 0);
        for (index, (seen, operations)) in records.iter().enumerate() {
            if index == merged {
                base.clone_from(&at_once.before);
            }
            let applied = at_once.merge(Edit::Operations(operations), *seen);
            at_once.go_on();
            if index < merged {
                continue;
            }
            let written = write_edit(Edit::Operations(operations), *seen, &mut changes);
            prop_assert_eq!(written, Some(operations.len()));
            if index < taken {
                taken_bytes = changes.len();
            } else {
                counted += applied;
                put_off += operations.len() as i64;
            }
        }
        if merged < records.len() {
            let (mut packed, mut out, mut expected) = (Vec::new(), Vec::new(), Vec::new());
            base.pack(&mut packed);
            at_once.before.pack(&mut expected);
            let operations = read_operations(&changes, taken_bytes).unwrap();
            prop_assert_eq!(no_longer_put_off(&operations).put_off, -put_off);
            prop_assert_eq!(merge(&packed, operations, &mut out).unwrap(), counted);
            prop_assert_eq!(out, expected);
            let (found, applied) = base.changed(&changes, taken_bytes, 0).unwrap();
            counted.put_off = -put_off;
            prop_assert_eq!((&found, applied), (&at_once.before, counted));
        }
    }

    #[test]
    fn content_is_read_as_it_was_written(
        base in proptest::collection::vec(any::<u8>(), 1..300),
        changes in proptest::collection::vec(any::<u8>(), 0..50),
        taken in 0usize..50,
    ) {
        let mut content = Vec::new();
        write_over_memory(&base, &changes, &mut content);
        prop_assert_eq!(Form::of(&content), Form::OverMemory { base: &base, changes: &changes });
        content.clear();
        let taken = taken.min(changes.len());
        write_over_disk(&[&changes[..taken], &changes[taken..]], taken, &mut content);
        prop_assert_eq!(Form::of(&content), Form::OverDisk { changes: &changes, taken });
    }

    /// A packed profile is never taken for changes.
    #[test]
    fn packed_bytes_are_whole(minute in any::<u32>(), changes in proptest::collection::vec(any_change(), 1..5)) {
        let minute = minute.clamp(1, u32::MAX - 20);
        let mut merger = Merger::default();
        let operations: Vec<_> = changes.into_iter().map(|change| operation(minute, change)).collect();
        merger.merge(Edit::Operations(&operations), Minute(minute));
        if !merger.after.is_empty() {
            let mut packed = Vec::new();
            crate::codec::pack(&merger.after, &mut packed);
            prop_assert_eq!(Form::of(&packed), Form::Whole(&packed));
        }
    }
}

#[test]
fn erasing_all_needs_no_base() {
    let mut changes = Vec::new();
    assert_eq!(write_edit(Edit::Erase(&ErasedSegments::All), Minute(1), &mut changes), None);
    assert!(changes.is_empty());
}

#[test]
fn links_that_were_put_off_are_made_in_their_order() {
    let user = |id| UserKey::platform(id).unwrap();
    let records = [
        (Minute(10), vec![(user(1), Minute(20)), (user(2), Minute(15))]),
        (Minute(14), vec![(user(3), Minute(20))]),
        (Minute(16), vec![(user(1), Minute(20))]),
    ];
    let (mut at_once, mut changes) = (links::Links::new(), Vec::new());
    for (seen, new) in &records {
        links::merge(&mut at_once, new, *seen, 2);
        write_links(new, *seen, &mut changes);
    }
    let key = links::LinksKey::of(&user(9)).unwrap();
    let (mut packed, mut expected) = (Vec::new(), Vec::new());
    stored::merge(key.as_bytes(), None, &changes, 0, 2, &mut Vec::new(), &mut packed).unwrap();
    links::pack(&at_once, &mut expected);
    assert_eq!(packed, expected);
}

#[test]
fn changes_that_are_cut_off_are_malformed() {
    let operation =
        Operation { segment: SegmentId(7), change: Change::Add { expires: Expiry::Never, value: 9 } };
    let mut changes = Vec::new();
    write_edit(Edit::Operations(&[operation; 2]), Minute(1000), &mut changes);
    for end in 1..changes.len() {
        assert!(read_operations(&changes[..end], 0).is_err(), "{end}");
    }
}
