//! Finding a segment by its id.

use super::Segment;
use ia_model::SegmentId;

/// Finds the place of an id among segments in the order of their ids. Ids are given out one after the other, so they
/// are dense, and reading one number finds most. A hash table of pairs is three times as large, and reads miss it in
/// the processor's cache.
pub(super) struct ById {
    first: u32,
    shift: u32,
    /// For each block of ids (the id less the first one, shifted), the index of its first segment; then the end.
    starts: Box<[u32]>,
}

impl ById {
    /// The index of `segments`, whose ids ascend.
    pub(super) fn of(segments: &[Segment]) -> ById {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return ById { first: 0, shift: 0, starts: Box::default() };
        };
        let (first, last) = (first.id.0, last.id.0);
        // About as many blocks as segments, however far apart the ids are.
        let shift =
            ((u64::from(last - first) + 1).div_ceil(2 * segments.len() as u64)).next_power_of_two().ilog2();
        let blocks = ((last - first) >> shift) as usize + 1;
        let mut starts = vec![0; blocks + 1];
        for segment in segments {
            starts[((segment.id.0 - first) >> shift) as usize + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        ById { first, shift, starts: starts.into() }
    }

    /// The index of the segment of that id among the same segments.
    #[inline]
    pub(super) fn find(&self, segments: &[Segment], id: SegmentId) -> Option<usize> {
        let block = (id.0.checked_sub(self.first)? >> self.shift) as usize;
        let (start, end) = (*self.starts.get(block)?, *self.starts.get(block + 1)?);
        let block = &segments[start as usize..end as usize];
        block.binary_search_by_key(&id, |segment| segment.id).ok().map(|index| start as usize + index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_model::MemberId;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ids() -> impl Strategy<Value = BTreeSet<u32>> {
        let anywhere = proptest::collection::btree_set(any::<u32>(), 0..50);
        let dense =
            (1..=u32::MAX - 1000, 0u32..1000).prop_map(|(first, count)| (first..first + count).collect());
        (anywhere, dense).prop_map(|(some, more): (BTreeSet<u32>, BTreeSet<u32>)| &some | &more)
    }

    proptest! {
        #[test]
        fn each_id_is_found_and_no_other(ids in ids(), others in proptest::collection::vec(any::<u32>(), 50)) {
            let segment = |&id: &u32| Segment {
                id: SegmentId(id),
                member: MemberId(1),
                code: None,
                active: true,
                expire_minutes: None,
            };
            let segments: Vec<Segment> = ids.iter().map(segment).collect();
            let index = ById::of(&segments);
            prop_assert!(index.starts.len() <= 4 * ids.len() + 2);
            let near = ids.iter().flat_map(|&id| [id.saturating_sub(1), id, id.saturating_add(1)]);
            for id in near.chain(others) {
                let found = index.find(&segments, SegmentId(id)).map(|index| segments[index].id.0);
                prop_assert_eq!(found, ids.contains(&id).then_some(id));
            }
        }
    }
}
