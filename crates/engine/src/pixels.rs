//! Writes of pixels. They work like a `POST` of the member for which the pixel writes: the same log, the same rules,
//! the same statistics.

use crate::ingest::Ingester;
use crate::ingest::json::Text;
use crate::ingest::structure::{BlockRequest, Expiration, SegmentName};
use crate::linking::{IdsToLink, LinkError, Linker};
use crate::people::{People, PrivacyError};
use crate::rate::{Exceeded, RateLimiter};
use crate::write::commit::CommitError;
use ia_catalog::{CatalogError, Member, RedirectHost, Snapshot};
use ia_model::{MemberId, SegmentId, UserKey};
use std::collections::HashSet;
use std::sync::Arc;

/// The largest value of a membership.
pub const MAX_VALUE: u32 = i32::MAX as u32;

/// The window of the pixels' rates, in milliseconds.
pub const RATE_WINDOW_MS: u64 = 1000;

/// A segment, and the change to the user's membership of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelSegment {
    /// Which segment.
    pub name: PixelSegmentName,
    /// The value of the membership.
    pub value: u32,
    /// Removes the user instead of adding it.
    pub removes: bool,
}

/// How a pixel names a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PixelSegmentName {
    /// By its id.
    Id(SegmentId),
    /// By a code of the member for which the pixel writes.
    Code(String),
}

/// A call is over one of the pixels' rates.
#[derive(Debug, Clone, thiserror::Error)]
#[error("Rate limit exceeded. There are more than {limit} {what} per 1 seconds, please wait and try again")]
pub struct OverPixelRate {
    /// Calls a second.
    pub limit: u32,
    /// The calls that are counted, in words.
    pub what: &'static str,
    /// When to try again.
    pub exceeded: Exceeded,
}

/// Why a call stopped. Its earlier writes stay.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// There are too many calls.
    #[error(transparent)]
    Over(#[from] OverPixelRate),
    /// An id cannot be linked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The record cannot be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The catalog cannot store that the user is known.
    #[error(transparent)]
    Known(#[from] CatalogError),
    /// The user cannot be opted out.
    #[error(transparent)]
    OptOut(#[from] PrivacyError),
}

/// Rules for the writes of pixels.
#[derive(Debug, Clone, Default)]
pub struct PixelWriteRules {
    /// The members for which they may write; empty means every member.
    pub members: HashSet<MemberId>,
    /// Calls a second that write for one member; 0 means no limit.
    pub writes_per_second_per_member: u32,
}

/// Carries out the writes of pixels.
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

    /// Whether the user has opted out of the whole platform.
    pub fn is_suppressed(&self, user: &UserKey) -> bool {
        self.ingest.opt_outs.is_suppressed(user)
    }

    /// Makes the user of a browser known, which matters in strict mode. Durable on return.
    pub async fn seen(&self, user: &UserKey) -> Result<(), PixelError> {
        Ok(self.ingest.known.remember(std::slice::from_ref(user)).await?)
    }

    /// Deletes everything about a user and opts it out of the whole platform. Durable on return.
    pub async fn opt_out(&self, user: &UserKey) -> Result<(), PixelError> {
        Ok(self.people.opt_out(std::slice::from_ref(user), None).await?)
    }

    /// Writes to segments for `member`, or for the owner of the first segment that exists. Durable and visible on
    /// return.
    ///
    /// A member that does not exist, or for which pixels may not write, is not an error: an error would reveal which
    /// members exist.
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
        self.see_and_write(member.id, request_id, user, &[], segments).await
    }

    /// Links ids to a user in the name of `member`, and writes to the segments of the same call.
    pub async fn map(
        &self,
        member: MemberId,
        ids: IdsToLink<'_>,
        request_id: &str,
        user: UserKey,
        segments: &[PixelSegment],
    ) -> Result<(), PixelError> {
        let snapshot = self.ingest.catalog.snapshot_to_keep();
        // A member without its own user ids cannot link any.
        let may_link = |member: &&Member| member.use_external_uids || ids.own.is_empty();
        let member = self.writer(&snapshot, member).filter(may_link);
        let Some(member) = member else {
            self.ingest.metrics.pixel_ignored("member");
            return Ok(());
        };
        self.take_write(member.id)?;
        // This skips a user that has opted out of the member.
        self.linker.link(member.id, user.clone(), ids).await?;
        self.see_and_write(member.id, request_id, user, ids.extended, segments).await
    }

    /// The member with that id, if pixels may write for it.
    fn writer<'s>(&self, snapshot: &'s Snapshot, id: MemberId) -> Option<&'s Member> {
        let may_write = self.rules.members.is_empty() || self.rules.members.contains(&id);
        snapshot.member(id).filter(|member| member.active && may_write)
    }

    /// Where a pixel may redirect a browser, beside the hosts of the configuration: to those of the member for which it
    /// writes. Of a member for which pixels may not write, nowhere.
    pub fn redirect_hosts(&self, member: Option<MemberId>, segments: &[PixelSegment]) -> Arc<[RedirectHost]> {
        let snapshot = self.ingest.catalog.snapshot();
        let member = member.or_else(|| first_owner(&snapshot, segments));
        let writer = member.and_then(|id| self.writer(&snapshot, id));
        writer.map_or_else(Arc::default, |member| Arc::clone(&member.redirect_hosts))
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

    /// Makes a user and the extended ids that were linked to it known, where they have not opted out, and writes to
    /// segments.
    async fn see_and_write(
        &self,
        member: MemberId,
        request_id: &str,
        user: UserKey,
        linked: &[UserKey],
        segments: &[PixelSegment],
    ) -> Result<(), PixelError> {
        // A deletion that makes the user unknown waits for this, and undoes what it writes.
        let in_force = self.ingest.opt_outs.in_force();
        if !self.is_suppressed(&user) {
            let is_linked = |id: &&UserKey| !in_force.refuses(&user, member) && !in_force.refuses(id, member);
            let mut seen = vec![user.clone()];
            seen.extend(linked.iter().filter(is_linked).cloned());
            self.ingest.known.remember(&seen).await?;
        }
        if segments.is_empty() {
            return Ok(());
        }
        let blocks: Vec<_> = segments.iter().map(|segment| segment.block_request(member)).collect();
        Ok(self.ingest.write_user(member, request_id, user, &blocks).await?)
    }
}

impl PixelSegment {
    /// What it asks for in the name of `member`.
    fn block_request(&self, member: MemberId) -> BlockRequest<'_> {
        let segment = match &self.name {
            PixelSegmentName::Id(id) => SegmentName::Id(*id),
            PixelSegmentName::Code(code) => SegmentName::Code(member, Text::verbatim(code)),
        };
        let expiration = if self.removes { Expiration::Remove } else { Expiration::Default };
        BlockRequest { segment, value: self.value, expiration, begins: None }
    }
}

/// The owner of the first segment that exists.
fn first_owner(snapshot: &Snapshot, segments: &[PixelSegment]) -> Option<MemberId> {
    let ids = segments.iter().filter_map(|segment| match segment.name {
        PixelSegmentName::Id(id) => Some(id),
        PixelSegmentName::Code(_) => None,
    });
    ids.filter_map(|id| snapshot.segment(id)).map(|segment| segment.member).next()
}
