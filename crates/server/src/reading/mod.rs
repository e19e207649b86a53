//! Reading memberships: a user's profile, as far as the caller may see it.

mod json;
mod openrtb;

use crate::app::App;
use ia_catalog::{Segment, Snapshot};
use ia_model::{MemberId, Minute, UserKey};
use ia_profiles::{Membership, ProfilesError, get_joined, load_joined};
pub(crate) use openrtb::OpenRtbUser;
use std::sync::Arc;

/// Who asks, and for whose segments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// The member that asks; `None` sees everything.
    pub viewer: Option<MemberId>,
    /// Only segments of this owner.
    pub owner: Option<MemberId>,
    /// Also segments that are switched off, whose memberships are kept: for people who ask what is held of them.
    pub with_inactive: bool,
    /// In whose name space is an id without a domain; `None` where it is the platform's.
    pub namespace: Option<MemberId>,
}

/// The most memberships of one answer: some 30 MB. A user may be in any number of segments, and may be
/// asked for any number of times.
const MAX_MEMBERSHIPS: usize = 200_000;

/// How many users are read before others get their turn: about a tenth of a millisecond.
const USERS_PER_TURN: usize = 64;

/// Why users cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The answer would be too large.
    #[error("These users are in more than {MAX_MEMBERSHIPS} segments together; ask for fewer at once")]
    TooMuch,
    /// A profile on disk cannot be read.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

/// The minute of now, by which memberships are live.
pub(crate) fn now(app: &App) -> Minute {
    Minute::containing(app.clock.now_ms())
}

/// The live memberships of a user, with those of the ids that are linked to it: what is in memory at once, what
/// may be on disk through the blocking pool.
pub(crate) async fn memberships(
    app: &Arc<App>,
    user: &UserKey,
    now: Minute,
) -> Result<Vec<Membership>, ProfilesError> {
    if let Some(memberships) = get_joined(&*app.profiles, user, now) {
        return Ok(without_opt_outs(app, user, memberships));
    }
    let (app, user) = (Arc::clone(app), user.clone());
    let task = tokio::task::spawn_blocking(move || {
        let memberships = load_joined(&*app.profiles, &user, now)?;
        Ok(without_opt_outs(&app, &user, memberships))
    });
    task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Reads users, in the order they were asked for, and hands each to `visit`, which tells how many of its
/// memberships were shown. It may block: not for an async worker.
pub(crate) fn read_many(
    app: &App,
    users: &[UserKey],
    now: Minute,
    mut visit: impl FnMut(&UserKey, &[Membership]) -> usize,
) -> Result<(), ReadError> {
    let mut shown = 0;
    for (index, user) in users.iter().enumerate() {
        if index % USERS_PER_TURN == USERS_PER_TURN - 1 {
            // Reads of single users do not wait for the end of this one's time slice.
            std::thread::yield_now();
        }
        let memberships = load_joined(&*app.profiles, user, now)?;
        shown += visit(user, &without_opt_outs(app, user, memberships));
        if shown > MAX_MEMBERSHIPS {
            return Err(ReadError::TooMuch);
        }
    }
    Ok(())
}

/// Leaves out what the user does not want to be in. Little of it is there: what was added under a linked id, and
/// what a crash kept from being erased.
fn without_opt_outs(app: &App, user: &UserKey, mut memberships: Vec<Membership>) -> Vec<Membership> {
    if app.suppression.is_empty() {
        return memberships;
    }
    if app.suppression.is_suppressed(user) {
        return Vec::new();
    }
    let (opt_outs, snapshot) = (app.suppression.in_force(), app.catalog.snapshot());
    memberships.retain(|membership| {
        let owner = snapshot.segment(membership.segment).map(|segment| segment.member);
        owner.is_none_or(|owner| !opt_outs.keeps_out_of(user, owner))
    });
    memberships
}

/// What a caller sees of profiles at one moment: live, active, and its own or shared with it.
#[derive(Clone, Copy)]
pub(crate) struct View<'s> {
    /// Who asks.
    pub(crate) asked: Asked,
    /// The catalog of this moment.
    pub(crate) snapshot: &'s Snapshot,
    /// This moment.
    pub(crate) now: Minute,
}

impl<'s> View<'s> {
    fn visible<'m>(
        &self,
        memberships: &'m [Membership],
    ) -> impl Iterator<Item = (&'s Segment, &'m Membership)> {
        let View { asked, snapshot, .. } = *self;
        let is_visible = move |segment: &Segment| {
            (segment.active || asked.with_inactive)
                && asked.owner.is_none_or(|owner| owner == segment.member)
                && asked.viewer.is_none_or(|viewer| snapshot.may_see(viewer, segment))
        };
        memberships.iter().filter_map(move |membership| {
            let segment = snapshot.segment(membership.segment).filter(|segment| is_visible(segment))?;
            Some((segment, membership))
        })
    }

    /// Appends the JSON of a user with its memberships, and returns how many are shown.
    pub(crate) fn write(&self, out: &mut Vec<u8>, user: &UserKey, memberships: &[Membership]) -> usize {
        json::write_user(out, user, self.now, self.visible(memberships))
    }

    /// The codes of the segments that have one, a line each; one empty line where there is none.
    pub(crate) fn codes(&self, memberships: &[Membership]) -> String {
        let codes = self.visible(memberships).filter_map(|(segment, _)| segment.code.as_deref());
        let mut text: String = codes.flat_map(|code| [code, "\n"]).collect();
        if text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// The user as OpenRTB has it, and how many memberships are shown.
    pub(crate) fn openrtb(&self, user: &UserKey, memberships: &[Membership]) -> (OpenRtbUser, usize) {
        let visible: Vec<_> = self.visible(memberships).collect();
        (OpenRtbUser::new(user, &visible, self.snapshot), visible.len())
    }
}
