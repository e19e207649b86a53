//! What people may ask about their data: to see it, to have it deleted, to opt out and in.

use crate::catalog_view::CatalogView;
use crate::opt_outs::{OptOuts, Person};
use crate::threads::blocking;
use crate::write::commit::{CommitError, Committer, Encoded};
use ia_catalog::CatalogError;
use ia_model::{
    Clock, Domain, Erase, ErasedSegments, InvalidUserId, MemberId, Minute, Record, SegmentId, UserKey,
};
use ia_profiles::{Profiles, ProfilesError};
use std::sync::Arc;

/// For whom a request is made: one member, or (`None`) the whole platform.
pub type Scope = Option<MemberId>;

/// Why a request of a person failed. What was done of it holds, and doing it again does the rest.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
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
pub enum IdentifierType {
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
pub fn users(identifier_type: IdentifierType, identifier: &str) -> Result<Vec<UserKey>, InvalidUserId> {
    match identifier_type {
        IdentifierType::Platform => Ok(vec![UserKey::parse(Domain::Platform, identifier)?]),
        IdentifierType::Device => {
            DEVICE_DOMAINS.into_iter().map(|domain| UserKey::parse(domain, identifier)).collect()
        }
    }
}

/// Carries out requests of people. A clone shares all parts.
#[derive(Clone)]
pub struct People {
    /// Whose segments are whose.
    pub(crate) catalog: Arc<CatalogView>,
    /// Where opt-outs are kept.
    pub(crate) opt_outs: Arc<OptOuts>,
    /// What is held of the users.
    pub(crate) profiles: Arc<dyn Profiles>,
    /// Writes the erases.
    pub(crate) committer: Arc<Committer>,
    /// When a request was accepted.
    pub(crate) clock: Arc<dyn Clock>,
}

impl People {
    /// Deletes what `scope` has of the users: on stable storage and gone from every read on return.
    pub async fn delete(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        self.to_its_end(users, async move |people, users| people.erase(&users, scope).await).await
    }

    /// Opts users out of `scope`, which deletes what it has of them. From now on what is sent of them is dropped: by
    /// one member, or for the whole platform by anybody; and so is what others add to that member's segments.
    pub async fn opt_out(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        self.to_its_end(users, async move |people, users| {
            let persons = people.with_linked(&users, scope).await?;
            // In this order: where the log refuses the erase, the users are opted out all the same.
            people.opt_outs.add(&persons, scope).await?;
            // Links that were being made until then are there by now, and the member makes no more.
            let of_now = people.with_linked(&users, scope).await?;
            if of_now != persons {
                people.opt_outs.add(&of_now, scope).await?;
            }
            people.erase(&users, scope).await
        })
        .await
    }

    /// Takes an opt-out of the same scope back. What was deleted stays deleted; opt-outs of other scopes hold on.
    pub async fn opt_in(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        self.to_its_end(users, async move |people, users| Ok(people.opt_outs.lift(&users, scope).await?))
            .await
    }

    /// Whether what `scope` sends of a user is dropped.
    pub fn has_opted_out(&self, user: &UserKey, scope: Scope) -> bool {
        match scope {
            None => self.opt_outs.is_suppressed(user),
            Some(member) => self.opt_outs.in_force().refuses(user, member),
        }
    }

    fn now(&self) -> Minute {
        Minute::containing(self.clock.now_ms())
    }

    /// Goes on when the caller disconnects: half of an opt-out would be worse than none.
    async fn to_its_end<F: Future<Output = Result<(), PrivacyError>> + Send + 'static>(
        &self,
        users: &[UserKey],
        work: impl FnOnce(People, Vec<UserKey>) -> F,
    ) -> Result<(), PrivacyError> {
        let task = tokio::spawn(work(self.clone(), users.to_vec()));
        task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// The users with the ids that are linked to them, where those are opted out too. For the whole platform the
    /// links themselves are erased and no new ones are made, so that such an id leads to nobody.
    async fn with_linked(&self, users: &[UserKey], scope: Scope) -> Result<Vec<Person>, ProfilesError> {
        let (profiles, users, now) = (Arc::clone(&self.profiles), users.to_vec(), self.now());
        let person = move |user: UserKey| {
            let linked = if scope.is_some() { profiles.load_links(&user, now)? } else { Vec::new() };
            Ok(Person { user, linked })
        };
        // They may have to come from disk.
        blocking(move || users.into_iter().map(person).collect()).await
    }

    async fn erase(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        let (people, users) = (self.clone(), users.to_vec());
        // Profiles may have to come from disk.
        let records = blocking(move || people.erases(&users, scope)).await?;
        let committing = records.into_iter().map(async |record| {
            let record = Encoded::new(record);
            let room = self.committer.reserve(record.bytes())?;
            self.committer.commit(record, room).await
        });
        // Together, so that they share a flush.
        futures_util::future::try_join_all(committing).await?;
        Ok(())
    }

    /// The erases of the users, and of what is stored under ids that are linked to them. Blocks for reads of the
    /// disk.
    ///
    /// What is being added or linked meanwhile and is not answered yet may come before the erase or after it.
    fn erases(&self, users: &[UserKey], scope: Scope) -> Result<Vec<Record>, ProfilesError> {
        let mut records = Vec::with_capacity(users.len());
        let accepted_at_ms = self.clock.now_ms();
        for user in users {
            // The links go with the user itself, where all of it goes.
            let linked = self.profiles.load_links(user, self.now())?;
            for user in linked.into_iter().chain([user.clone()]) {
                let segments = match scope {
                    None => ErasedSegments::All,
                    Some(member) => ErasedSegments::Only(self.segments_of(&user, member)?),
                };
                records.push(Record::Erase(Erase { accepted_at_ms, user, segments, member: scope }));
            }
        }
        Ok(records)
    }

    /// The member's segments that the user is in. The owner of a deleted segment is not known any more; it is never
    /// shown again, so it is taken for everybody's.
    fn segments_of(&self, user: &UserKey, member: MemberId) -> Result<Vec<SegmentId>, ProfilesError> {
        let memberships = self.profiles.load(user, self.now())?;
        let snapshot = self.catalog.snapshot();
        let is_erased = |id: &SegmentId| snapshot.segment(*id).is_none_or(|segment| segment.member == member);
        Ok(memberships.iter().map(|membership| membership.segment).filter(is_erased).collect())
    }
}
