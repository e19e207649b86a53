//! Known ids, and public keys of logins.

use super::*;

/// All hashes after the first `position`, however many a call gives.
async fn known_after(rig: &Rig, mut position: u64) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        let some = rig.store.known_users_after(position).await.unwrap();
        if some.is_empty() {
            return all;
        }
        position += some.len() as u64;
        all.extend(some);
    }
}

pub(super) async fn known_users_keep_their_positions(rig: Rig) {
    let key = rig.store.known_user_key().await.unwrap();
    assert_eq!(rig.store.known_user_key().await.unwrap(), key);
    assert_ne!(key, [0; 32]);
    let mut expected = Vec::new();
    // Around the ends of whatever a store writes at once.
    for length in [1, 498, 1, 1, 0, 499, 500, 1200, 1] {
        let some: Vec<u64> = (0..length).map(|n| u64::MAX - expected.len() as u64 - n).collect();
        rig.store.add_known_users(&some).await.unwrap();
        expected.extend(some);
        for position in [0, 1, 499, 500, 501, expected.len() - 1, expected.len(), expected.len() + 1, 9999] {
            let rest = expected.get(position..).unwrap_or_default();
            assert_eq!(known_after(&rig, position as u64).await, rest, "after {position}");
        }
    }
    let vacated = [0, 499, 500, 777, expected.len() - 1];
    rig.store.vacate_known_users(&vacated.map(|position| position as u64)).await.unwrap();
    vacated.iter().for_each(|&position| expected[position] = 0);
    rig.store.add_known_users(&[7]).await.unwrap();
    expected.push(7);
    assert_eq!(known_after(&rig, 0).await, expected, "all others keep their positions");
    assert_eq!(rig.store.generation().await.unwrap(), 0, "no snapshot has to be read again for it");
}

fn new_key(user_id: u32, name: &str) -> NewPublicKey {
    NewPublicKey { user_id, name: name.to_owned(), active: true, key: RsaKey::of_nobody(), now_ms: NOON_MS }
}

async fn names(rig: &Rig, user_id: Option<u32>) -> Vec<String> {
    let query = ListQuery { num_elements: 100, ..ListQuery::default() };
    let page = rig.store.public_keys(user_id, &query).await.unwrap();
    assert_eq!(page.count as usize, page.items.len());
    page.items.into_iter().map(|key| format!("{} {} {}", key.id, key.name, key.active)).collect()
}

const BOB: &str = r#"{"users": [{"username": "Bob", "password": "Correct-horse-1", "member_id": 2}]}"#;

pub(super) async fn public_keys_belong_to_logins(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    apply(&*rig.store, BOB).await;
    let (ann, bob) = (ann(&*rig.store).await, rig.store.login_by_name("bob").await.unwrap().unwrap());
    let [ann_id, bob_id] = [&ann, &bob].map(|login| login.login.user_id);
    let before = rig.store.generation().await.unwrap();
    let stored = rig.store.create_public_key(&new_key(ann_id, "one")).await.unwrap();
    assert_eq!(stored.generation, before + 1);
    assert_eq!((stored.value.id, stored.value.user_id, stored.value.created_at_ms), (1, ann_id, NOON_MS));
    rig.store.create_public_key(&new_key(bob_id, "one")).await.unwrap();
    let found = rig.store.public_key_of("ANN", "one").await.unwrap();
    assert_eq!(found, Some((ann.clone(), stored.value)));
    for (username, name) in [("ann", "ONE"), ("ann", "two"), ("nobody", "one"), ("", "")] {
        assert_eq!(rig.store.public_key_of(username, name).await.unwrap(), None);
    }

    let taken = rig.store.create_public_key(&new_key(ann_id, "one")).await.unwrap_err();
    assert!(matches!(&taken, CatalogError::Conflict { path, .. } if path == "name"), "{taken}");
    let nobody = rig.store.create_public_key(&new_key(99, "one")).await.unwrap_err();
    assert!(matches!(nobody, CatalogError::NotFound(_)));
    for n in 1..MAX_PUBLIC_KEYS {
        rig.store.create_public_key(&new_key(ann_id, &format!("n{n}"))).await.unwrap();
    }
    let over = rig.store.create_public_key(&new_key(ann_id, "over")).await.unwrap_err();
    assert!(matches!(over, CatalogError::Limit(_)));

    let after = rig.store.generation().await.unwrap();
    for ids in [[1, 2], [1, 99]] {
        // The second is another's, or nobody's.
        let error = rig.store.switch_public_keys(Some(ann_id), &ids, false).await.unwrap_err();
        assert!(matches!(error, CatalogError::NotFound(_)), "{error}");
        let error = rig.store.delete_public_keys(Some(ann_id), &ids).await.unwrap_err();
        assert!(matches!(error, CatalogError::NotFound(_)), "{error}");
    }
    assert_eq!(rig.store.generation().await.unwrap(), after);
    assert_eq!(names(&rig, Some(bob_id)).await, ["2 one true"]);
    let switched = rig.store.switch_public_keys(None, &[2], false).await.unwrap();
    assert_eq!((switched.value[0].active, switched.generation), (false, after + 1));
    assert_eq!(rig.store.public_key_of("bob", "one").await.unwrap(), None, "it is off");
    rig.store.delete_public_keys(None, &[1, 2]).await.unwrap();
    assert_eq!(names(&rig, None).await.len(), MAX_PUBLIC_KEYS - 1);
    let next = rig.store.create_public_key(&new_key(bob_id, "one")).await.unwrap();
    assert_eq!(next.value.id, 2 + MAX_PUBLIC_KEYS as u32, "an id is never used again");
}

pub(super) async fn a_key_that_goes_takes_its_tokens_along(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let ann = ann(&*rig.store).await;
    for name in ["one", "two"] {
        rig.store.create_public_key(&new_key(ann.login.user_id, name)).await.unwrap();
    }
    let by = |text: &str, public_key| NewToken { public_key, ..token(&ann, text) };
    for (text, key) in [("by one", Some(1)), ("by two", Some(2)), ("by password", None)] {
        rig.store.insert_token(&by(text, key)).await.unwrap();
    }
    let revoked = async || {
        let tokens = rig.store.load_tokens().await.unwrap();
        ["by one", "by two", "by password"]
            .map(|text| tokens.iter().find(|token| token.hash == TokenHash::of(text)).unwrap().revoked)
    };
    assert_eq!(revoked().await, [false; 3]);
    rig.store.switch_public_keys(None, &[1], false).await.unwrap();
    assert_eq!(revoked().await, [true, false, false]);
    rig.store.delete_public_keys(None, &[2]).await.unwrap();
    assert_eq!(revoked().await, [true, true, false]);
    for key in [1, 2, 3] {
        let late = rig.store.insert_token(&by("late", Some(key))).await.unwrap_err();
        assert!(matches!(late, CatalogError::Overtaken(_)), "{late}");
    }
}
