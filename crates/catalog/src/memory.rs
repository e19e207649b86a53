//! The reference implementation: what every store must do, with nothing that can go wrong.

use crate::accounts::{
    AccountChange, Accounts, LoginRecord, MemberRecord, SharingRecord, batch_page, login_page, member_page,
    plan_accounts, sharing_page,
};
use crate::apply::{SettledPasswords, plan};
use crate::listing::{ListQuery, Page, plain};
use crate::public_key::check_new;
use crate::state::{LoginRow, SharingRow, State, login_key};
use crate::suppression::{SuppressedLink, SuppressedUser, SuppressionKey, SuppressionStore, new_key};
use crate::{
    ApplyReport, Catalog, CatalogError, CatalogFile, Changed, Delta, KnownUserStore, Login, NewPublicKey,
    NewToken, PUBLIC_KEY, PublicKey, PublicKeyStore, Snapshot, StoredLogin, StoredToken, TokenHash,
    TokenStore,
};
use async_trait::async_trait;
use ia_model::SegmentId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A catalog that is gone with its process: for tests, and the measure for other stores.
#[derive(Default)]
pub struct MemoryCatalog {
    inner: Mutex<Inner>,
}

#[derive(Clone, Default)]
pub(crate) struct Inner {
    pub(crate) generation: u64,
    pub(crate) state: State,
    tokens: HashMap<TokenHash, Token>,
    suppression_key: Option<SuppressionKey>,
    suppressed: BTreeSet<SuppressedUser>,
    suppressed_links: BTreeSet<SuppressedLink>,
    known_user_key: Option<[u8; 32]>,
    known_users: Vec<u64>,
    public_keys: BTreeMap<u32, PublicKey>,
    public_key_high_water: u32,
}

#[derive(Clone)]
struct Token {
    user_id: u32,
    issued_at_ms: u64,
    last_use_ms: u64,
    revoked: bool,
    public_key: Option<u32>,
}

impl Inner {
    fn login(&self, key: &str) -> Option<StoredLogin> {
        let row = self.state.logins.get(key)?;
        let member = self.state.members.get(&row.member)?;
        let login = Login {
            user_id: row.id,
            username: row.username.as_str().into(),
            member: row.member,
            user_type: row.user_type,
            read_only: row.read_only,
        };
        let active = row.active && member.member.active;
        Some(StoredLogin { login, active, password_hash: row.password_hash.clone() })
    }

    fn login_by_id(&self, user_id: u32) -> Option<StoredLogin> {
        let (key, _) = self.state.logins.iter().find(|(_, row)| row.id == user_id)?;
        self.login(key)
    }
}

