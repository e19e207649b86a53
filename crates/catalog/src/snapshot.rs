use crate::by_id::ById;
use crate::state::{Exposure, State};
use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use ia_model::{MemberId, SegmentId};
use std::fmt;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

/// A segment as the hot path needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its id; never used again.
    pub id: SegmentId,
    /// Who owns it.
    pub member: MemberId,
    /// The owner's own name of it, as it was written; unique in the member without regard to case.
    pub code: Option<Box<str>>,
    /// Whether it takes additions and is shown.
    pub active: bool,
    /// For how many minutes a membership lasts that was sent without an expiration; 0 is for ever,
    /// `None` leaves it to the member.
    pub expire_minutes: Option<u32>,
}

/// A member's own limits. `None` leaves one to the server's configuration, 0 lifts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemberLimits {
    /// `POST /rt-segment` a second.
    pub posts_per_second: Option<u32>,
    /// `GET /rt-segment-processed` a second.
    pub gets_per_second: Option<u32>,
    /// Users of one request that are looked at.
    pub users_per_request: Option<u32>,
    /// Users a second, over all requests.
    pub users_per_second: Option<u32>,
    /// Segment blocks of one user that are looked at.
    pub segments_per_user: Option<u32>,
    /// Bytes of a decoded body.
    pub payload_bytes: Option<u32>,
}

/// A member: a company that owns segments, sends data or buys on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name.
    pub name: Box<str>,
    /// Whether its logins may be used.
    pub active: bool,
    /// For how many minutes a membership lasts when neither the request nor the segment says; 0 is for
    /// ever, `None` leaves it to the server.
    pub default_expiration: Option<u32>,
    /// Whether a user id without a domain is one of the member's own.
    pub use_external_uids: bool,
    /// In whose name space those ids are; `None` is its own.
    pub external_member_uid: Option<MemberId>,
    /// What differs from the configured limits.
    pub limits: MemberLimits,
}

/// The catalog at one moment: immutable, without SQL behind it, to be shared and replaced whole.
pub struct Snapshot {
    generation: u64,
    segments: Vec<Segment>,
    by_id: ById,
    /// Indexes of the segments that have a code, hashed by owner and lower-case code.
    by_code: HashTable<u32>,
    code_hasher: DefaultHashBuilder,
    members: HashMap<MemberId, Member>,
    /// Writer and owner.
    access: HashSet<(MemberId, MemberId)>,
    /// Owner and viewer.
    sharing: HashMap<(MemberId, MemberId), SharedSegments>,
}

enum SharedSegments {
    All,
    List(HashSet<SegmentId>),
}

impl Snapshot {
    /// The segment of that id; `None` when there is none or it was deleted.
    pub fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.by_id.find(&self.segments, id)
    }

    /// The segment that `member` calls `code`, without regard to (ASCII) case. Allocates nothing.
    pub fn segment_by_code(&self, member: MemberId, code: &str) -> Option<&Segment> {
        let hash = hash_code(&self.code_hasher, member, code);
        self.by_code.find(hash, |&index| has_code(self.at(index), member, code)).map(|&index| self.at(index))
    }

    /// The member of that id.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// All members, in no order.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Whether `writer` may add users to the segments of `owner`: they are its own, or the owner gave
    /// access.
    pub fn may_write(&self, writer: MemberId, owner: MemberId) -> bool {
        writer == owner || self.access.contains(&(writer, owner))
    }

    /// Whether `viewer` may see who is in `segment`: it is its own, or the owner shares it. That the
    /// segment is switched on is a separate question.
    pub fn may_see(&self, viewer: MemberId, segment: &Segment) -> bool {
        viewer == segment.member
            || match self.sharing.get(&(segment.member, viewer)) {
                None => false,
                Some(SharedSegments::All) => true,
                Some(SharedSegments::List(ids)) => ids.contains(&segment.id),
            }
    }

    /// The [`Catalog::generation`](crate::Catalog::generation) that it shows.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All segments, in the order of their ids.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn at(&self, index: u32) -> &Segment {
        &self.segments[index as usize]
    }

    pub(crate) fn build(generation: u64, state: State) -> Snapshot {
        let segments: Vec<Segment> =
            state.segments.into_values().filter(|row| !row.deleted).map(|row| row.segment).collect();
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

        let mut members = HashMap::with_capacity(state.members.len());
        let mut access = HashSet::new();
        for row in state.members.into_values() {
            access.extend(row.segment_access.iter().map(|&owner| (row.member.id, owner)));
            members.insert(row.member.id, row.member);
        }
        let sharing = state.sharing.into_iter().map(|((owner, viewer), exposure)| {
            let shared = match exposure {
                Exposure::All => SharedSegments::All,
                Exposure::List(ids) => SharedSegments::List(ids.into_iter().collect()),
            };
            ((owner, viewer), shared)
        });
        Snapshot {
            generation,
            by_id: ById::of(&segments),
            by_code,
            members,
            access,
            sharing: sharing.collect(),
            code_hasher,
            segments,
        }
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

/// A catalog is too long to print.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .field("members", &self.members.len())
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
