//! Which users have opted out. Every user of every request is checked, so the opt-outs are in memory.
//!
//! Nothing is filtered when records are applied: memory would then not equal a replay. Instead an opt-out waits,
//! between its entry in the table and its erase, for all requests that were resolved without it and are not in
//! the log yet. They come before the erase in the log, then, which undoes them.

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

/// How often it is asked whether the last request of before is in the log. Most are within a flush or two.
const BARRIER_POLL: Duration = Duration::from_millis(1);

/// A user who opts out, with the ids by which members know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// By which they ask.
    pub(crate) user: UserKey,
    /// The ids that are linked to it, and are kept out with it.
    pub(crate) linked: Vec<UserKey>,
}

/// The opt-outs, in memory and in their store.
pub(crate) struct OptOuts {
    store: Arc<dyn SuppressionStore>,
    key: SuppressionKey,
    table: RwLock<Table>,
    /// Spares the usual server, where nobody has opted out, the hashing.
    is_empty: AtomicBool,
    /// Held by each request from before it is resolved until its record is in the log. Replaced by each opt-out.
    epoch: ArcSwap<()>,
    /// One change at a time: the waiting relies on it.
    changing: Mutex<()>,
}

impl OptOuts {
    /// Reads what the store has.
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

    /// The opt-outs in force now, for a request that is about to be resolved. To be held until its record is
    /// committed or given up: an opt-out waits for it.
    pub(crate) fn in_force(self: &Arc<Self>) -> InForce {
        // The epoch first: who has the new one sees what was entered before it.
        let epoch = self.epoch.load_full();
        InForce { opt_outs: (!self.is_empty()).then(|| Arc::clone(self)), _epoch: epoch }
    }

    /// Whether nobody has opted out of anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty.load(Ordering::SeqCst)
    }

    /// Whether nobody may add the user.
    pub(crate) fn is_suppressed(&self, user: &UserKey) -> bool {
        !self.is_empty() && self.has(user, [None])
    }

    /// Keeps people out of `member`'s hands, or of all. On return that is durable, and every record that was
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
        let before = self.epoch.swap(Arc::default());
        while Arc::strong_count(&before) > 1 {
            tokio::time::sleep(BARRIER_POLL).await;
        }
        Ok(())
    }

    /// Takes that back; what others keep them out of stays.
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
        members.into_iter().any(|member| table.keep_out(&SuppressedUser { hash, member }))
    }

    fn hash(&self, user: &UserKey) -> [u8; 16] {
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
    /// Whether `writer` may not add the user to anything.
    pub(crate) fn refuses(&self, user: &UserKey, writer: MemberId) -> bool {
        self.has(user, [None, Some(writer)])
    }

    /// Whether the user wants to be in no segment of `owner`, whoever writes.
    pub(crate) fn keeps_out_of(&self, user: &UserKey, owner: MemberId) -> bool {
        self.has(user, [Some(owner)])
    }

    fn has<const N: usize>(&self, user: &UserKey, members: [Option<MemberId>; N]) -> bool {
        self.opt_outs.as_ref().is_some_and(|opt_outs| opt_outs.has(user, members))
    }

    /// What is in force where nobody has ever opted out.
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

        let opt_outs = Arc::new(OptOuts::load(store).await.unwrap());
        let in_force = opt_outs.in_force();
        assert!(in_force.refuses(&user, one) && in_force.keeps_out_of(&user, one));
        assert!(!in_force.refuses(&user, other) && !in_force.refuses(&same_digits, one));
        assert!(!opt_outs.is_suppressed(&user), "from one member alone");
        assert!(in_force.refuses(&own_id, one) && !in_force.refuses(&own_id, other), "what is linked too");
        drop(in_force);
        opt_outs.add(&[Person { user: user.clone(), linked: Vec::new() }], None).await.unwrap();
        opt_outs.lift(std::slice::from_ref(&user), Some(one)).await.unwrap();
        let in_force = opt_outs.in_force();
        assert!(opt_outs.is_suppressed(&user) && in_force.refuses(&user, other));
        assert!(!in_force.keeps_out_of(&user, one) && !in_force.refuses(&own_id, one), "that is lifted");
        opt_outs.lift(std::slice::from_ref(&user), None).await.unwrap();
        assert!(!opt_outs.in_force().refuses(&user, one));
    }
}
