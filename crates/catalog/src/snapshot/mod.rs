mod by_id;
mod segments;
mod shown;

use self::segments::Segments;
use crate::RedirectHost;
use hashbrown::{HashMap, HashSet};
use ia_model::{MemberId, SegmentId};
use std::fmt;
use std::sync::Arc;

/// A segment as the hot path needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its id; never used again.
    pub id: SegmentId,
    /// Its owner.
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
    /// Its own limits, where they differ from the configured ones.
    pub limits: MemberLimits,
    /// Where its pixels may redirect browsers, beside the hosts of the server's configuration.
    pub redirect_hosts: Arc<[RedirectHost]>,
}

/// The catalog at one moment: immutable, without SQL behind it, to be shared and replaced whole.
pub struct Snapshot {
    generation: u64,
    segments: Segments,
    rest: Arc<Rest>,
}

/// The part of a snapshot with members, access and sharing.
#[derive(Clone)]
pub struct SnapshotAccounts(Arc<Rest>);

/// The part that stays the same when only segments change.
struct Rest {
    members: HashMap<MemberId, Member>,
    /// Writer and owner.
    access: HashSet<(MemberId, MemberId)>,
    /// Owner and viewer.
    sharing: HashMap<(MemberId, MemberId), SharedSegments>,
}

/// Which segments of an owner a viewer sees.
pub(crate) enum SharedSegments {
    All,
    List(HashSet<SegmentId>),
}

/// What a change means for a snapshot.
#[derive(Debug)]
pub enum Delta {
    /// These segments have changed; `None` for one that is gone.
    Segments(Vec<(SegmentId, Option<Segment>)>),
    /// Members, access and sharing have changed; logins and tokens are to be read again.
    Accounts(SnapshotAccounts),
    /// Nothing has changed in it; logins and tokens are to be read again.
    Logins,
}

impl Snapshot {
    /// The segment of that id; `None` when there is none or it was deleted.
    pub fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.segments.by_id(id)
    }

    /// The segment of that id, and the JSON of it with which every membership of it is shown: an object that is not
    /// closed, `{"id":7,"code":"news","member_id":958`.
    #[inline]
    pub fn shown(&self, id: SegmentId) -> Option<(&Segment, &[u8])> {
        self.segments.shown(id)
    }

    /// The segment that `member` calls `code`, without regard to (ASCII) case. Allocates nothing.
    pub fn segment_by_code(&self, member: MemberId, code: &str) -> Option<&Segment> {
        self.segments.by_code(member, code)
    }

    /// The member of that id.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.rest.members.get(&id)
    }

    /// All members, in no order.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.rest.members.values()
    }

    /// Whether `writer` may add users to the segments of `owner`: they are its own, or the owner gave
    /// access.
    pub fn may_write(&self, writer: MemberId, owner: MemberId) -> bool {
        writer == owner || self.rest.access.contains(&(writer, owner))
    }

    /// Whether `viewer` may see the users in `segment`: it owns the segment, or the owner shares it. Whether the
    /// segment is switched on is a separate question.
    pub fn may_see(&self, viewer: MemberId, segment: &Segment) -> bool {
        viewer == segment.member
            || match self.rest.sharing.get(&(segment.member, viewer)) {
                None => false,
                Some(SharedSegments::All) => true,
                Some(SharedSegments::List(ids)) => ids.contains(&segment.id),
            }
    }

    /// The [`Catalog::generation`](crate::Catalog::generation) that it shows.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All segments, in the order of their ids. Takes time in proportion to them.
    pub fn segments(&self) -> Vec<&Segment> {
        self.segments.all()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.count()
    }

    /// This snapshot after a change that took the catalog from its generation to `generation`; `None` where it has to
    /// be read again.
    ///
    /// Takes microseconds, and every thousandth time milliseconds for each hundred thousand segments.
    pub fn after(&self, generation: u64, delta: &Delta) -> Option<Snapshot> {
        if generation != self.generation + 1 {
            return None;
        }
        let (segments, rest) = match delta {
            Delta::Segments(changes) => (self.segments.with(changes), Arc::clone(&self.rest)),
            Delta::Accounts(SnapshotAccounts(rest)) => (self.segments.with(&[]), Arc::clone(rest)),
            Delta::Logins => (self.segments.with(&[]), Arc::clone(&self.rest)),
        };
        Some(Snapshot { generation, segments, rest })
    }

    /// The snapshot of these segments, whose ids ascend, and of the rest.
    pub(crate) fn build(generation: u64, segments: Vec<Segment>, accounts: SnapshotAccounts) -> Snapshot {
        Snapshot { generation, segments: Segments::of(segments), rest: accounts.0 }
    }
}

impl SnapshotAccounts {
    /// `access` is pairs of writer and owner, `sharing` goes by owner and viewer.
    pub(crate) fn of(
        members: HashMap<MemberId, Member>,
        access: HashSet<(MemberId, MemberId)>,
        sharing: HashMap<(MemberId, MemberId), SharedSegments>,
    ) -> SnapshotAccounts {
        SnapshotAccounts(Arc::new(Rest { members, access, sharing }))
    }
}

/// Too long to print.
impl fmt::Debug for SnapshotAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotAccounts").field("members", &self.0.members.len()).finish_non_exhaustive()
    }
}

/// Too long to print.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .field("members", &self.rest.members.len())
            .field("segments", &self.segments.count())
            .finish_non_exhaustive()
    }
}
