//! Requests of people about their data: access, delete, opt out and opt in.
//!
//! A deletion or an opt-out, step by step. It continues even if the client disconnects.
//!
//! 1. The users: an id in one domain or of one source, or a UUID in seven domains. The scope: one member, or all.
//! 2. An opt-out is a row in SQL first, then an entry in `OptOuts`. Then it waits for all requests that hold an older
//!    `OptOuts::in_force`, so that their records come before the erase in the log.
//! 3. If the scope is all, the ids and those that are linked to them become unknown (`KnownUsers`), which matters in
//!    strict mode. This is durable before the erase is logged: a crash between the two leaves an id that is unknown, and
//!    never one that is erased and known. Then it waits as an opt-out does.
//! 4. If files wait to be read, the deletion is noted for them, durably (`files::Deletions`), and those of their parts
//!    that were resolved without it are waited for.
//! 5. A `Record::Erase` goes through the log like every record. The erase of one member names the member's segments
//!    that the user is in. A membership that is added at the same time comes before it or after it.
//! 6. `UsageFollower::observe` notes the id. Its next write stores the note with the position, in one transaction.
//! 7. The next checkpoint does the rest (`erasures`).

use crate::catalog_view::CatalogView;
use crate::files::Deletions;
use crate::opt_outs::{OptOuts, Person};
use crate::threads::blocking;
use crate::user_ids::{self, key_without_domain};
use crate::write::commit::{CommitError, Committer, Encoded};
use ia_catalog::{CatalogError, KnownUsers};
use ia_model::{
    Clock, Domain, Erase, ErasedSegments, InvalidUserId, MemberId, Minute, Record, SegmentId, UserKey,
};
use ia_profiles::{Profiles, ProfilesError};
use std::sync::Arc;

/// The extent of a request: one member, or the whole platform (`None`).
pub type Scope = Option<MemberId>;

/// Why a person's request failed. The finished part stays; sending the request again does the rest.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// The catalog cannot store the opt-outs.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The erase cannot be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A profile cannot be read.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

