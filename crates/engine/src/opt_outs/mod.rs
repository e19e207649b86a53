//! The users that have opted out. They are in memory, because every user of every request is checked.
//!
//! Records are not filtered when they are applied: a replay would then give another result. Instead, an opt-out first
//! enters the table, then waits until all requests that were resolved without it are in the log, then writes its
//! erase. The erase comes after them in the log and undoes them.
//!
//! An opt-out of a member holds for the ids that are linked to the person too. Those that are linked later enter the
//! table before the link is logged ([`OptOuts::add_links`]), whichever member links them.

mod table;

use arc_swap::ArcSwap;
use ia_catalog::{CatalogError, SuppressedLink, SuppressedUser, SuppressionKey, SuppressionStore};
use ia_model::{MemberId, UserKey};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use table::Table;
use tokio::sync::Mutex;

/// How often to check whether the last earlier request is in the log. Most take a flush or two.
const BARRIER_POLL: Duration = Duration::from_millis(1);

/// A user that opts out, and the ids of members that are linked to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The user of the request.
    pub(crate) user: UserKey,
    /// Linked ids, which are opted out together with it.
    pub(crate) linked: Vec<UserKey>,
}

/// The opt-outs, in memory and in the store.
pub(crate) struct OptOuts {
    store: Arc<dyn SuppressionStore>,
    key: SuppressionKey,
    table: RwLock<Table>,
    /// Saves the hashing as long as no user has opted out.
    is_empty: AtomicBool,
    /// A request holds the epoch from before it is resolved until its record is applied. An opt-out starts a new one.
    epoch: ArcSwap<()>,
    /// Allows one change at a time; the waiting relies on that.
    changing: Mutex<()>,
}

impl OptOuts {
    /// Reads the opt-outs from the store.
    pub(crate) async fn load(store: Arc<dyn SuppressionStore>) -> Result<OptOuts, CatalogError> {
        let key = store.suppression_key().await?;
        let mut table = Table::default();
        store.suppressed_users().await?.into_iter().for_each(|user| table.add(user));
        store.suppressed_links().await?.into_iter().for_each(|link| table.link(link));
        Ok(OptOuts {
            store,
            key,
            is_empty: AtomicBool::new(table.is_empty()),
            table: RwLock::new(table),
            epoch: ArcSwap::default(),
            changing: Mutex::default(),
        })
    }

    /// The current opt-outs, for a request that will be resolved. The caller holds them until the record is
    /// committed or dropped: a new opt-out waits for that.
    pub(crate) fn in_force(self: &Arc<Self>) -> InForce {
        // The epoch first: a request with the new epoch sees the opt-outs entered before it.
        let epoch = self.epoch.load_full();
        InForce { opt_outs: (!self.is_empty()).then(|| Arc::clone(self)), _epoch: epoch }
    }

