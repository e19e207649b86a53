//! The life of a token.

use crate::rig::{self, HOUR_MS, MINUTE_MS, NOON_MS, Rig, SMALL, Store, ann, apply, open, place};
use async_trait::async_trait;
use ia_catalog::{
    CatalogError, Login, NewToken, StoredToken, TokenError, TokenHash, TokenStore, TokenSweep, Tokens,
    UserType,
};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

const SWITCH_OFF: &str = r#"{"users": [{"username": "ann", "member_id": 1, "state": "inactive"}]}"#;
const SWITCH_ON: &str = r#"{"users": [{"username": "ann", "member_id": 1, "state": "active"}]}"#;
const NEW_PASSWORD: &str =
    r#"{"users": [{"username": "ann", "member_id": 1, "password": "Battery-staple-2"}]}"#;

/// A store with the small catalog, and a table over it.
async fn table(rig: Rig) -> (Rig, Tokens) {
    apply(&*rig.store, SMALL).await;
    let tokens = reopened(&rig).await;
    (rig, tokens)
}

/// What a new process has.
async fn reopened(rig: &Rig) -> Tokens {
    let store: Arc<dyn TokenStore> = rig.store.clone();
    Tokens::load(store, "test").await.unwrap()
}

async fn issue(rig: &Rig, tokens: &Tokens) -> String {
    tokens.issue(&ann(&*rig.store).await, NOON_MS).await.unwrap()
}

#[tokio::test]
async fn a_token_has_its_form_and_stands_for_its_login() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let token = issue(&rig, &tokens).await;
        let parts: Vec<&str> = token.split(':').collect();
        assert_eq!((parts.len(), parts[0], parts[1], parts[3]), (4, "hbapi", "1", "test"));
        assert_eq!(parts[2].len(), 43, "32 bytes of base64");
        assert!(parts[2].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(tokens.check(&token, NOON_MS).unwrap(), ann(&*rig.store).await.login);
        assert!(seen.insert(token));
    }
    assert_eq!(tokens.known(), 20);
}

#[tokio::test]
async fn what_was_never_issued_is_unknown() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let token = issue(&rig, &tokens).await;
    let other_user = token.replace("hbapi:1:", "hbapi:2:");
    for wrong in ["", "hbapi", &other_user, &token[1..], &format!("{token} "), &token.to_uppercase()] {
        assert_eq!(tokens.check(wrong, NOON_MS), Err(TokenError::Unknown), "{wrong}");
    }
}

#[tokio::test]
async fn a_token_dies_two_hours_after_its_last_use() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let token = issue(&rig, &tokens).await;
    let last_moment = NOON_MS + 2 * HOUR_MS - 1;
    assert!(tokens.check(&token, last_moment).is_ok());
    let next_last_moment = last_moment + 2 * HOUR_MS - 1;
    assert!(tokens.check(&token, next_last_moment).is_ok(), "each use gives two hours more");
    assert_eq!(tokens.check(&token, next_last_moment + 2 * HOUR_MS), Err(TokenError::Expired));
    // A clock that was set back neither kills nor extends.
    assert!(tokens.check(&token, NOON_MS - HOUR_MS).is_ok());
    assert_eq!(tokens.check(&token, next_last_moment + 2 * HOUR_MS), Err(TokenError::Expired));
}

#[tokio::test]
async fn a_token_dies_a_day_after_it_was_issued() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let token = issue(&rig, &tokens).await;
    let end = NOON_MS + 24 * HOUR_MS;
    for now_ms in (NOON_MS..end).step_by(HOUR_MS as usize) {
        assert!(tokens.check(&token, now_ms).is_ok(), "{now_ms}");
    }
    assert!(tokens.check(&token, end - 1).is_ok());
    assert_eq!(tokens.check(&token, end), Err(TokenError::Expired));
}

#[tokio::test]
async fn tokens_and_their_last_use_survive_a_restart() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let (used, idle) = (issue(&rig, &tokens).await, issue(&rig, &tokens).await);
    let use_ms = NOON_MS + 100 * MINUTE_MS;
    tokens.check(&used, use_ms).unwrap();
    assert_eq!(tokens.flush_last_use(use_ms).await.unwrap(), TokenSweep { written: 1, purged: 0 });
    assert_eq!(tokens.flush_last_use(use_ms).await.unwrap(), TokenSweep::default(), "written once");

    let restarted = reopened(&rig).await;
    assert_eq!(restarted.check(&idle, NOON_MS + 2 * HOUR_MS), Err(TokenError::Expired));
    assert_eq!(restarted.check(&used, use_ms + 2 * HOUR_MS), Err(TokenError::Expired));
    assert!(restarted.check(&used, use_ms + 2 * HOUR_MS - 1).is_ok());
}

