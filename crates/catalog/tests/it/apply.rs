//! Applying files: passwords, and two processes at once.

use crate::rig::{self, OTHER_PASSWORD, PASSWORD, SMALL, ann, apply, file, open, place, shown};
use ia_catalog::{Catalog as _, CatalogFile, CredentialError, check_credentials};
use std::fmt::Write as _;

#[tokio::test]
async fn a_password_is_hashed_anew_only_when_it_is_another() {
    let rig = rig::sqlite().await;
    apply(&*rig.store, SMALL).await;
    let first = ann(&*rig.store).await.password_hash;
    let changed = SMALL.replace(PASSWORD, OTHER_PASSWORD);
    let report = apply(&*rig.store, &changed).await;
    assert_eq!((report.users.changed, report.users.unchanged), (1, 0));
    let second = ann(&*rig.store).await.password_hash;
    assert_ne!(first, second);
    assert!(second.verify(OTHER_PASSWORD) && !second.verify(PASSWORD));
    assert!(!apply(&*rig.store, &changed).await.is_change());
    assert_eq!(ann(&*rig.store).await.password_hash, second);
}

#[tokio::test]
async fn a_name_and_a_password_let_in_or_say_nothing() {
    let rig = rig::sqlite().await;
    apply(&*rig.store, SMALL).await;
    let find = async |name: &str| rig.store.login_by_name(name).await.unwrap();
    assert_eq!(check_credentials(find("ann").await, PASSWORD).unwrap(), ann(&*rig.store).await);
    assert_eq!(check_credentials(find("ann").await, OTHER_PASSWORD), Err(CredentialError::NoMatch));
    assert_eq!(check_credentials(find("nobody").await, PASSWORD), Err(CredentialError::NoMatch));
    assert_eq!(CredentialError::NoMatch.to_string(), "No match found for user/pass");

    apply(&*rig.store, r#"{"users": [{"username": "ann", "member_id": 1, "state": "inactive"}]}"#).await;
    assert_eq!(check_credentials(find("ann").await, PASSWORD), Err(CredentialError::Disabled));
    assert_eq!(check_credentials(find("ann").await, OTHER_PASSWORD), Err(CredentialError::NoMatch));
}

/// `count` segments of member 1 from id `first`, all with `code` as the start of their code.
fn many_segments(first: u32, count: u32, code: &str) -> CatalogFile {
    let mut text = String::from(r#"{"members": [{"id": 1, "name": "Data"}], "segments": ["#);
    for id in first..first + count {
        let comma = if id == first { "" } else { "," };
        write!(text, r#"{comma}{{"id": {id}, "member_id": 1, "code": "{code}-{id}"}}"#).unwrap();
    }
    text.push_str("]}");
    file(&text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_apply_at_once() {
    let (_directory, path) = place();
    let (one, other) = (open(&path).await, open(&path).await);
    let rounds = 10;
    let from_one = tokio::spawn(async move {
        for round in 0..rounds {
            one.apply(&many_segments(1 + round * 100, 100, "one")).await.unwrap();
        }
        one
    });
    let from_other = tokio::spawn(async move {
        for round in 0..rounds {
            other.apply(&many_segments(5001 + round * 100, 100, "other")).await.unwrap();
        }
    });
    let one = from_one.await.unwrap();
    from_other.await.unwrap();

    let snapshot = one.snapshot().await.unwrap();
    assert_eq!(snapshot.segments().len(), 2000);
    // Each call changed something, so each is seen.
    assert_eq!(snapshot.generation(), 2 * u64::from(rounds));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_set_one_password_at_once() {
    let (_directory, path) = place();
    let (one, other) = (open(&path).await, open(&path).await);
    let (first, second) = (file(SMALL), file(&SMALL.replace(PASSWORD, OTHER_PASSWORD)));
    let (from_one, from_other) = tokio::join!(one.apply(&first), other.apply(&second));
    let (from_one, from_other) = (from_one.unwrap(), from_other.unwrap());
    assert_eq!(from_one.users.created + from_other.users.created, 1);
    assert_eq!(from_one.users.changed + from_other.users.changed, 1);
    // The later one holds, and the file that set it finds nothing to do.
    let last = if from_one.users.changed == 1 { &first } else { &second };
    assert!(!one.apply(last).await.unwrap().is_change());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_all_of_a_change_or_nothing() {
    let (_directory, path) = place();
    let (writer, reader) = (open(&path).await, open(&path).await);
    writer.apply(&many_segments(1, 300, "a")).await.unwrap();
    let writing = tokio::spawn(async move {
        for round in 0..10 {
            let code = if round % 2 == 0 { "b" } else { "a" };
            writer.apply(&many_segments(1, 300, code)).await.unwrap();
        }
    });
    let mut seen = 0;
    while !writing.is_finished() || seen == 0 {
        let snapshot = reader.snapshot().await.unwrap();
        let first = snapshot.segments()[0].code.as_ref().unwrap().as_bytes()[0];
        let of_one_kind =
            |segment: &&ia_catalog::Segment| segment.code.as_ref().unwrap().as_bytes()[0] == first;
        assert_eq!(snapshot.segments().len(), 300);
        assert!(snapshot.segments().iter().all(of_one_kind));
        assert_eq!(first, if snapshot.generation() % 2 == 1 { b'a' } else { b'b' });
        seen += 1;
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn a_change_outlives_its_process() {
    let (_directory, path) = place();
    let store = open(&path).await;
    apply(&store, SMALL).await;
    let before = shown(&store).await;
    // Not closed: as a killed process leaves it.
    let copy = path.with_file_name("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(path.with_file_name("catalog.db-wal"), copy.with_file_name("copy.db-wal")).unwrap();
    assert_eq!(shown(&open(&copy).await).await, before);

    store.close().await;
    assert_eq!(shown(&open(&path).await).await, before);
}