    /// Whether there are no opt-outs.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty.load(Ordering::SeqCst)
    }

    /// Whether the user has opted out of the whole platform.
    pub(crate) fn is_suppressed(&self, user: &UserKey) -> bool {
        !self.is_empty() && self.has(user, [None])
    }

    /// Opts people out of `member`, or of the whole platform. On return this is durable, and every record that was
    /// resolved without it is in the log.
    pub(crate) async fn add(&self, people: &[Person], member: Option<MemberId>) -> Result<(), CatalogError> {
        let entry = |user: &UserKey| SuppressedUser { hash: self.hash(user), member };
        let entries: Vec<SuppressedUser> = people.iter().map(|person| entry(&person.user)).collect();
        let links: Vec<SuppressedLink> = people
            .iter()
            .flat_map(|person| person.linked.iter().map(|id| (entry(&person.user), id)))
            .map(|(of, id)| SuppressedLink { of, hash: self.hash(id) })
            .collect();
        let _one_at_a_time = self.changing.lock().await;
        self.store.suppress(&entries, &links).await?;
        {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            entries.into_iter().for_each(|user| table.add(user));
            links.into_iter().for_each(|link| table.link(link));
        }
        self.is_empty.store(false, Ordering::SeqCst);
        self.end_epoch().await;
        Ok(())
    }

    /// Adds ids that will be linked to the user to its opt-outs of members. On return this is durable, and every record
    /// that was resolved without it is in the log. Who still holds an [`InForce`] would wait for itself.
    pub(crate) async fn add_links(&self, user: &UserKey, linked: &[UserKey]) -> Result<(), CatalogError> {
        let _one_at_a_time = self.changing.lock().await;
        let links = self.missing(user, linked);
        if links.is_empty() {
            return Ok(());
        }
        self.store.suppress(&[], &links).await?;
        {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            links.into_iter().for_each(|link| table.link(link));
        }
        self.end_epoch().await;
        Ok(())
    }

    /// Waits until every record is in the log that was resolved before this call.
    pub(crate) async fn wait_for_earlier(&self) {
        let _one_at_a_time = self.changing.lock().await;
        self.end_epoch().await;
    }

    /// Only for the holder of `changing`: otherwise the epoch before the ended one may have holders too.
    async fn end_epoch(&self) {
        let before = self.epoch.swap(Arc::default());
        while Arc::strong_count(&before) > 1 {
            tokio::time::sleep(BARRIER_POLL).await;
        }
    }

    /// The ids that the user's opt-outs of members lack.
    fn missing(&self, user: &UserKey, linked: &[UserKey]) -> Vec<SuppressedLink> {
        let linked: Vec<[u8; 16]> = linked.iter().map(|id| self.hash(id)).collect();
        self.table.read().unwrap_or_else(PoisonError::into_inner).missing(self.hash(user), &linked)
    }

    /// Undoes an opt-out of the same `member`. Other opt-outs of the users stay.
    pub(crate) async fn lift(&self, users: &[UserKey], member: Option<MemberId>) -> Result<(), CatalogError> {
        let entries: Vec<SuppressedUser> =
            users.iter().map(|user| SuppressedUser { hash: self.hash(user), member }).collect();
        let _one_at_a_time = self.changing.lock().await;
        self.store.lift_suppression(&entries).await?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        entries.iter().for_each(|entry| table.lift(entry));
        self.is_empty.store(table.is_empty(), Ordering::SeqCst);
        Ok(())
    }

    fn has<const N: usize>(&self, user: &UserKey, members: [Option<MemberId>; N]) -> bool {
        let hash = self.hash(user);
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        members.into_iter().any(|member| table.contains(&SuppressedUser { hash, member }))
    }

    /// A hash of the user that is the same in every process.
    pub(crate) fn hash(&self, user: &UserKey) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(&self.key.0);
        hasher.write(user.as_bytes());
        hasher.finish128().as_bytes()
    }
}

/// See [`OptOuts::in_force`].
pub(crate) struct InForce {
    /// `None` where nobody has opted out of anything.
    opt_outs: Option<Arc<OptOuts>>,
    _epoch: Arc<()>,
}

impl InForce {
    /// Whether `writer` may not add the user to any segment.
    pub(crate) fn refuses(&self, user: &UserKey, writer: MemberId) -> bool {
        self.has(user, [None, Some(writer)])
    }

    /// Whether the user may be in no segment of `owner`, for any writer.
    pub(crate) fn keeps_out_of(&self, user: &UserKey, owner: MemberId) -> bool {
        self.has(user, [Some(owner)])
    }

    /// The members that the user itself has opted out of.
    pub(crate) fn members_without(&self, user: &UserKey) -> Vec<MemberId> {
        let Some(opt_outs) = &self.opt_outs else { return Vec::new() };
        let table = opt_outs.table.read().unwrap_or_else(PoisonError::into_inner);
        table.members_without(&opt_outs.hash(user))
    }

    /// Whether these ids, once linked to the user, are kept out as the user is.
    pub(crate) fn include(&self, user: &UserKey, linked: &[UserKey]) -> bool {
        self.opt_outs.as_ref().is_none_or(|opt_outs| opt_outs.missing(user, linked).is_empty())
    }

    fn has<const N: usize>(&self, user: &UserKey, members: [Option<MemberId>; N]) -> bool {
        self.opt_outs.as_ref().is_some_and(|opt_outs| opt_outs.has(user, members))
    }

