//! What strict mode knows, over its store.

use crate::rig::{open, place};
use async_trait::async_trait;
use ia_catalog::{CatalogError, Imported, KnownUserHasher, KnownUserStore, KnownUsers, import_known_users};
use ia_model::{Domain, UserKey};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

fn user(id: u64) -> UserKey {
    UserKey::platform(id).unwrap()
}

fn users(ids: std::ops::Range<u64>) -> Vec<UserKey> {
    ids.map(user).collect()
}

/// A store whose writes wait for a sign, are counted, and can fail.
struct Slow {
    hashes: Mutex<Vec<u64>>,
    go: Semaphore,
    writes: AtomicUsize,
    fails: AtomicBool,
}

#[async_trait]
impl KnownUserStore for Slow {
    async fn known_user_key(&self) -> Result<[u8; 32], CatalogError> {
        Ok([7; 32])
    }

    async fn known_users_after(&self, position: u64) -> Result<Vec<u64>, CatalogError> {
        let hashes = self.hashes.lock().unwrap();
        Ok(hashes.get(position as usize..).unwrap_or_default().to_vec())
    }

    async fn add_known_users(&self, hashes: &[u64]) -> Result<(), CatalogError> {
        self.go.acquire().await.unwrap().forget();
        self.writes.fetch_add(1, Ordering::Relaxed);
        if self.fails.load(Ordering::Relaxed) {
            return Err(CatalogError::Overtaken("a test".to_owned()));
        }
        self.hashes.lock().unwrap().extend_from_slice(hashes);
        Ok(())
    }

    async fn vacate_known_users(&self, positions: &[u64]) -> Result<(), CatalogError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(CatalogError::Overtaken("a test".to_owned()));
        }
        let mut hashes = self.hashes.lock().unwrap();
        positions.iter().for_each(|&position| hashes[position as usize] = 0);
        Ok(())
    }
}

fn slow() -> Arc<Slow> {
    Arc::new(Slow {
        hashes: Mutex::default(),
        go: Semaphore::new(0),
        writes: AtomicUsize::new(0),
        fails: AtomicBool::new(false),
    })
}

#[tokio::test]
async fn many_callers_share_a_write_and_see_theirs_after_it() {
    let store = slow();
    let known = Arc::new(KnownUsers::load(Arc::clone(&store) as _).await.unwrap());
    let calls: Vec<_> = (1..=100)
        .map(|id| {
            let known = Arc::clone(&known);
            tokio::spawn(async move {
                known.remember(&[user(id), user(1000)]).await.unwrap();
                assert!(known.contains(&user(id)) && known.contains(&user(1000)));
            })
        })
        .collect();
    // On one thread, all come as far as they can before this goes on.
    tokio::task::yield_now().await;
    assert!(!known.contains(&user(1)), "not before it is durable");
    store.go.add_permits(100);
    for call in calls {
        call.await.unwrap();
    }
    assert!(store.writes.load(Ordering::Relaxed) <= 2, "{:?} writes", store.writes);
    assert_eq!(known.count(), Some(101));
    assert_eq!(store.known_users_after(0).await.unwrap().len(), 101, "each once");
    known.remember(&users(1..101)).await.unwrap();
    assert!(store.writes.load(Ordering::Relaxed) <= 2, "what is known is not written again");
}

#[tokio::test]
async fn a_failed_or_abandoned_write_takes_nobody_elses_ids_along() {
    let store = slow();
    let known = Arc::new(KnownUsers::load(Arc::clone(&store) as _).await.unwrap());
    let remember = |id| {
        let known = Arc::clone(&known);
        tokio::spawn(async move { known.remember(&[user(id)]).await })
    };
    let (abandoned, patient) = (remember(1), remember(2));
    tokio::task::yield_now().await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    store.go.add_permits(2);
    patient.await.unwrap().unwrap();
    assert!(known.contains(&user(2)));

    store.fails.store(true, Ordering::Relaxed);
    store.go.add_permits(2);
    remember(3).await.unwrap().unwrap_err();
    assert!(!known.contains(&user(3)));
    store.fails.store(false, Ordering::Relaxed);
    store.go.add_permits(1);
    remember(3).await.unwrap().unwrap();
    assert!(known.contains(&user(3)));
}

#[tokio::test]
async fn an_id_is_forgotten_only_when_the_store_has_done_it_and_may_be_known_again() {
    let store = slow();
    store.go.add_permits(10);
    let known = KnownUsers::load(Arc::clone(&store) as _).await.unwrap();
    known.remember(&users(1..4)).await.unwrap();
    store.fails.store(true, Ordering::Relaxed);
    known.forget(&[user(2)]).await.unwrap_err();
    assert!(known.contains(&user(2)));
    store.fails.store(false, Ordering::Relaxed);
    assert!(known.forget(&[user(2), user(9)]).await.unwrap());
    assert!(!known.contains(&user(2)) && known.contains(&user(1)) && known.contains(&user(3)));
    assert!(!known.forget(&[user(2)]).await.unwrap(), "it is forgotten already");
    known.remember(&[user(2)]).await.unwrap();
    known.follow().await.unwrap();
    assert!(known.contains(&user(2)));
    assert_eq!(known.count(), Some(3), "a vacant place is nobody's");
}

