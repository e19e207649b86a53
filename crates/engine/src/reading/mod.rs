//! Reads memberships: the part of a user's profile that the caller may see.

mod asked;
mod json;
mod openrtb;
mod time_text;

use crate::catalog_view::CatalogView;
use crate::nobody::Nobody;
use crate::opt_outs::OptOuts;
use crate::threads::{Turns, blocking};
pub use asked::AskedUser;
use ia_catalog::{Segment, Snapshot};
use ia_model::{Clock, MemberId, Minute, SegmentId, UserKey};
use ia_profiles::{
    Membership, Profiles, ProfilesError, get_joined, join, load_joined, load_joined_later, load_many_joined,
    read_at_once,
};
pub use openrtb::OpenRtbUser;
use std::sync::Arc;

/// The reader of memberships, and the segments it reads.
#[derive(Debug, Clone, Copy)]
pub struct ReadScope {
    /// The reading member; `None` sees everything.
    pub viewer: Option<MemberId>,
    /// Only segments of this owner.
    pub owner: Option<MemberId>,
    /// Also inactive segments, whose memberships are kept: for people who ask what is stored about them.
    pub with_inactive: bool,
    /// The name space of an id without a domain; `None` if it is the platform's.
    pub namespace: Option<MemberId>,
}

/// The most memberships of one answer: about 30 MB. A user may be in any number of segments, and a request may name it
/// any number of times.
const MAX_MEMBERSHIPS: usize = 200_000;

/// How many users are read before the thread yields: about a tenth of a millisecond.
const USERS_PER_TURN: u32 = 64;

/// How many users are read in one pass over memory and the disk. Their memberships are in memory at once.
const USERS_PER_PASS: usize = 256;

/// Why users cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The answer would be too large.
    #[error("These users are in more than {MAX_MEMBERSHIPS} segments together; ask for fewer at once")]
    TooMuch,
    /// A profile on disk cannot be read.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

/// Reads memberships. Clones share all parts.
#[derive(Clone)]
pub struct Reader {
    /// Holds the memberships.
    pub(crate) profiles: Arc<dyn Profiles>,
    /// Gives the opt-outs, which reads leave out.
    pub(crate) opt_outs: Arc<OptOuts>,
    /// Ids that are in no segment. Under some of them memberships are stored from before they were nobody's.
    pub(crate) nobody: Arc<Nobody>,
    /// Gives the owners of segments.
    pub(crate) catalog: Arc<CatalogView>,
    /// Gives the time at which memberships end.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Reader {
    /// The current minute, which decides which memberships are live.
    pub fn now(&self) -> Minute {
        Minute::containing(self.clock.now_ms())
    }

    /// The live memberships of a user and of the ids linked to it. A profile in memory is read at once; one that may be
    /// on disk is read on a blocking thread.
    pub async fn memberships(&self, user: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        if let Some(memberships) = get_joined(&*self.profiles, user, now) {
            return Ok(self.shown(user, memberships));
        }
        let (reader, user) = (self.clone(), user.clone());
        blocking(move || {
            let memberships = load_joined(&*reader.profiles, &user, now)?;
            Ok(reader.shown(&user, memberships))
        })
        .await
    }

    /// The same, and the memberships that begin later: all that is stored about a person. A segment may be there twice.
    pub async fn stored(&self, user: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        let (reader, user) = (self.clone(), user.clone());
        blocking(move || {
            let mut memberships = load_joined(&*reader.profiles, &user, now)?;
            memberships.extend(load_joined_later(&*reader.profiles, &user, now)?);
            memberships.sort_by_key(|membership| (membership.segment, membership.added_at));
            Ok(reader.shown(&user, memberships))
        })
        .await
    }

    /// Reads users in the given order and passes each to `visit`, which writes it to `answer` and returns how many of
    /// its memberships the answer shows. If the members of a segment are replaced meanwhile, it reads again, so that no
    /// answer shows half of that: `begin` takes out what an earlier try has written. May block, so not for an async
    /// worker.
    pub fn read_many<A>(
        &self,
        users: &[AskedUser],
        now: Minute,
        answer: &mut A,
        begin: impl Fn(&mut A),
        mut visit: impl FnMut(&mut A, &AskedUser, &[Membership]) -> usize,
    ) -> Result<(), ReadError> {
        read_at_once(&*self.profiles, || {
            begin(answer);
            let mut shown = 0;
            let mut turns = Turns::every(USERS_PER_TURN);
            for pass in users.chunks(USERS_PER_PASS) {
                let ids: Vec<&UserKey> = pass.iter().flat_map(|user| self.read_ids(user)).collect();
                let mut found = load_many_joined(&*self.profiles, &ids, now).into_iter();
                for user in pass {
                    shown += visit(answer, user, &self.of_person(user, &mut found)?);
                    if shown > MAX_MEMBERSHIPS {
                        return Err(ReadError::TooMuch);
                    }
                    user.ids().for_each(|_| turns.count());
                }
            }
            Ok(())
        })
    }