/// The kind of id that names a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifierType<'t> {
    /// A device's advertising id. The request does not say whose, so it means all domains of such ids.
    Device,
    /// An id of one domain: the platform's own, or a device's.
    Of(Domain),
    /// A member's own id, in this name space.
    External(MemberId),
    /// An extended id, of this source.
    Extended(&'t str),
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

/// The users that an identifier names.
pub fn users(identifier_type: IdentifierType<'_>, identifier: &str) -> Result<Vec<UserKey>, InvalidUserId> {
    match identifier_type {
        IdentifierType::Device => {
            DEVICE_DOMAINS.into_iter().map(|domain| UserKey::parse(domain, identifier)).collect()
        }
        IdentifierType::Of(domain) => Ok(vec![UserKey::parse(domain, identifier)?]),
        IdentifierType::External(namespace) => Ok(vec![key_without_domain(Some(namespace), identifier)?]),
        IdentifierType::Extended(source) => {
            Ok(vec![user_ids::extended(source, identifier).map_err(|_| InvalidUserId)?])
        }
    }
}

/// Carries out requests of people. Clones share all parts.
#[derive(Clone)]
pub struct People {
    /// Gives the owners of segments.
    pub(crate) catalog: Arc<CatalogView>,
    /// Keeps the opt-outs.
    pub(crate) opt_outs: Arc<OptOuts>,
    /// Knows the ids of strict mode.
    pub(crate) known: Arc<KnownUsers>,
    /// Holds the memberships.
    pub(crate) profiles: Arc<dyn Profiles>,
    /// Tells files that wait what was deleted.
    pub(crate) files: Arc<Deletions>,
    /// Writes the erases.
    pub(crate) committer: Arc<Committer>,
    /// Gives the time at which a request was accepted.
    pub(crate) clock: Arc<dyn Clock>,
}

impl People {
    /// Deletes the users' memberships in segments of `scope`. On return this is on stable storage, and no read shows
    /// them.
    pub async fn delete(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        self.run_to_end(users, async move |people, users| people.erase(&users, scope).await).await
    }

    /// Opts users out of `scope` and deletes as [`People::delete`] does. From now on every write about them is dropped:
    /// for one member, writes by that member and writes to its segments; for the whole platform, all writes.
    pub async fn opt_out(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        self.run_to_end(users, async move |people, users| {
            let persons = people.with_linked(&users, scope).await?;
            // Before the erase: if the log refuses the erase, the users are opted out all the same.
            people.opt_outs.add(&persons, scope).await?;
            // Links in progress until then are applied now, and the member makes no new ones.
            let with_new_links = people.with_linked(&users, scope).await?;
            if with_new_links != persons {
                people.opt_outs.add(&with_new_links, scope).await?;
            }
            people.erase(&users, scope).await
        })
        .await
    }

    /// Undoes an opt-out of the same scope. Deleted memberships stay deleted; opt-outs of other scopes stay in force.
    pub async fn opt_in(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        self.run_to_end(users, async move |people, users| Ok(people.opt_outs.lift(&users, scope).await?))
            .await
    }

    /// Whether writes of `scope` about the user are dropped.
    pub fn has_opted_out(&self, user: &UserKey, scope: Scope) -> bool {
        match scope {
            None => self.opt_outs.is_suppressed(user),
            Some(member) => self.opt_outs.in_force().refuses(user, member),
        }
    }

    fn now(&self) -> Minute {
        Minute::containing(self.clock.now_ms())
    }

    /// Finishes the work even if the client disconnects: half an opt-out would be worse than none.
    async fn run_to_end<F: Future<Output = Result<(), PrivacyError>> + Send + 'static>(
        &self,
        users: &[UserKey],
        work: impl FnOnce(People, Vec<UserKey>) -> F,
    ) -> Result<(), PrivacyError> {
        let task = tokio::spawn(work(self.clone(), users.to_vec()));
        task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// The users with the linked ids that are opted out too. An opt-out of the whole platform includes none: it erases
    /// the links and prevents new ones, so that a linked id leads to no user.
    async fn with_linked(&self, users: &[UserKey], scope: Scope) -> Result<Vec<Person>, ProfilesError> {
        let (profiles, users, now) = (Arc::clone(&self.profiles), users.to_vec(), self.now());
        let person = move |user: UserKey| {
            let linked = if scope.is_some() { profiles.load_links(&user, now)? } else { Vec::new() };
            Ok(Person { user, linked })
        };
        // Links may have to be read from disk.
        blocking(move || users.into_iter().map(person).collect()).await
    }

    /// Erases what these ids hold in segments of these members.
    pub(crate) async fn erase_in_segments_of(
        &self,
        members: &[MemberId],
        ids: &[UserKey],
    ) -> Result<(), PrivacyError> {
        if members.is_empty() {
            return Ok(());
        }
        let (people, members, ids) = (self.clone(), members.to_vec(), ids.to_vec());
        let records = blocking(move || {
            let mut records = Vec::new();
            for (id, &member) in ids.iter().flat_map(|id| members.iter().map(move |member| (id, member))) {
                let erase = people.erase_of(id, Some(member))?;
                records.extend(
                    (erase.segments != ErasedSegments::Only(Vec::new())).then_some(Record::Erase(erase)),
                );
            }
            Ok::<_, ProfilesError>(records)
        });
        self.commit(records.await?).await
    }

    async fn erase(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        self.tell_files(users, scope).await?;
        if scope.is_none() && self.known.forget(&self.listed(users).await?).await? {
            self.opt_outs.wait_for_earlier().await;
        }
        let (people, users) = (self.clone(), users.to_vec());
        // Profiles may have to be read from disk.
        let records = blocking(move || people.erases(&users, scope)).await?;
        self.commit(records).await
    }

    /// Lets files that wait to be read leave out these users and the ids that are linked to them.
    async fn tell_files(&self, users: &[UserKey], scope: Scope) -> Result<(), PrivacyError> {
        let Some(newest_upload_ms) = self.files.newest_upload_ms() else { return Ok(()) };
        let with_linked = self.and_linked(users).await?;
        // The clock may have been set back since the upload.
        let now_ms = self.clock.now_ms().max(newest_upload_ms);
        self.files.note(&with_linked, scope, now_ms).await?;
        // Parts that were resolved without it come before the erase in the log.
        self.opt_outs.wait_for_earlier().await;
        Ok(())
    }

    /// The users and the ids linked to them, without those that members made up: strict mode knows every one of these.
    async fn listed(&self, users: &[UserKey]) -> Result<Vec<UserKey>, ProfilesError> {
        let mut ids = self.and_linked(users).await?;
        ids.retain(|id| id.domain() != Domain::External);
        Ok(ids)
    }

    /// The users and the ids linked to them.
    async fn and_linked(&self, users: &[UserKey]) -> Result<Vec<UserKey>, ProfilesError> {
        let (profiles, mut ids, now) = (Arc::clone(&self.profiles), users.to_vec(), self.now());
        // Links may have to be read from disk.
        blocking(move || {
            for user in 0..ids.len() {
                ids.extend(profiles.load_links(&ids[user], now)?);
            }
            Ok(ids)
        })
        .await
    }

    async fn commit(&self, records: Vec<Record>) -> Result<(), PrivacyError> {
        let committing = records.into_iter().map(async |record| {
            let record = Encoded::new(record);
            let room = self.committer.reserve(record.bytes())?;
            self.committer.commit(record, room).await
        });
        // Together, so that they share a flush.
        futures_util::future::try_join_all(committing).await?;
        Ok(())
    }

    /// The erases of the users and of the ids linked to them. Blocks for disk reads.
    ///
    /// An unanswered add or link may come before the erase in the log or after it.
    fn erases(&self, users: &[UserKey], scope: Scope) -> Result<Vec<Record>, ProfilesError> {
        let mut records = Vec::with_capacity(users.len());
        for user in users {
            // An erase of everything also erases the links of the user.
            let linked = self.profiles.load_links(user, self.now())?;
            for user in linked.into_iter().chain([user.clone()]) {
                records.push(Record::Erase(self.erase_of(&user, scope)?));
            }
        }
        Ok(records)
    }

    fn erase_of(&self, user: &UserKey, scope: Scope) -> Result<Erase, ProfilesError> {
        let segments = match scope {
            None => ErasedSegments::All,
            Some(member) => ErasedSegments::Only(self.segments_of(user, member)?),
        };
        Ok(Erase { accepted_at_ms: self.clock.now_ms(), user: user.clone(), segments, member: scope })
    }

    /// The member's segments that the user is in, or will be in. A deleted segment has no known owner and is never shown
    /// again, so it counts as every member's.
    fn segments_of(&self, user: &UserKey, member: MemberId) -> Result<Vec<SegmentId>, ProfilesError> {
        let now = self.now();
        let mut memberships = self.profiles.load(user, now)?;
        memberships.extend(self.profiles.load_later(user, now)?);
        let snapshot = self.catalog.snapshot();
        let is_erased = |id: &SegmentId| snapshot.segment(*id).is_none_or(|segment| segment.member == member);
        let mut segments: Vec<SegmentId> =
            memberships.iter().map(|membership| membership.segment).filter(is_erased).collect();
        segments.sort_unstable();
        segments.dedup();
        Ok(segments)
    }
}
