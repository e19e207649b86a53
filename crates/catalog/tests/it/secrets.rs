//! Passwords, hashes and tokens stay out of everything that may be printed.

use crate::rig::{NOON_MS, PASSWORD, SMALL, ann, apply, file, open, place};
use ia_catalog::{CatalogFile, TokenHash, Tokens};
use std::error::Error as _;
use std::sync::Arc;

#[tokio::test]
async fn debug_shows_no_secret() {
    let (_directory, path) = place();
    let store = Arc::new(open(&path).await);
    apply(&*store, SMALL).await;
    let login = ann(&*store).await;
    let tokens = Tokens::load(store.clone(), "test").await.unwrap();
    let token = tokens.issue(&login, NOON_MS).await.unwrap();
    let stored = ia_catalog::TokenStore::load_tokens(&*store).await.unwrap();

    let shown = format!("{:?} {login:?} {tokens:?} {store:?} {stored:?}", file(SMALL));
    let secret = token.split(':').nth(2).unwrap();
    assert!(shown.contains("Ann"), "something is shown at all");
    for hidden in [PASSWORD, "$argon2id$", secret] {
        assert!(!shown.contains(hidden), "{hidden} is in {shown}");
    }
    let hash = format!("{:?}", TokenHash::of(&token));
    assert_eq!(hash, "TokenHash(…)");
}

#[test]
fn a_fault_of_a_file_quotes_no_password() {
    let secrets =
        ["\"Sw0rdfish\"", "8675309", "-8675309", "86.75309", "[\"Sw0rdfish\"]", "{\"Sw0rdfish\": 1}"];
    for secret in secrets {
        let text = format!(r#"{{"users": [{{"username": "a", "member_id": 1, "password": {secret}}}]}}"#);
        let error = CatalogFile::parse(text.as_bytes()).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.source());
        assert_eq!(error.path, "users[0].password");
        assert!(
            !shown.contains("Sw0rdfish") && !shown.contains("8675309") && !shown.contains("75309"),
            "{shown}"
        );
    }
}

#[test]
fn a_fault_of_a_login_quotes_no_value_whatever_the_field() {
    for field in ["member_id", "user_type", "state", "read_only", "username"] {
        for value in
            [r#""Sw0rdfish, expected `x`""#, r#"["Sw0rdfish"]"#, r#"{"a": "Sw0rdfish"}"#, "8675309.5"]
        {
            let text = format!(r#"{{"users": [{{"{field}": {value}}}]}}"#);
            let error = CatalogFile::parse(text.as_bytes()).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("Sw0rdfish") && !shown.contains("8675309"), "{field}: {shown}");
            assert!(error.path.starts_with("users[0]") && error.reason.len() > 10, "{shown}");
        }
    }
    let text = r#"{"users": [{"username": "a", "member_id": "Sw0rdfish"}]}"#;
    let reason = CatalogFile::parse(text.as_bytes()).unwrap_err().reason;
    assert_eq!(reason, "an integer from 0 to 4294967295 is needed");
    let text = r#"{"users": [{"username": 8675309}]}"#;
    let reason = CatalogFile::parse(text.as_bytes()).unwrap_err().reason;
    assert_eq!(reason, "invalid type: integer, expected a string");
}

#[tokio::test]
async fn the_file_holds_neither_passwords_nor_tokens() {
    let (directory, path) = place();
    let store = Arc::new(open(&path).await);
    apply(&*store, SMALL).await;
    let tokens = Tokens::load(store.clone(), "test").await.unwrap();
    let token = tokens.issue(&ann(&*store).await, NOON_MS).await.unwrap();
    let secret = token.split(':').nth(2).unwrap();
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("Ann"), "the bytes are those of the catalog");
    assert!(!holds(PASSWORD) && !holds(secret));
}