    /// An instance without any opt-outs.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn of_nobody() -> &'static InForce {
        static NOBODY: std::sync::LazyLock<InForce> =
            std::sync::LazyLock::new(|| InForce { opt_outs: None, _epoch: Arc::default() });
        &NOBODY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_catalog::SqliteCatalog;
    use ia_model::{Domain, ManualClock};

    #[tokio::test]
    async fn an_opt_out_waits_for_those_who_did_not_see_it_and_outlives_the_process() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("catalog");
        let store = Arc::new(SqliteCatalog::open(&path, Arc::new(ManualClock::at(0))).await.unwrap());
        let opt_outs = Arc::new(OptOuts::load(store.clone()).await.unwrap());
        let uuid = "6d92078a-8246-4ba4-ae5b-76104861e7dc";
        let [user, same_digits] =
            [Domain::Idfa, Domain::Aaid].map(|domain| UserKey::parse(domain, uuid).unwrap());
        let (one, other) = (MemberId(1), MemberId(2));
        let own_id = UserKey::external(other, "cart 7").unwrap();
        let before = opt_outs.in_force();
        let adding = tokio::spawn({
            let person = Person { user: user.clone(), linked: vec![own_id.clone()] };
            let opt_outs = Arc::clone(&opt_outs);
            async move { opt_outs.add(&[person], Some(one)).await }
        });
        while !opt_outs.in_force().refuses(&user, one) {
            tokio::task::yield_now().await;
        }
        assert!(!before.refuses(&user, one), "its request was resolved before");
        assert!(!adding.is_finished(), "it waits");
        drop(before);
        adding.await.unwrap().unwrap();

        let opt_outs = Arc::new(OptOuts::load(Arc::clone(&store) as _).await.unwrap());
        let in_force = opt_outs.in_force();
        assert!(in_force.refuses(&user, one) && in_force.keeps_out_of(&user, one));
        assert!(!in_force.refuses(&user, other) && !in_force.refuses(&same_digits, one));
        assert!(!opt_outs.is_suppressed(&user), "from one member alone");
        assert!(in_force.refuses(&own_id, one) && !in_force.refuses(&own_id, other), "what is linked too");
        // An id that is linked later: it waits for requests that were resolved without it.
        let late_id = UserKey::external(other, "cart 8").unwrap();
        let late = std::slice::from_ref(&late_id);
        assert!(!in_force.include(&user, late) && in_force.include(&same_digits, late));
        let adding = tokio::spawn({
            let (opt_outs, user, late_id) = (Arc::clone(&opt_outs), user.clone(), late_id.clone());
            async move { opt_outs.add_links(&user, &[late_id]).await }
        });
        while !in_force.include(&user, late) {
            tokio::task::yield_now().await;
        }
        assert!(!adding.is_finished(), "it waits");
        drop(in_force);
        adding.await.unwrap().unwrap();
        let in_force = opt_outs.in_force();
        assert!(in_force.refuses(&late_id, one) && !in_force.refuses(&late_id, other));
        assert_eq!(in_force.members_without(&user), [one]);
        assert_eq!(store.suppressed_links().await.unwrap().len(), 2, "it is durable");
        let waiting = tokio::spawn({
            let opt_outs = Arc::clone(&opt_outs);
            async move { opt_outs.wait_for_earlier().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "so does a deletion");
        drop(in_force);
        waiting.await.unwrap();
        opt_outs.add(&[Person { user: user.clone(), linked: Vec::new() }], None).await.unwrap();
        opt_outs.lift(std::slice::from_ref(&user), Some(one)).await.unwrap();
        let in_force = opt_outs.in_force();
        assert!(opt_outs.is_suppressed(&user) && in_force.refuses(&user, other));
        assert!(!in_force.keeps_out_of(&user, one) && !in_force.refuses(&own_id, one), "that is lifted");
        opt_outs.lift(std::slice::from_ref(&user), None).await.unwrap();
        assert!(!opt_outs.in_force().refuses(&user, one));
    }
}