#[tokio::test]
async fn a_forgotten_id_is_in_no_file_and_stays_unknown_until_it_is_seen_again() {
    let (_directory, path) = place();
    let (one, other) = (Arc::new(open(&path).await), Arc::new(open(&path).await));
    let known = KnownUsers::load(Arc::clone(&one) as _).await.unwrap();
    let hasher = KnownUserHasher::new(&other.known_user_key().await.unwrap());
    let import = async |ids: std::ops::Range<u64>| {
        let hashes = users(ids).iter().map(|user| hasher.hash(user)).collect();
        import_known_users(&*other, hashes).await.unwrap()
    };
    import(1..2_000).await;
    // In the middle of a full block, twice; in the last block; and one that this process has not read yet.
    other.add_known_users(&[hasher.hash(&user(700))]).await.unwrap();
    let gone = [user(700), user(1_999)];
    assert!(known.forget(&gone).await.unwrap());
    assert!(gone.iter().all(|user| !known.contains(user)));
    assert_eq!(known.count(), Some(1_997));
    let files = ["", "-wal"].map(|suffix| {
        let name = format!("{}{suffix}", path.display());
        std::fs::read(name).unwrap_or_default()
    });
    for (user, is_there) in [(&gone[0], false), (&gone[1], false), (&user(701), true)] {
        let bytes = hasher.hash(user).to_be_bytes();
        let found = files.iter().any(|file| file.windows(8).any(|part| part == bytes));
        assert_eq!(found, is_there, "{user:?}");
    }
    // The other process adds behind vacant places, and knows that they are nobody's.
    assert_eq!(import(1_999..2_003).await, Imported { new: 4, known: 0 });
    known.follow().await.unwrap();
    assert!(known.contains(&user(1_999)) && !known.contains(&user(700)));
    known.remember(&[user(700)]).await.unwrap();
    assert!(known.forget(&[user(1)]).await.unwrap());
    // Also where everybody is known: the mode may change at the next start.
    let lenient = KnownUsers::everybody_beside(Arc::clone(&other) as _).await.unwrap();
    assert!(!lenient.forget(&[user(2)]).await.unwrap() && lenient.contains(&user(2)));
    let again = KnownUsers::load(Arc::new(open(&path).await) as _).await.unwrap();
    assert_eq!(again.count(), Some(2_000));
    assert!(!again.contains(&user(1)) && !again.contains(&user(2)));
    assert!([3, 700, 1_999, 2_002].iter().all(|&id| again.contains(&user(id))));
}

#[tokio::test]
async fn everybody_is_known_where_nobody_asks() {
    let known = KnownUsers::everybody();
    assert!(known.contains(&user(1)));
    known.remember(&[user(1)]).await.unwrap();
    assert!(!known.forget(&[user(1)]).await.unwrap() && known.contains(&user(1)));
    assert_eq!(known.count(), None);
}

#[tokio::test]
async fn ids_outlive_their_process_and_are_seen_by_another() {
    let (_directory, path) = place();
    let (one, other) = (Arc::new(open(&path).await), Arc::new(open(&path).await));
    let known = KnownUsers::load(Arc::clone(&one) as _).await.unwrap();
    let idfa = UserKey::parse(Domain::Idfa, "aebe52e7-03ee-455a-b3c4-e57283966239").unwrap();
    known.remember(&[user(7), idfa.clone()]).await.unwrap();

    let hasher = KnownUserHasher::new(&other.known_user_key().await.unwrap());
    // Twice in the list, and one that is known.
    let hashes = users(5..700_000).iter().chain(&users(5..10)).map(|user| hasher.hash(user)).collect();
    let imported = import_known_users(&*other, hashes).await.unwrap();
    assert_eq!(imported, Imported { new: 699_994, known: 1 });
    assert!(!known.contains(&user(8)));
    known.follow().await.unwrap();
    assert_eq!(known.count(), Some(699_996));
    known.remember(&users(699_990..700_010)).await.unwrap();
    one.close().await;
    other.close().await;

    let again = Arc::new(open(&path).await);
    let known = KnownUsers::load(Arc::clone(&again) as _).await.unwrap();
    assert_eq!(known.count(), Some(700_006));
    assert!(known.contains(&idfa) && users(5..700_010).iter().all(|user| known.contains(user)));
    assert!(!known.contains(&user(4)) && !known.contains(&user(700_010)));
    let same_digits = UserKey::parse(Domain::Aaid, "aebe52e7-03ee-455a-b3c4-e57283966239").unwrap();
    assert!(!known.contains(&same_digits));
    let hashes = users(1..700_010).iter().map(|user| hasher.hash(user)).collect();
    let imported = import_known_users(&*again, hashes).await.unwrap();
    assert_eq!(imported, Imported { new: 4, known: 700_005 });
    // Nobody who reads the file finds out who is known.
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(idfa.as_bytes().len() - 1).any(|part| part == &idfa.as_bytes()[1..]));
}