    /// The ids of a person that are read: one of nobody adds nothing.
    fn read_ids<'a>(&self, person: &'a AskedUser) -> impl Iterator<Item = &'a UserKey> {
        person.ids().filter(|id| !self.nobody.contains(id))
    }

    /// The memberships under all ids of a person, of which `found` has the next ones, in their order. What one of the
    /// ids has opted out of is left out as a whole.
    fn of_person(
        &self,
        person: &AskedUser,
        found: &mut impl Iterator<Item = Result<Vec<Membership>, ProfilesError>>,
    ) -> Result<Vec<Membership>, ProfilesError> {
        let mut joined = Vec::new();
        for of_id in found.take(self.read_ids(person).count()) {
            let of_id = of_id?;
            if joined.is_empty() { joined = of_id } else { join(&mut joined, &of_id) }
        }
        Ok(self.read_ids(person).fold(joined, |joined, id| self.shown(id, joined)))
    }

    /// Leaves out all memberships of nobody, and those that the user has opted out of. Few exist: those added under a
    /// linked id, and those whose erase a crash has prevented.
    fn shown(&self, user: &UserKey, mut memberships: Vec<Membership>) -> Vec<Membership> {
        if self.nobody.contains(user) {
            return Vec::new();
        }
        if self.opt_outs.is_empty() {
            return memberships;
        }
        if self.opt_outs.is_suppressed(user) {
            return Vec::new();
        }
        let (opt_outs, snapshot) = (self.opt_outs.in_force(), self.catalog.snapshot());
        memberships.retain(|membership| {
            let owner = snapshot.segment(membership.segment).map(|segment| segment.member);
            owner.is_none_or(|owner| !opt_outs.keeps_out_of(user, owner))
        });
        memberships
    }
}

/// A caller's view of profiles at one moment: memberships of active segments that it owns or that are shared with it.
#[derive(Clone, Copy)]
pub struct View<'s> {
    /// The reader.
    pub scope: ReadScope,
    /// The catalog of this moment.
    pub snapshot: &'s Snapshot,
    /// This moment.
    pub now: Minute,
}

impl<'s> View<'s> {
    /// The memberships that the caller sees, each with what `find` finds of its segment.
    fn visible<'m, T>(
        &self,
        memberships: &'m [Membership],
        find: impl Fn(&'s Snapshot, SegmentId) -> Option<(&'s Segment, T)>,
    ) -> impl Iterator<Item = (T, &'m Membership)> {
        let View { scope, snapshot, .. } = *self;
        let is_visible = move |segment: &Segment| {
            (segment.active || scope.with_inactive)
                && scope.owner.is_none_or(|owner| owner == segment.member)
                && scope.viewer.is_none_or(|viewer| snapshot.may_see(viewer, segment))
        };
        memberships.iter().filter_map(move |membership| {
            let (_, found) = find(snapshot, membership.segment).filter(|(segment, _)| is_visible(segment))?;
            Some((found, membership))
        })
    }

    fn segments<'m>(
        &self,
        memberships: &'m [Membership],
    ) -> impl Iterator<Item = (&'s Segment, &'m Membership)> {
        self.visible(memberships, |snapshot, id| snapshot.segment(id).map(|segment| (segment, segment)))
    }

    /// Appends the JSON of a user with its visible memberships, and returns their number.
    pub fn write(&self, out: &mut Vec<u8>, user: &AskedUser, memberships: &[Membership]) -> usize {
        json::write_user(out, user, self.now, self.visible(memberships, Snapshot::shown))
    }

    /// The codes of the visible segments, one a line; one empty line if there are none.
    pub fn codes(&self, memberships: &[Membership]) -> String {
        let codes = self.segments(memberships).filter_map(|(segment, _)| segment.code.as_deref());
        let mut text: String = codes.flat_map(|code| [code, "\n"]).collect();
        if text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// The OpenRTB object of the user, and the number of its visible memberships.
    pub fn openrtb(&self, user: &AskedUser, memberships: &[Membership]) -> (OpenRtbUser, usize) {
        let visible: Vec<_> = self.segments(memberships).collect();
        (OpenRtbUser::new(user, &visible, self.snapshot), visible.len())
    }
}
