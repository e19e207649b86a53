//! The segments of a snapshot, found by id and by code.

use super::Segment;
use super::by_id::ById;
use super::shown::{self, ShownTexts};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use ia_model::{MemberId, SegmentId};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::Arc;

/// The segments are packed anew after this many changes. A change copies those before it; packing copies all
/// segments.
const MOST_CHANGES: usize = 1024;

/// Segments as they were when they were last packed, and what has changed since.
#[derive(Clone)]
pub(super) struct Segments {
    packed: Arc<Packed>,
    /// `None` for one that is gone. Nearly always empty: then a look at its length is all that it costs.
    changed: HashMap<SegmentId, Option<Changed>>,
    /// Those in `changed` that have a code, hashed as in `packed`.
    changed_codes: HashTable<SegmentId>,
}

/// A segment that has changed, and its text.
#[derive(Clone)]
struct Changed {
    segment: Segment,
    shown: Arc<[u8]>,
}

struct Packed {
    segments: Vec<Segment>,
    shown: ShownTexts,
    by_id: ById,
    /// Indexes of the segments that have a code, hashed by owner and lower-case code.
    by_code: HashTable<u32>,
    code_hasher: DefaultHashBuilder,
}

impl Segments {
    /// Packs segments, whose ids ascend.
    pub(super) fn of(segments: Vec<Segment>) -> Segments {
        Segments {
            packed: Arc::new(Packed::of(segments)),
            changed: HashMap::new(),
            changed_codes: HashTable::new(),
        }
    }

    /// With these changes; `None` takes a segment away.
    pub(super) fn with(&self, changes: &[(SegmentId, Option<Segment>)]) -> Segments {
        let mut changed = self.changed.clone();
        changed.extend(changes.iter().map(|(id, segment)| (*id, segment.as_ref().map(Changed::of))));
        let packed = Arc::clone(&self.packed);
        if changed.len() > MOST_CHANGES {
            let after = Segments { packed, changed, changed_codes: HashTable::new() };
            return Segments::of(after.all().into_iter().cloned().collect());
        }
        let hasher = &packed.code_hasher;
        let hash_of = |id: &SegmentId| match &changed[id] {
            Some(Changed { segment: Segment { member, code: Some(code), .. }, .. }) => {
                hash_code(hasher, *member, code)
            }
            _ => 0,
        };
        let mut changed_codes = HashTable::with_capacity(changed.len());
        let with_code = |segment: &&Segment| segment.code.is_some();
        for segment in changed.values().flatten().map(|changed| &changed.segment).filter(with_code) {
            changed_codes.insert_unique(hash_of(&segment.id), segment.id, hash_of);
        }
        Segments { packed, changed, changed_codes }
    }

    #[inline]
    pub(super) fn by_id(&self, id: SegmentId) -> Option<&Segment> {
        if !self.changed.is_empty()
            && let Some(changed) = self.changed.get(&id)
        {
            return changed.as_ref().map(|changed| &changed.segment);
        }
        self.packed.find(id).map(|index| &self.packed.segments[index])
    }

    /// [`Segments::by_id`], with the text of the segment.
    #[inline]
    pub(super) fn shown(&self, id: SegmentId) -> Option<(&Segment, &[u8])> {
        if !self.changed.is_empty()
            && let Some(changed) = self.changed.get(&id)
        {
            return changed.as_ref().map(|changed| (&changed.segment, &*changed.shown));
        }
        let index = self.packed.find(id)?;
        Some((&self.packed.segments[index], self.packed.shown.at(index)))
    }

    pub(super) fn by_code(&self, member: MemberId, code: &str) -> Option<&Segment> {
        let hash = hash_code(&self.packed.code_hasher, member, code);
        let packed = self.packed.by_code(hash, member, code);
        if self.changed.is_empty() {
            return packed;
        }
        let changed = |id: &SegmentId| self.changed.get(id)?.as_ref().map(|changed| &changed.segment);
        let is_it = |id: &SegmentId| changed(id).is_some_and(|segment| has_code(segment, member, code));
        match self.changed_codes.find(hash, is_it) {
            Some(id) => changed(id),
            // A packed segment that has changed since has another code now, or none.
            None => packed.filter(|segment| !self.changed.contains_key(&segment.id)),
        }
    }

    /// In the order of their ids.
    pub(super) fn all(&self) -> Vec<&Segment> {
        let kept = self.packed.segments.iter().filter(|segment| !self.changed.contains_key(&segment.id));
        let changed = self.changed.values().flatten().map(|changed| &changed.segment);
        let mut all: Vec<&Segment> = kept.chain(changed).collect();
        all.sort_unstable_by_key(|segment| segment.id);
        all
    }

    pub(super) fn count(&self) -> usize {
        let is_packed = |id: &SegmentId| self.packed.find(*id).is_some();
        let replaced = self.changed.keys().filter(|id| is_packed(id)).count();
        self.packed.segments.len() - replaced + self.changed.values().flatten().count()
    }
}

impl Changed {
    fn of(segment: &Segment) -> Changed {
        Changed { segment: segment.clone(), shown: shown::text(segment) }
    }
}

