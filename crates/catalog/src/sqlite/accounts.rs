//! Members, logins and sharing, for the API's services.

use super::{SqliteCatalog, generation, high_waters, logins, members, segment_rows, sharing};
use crate::accounts::{
    AccountChange, AccountPlan, Accounts, LoginRecord, MemberRecord, SharingRecord, lists, plan_accounts,
};
use crate::listing::{ListQuery, Page};
use crate::state::State;
use crate::{BatchFiles, CatalogError, Changed, Delta, Login};
use async_trait::async_trait;
use ia_model::MemberId;
use sqlx::SqliteConnection;

#[async_trait]
impl Accounts for SqliteCatalog {
    async fn list_members(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let page = members::list(&mut transaction, &lists::members(by, query)).await;
        page.map_err(self.database.error("reading the members"))
    }

    async fn list_batch(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let page = members::list(&mut transaction, &lists::batch(by, query)).await;
        page.map_err(self.database.error("reading the members"))
    }

    async fn batch_files(&self, member: MemberId) -> Result<BatchFiles, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let read = members::batch_files(&mut transaction, member).await;
        read.map_err(self.database.error("reading the set-up of batch files"))
    }

    async fn list_logins(&self, by: &Login, query: &ListQuery) -> Result<Page<LoginRecord>, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let page = logins::list(&mut transaction, &lists::logins(by, query)).await;
        page.map_err(self.database.error("reading the logins"))
    }

    async fn list_sharing(&self, by: &Login, query: &ListQuery) -> Result<Page<SharingRecord>, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let page = sharing::list(&mut transaction, &lists::sharing(by, query)).await;
        page.map_err(self.database.error("reading what is shared"))
    }

    async fn change_accounts(
        &self,
        change: &AccountChange,
        by: &Login,
        now_ms: u64,
    ) -> Result<Changed<Vec<u32>>, CatalogError> {
        let read = self.database.error("reading the catalog");
        let mut transaction = self.database.begin_write().await?;
        let state = load_for(&mut transaction, change).await.map_err(&read)?;
        let plan = plan_accounts(&state, change, by)?;
        let generation = if plan.is_change() {
            let written = write_plan(&mut transaction, &state, &plan, now_ms).await;
            written.map_err(self.database.error("writing the catalog"))?;
            self.commit_change(transaction).await?
        } else {
            generation(&mut transaction).await.map_err(read)?
        };
        let delta = Delta::Accounts(plan.accounts_after(state));
        Ok(Changed { value: plan.ids, generation, delta })
    }
}

/// What the change is planned against: all accounts, and the segments that it names.
async fn load_for(connection: &mut SqliteConnection, change: &AccountChange) -> Result<State, sqlx::Error> {
    let mut state = State {
        members: members::load(connection).await?,
        logins: logins::load(connection).await?,
        sharing: sharing::load(connection).await?,
        ..State::default()
    };
    high_waters(connection, &mut state).await?;
    let edits: Vec<_> = match change {
        AccountChange::CreateSharing(edits) => edits.iter().collect(),
        AccountChange::EditSharing(edits) => edits.iter().map(|(_, edit)| edit).collect(),
        _ => Vec::new(),
    };
    let mut named: Vec<u32> =
        edits.into_iter().flat_map(|edit| edit.segments.iter().flatten().copied()).collect();
    named.sort_unstable();
    named.dedup();
    for ids in named.chunks(IDS_PER_STATEMENT) {
        let rows = segment_rows::load_some(connection, ids).await?;
        state.segments.extend(rows.into_iter().map(|row| (row.segment.id, row)));
    }
    Ok(state)
}

/// SQLite takes 32,766 values in a statement.
const IDS_PER_STATEMENT: usize = 10_000;

async fn write_plan(
    connection: &mut SqliteConnection,
    before: &State,
    plan: &AccountPlan,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    for row in &plan.members {
        members::write(connection, &row.member, now_ms).await?;
    }
    for row in &plan.members {
        let old = before.members.get(&row.member.id);
        if old.is_none_or(|old| old.segment_access != row.segment_access) {
            members::write_access(connection, row).await?;
        }
        if let Some(batch) = &row.batch
            && old.is_none_or(|old| old.batch.as_ref() != Some(batch))
        {
            members::write_batch(connection, row.member.id, batch, now_ms).await?;
        }
    }
    for row in &plan.logins {
        logins::write(connection, row, now_ms).await?;
    }
    logins::revoke_tokens(connection, &plan.revoked).await?;
    for &id in &plan.deleted_logins {
        logins::delete(connection, id).await?;
    }
    for &pair in &plan.deleted_sharing {
        sharing::delete(connection, pair).await?;
    }
    for (pair, row) in &plan.sharing {
        sharing::write(connection, *pair, row, now_ms).await?;
    }
    super::raise_high_water(connection, "login", plan.logins.iter().map(|row| row.id)).await?;
    super::raise_high_water(connection, "sharing", plan.sharing.iter().map(|(_, row)| row.id)).await
}

#[cfg(test)]
mod tests {
    use super::super::STEPS;
    use super::super::database::Database;
    use super::*;
    use crate::{Catalog as _, CatalogFile, UserType};
    use ia_model::ManualClock;
    use std::sync::Arc;

    const FILE: &str = r#"{
        "members": [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}, {"id": 3, "name": "C"}],
        "users": [{"username": "root", "password": "Correct-horse-1", "member_id": 1, "user_type": "admin"}],
        "sharing": [{"data_member_id": 2, "buyer_member_id": 3, "segment_exposure": "all"}]
    }"#;

    #[tokio::test]
    async fn sharing_of_an_older_file_gets_ids() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("catalog.sqlite");
        let old = Database::open(&path, &STEPS[..3]).await.unwrap();
        for sql in [
            "INSERT INTO members (id, name, state, use_external_uids) VALUES (1, 'A', 'active', FALSE), \
                 (2, 'B', 'active', FALSE), (3, 'C', 'active', FALSE)",
            "INSERT INTO sharing VALUES (2, 1, 'all'), (1, 3, 'list'), (1, 2, 'all')",
        ] {
            sqlx::query(sql).execute(old.pool()).await.unwrap();
        }
        old.close().await;

        let catalog = SqliteCatalog::open(&path, Arc::new(ManualClock::at(0))).await.unwrap();
        catalog.apply(&CatalogFile::parse(FILE.as_bytes()).unwrap()).await.unwrap();
        let root = catalog.login_by_name("root").await.unwrap().unwrap().login;
        assert_eq!(root.user_type, UserType::Admin);
        let query = ListQuery { num_elements: 100, ..ListQuery::default() };
        let page = catalog.list_sharing(&root, &query).await.unwrap();
        let found: Vec<_> =
            page.items.iter().map(|row| (row.id, row.data_member.0, row.buyer_member.0)).collect();
        assert_eq!(found, [(1, 1, 2), (2, 1, 3), (3, 2, 1), (4, 2, 3)], "and a new one the next");
    }
}