impl MemoryCatalog {
    /// An empty catalog.
    pub fn new() -> MemoryCatalog {
        MemoryCatalog::default()
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn snapshot(&self) -> Result<Snapshot, CatalogError> {
        let Inner { generation, state, .. } = self.inner().clone();
        Ok(Snapshot::build(generation, state))
    }

    async fn generation(&self) -> Result<u64, CatalogError> {
        Ok(self.inner().generation)
    }

    async fn apply(&self, file: &CatalogFile) -> Result<ApplyReport, CatalogError> {
        let logins = self.inner().state.logins.clone();
        let stored = logins.into_iter().map(|(key, row)| (key, row.password_hash)).collect();
        let passwords = SettledPasswords::settle(file.passwords(), &stored)?;

        let inner = &mut *self.inner();
        let plan = plan(&inner.state, file, &passwords)?;
        if !plan.report.is_change() {
            return Ok(plan.report);
        }
        let state = &mut inner.state;
        state.members.extend(plan.members.into_iter().map(|row| (row.member.id, row)));
        for row in plan.logins {
            state.login_high_water = state.login_high_water.max(row.id);
            state.logins.insert(login_key(&row.username), row);
        }
        state.segments.extend(plan.segments.into_iter().map(|row| (row.segment.id, row)));
        for (pair, row) in plan.sharing {
            state.sharing_high_water = state.sharing_high_water.max(row.id);
            state.sharing.insert(pair, row);
        }
        for token in inner.tokens.values_mut() {
            token.revoked |= plan.revoked.contains(&token.user_id);
        }
        inner.generation += 1;
        Ok(plan.report)
    }

    async fn delete_segment(&self, id: SegmentId) -> Result<(), CatalogError> {
        let inner = &mut *self.inner();
        if inner.state.segments.get(&id).is_none_or(|row| row.deleted) {
            return Err(CatalogError::NotFound(format!("segment {id}")));
        }
        inner.state.delete_segment(id, 0);
        inner.generation += 1;
        Ok(())
    }

    async fn login_by_name(&self, username: &str) -> Result<Option<StoredLogin>, CatalogError> {
        Ok(self.inner().login(&login_key(username)))
    }
}

#[async_trait]
impl Accounts for MemoryCatalog {
    async fn list_members(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError> {
        Ok(member_page(self.inner().state.members.values(), by, query))
    }

    async fn list_batch(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError> {
        Ok(batch_page(self.inner().state.members.values(), by, query))
    }

    async fn list_logins(&self, by: &Login, query: &ListQuery) -> Result<Page<LoginRecord>, CatalogError> {
        Ok(login_page(self.inner().state.logins.values(), by, query))
    }

    async fn list_sharing(&self, by: &Login, query: &ListQuery) -> Result<Page<SharingRecord>, CatalogError> {
        let inner = self.inner();
        let name_of = |id| inner.state.segments.get(&id).and_then(|row| row.short_name.clone());
        Ok(sharing_page(&inner.state.sharing, name_of, by, query))
    }

    async fn change_accounts(
        &self,
        change: &AccountChange,
        by: &Login,
        now_ms: u64,
    ) -> Result<Changed<Vec<u32>>, CatalogError> {
        let inner = &mut *self.inner();
        let plan = plan_accounts(&inner.state, change, by)?;
        let delta = Delta::Accounts(plan.shown_after(inner.state.clone()));
        if !plan.is_change() {
            return Ok(Changed { value: plan.ids, generation: inner.generation, delta });
        }
        let state = &mut inner.state;
        for mut row in plan.members {
            row.last_modified_ms = Some(now_ms);
            let old = state.members.get(&row.member.id).and_then(|old| old.batch.as_ref());
            if let Some(batch) = &mut row.batch
                && old != Some(batch)
            {
                batch.last_modified_ms = now_ms;
            }
            state.members.insert(row.member.id, row);
        }
        let is_new = |id| plan.logins.iter().any(|row| row.id == id);
        state.logins.retain(|_, row| !is_new(row.id) && !plan.deleted_logins.contains(&row.id));
        for row in plan.logins {
            state.login_high_water = state.login_high_water.max(row.id);
            let key = login_key(&row.username);
            state.logins.insert(key, LoginRow { last_modified_ms: Some(now_ms), ..row });
        }
        state.sharing.retain(|pair, _| !plan.deleted_sharing.contains(pair));
        for (pair, row) in plan.sharing {
            state.sharing_high_water = state.sharing_high_water.max(row.id);
            state.sharing.insert(pair, SharingRow { last_modified_ms: Some(now_ms), ..row });
        }
        inner.tokens.retain(|_, token| !plan.deleted_logins.contains(&token.user_id));
        inner.public_keys.retain(|_, key| !plan.deleted_logins.contains(&key.user_id));
        for token in inner.tokens.values_mut() {
            token.revoked |= plan.revoked.contains(&token.user_id);
        }
        inner.generation += 1;
        Ok(Changed { value: plan.ids, generation: inner.generation, delta })
    }
}

#[async_trait]
impl TokenStore for MemoryCatalog {
    async fn insert_token(&self, token: &NewToken) -> Result<Login, CatalogError> {
        let inner = &mut *self.inner();
        let login = inner
            .login_by_id(token.user_id)
            .filter(|login| login.active && login.password_hash == token.password_hash)
            .filter(|_| {
                token.public_key.is_none_or(|id| inner.public_keys.get(&id).is_some_and(|key| key.active))
            })
            .ok_or_else(|| CatalogError::Overtaken("the login".to_owned()))?;
        let kept = Token {
            user_id: token.user_id,
            issued_at_ms: token.issued_at_ms,
            last_use_ms: token.issued_at_ms,
            revoked: false,
            public_key: token.public_key,
        };
        inner.tokens.insert(token.hash, kept);
        Ok(login.login)
    }

    async fn load_tokens(&self) -> Result<Vec<StoredToken>, CatalogError> {
        let inner = self.inner();
        let stored = inner.tokens.iter().filter_map(|(&hash, token)| {
            let StoredLogin { login, active, .. } = inner.login_by_id(token.user_id)?;
            let Token { issued_at_ms, last_use_ms, revoked, .. } = *token;
            Some(StoredToken { hash, issued_at_ms, last_use_ms, revoked, login, active })
        });
        Ok(stored.collect())
    }

    async fn write_last_use(&self, uses: &[(TokenHash, u64)]) -> Result<(), CatalogError> {
        let mut inner = self.inner();
        for (hash, last_use_ms) in uses {
            if let Some(token) = inner.tokens.get_mut(hash) {
                token.last_use_ms = token.last_use_ms.max(*last_use_ms);
            }
        }
        Ok(())
    }

    async fn delete_tokens(&self, tokens: &[TokenHash]) -> Result<(), CatalogError> {
        let mut inner = self.inner();
        for hash in tokens {
            inner.tokens.remove(hash);
        }
        Ok(())
    }
}

#[async_trait]
impl SuppressionStore for MemoryCatalog {
    async fn suppression_key(&self) -> Result<SuppressionKey, CatalogError> {
        let mut inner = self.inner();
        let key = inner.suppression_key.map_or_else(new_key, Ok)?;
        inner.suppression_key = Some(key);
        Ok(key)
    }

    async fn suppressed_users(&self) -> Result<Vec<SuppressedUser>, CatalogError> {
        Ok(self.inner().suppressed.iter().copied().collect())
    }

    async fn suppressed_links(&self) -> Result<Vec<SuppressedLink>, CatalogError> {
        Ok(self.inner().suppressed_links.iter().copied().collect())
    }

    async fn suppress(&self, users: &[SuppressedUser], links: &[SuppressedLink]) -> Result<(), CatalogError> {
        let mut inner = self.inner();
        inner.suppressed.extend(users);
        inner.suppressed_links.extend(links);
        Ok(())
    }

    async fn lift_suppression(&self, users: &[SuppressedUser]) -> Result<(), CatalogError> {
        let mut inner = self.inner();
        inner.suppressed.retain(|user| !users.contains(user));
        inner.suppressed_links.retain(|link| !users.contains(&link.of));
        Ok(())
    }
}

#[async_trait]
impl KnownUserStore for MemoryCatalog {
    async fn known_user_key(&self) -> Result<[u8; 32], CatalogError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(CatalogError::secret)?;
        Ok(*self.inner().known_user_key.get_or_insert(key))
    }

    async fn known_users_after(&self, position: u64) -> Result<Vec<u64>, CatalogError> {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        Ok(self.inner().known_users.get(position..).unwrap_or_default().to_vec())
    }

    async fn add_known_users(&self, hashes: &[u64]) -> Result<(), CatalogError> {
        self.inner().known_users.extend_from_slice(hashes);
        Ok(())
    }
}

impl Inner {
    fn raise<T>(&mut self, value: T) -> Changed<T> {
        self.generation += 1;
        Changed { value, generation: self.generation, delta: Delta::Logins }
    }