#[tokio::test]
async fn a_use_that_was_not_written_down_is_lost_towards_an_earlier_end() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let token = issue(&rig, &tokens).await;
    tokens.check(&token, NOON_MS + HOUR_MS).unwrap();
    drop(tokens);
    let restarted = reopened(&rig).await;
    assert!(restarted.check(&token, NOON_MS + 2 * HOUR_MS - 1).is_ok());
    assert_eq!(reopened(&rig).await.check(&token, NOON_MS + 2 * HOUR_MS), Err(TokenError::Expired));
}

#[tokio::test]
async fn a_reload_keeps_uses_that_are_not_written_down() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let token = issue(&rig, &tokens).await;
    let use_ms = NOON_MS + 100 * MINUTE_MS;
    tokens.check(&token, use_ms).unwrap();
    tokens.reload().await.unwrap();
    assert!(tokens.check(&token, use_ms + 2 * HOUR_MS - 1).is_ok());
    let sweep = tokens.flush_last_use(use_ms + 2 * HOUR_MS).await.unwrap();
    assert_eq!(sweep, TokenSweep { written: 1, purged: 0 }, "and they are still to be written");
}

#[tokio::test]
async fn expired_tokens_are_forgotten_everywhere() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let (dead, alive) = (issue(&rig, &tokens).await, issue(&rig, &tokens).await);
    tokens.check(&alive, NOON_MS + HOUR_MS).unwrap();
    let now_ms = NOON_MS + 2 * HOUR_MS;
    assert_eq!(tokens.flush_last_use(now_ms).await.unwrap(), TokenSweep { written: 1, purged: 1 });
    assert_eq!(tokens.known(), 1);
    assert_eq!(tokens.check(&dead, now_ms), Err(TokenError::Unknown));
    assert!(tokens.check(&alive, now_ms).is_ok());
    assert_eq!(rig.store.load_tokens().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_switched_off_login_is_told_so_and_its_tokens_stay_dead() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let token = issue(&rig, &tokens).await;
    apply(&*rig.store, SWITCH_OFF).await;
    tokens.reload().await.unwrap();
    assert_eq!(tokens.check(&token, NOON_MS), Err(TokenError::Disabled));
    apply(&*rig.store, SWITCH_ON).await;
    tokens.reload().await.unwrap();
    assert_eq!(tokens.check(&token, NOON_MS), Err(TokenError::Unknown));
    let new = issue(&rig, &tokens).await;
    assert!(tokens.check(&new, NOON_MS).is_ok());
}

#[tokio::test]
async fn another_connection_changes_and_revokes() {
    let (_directory, path) = place();
    let serving: Arc<dyn Store> = Arc::new(open(&path).await);
    apply(&*serving, SMALL).await;
    let rig = Rig { store: serving, _directory };
    let tokens = reopened(&rig).await;
    let token = issue(&rig, &tokens).await;

    let other = open(&path).await;
    let generation = rig.store.generation().await.unwrap();
    apply(&other, r#"{"users": [{"username": "ann", "member_id": 1, "user_type": "admin"}]}"#).await;
    assert!(rig.store.generation().await.unwrap() > generation, "the change is seen here");
    tokens.reload().await.unwrap();
    assert_eq!(tokens.check(&token, NOON_MS).unwrap().user_type, UserType::Admin);

    let generation = rig.store.generation().await.unwrap();
    apply(&other, NEW_PASSWORD).await;
    assert!(rig.store.generation().await.unwrap() > generation, "the change is seen here");
    tokens.reload().await.unwrap();
    assert_eq!(tokens.check(&token, NOON_MS), Err(TokenError::Unknown));
}

#[tokio::test]
async fn a_moved_login_needs_a_new_token() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let token = issue(&rig, &tokens).await;
    apply(&*rig.store, r#"{"users": [{"username": "ann", "member_id": 2}]}"#).await;
    tokens.reload().await.unwrap();
    assert_eq!(tokens.check(&token, NOON_MS), Err(TokenError::Unknown));
}

#[tokio::test]
async fn no_token_is_issued_for_an_old_password() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let before = ann(&*rig.store).await;
    apply(&*rig.store, NEW_PASSWORD).await;
    let error = tokens.issue(&before, NOON_MS).await.unwrap_err();
    assert!(matches!(error, CatalogError::Overtaken(_)), "{error}");
    assert_eq!(tokens.known(), 0);
}

