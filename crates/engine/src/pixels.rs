//! What a pixel writes: as a `POST` of the member in whose name it writes would, in the same log, under the same rules,
//! counted in the same statistics.

use crate::ingest::Ingester;
use crate::ingest::structure::{Expiration, SegmentName, Wanted};
use crate::linking::{LinkError, Linker};
use crate::people::{People, PrivacyError};
use crate::rate::{Exceeded, RateLimiter};
use crate::write::commit::CommitError;
use ia_catalog::{CatalogError, Member, Snapshot};
use ia_model::{MemberId, SegmentId, UserKey};
use std::collections::HashSet;
use std::sync::Arc;

/// The largest value of a membership.
pub const MAX_VALUE: u32 = i32::MAX as u32;

/// The window of the rates of pixels.
pub const RATE_WINDOW_MS: u64 = 1000;

/// A segment, with what is to become of the user's membership of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelSegment {
    /// Which segment.
    pub name: PixelSegmentName,
    /// The value of the membership.
    pub value: u32,
    /// Removes the user in place of adding it.
    pub removes: bool,
}

/// How a pixel names a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PixelSegmentName {
    /// By its id.
    Id(SegmentId),
    /// By a code of the member in whose name the pixel writes.
    Code(String),
}

/// Over one of the rates of pixels.
#[derive(Debug, Clone, thiserror::Error)]
#[error("Rate limit exceeded. There are more than {limit} {what} per 1 seconds, please wait and try again")]
pub struct OverPixelRate {
    /// Calls a second.
    pub limit: u32,
    /// Which calls are counted.
    pub what: &'static str,
    /// When there is room again.
    pub exceeded: Exceeded,
}

/// Why nothing more of a call is written.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// Too many calls.
    #[error(transparent)]
    Over(#[from] OverPixelRate),
    /// An id that cannot be linked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The user could not be made known.
    #[error(transparent)]
    Known(#[from] CatalogError),
    /// What is stored about a user could not be deleted.
    #[error(transparent)]
    OptOut(#[from] PrivacyError),
}

/// What pixels may write.
#[derive(Debug, Clone, Default)]
pub struct PixelWriteRules {
    /// In whose name they may write; empty for every member.
    pub members: HashSet<MemberId>,
    /// Calls a second that write in the name of one member; 0 lifts the bound.
    pub writes_per_second_per_member: u32,
}

/// Writes what pixels ask for.
pub struct PixelWriter {
    ingest: Arc<Ingester>,
    linker: Linker,
    people: People,
    rules: PixelWriteRules,
    by_member: RateLimiter<MemberId>,
}

impl PixelWriter {
    pub(crate) fn new(
        ingest: Arc<Ingester>,
        linker: Linker,
        people: People,
        rules: PixelWriteRules,
    ) -> PixelWriter {
        PixelWriter { ingest, linker, people, rules, by_member: RateLimiter::per_ms(RATE_WINDOW_MS) }
    }

    /// Whether nothing may be stored about a user.
    pub fn is_suppressed(&self, user: &UserKey) -> bool {
        self.ingest.opt_outs.is_suppressed(user)
    }

    /// A browser of that id was here: where only known users count, it does from now on. Durable on return.
    pub async fn seen(&self, user: &UserKey) -> Result<(), PixelError> {
        Ok(self.ingest.known.remember(std::slice::from_ref(user)).await?)
    }

    /// Deletes all that is stored about a user, and opts it out of the whole platform. Durable on return.
    pub async fn opt_out(&self, user: &UserKey) -> Result<(), PixelError> {
        Ok(self.people.opt_out(std::slice::from_ref(user), None).await?)
    }

    /// Writes to segments in the name of `member`, or of the owner of the first segment that exists. Durable and
    /// visible on return.
    ///
    /// A member that does not exist, or for which pixels may not write, is no error: the answer would tell who is a
    /// member.
    pub async fn write(
        &self,
        member: Option<MemberId>,
        request_id: &str,
        user: UserKey,
        segments: &[PixelSegment],
    ) -> Result<(), PixelError> {
        let snapshot = self.ingest.catalog.snapshot_to_keep();
        let member = member.or_else(|| first_owner(&snapshot, segments));
        let Some(member) = member.and_then(|id| self.writer(&snapshot, id)) else {
            self.ingest.metrics.pixel_ignored("member");
            return Ok(());
        };
        self.take_write(member.id)?;
        if !self.is_suppressed(&user) {
            self.seen(&user).await?;
        }
        self.write_segments(member.id, request_id, user, segments).await
    }

    /// Links a user to ids of `member`, and writes to the segments that come with them.
    pub async fn map(
        &self,
        member: MemberId,
        ids: &[String],
        request_id: &str,
        user: UserKey,
        segments: &[PixelSegment],
    ) -> Result<(), PixelError> {
        let snapshot = self.ingest.catalog.snapshot_to_keep();
        // Ids of a member that sends none of its own lead to nothing.
        let member = self.writer(&snapshot, member).filter(|member| member.use_external_uids);
        let Some(member) = member else {
            self.ingest.metrics.pixel_ignored("member");
            return Ok(());
        };
        self.take_write(member.id)?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        // A user that has opted out of the member is not linked.
        self.linker.link(member.id, user.clone(), &ids).await?;
        if !self.is_suppressed(&user) {
            self.seen(&user).await?;
        }
        if segments.is_empty() {
            return Ok(());
        }
        self.write_segments(member.id, request_id, user, segments).await
    }

    /// The member of that id, if pixels may write in its name.
    fn writer<'s>(&self, snapshot: &'s Snapshot, id: MemberId) -> Option<&'s Member> {
        let may_write = self.rules.members.is_empty() || self.rules.members.contains(&id);
        snapshot.member(id).filter(|member| member.active && may_write)
    }

    /// Counts a call that writes.
    fn take_write(&self, member: MemberId) -> Result<(), OverPixelRate> {
        let limit = self.rules.writes_per_second_per_member;
        let now_ms = self.ingest.clock.now_ms();
        self.by_member.take(member, 1, limit, now_ms).map_err(|exceeded| OverPixelRate {
            limit,
            what: "calls that write for this member",
            exceeded,
        })
    }

    async fn write_segments(
        &self,
        member: MemberId,
        request_id: &str,
        user: UserKey,
        segments: &[PixelSegment],
    ) -> Result<(), PixelError> {
        let wanted: Vec<_> = segments.iter().map(|segment| segment.wanted(member)).collect();
        Ok(self.ingest.write_user(member, request_id, user, &wanted).await?)
    }
}

impl PixelSegment {
    /// What it asks for in the name of `member`.
    fn wanted(&self, member: MemberId) -> Wanted<'_> {
        let segment = match &self.name {
            PixelSegmentName::Id(id) => SegmentName::Id(*id),
            PixelSegmentName::Code(code) => SegmentName::Code(member, code),
        };
        let expiration = if self.removes { Expiration::Remove } else { Expiration::Default };
        Wanted { segment, value: self.value, expiration }
    }
}

/// The owner of the first of the segments that exists.
fn first_owner(snapshot: &Snapshot, segments: &[PixelSegment]) -> Option<MemberId> {
    let ids = segments.iter().filter_map(|segment| match segment.name {
        PixelSegmentName::Id(id) => Some(id),
        PixelSegmentName::Code(_) => None,
    });
    ids.filter_map(|id| snapshot.segment(id)).map(|segment| segment.member).next()
}
