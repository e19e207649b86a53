//! What a pixel leaves behind: as a `POST` of the member in whose name it writes would, in the same log, under the same
//! rules, counted in the same statistics.

use super::segments::PixelSegment;
use super::{Mapping, OverPixelRate, Pixels, SegmentPixel};
use crate::app::App;
use crate::identities::{self, LinkError};
use crate::ingest::commit::{CommitError, Encoded};
use crate::ingest::resolve::Context;
use crate::ingest::{self, SingleUserWrite};
use crate::privacy::{self, PrivacyError};
use ia_catalog::{CatalogError, Member, Snapshot};
use ia_model::{MemberId, Record, UserKey};
use std::sync::Arc;

/// Why nothing more of a call is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PixelError {
    /// Too many calls.
    #[error(transparent)]
    Over(#[from] OverPixelRate),
    /// An id that cannot be linked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The browser's id could not be remembered.
    #[error(transparent)]
    Known(#[from] CatalogError),
    /// What is kept of a browser could not be taken away.
    #[error(transparent)]
    OptOut(#[from] PrivacyError),
    /// The system gave no random id.
    #[error("no random numbers")]
    Random(#[from] getrandom::Error),
}

/// Whether nothing may be kept of a user.
pub(crate) fn is_suppressed(app: &App, user: &UserKey) -> bool {
    app.suppression.is_suppressed(user)
}

/// A browser of that id was here: where only users count that were seen, it does from now on. Durable on return.
pub(crate) async fn seen(app: &App, user: &UserKey) -> Result<(), PixelError> {
    Ok(app.known.remember(std::slice::from_ref(user)).await?)
}

/// Takes away all that is kept of a user, and keeps it from coming back. Durable on return.
pub(crate) async fn opt_out(app: &Arc<App>, user: &UserKey) -> Result<(), PixelError> {
    Ok(privacy::opt_out(app, std::slice::from_ref(user)).await?)
}

/// Writes what a segment pixel asks for. Durable and visible on return.
///
/// A member that there is not, or that may not write by pixels, is no error: the answer would tell who is a member.
pub(crate) async fn write(
    app: &App,
    pixels: &Pixels,
    request_id: &str,
    user: UserKey,
    pixel: &SegmentPixel,
) -> Result<(), PixelError> {
    let snapshot = app.catalog.snapshot_to_keep();
    let member = pixel.member.or_else(|| first_owner(&snapshot, &pixel.segments));
    let Some(member) = member.and_then(|id| writer(&snapshot, pixels, id)) else {
        app.metrics.pixel_ignored("member");
        return Ok(());
    };
    pixels.take_write(member.id, app.clock.now_ms())?;
    if !is_suppressed(app, &user) {
        seen(app, &user).await?;
    }
    commit_segments(app, &snapshot, member.id, request_id, user, &pixel.segments).await
}

/// Links the browser's id to those of a member, and writes to the segments that come with them.
pub(crate) async fn map(
    app: &Arc<App>,
    pixels: &Pixels,
    request_id: &str,
    user: UserKey,
    mapping: &Mapping,
) -> Result<(), PixelError> {
    let snapshot = app.catalog.snapshot_to_keep();
    // Ids of a member that sends none of its own lead to nothing.
    let member = writer(&snapshot, pixels, mapping.member).filter(|member| member.use_external_uids);
    let Some(member) = member else {
        app.metrics.pixel_ignored("member");
        return Ok(());
    };
    pixels.take_write(member.id, app.clock.now_ms())?;
    let ids: Vec<&str> = mapping.ids.iter().map(String::as_str).collect();
    // Of one that has opted out of the member this links nothing.
    identities::link(app, member.id, user.clone(), &ids).await?;
    if !is_suppressed(app, &user) {
        seen(app, &user).await?;
    }
    if mapping.segments.is_empty() {
        return Ok(());
    }
    commit_segments(app, &snapshot, member.id, request_id, user, &mapping.segments).await
}

/// Who owns the first of the segments that there is.
fn first_owner(snapshot: &Snapshot, segments: &[PixelSegment]) -> Option<MemberId> {
    let ids = segments.iter().filter_map(PixelSegment::id);
    ids.filter_map(|id| snapshot.segment(id)).map(|segment| segment.member).next()
}

/// The member of that id, if pixels may write in its name.
fn writer<'s>(snapshot: &'s Snapshot, pixels: &Pixels, id: MemberId) -> Option<&'s Member> {
    snapshot.member(id).filter(|member| member.active && pixels.writes_for(id))
}

async fn commit_segments(
    app: &App,
    snapshot: &Snapshot,
    member: MemberId,
    request_id: &str,
    user: UserKey,
    segments: &[PixelSegment],
) -> Result<(), PixelError> {
    // Until the record is in the log: an opt-out waits for it, to undo it.
    let opt_outs = app.suppression.in_force();
    let context = Context {
        snapshot,
        member,
        now_ms: app.clock.now_ms(),
        expiration: app.expiration,
        opt_outs: &opt_outs,
        known: &app.known,
    };
    let blocks: Vec<_> = segments.iter().map(|segment| segment.block_request(member)).collect();
    let SingleUserWrite { ingest, dropped } = ingest::prepare_single_user(context, request_id, user, &blocks);
    if ingest.batch.users() == 0 {
        app.metrics.pixel_ignored("opted_out");
    }
    let record = Encoded::new(Record::Ingest(Box::new(ingest))).resolved_with(opt_outs);
    let room = app.committer.reserve(0)?;
    let position = app.committer.commit(record, room).await?;
    app.metrics.dropped(&dropped);
    tracing::debug!(request_id, %member, position, "committed");
    Ok(())
}