impl Packed {
    fn of(segments: Vec<Segment>) -> Packed {
        let code_hasher = DefaultHashBuilder::default();
        let mut by_code = HashTable::with_capacity(segments.len());
        let hash_at = |index: &u32| {
            let segment = &segments[*index as usize];
            hash_code(&code_hasher, segment.member, segment.code.as_deref().unwrap_or_default())
        };
        for (index, segment) in (0u32..).zip(&segments) {
            if segment.code.is_some() {
                by_code.insert_unique(hash_at(&index), index, hash_at);
            }
        }
        let (by_id, shown) = (ById::of(&segments), ShownTexts::of(&segments));
        Packed { segments, shown, by_id, by_code, code_hasher }
    }

    /// The index of the segment of that id.
    #[inline]
    fn find(&self, id: SegmentId) -> Option<usize> {
        self.by_id.find(&self.segments, id)
    }

    fn by_code(&self, hash: u64, member: MemberId, code: &str) -> Option<&Segment> {
        let at = |index: u32| &self.segments[index as usize];
        self.by_code.find(hash, |&index| has_code(at(index), member, code)).map(|&index| at(index))
    }
}

/// Equal for all spellings of a code.
fn hash_code(hasher: &DefaultHashBuilder, member: MemberId, code: &str) -> u64 {
    let mut hasher = hasher.build_hasher();
    member.hash(&mut hasher);
    for byte in code.bytes() {
        hasher.write_u8(byte.to_ascii_lowercase());
    }
    hasher.finish()
}

fn has_code(segment: &Segment, member: MemberId, code: &str) -> bool {
    segment.member == member && segment.code.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn coded(id: u32, member: u32, code: Option<u8>) -> Segment {
        Segment {
            id: SegmentId(id),
            member: MemberId(member),
            code: code.map(|code| format!("Code-{code}").into()),
            active: id.is_multiple_of(2),
            expire_minutes: None,
        }
    }

    proptest! {
        /// Codes are unique in a member, as every store sees to.
        #[test]
        fn changes_over_packed_segments_are_those_segments_packed(
            steps in proptest::collection::vec(
                proptest::collection::vec((1..60u32, any::<bool>(), proptest::option::of(0..30u8)), 1..5),
                0..40,
            ),
            packed in 0..30usize,
        ) {
            let mut model: BTreeMap<SegmentId, Segment> = BTreeMap::new();
            let mut segments = Segments::of(Vec::new());
            for (index, step) in steps.into_iter().enumerate() {
                let mut changes = Vec::new();
                for (id, gone, code) in step {
                    let segment = coded(id, 1 + id % 2, code);
                    let is_taken = model.values().any(|other| {
                        other.id != segment.id && other.member == segment.member
                            && other.code.is_some() && other.code == segment.code
                    });
                    let after = (!gone && !is_taken).then_some(segment);
                    match &after {
                        Some(segment) => model.insert(SegmentId(id), segment.clone()),
                        None => model.remove(&SegmentId(id)),
                    };
                    changes.push((SegmentId(id), after));
                }
                segments = segments.with(&changes);
                if index == packed {
                    segments = Segments::of(segments.all().into_iter().cloned().collect());
                }
            }
            prop_assert_eq!(segments.all(), model.values().collect::<Vec<_>>());
            prop_assert_eq!(segments.count(), model.len());
            for id in 0..61 {
                let expected = model.get(&SegmentId(id));
                prop_assert_eq!(segments.by_id(SegmentId(id)), expected);
                let (segment, shown) = segments.shown(SegmentId(id)).unzip();
                prop_assert_eq!(segment, expected);
                prop_assert_eq!(shown.map(<[u8]>::to_vec), expected.map(|segment| shown::text(segment).to_vec()));
            }
            for (member, code) in (1..=2).flat_map(|member| (0..30u8).map(move |code| (member, code))) {
                let code = format!("cODE-{code}");
                let expected = model.values().find(|segment| has_code(segment, MemberId(member), &code));
                prop_assert_eq!(segments.by_code(MemberId(member), &code), expected);
            }
        }
    }

    #[test]
    fn many_changes_are_packed() {
        let mut segments = Segments::of(Vec::new());
        for id in 1..=2 * MOST_CHANGES as u32 {
            segments = segments.with(&[(SegmentId(id), Some(coded(id, 1, None)))]);
            assert!(segments.changed.len() <= MOST_CHANGES);
        }
        assert_eq!(segments.count(), 2 * MOST_CHANGES);
    }

    /// Lookups come here only when hashes agree, which no test can arrange from outside.
    #[test]
    fn a_code_is_its_owners_whatever_the_hash() {
        let segment = |code: Option<&str>| Segment {
            id: SegmentId(1),
            member: MemberId(7),
            code: code.map(Box::from),
            active: true,
            expire_minutes: None,
        };
        assert!(has_code(&segment(Some("News")), MemberId(7), "nEWS"));
        assert!(!has_code(&segment(Some("News")), MemberId(8), "News"));
        assert!(!has_code(&segment(Some("News")), MemberId(7), "Newt"));
        assert!(!has_code(&segment(None), MemberId(7), ""));
    }
}
