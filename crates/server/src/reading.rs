//! Reading memberships: a user's profile, as far as the caller may see it.

use crate::app::App;
use ia_catalog::{Segment, Snapshot};
use ia_model::{Expiry, MemberId, Minute, UserKey, time};
use ia_profiles::{Membership, ProfilesError};
use serde::Serialize;
use std::sync::Arc;

/// Who asks, and for whose segments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// The member that asks; `None` sees everything.
    pub viewer: Option<MemberId>,
    /// Only segments of this owner.
    pub owner: Option<MemberId>,
    /// Whether an id without a domain is one of the asking member's own.
    pub own_ids: bool,
}

/// What a user is in.
#[derive(Debug, Serialize)]
pub(crate) struct UserSegments {
    user_id: String,
    domain: Option<&'static str>,
    segments: Vec<ShownMembership>,
}

#[derive(Debug, Serialize)]
struct ShownMembership {
    id: u32,
    code: Option<Box<str>>,
    member_id: u32,
    value: u32,
    added_on: String,
    expires_on: Option<String>,
    last_seen_min: u32,
}

/// The `user` object of OpenRTB 2.6, as far as segments go.
#[derive(Debug, Serialize)]
pub(crate) struct OpenRtbUser {
    id: String,
    data: Vec<OpenRtbData>,
}

#[derive(Debug, Serialize)]
struct OpenRtbData {
    id: String,
    name: String,
    segment: Vec<OpenRtbSegment>,
}

#[derive(Debug, Serialize)]
struct OpenRtbSegment {
    id: String,
    value: String,
}

/// Reads a user: what is in memory at once, what may be on disk through the blocking pool.
pub(crate) async fn read(app: &Arc<App>, asked: Asked, user: UserKey) -> Result<UserSegments, ProfilesError> {
    let now = Minute::containing(app.clock.now_ms());
    if let Some(memberships) = app.profiles.get(&user, now) {
        return Ok(show(&user, &memberships, asked, &app.snapshot.load(), now));
    }
    let app = Arc::clone(app);
    let task = tokio::task::spawn_blocking(move || {
        let memberships = app.profiles.load(&user, now)?;
        Ok(show(&user, &memberships, asked, &app.snapshot.load(), now))
    });
    task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Reads users, in the order they were asked for. It may block: not for an async worker.
pub(crate) fn read_many(app: &App, asked: Asked, users: &[UserKey]) -> Result<Vec<UserSegments>, ReadError> {
    let now = Minute::containing(app.clock.now_ms());
    let snapshot = app.snapshot.load();
    let mut memberships = 0;
    let read = |user| {
        let user_segments = show(user, &app.profiles.load(user, now)?, asked, &snapshot, now);
        memberships += user_segments.segments.len();
        if memberships > MAX_MEMBERSHIPS { Err(ReadError::TooMuch) } else { Ok(user_segments) }
    };
    users.iter().map(read).collect()
}

/// The most memberships of one answer: some 30 MB. A user may be in any number of segments, and may be
/// asked for any number of times.
const MAX_MEMBERSHIPS: usize = 200_000;

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

fn show(
    user: &UserKey,
    memberships: &[Membership],
    asked: Asked,
    snapshot: &Snapshot,
    now: Minute,
) -> UserSegments {
    let visible = |segment: &Segment| {
        segment.active
            && asked.owner.is_none_or(|owner| owner == segment.member)
            && asked.viewer.is_none_or(|viewer| snapshot.may_see(viewer, segment))
    };
    let segments = memberships.iter().filter_map(|membership| {
        let segment = snapshot.segment(membership.segment).filter(|segment| visible(segment))?;
        Some(ShownMembership {
            id: segment.id.0,
            code: segment.code.clone(),
            member_id: segment.member.0,
            value: membership.value,
            added_on: time::format_utc(membership.added_at.unix_ms()),
            expires_on: match membership.expires {
                Expiry::Never => None,
                Expiry::At(minute) => Some(time::format_utc(minute.unix_ms())),
            },
            last_seen_min: now.0.saturating_sub(membership.last_seen.0),
        })
    });
    UserSegments { user_id: user.id(), domain: user.domain().name(), segments: segments.collect() }
}

impl UserSegments {
    /// The codes of the segments that have one.
    pub(crate) fn codes(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| segment.code.as_deref())
    }

    /// The same as OpenRTB's `user`: a `data` object for each owner, in the order of their ids.
    pub(crate) fn to_openrtb(&self, snapshot: &Snapshot) -> OpenRtbUser {
        let mut owners: Vec<u32> = self.segments.iter().map(|segment| segment.member_id).collect();
        owners.sort_unstable();
        owners.dedup();
        let data = owners.into_iter().map(|owner| {
            let of_owner = self.segments.iter().filter(|segment| segment.member_id == owner);
            OpenRtbData {
                id: owner.to_string(),
                name: snapshot
                    .member(MemberId(owner))
                    .map_or_else(String::new, |member| member.name.to_string()),
                segment: of_owner
                    .map(|segment| OpenRtbSegment {
                        id: segment.id.to_string(),
                        value: segment.value.to_string(),
                    })
                    .collect(),
            }
        });
        OpenRtbUser { id: self.user_id.clone(), data: data.collect() }
    }
}
