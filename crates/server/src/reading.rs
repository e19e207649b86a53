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

/// Reads users, in the order they were asked for.
///
/// What is in memory is read at once; only users that may be on disk go through the blocking pool.
pub(crate) async fn read(
    app: &Arc<App>,
    asked: Asked,
    users: Vec<UserKey>,
) -> Result<Vec<UserSegments>, ProfilesError> {
    let now = Minute::containing(app.clock.now_ms());
    let snapshot = app.snapshot.load_full();
    let mut found: Vec<Option<Vec<Membership>>> =
        users.iter().map(|user| app.profiles.get(user, now)).collect();
    let missing: Vec<usize> = (0..users.len()).filter(|&index| found[index].is_none()).collect();
    if !missing.is_empty() {
        let profiles = Arc::clone(&app.profiles);
        let keys: Vec<UserKey> = missing.iter().map(|&index| users[index].clone()).collect();
        let task = tokio::task::spawn_blocking(move || {
            keys.iter().map(|key| profiles.load(key, now)).collect::<Result<Vec<_>, _>>()
        });
        let loaded = task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        for (index, memberships) in missing.into_iter().zip(loaded) {
            found[index] = Some(memberships);
        }
    }
    let shown = users.iter().zip(found);
    Ok(shown.map(|(user, found)| show(user, &found.unwrap_or_default(), asked, &snapshot, now)).collect())
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
