//! What people ask of those who hold their data: to see it, to have it deleted, to be left alone.

pub(crate) mod erasure;
mod opt_outs;
mod suppression;

pub(crate) use erasure::Erasures;
pub(crate) use suppression::{InForce, Person, Suppression};

use crate::app::App;
use crate::ingest::commit::{CommitError, Encoded};
use crate::reading;
use ia_catalog::CatalogError;
use ia_model::{Domain, Erase, ErasedSegments, InvalidUserId, MemberId, Record, SegmentId, UserKey};
use ia_profiles::ProfilesError;
use std::sync::Arc;

/// For whom a request is made: one member, or (`None`) the whole platform.
pub(crate) type Scope = Option<MemberId>;

/// Why a request of a person failed. What was done of it holds, and doing it again does the rest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivacyError {
    /// The opt-outs cannot be written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The log does not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A profile cannot be read.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

/// How a person is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdentifierType {
    /// By the platform's own user id.
    Platform,
    /// By a device's advertising id. Which maker's is not said, so all are meant.
    Device,
}

/// The domains whose ids are UUIDs of devices.
const DEVICE_DOMAINS: [Domain; 7] = [
    Domain::Idfa,
    Domain::Aaid,
    Domain::WindowsAdId,
    Domain::Rida,
    Domain::Tifa,
    Domain::Vida,
    Domain::LgUdid,
];

/// The users that an identifier stands for.
pub(crate) fn users(
    identifier_type: IdentifierType,
    identifier: &str,
) -> Result<Vec<UserKey>, InvalidUserId> {
    match identifier_type {
        IdentifierType::Platform => Ok(vec![UserKey::parse(Domain::Platform, identifier)?]),
        IdentifierType::Device => {
            DEVICE_DOMAINS.into_iter().map(|domain| UserKey::parse(domain, identifier)).collect()
        }
    }
}

/// Deletes what `scope` has of the users: on stable storage and gone from every read on return.
pub(crate) async fn delete(app: &Arc<App>, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
    to_its_end(app, users, async move |app, users| erase(&app, &users, scope).await).await
}

/// Opts users out of the whole platform: deletes all that is held of them, and drops what is sent of them from now
/// on.
pub(crate) async fn opt_out(app: &Arc<App>, users: &[UserKey]) -> Result<(), PrivacyError> {
    keep_out(app, users, None).await
}

/// Takes that back. What was deleted stays so, and members' own opt-outs hold on.
pub(crate) async fn opt_in(app: &Arc<App>, users: &[UserKey]) -> Result<(), PrivacyError> {
    let_in(app, users, None).await
}

/// Opts users out of one member: of its segments, and of all that it sends.
pub(crate) async fn opt_out_of(
    app: &Arc<App>,
    users: &[UserKey],
    member: MemberId,
) -> Result<(), PrivacyError> {
    keep_out(app, users, Some(member)).await
}

/// Takes that back. An opt-out of the whole platform holds on.
pub(crate) async fn opt_in_to(
    app: &Arc<App>,
    users: &[UserKey],
    member: MemberId,
) -> Result<(), PrivacyError> {
    let_in(app, users, Some(member)).await
}

/// Whether what `scope` sends of a user is dropped.
pub(crate) fn has_opted_out(app: &App, user: &UserKey, scope: Scope) -> bool {
    match scope {
        None => app.suppression.is_suppressed(user),
        Some(member) => app.suppression.in_force().refuses(user, member),
    }
}

async fn keep_out(app: &Arc<App>, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
    to_its_end(app, users, async move |app, users| {
        let people = with_linked(&app, &users, scope).await?;
        // In this order: what is refused for want of the log is still kept out from here on.
        app.suppression.add(&people, scope).await?;
        // What was being linked until then is there by now, and the member links nothing more.
        let of_now = with_linked(&app, &users, scope).await?;
        if of_now != people {
            app.suppression.add(&of_now, scope).await?;
        }
        erase(&app, &users, scope).await
    })
    .await
}

/// The users with what is linked to them, where that is to be kept out with them. For all of the platform the links
/// themselves go, and none comes to be: whatever comes under such an id is nobody's.
async fn with_linked(app: &Arc<App>, users: &[UserKey], scope: Scope) -> Result<Vec<Person>, ProfilesError> {
    let (worker, users, now) = (Arc::clone(app), users.to_vec(), reading::now(app));
    let person = move |user: UserKey| {
        let linked = if scope.is_some() { worker.profiles.load_links(&user, now)? } else { Vec::new() };
        Ok(Person { user, linked })
    };
    // They may have to come from disk.
    let reading = tokio::task::spawn_blocking(move || users.into_iter().map(person).collect()).await;
    reading.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

async fn let_in(app: &Arc<App>, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
    to_its_end(app, users, async move |app, users| Ok(app.suppression.lift(&users, scope).await?)).await
}

/// Goes on when the caller has gone away: half of an opt-out would be worse than none.
async fn to_its_end<F: Future<Output = Result<(), PrivacyError>> + Send + 'static>(
    app: &Arc<App>,
    users: &[UserKey],
    work: impl FnOnce(Arc<App>, Vec<UserKey>) -> F,
) -> Result<(), PrivacyError> {
    let task = tokio::spawn(work(Arc::clone(app), users.to_vec()));
    task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

async fn erase(app: &Arc<App>, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
    let (worker, users) = (Arc::clone(app), users.to_vec());
    // Profiles may have to come from disk.
    let erasing = tokio::task::spawn_blocking(move || erases(&worker, &users, scope)).await;
    let records = erasing.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let committing = records.into_iter().map(async |record| {
        let record = Encoded::new(record);
        let room = app.committer.reserve(record.bytes())?;
        app.committer.commit(record, room).await
    });
    // Together, so that they share a flush.
    futures_util::future::try_join_all(committing).await?;
    Ok(())
}

/// The erases of the users, and of what is stored under ids that are linked to them. Blocks for reads of the disk.
///
/// What is being added or linked meanwhile and is not answered yet may come before the erase or after it.
fn erases(app: &App, users: &[UserKey], scope: Scope) -> Result<Vec<Record>, ProfilesError> {
    let (accepted_at_ms, now) = (app.clock.now_ms(), reading::now(app));
    let mut records = Vec::with_capacity(users.len());
    for user in users {
        // The links go with the user itself, where all of it goes.
        let linked = app.profiles.load_links(user, now)?;
        for user in linked.into_iter().chain([user.clone()]) {
            let segments = match scope {
                None => ErasedSegments::All,
                Some(member) => ErasedSegments::Only(segments_of(app, &user, member)?),
            };
            records.push(Record::Erase(Erase { accepted_at_ms, user, segments, member: scope }));
        }
    }
    Ok(records)
}

/// The member's segments that the user is in. Of a segment that was deleted it is not known any more whose it
/// was; nobody will ever see it again, so it counts as everybody's.
fn segments_of(app: &App, user: &UserKey, member: MemberId) -> Result<Vec<SegmentId>, ProfilesError> {
    let memberships = app.profiles.load(user, reading::now(app))?;
    let snapshot = app.catalog.snapshot();
    let is_erased = |id: &SegmentId| snapshot.segment(*id).is_none_or(|segment| segment.member == member);
    Ok(memberships.iter().map(|membership| membership.segment).filter(is_erased).collect())
}