#[tokio::test]
async fn a_token_stands_for_its_login_as_it_was_when_it_was_kept() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    apply(&*rig.store, r#"{"users": [{"username": "ann", "member_id": 1, "user_type": "admin"}]}"#).await;
    let admin = ann(&*rig.store).await;
    apply(&*rig.store, r#"{"users": [{"username": "ann", "member_id": 1, "user_type": "member"}]}"#).await;
    tokens.reload().await.unwrap();
    let token = tokens.issue(&admin, NOON_MS).await.unwrap();
    assert_eq!(tokens.check(&token, NOON_MS).unwrap().user_type, UserType::Member);
}

/// A store that, once it has read its tokens, gives them only when told to. All else it does at once.
struct Slow {
    login: Login,
    tokens: Mutex<Vec<StoredToken>>,
    has_read: Notify,
    may_answer: Notify,
}

#[async_trait]
impl TokenStore for Slow {
    async fn insert_token(&self, token: &NewToken) -> Result<Login, CatalogError> {
        let (hash, issued_at_ms, login) = (token.hash, token.issued_at_ms, self.login.clone());
        let last_use_ms = issued_at_ms;
        let stored = StoredToken { hash, issued_at_ms, last_use_ms, revoked: false, login, active: true };
        self.tokens.lock().unwrap().push(stored);
        Ok(self.login.clone())
    }
    async fn load_tokens(&self) -> Result<Vec<StoredToken>, CatalogError> {
        let read = self.tokens.lock().unwrap().clone();
        self.has_read.notify_one();
        self.may_answer.notified().await;
        Ok(read)
    }
    async fn write_last_use(&self, _: &[(TokenHash, u64)]) -> Result<(), CatalogError> {
        Ok(())
    }
    async fn delete_tokens(&self, _: &[TokenHash]) -> Result<(), CatalogError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reload_that_read_too_early_drops_no_token() {
    let (rig, _) = table(rig::sqlite().await).await;
    let login = ann(&*rig.store).await;
    let (has_read, may_answer) = (Notify::new(), Notify::new());
    may_answer.notify_one();
    let slow = Slow { login: login.login.clone(), tokens: Mutex::default(), has_read, may_answer };
    let slow = Arc::new(slow);
    let tokens = Arc::new(Tokens::load(slow.clone(), "test").await.unwrap());
    slow.has_read.notified().await;

    let reloading = tokio::spawn({
        let tokens = Arc::clone(&tokens);
        async move { tokens.reload().await }
    });
    slow.has_read.notified().await;
    let issuing = tokio::spawn({
        let tokens = Arc::clone(&tokens);
        async move { tokens.issue(&login, NOON_MS).await }
    });
    // On one thread each turn runs the other task as far as it gets: to the end, were nothing in its way.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    slow.may_answer.notify_one();
    reloading.await.unwrap().unwrap();
    let token = issuing.await.unwrap().unwrap();
    assert!(tokens.check(&token, NOON_MS).is_ok());
}

/// A store whose disk is full while `full` is set.
struct Failing {
    inner: Arc<dyn TokenStore>,
    full: AtomicBool,
}

impl Failing {
    fn gate(&self) -> Result<(), CatalogError> {
        if !self.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(CatalogError::Storage {
            path: "catalog.sqlite".into(),
            action: "writing",
            passing: true,
            source: "the disk is full".into(),
        })
    }
}

#[async_trait]
impl TokenStore for Failing {
    async fn insert_token(&self, token: &NewToken) -> Result<Login, CatalogError> {
        self.gate()?;
        self.inner.insert_token(token).await
    }
    async fn load_tokens(&self) -> Result<Vec<StoredToken>, CatalogError> {
        self.gate()?;
        self.inner.load_tokens().await
    }
    async fn write_last_use(&self, uses: &[(TokenHash, u64)]) -> Result<(), CatalogError> {
        self.gate()?;
        self.inner.write_last_use(uses).await
    }
    async fn delete_tokens(&self, tokens: &[TokenHash]) -> Result<(), CatalogError> {
        self.gate()?;
        self.inner.delete_tokens(tokens).await
    }
}

#[tokio::test]
async fn a_failing_store_loses_no_use_and_lets_no_undurable_token_in() {
    let (rig, tokens) = table(rig::sqlite().await).await;
    let used = issue(&rig, &tokens).await;
    let failing = Arc::new(Failing { inner: rig.store.clone(), full: AtomicBool::new(false) });
    let tokens = Tokens::load(failing.clone(), "test").await.unwrap();
    tokens.check(&used, NOON_MS + MINUTE_MS).unwrap();

    failing.full.store(true, Ordering::Relaxed);
    tokens.flush_last_use(NOON_MS + MINUTE_MS).await.unwrap_err();
    tokens.flush_last_use(NOON_MS + 3 * HOUR_MS).await.unwrap_err();
    tokens.issue(&ann(&*rig.store).await, NOON_MS).await.unwrap_err();
    tokens.reload().await.unwrap_err();
    assert_eq!(tokens.known(), 1);
    assert!(tokens.check(&used, NOON_MS + MINUTE_MS).is_ok(), "reading goes on");

    failing.full.store(false, Ordering::Relaxed);
    let sweep = tokens.flush_last_use(NOON_MS + MINUTE_MS).await.unwrap();
    assert_eq!(sweep, TokenSweep { written: 1, purged: 0 });
    assert_eq!(rig.store.load_tokens().await.unwrap()[0].last_use_ms, NOON_MS + MINUTE_MS);
}
