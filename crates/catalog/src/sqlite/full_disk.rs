//! A catalog whose disk fills up and gets room again.

use super::*;
use crate::{NewToken, TokenHash, TokenStore as _};
use ia_model::ManualClock;
use std::error::Error as _;
use tempfile::TempDir;

/// More than there are connections, each of which could be spoilt.
const ATTEMPTS: usize = 10;

const SMALL: &str = r#"{
    "members": [{"id": 1, "name": "Data"}],
    "users": [{"username": "ann", "password": "Correct-horse-1", "member_id": 1}]
}"#;

async fn catalog() -> (TempDir, SqliteCatalog) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let catalog = SqliteCatalog::open(&path, Arc::new(ManualClock::at(0))).await.unwrap();
    catalog.apply(&CatalogFile::parse(SMALL.as_bytes()).unwrap()).await.unwrap();
    (directory, catalog)
}

/// A file that does not fit into the free bytes of the pages there are.
fn many_segments() -> CatalogFile {
    let segments: Vec<String> = (1..=2000).map(|id| format!(r#"{{"id": {id}, "member_id": 1}}"#)).collect();
    let text = format!(r#"{{"segments": [{}]}}"#, segments.join(","));
    CatalogFile::parse(text.as_bytes()).unwrap()
}

#[track_caller]
fn assert_full(error: &CatalogError) {
    assert!(error.is_retryable(), "{error:?}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("full"), "{cause}");
}

#[tokio::test]
async fn logins_go_on_when_a_full_disk_has_room_again() {
    let (_directory, catalog) = catalog().await;
    let ann = catalog.login_by_name("ann").await.unwrap().unwrap();
    let token = |number: u16| {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&number.to_be_bytes());
        NewToken {
            hash: TokenHash(hash),
            user_id: ann.login.user_id,
            password_hash: ann.password_hash.clone(),
            public_key: None,
            issued_at_ms: 0,
        }
    };

    catalog.database.set_full(true).await;
    let (mut kept, mut refused) = (0, 0);
    // The pages have some free bytes left, so the first ones fit.
    for number in 0..2000 {
        match catalog.insert_token(&token(number)).await {
            Ok(_) => kept += 1,
            Err(error) => {
                assert_full(&error);
                refused += 1;
                if refused == ATTEMPTS {
                    break;
                }
            }
        }
    }
    assert_eq!(refused, ATTEMPTS);
    assert_eq!(catalog.load_tokens().await.unwrap().len(), kept, "reading goes on");

    catalog.database.set_full(false).await;
    for number in 5000..5020 {
        catalog.insert_token(&token(number)).await.unwrap();
    }
    assert_eq!(catalog.load_tokens().await.unwrap().len(), kept + 20);
}

#[tokio::test]
async fn a_change_is_applied_when_a_full_disk_has_room_again() {
    let (_directory, catalog) = catalog().await;
    let change = many_segments();
    catalog.database.set_full(true).await;
    let generation = catalog.generation().await.unwrap();
    for _ in 0..ATTEMPTS {
        assert_full(&catalog.apply(&change).await.unwrap_err());
    }
    assert_eq!(catalog.generation().await.unwrap(), generation);
    assert!(catalog.snapshot().await.unwrap().segment(SegmentId(1)).is_none(), "nothing of it was kept");

    catalog.database.set_full(false).await;
    for _ in 0..ATTEMPTS {
        catalog.apply(&change).await.unwrap();
    }
    assert_eq!(catalog.generation().await.unwrap(), generation + 1);
    assert!(catalog.snapshot().await.unwrap().segment(SegmentId(2000)).is_some());
}