    /// Fails unless all keys are there, and the owner's where there is one.
    fn check_keys(&self, owner: Option<u32>, ids: &[u32]) -> Result<(), CatalogError> {
        let is_there =
            |id| self.public_keys.get(id).is_some_and(|key| owner.is_none_or(|owner| key.user_id == owner));
        match ids.iter().find(|id| !is_there(id)) {
            Some(id) => Err(CatalogError::NotFound(format!("public key {id}"))),
            None => Ok(()),
        }
    }

    fn revoke_tokens_of(&mut self, ids: &[u32]) {
        for token in self.tokens.values_mut() {
            token.revoked |= token.public_key.is_some_and(|id| ids.contains(&id));
        }
    }
}

#[async_trait]
impl PublicKeyStore for MemoryCatalog {
    async fn public_keys(
        &self,
        user_id: Option<u32>,
        query: &ListQuery,
    ) -> Result<Page<PublicKey>, CatalogError> {
        let inner = self.inner();
        let keys = inner.public_keys.values().filter(|key| user_id.is_none_or(|id| key.user_id == id));
        Ok(plain::page(&PUBLIC_KEY, keys.cloned(), query, PublicKey::value))
    }

    async fn public_key_of(
        &self,
        username: &str,
        name: &str,
    ) -> Result<Option<(StoredLogin, PublicKey)>, CatalogError> {
        let inner = self.inner();
        let Some(login) = inner.login(&login_key(username)) else { return Ok(None) };
        let mut keys = inner.public_keys.values();
        let key = keys.find(|key| key.user_id == login.login.user_id && key.name == name && key.active);
        Ok(key.map(|key| (login, key.clone())))
    }

    async fn create_public_key(&self, new: &NewPublicKey) -> Result<Changed<PublicKey>, CatalogError> {
        let inner = &mut *self.inner();
        if inner.login_by_id(new.user_id).is_none() {
            return Err(CatalogError::NotFound(format!("user {}", new.user_id)));
        }
        let own = inner.public_keys.values().filter(|key| key.user_id == new.user_id);
        check_new(new, &own.map(|key| key.name.clone()).collect::<Vec<_>>())?;
        inner.public_key_high_water += 1;
        let key = new.stored(inner.public_key_high_water);
        inner.public_keys.insert(key.id, key.clone());
        Ok(inner.raise(key))
    }

    async fn switch_public_keys(
        &self,
        owner: Option<u32>,
        ids: &[u32],
        active: bool,
    ) -> Result<Changed<Vec<PublicKey>>, CatalogError> {
        let inner = &mut *self.inner();
        inner.check_keys(owner, ids)?;
        let mut changed = Vec::new();
        for key in inner.public_keys.values_mut().filter(|key| ids.contains(&key.id)) {
            key.active = active;
            changed.push(key.clone());
        }
        if !active {
            inner.revoke_tokens_of(ids);
        }
        Ok(inner.raise(changed))
    }

    async fn delete_public_keys(&self, owner: Option<u32>, ids: &[u32]) -> Result<Changed<()>, CatalogError> {
        let inner = &mut *self.inner();
        inner.check_keys(owner, ids)?;
        inner.public_keys.retain(|id, _| !ids.contains(id));
        inner.revoke_tokens_of(ids);
        Ok(inner.raise(()))
    }
}

impl fmt::Debug for MemoryCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryCatalog")
    }
}
