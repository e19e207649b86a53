//! Members, logins and sharing in SQLite, for the API's services.

use super::{SqliteCatalog, load, raise_generation, write};
use crate::accounts::{
    AccountChange, AccountPlan, Accounts, BatchFiles, LoginRecord, MemberRecord, SharingRecord, batch_page,
    login_page, member_page, plan_accounts, sharing_page,
};
use crate::listing::{ListQuery, Page};
use crate::state::State;
use crate::{CatalogError, Changed, Delta, Login};
use async_trait::async_trait;
use ia_model::{MemberId, SegmentId};
use sqlx::SqliteConnection;
use std::collections::{BTreeSet, HashMap};

#[async_trait]
impl Accounts for SqliteCatalog {
    async fn list_members(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let rows =
            load::members(&mut transaction).await.map_err(self.database.error("reading the members"))?;
        Ok(member_page(rows.values(), by, query))
    }

    async fn list_batch(&self, by: &Login, query: &ListQuery) -> Result<Page<MemberRecord>, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let rows =
            load::members(&mut transaction).await.map_err(self.database.error("reading the members"))?;
        Ok(batch_page(rows.values(), by, query))
    }

    async fn list_logins(&self, by: &Login, query: &ListQuery) -> Result<Page<LoginRecord>, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let rows = load::logins(&mut transaction).await.map_err(self.database.error("reading the logins"))?;
        Ok(login_page(rows.values(), by, query))
    }

    async fn list_sharing(&self, by: &Login, query: &ListQuery) -> Result<Page<SharingRecord>, CatalogError> {
        let failed = self.database.error("reading what is shared");
        let mut transaction = self.database.begin_read().await?;
        let rows = load::sharing(&mut transaction).await.map_err(&failed)?;
        let names: Vec<(u32, Option<String>)> = sqlx::query_as(
            "SELECT id, short_name FROM segments WHERE id IN (SELECT segment_id FROM shared_segments)",
        )
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let names: HashMap<SegmentId, Option<String>> =
            names.into_iter().map(|(id, name)| (SegmentId(id), name)).collect();
        Ok(sharing_page(&rows, |id| names.get(&id).cloned().flatten(), by, query))
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
        if plan.is_change() {
            write_plan(&mut transaction, &state, &plan, now_ms)
                .await
                .map_err(self.database.error("writing the catalog"))?;
        }
        let generation = load::generation(&mut transaction).await.map_err(read)?;
        self.database.commit(transaction).await?;
        if plan.is_change() {
            self.database.fold().await;
        }
        let delta = Delta::Accounts(plan.shown_after(state));
        Ok(Changed { value: plan.ids, generation, delta })
    }
}

/// What the change is planned against; of the segments those that it names.
async fn load_for(connection: &mut SqliteConnection, change: &AccountChange) -> Result<State, sqlx::Error> {
    let mut state = load::accounts(connection).await?;
    let edits: Vec<_> = match change {
        AccountChange::CreateSharing(edits) => edits.iter().collect(),
        AccountChange::EditSharing(edits) => edits.iter().map(|(_, edit)| edit).collect(),
        _ => Vec::new(),
    };
    let named: BTreeSet<u32> =
        edits.into_iter().flat_map(|edit| edit.segments.iter().flatten().copied()).collect();
    for id in named {
        if let Some(row) = load::segment(connection, SegmentId(id)).await? {
            state.segments.insert(row.segment.id, row);
        }
    }
    Ok(state)
}

async fn write_plan(
    connection: &mut SqliteConnection,
    before: &State,
    plan: &AccountPlan,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    for row in &plan.members {
        write::member(connection, row, now_ms).await?;
    }
    for row in &plan.members {
        let old = before.members.get(&row.member.id);
        if old.is_none_or(|old| old.segment_access != row.segment_access) {
            write::segment_access(connection, row).await?;
        }
        if let Some(batch) = &row.batch
            && old.is_none_or(|old| old.batch.as_ref() != Some(batch))
        {
            batch_files(connection, row.member.id, batch, now_ms).await?;
        }
    }
    for row in &plan.logins {
        write::login(connection, row, now_ms).await?;
    }
    write::revoke(connection, &plan.revoked).await?;
    for id in &plan.deleted_logins {
        // Its tokens go with it.
        sqlx::query("DELETE FROM users WHERE id = $1").bind(id).execute(&mut *connection).await?;
    }
    for (owner, viewer) in &plan.deleted_sharing {
        sqlx::query("DELETE FROM sharing WHERE data_member_id = $1 AND buyer_member_id = $2")
            .bind(owner.0)
            .bind(viewer.0)
            .execute(&mut *connection)
            .await?;
    }
    for ((owner, viewer), row) in &plan.sharing {
        write::sharing(connection, *owner, *viewer, row, now_ms).await?;
    }
    write::raise_high_water(connection, "login", plan.logins.iter().map(|row| row.id).max()).await?;
    let highest = plan.sharing.iter().map(|(_, row)| row.id).max();
    write::raise_high_water(connection, "sharing", highest).await?;
    raise_generation(connection).await
}

async fn batch_files(
    connection: &mut SqliteConnection,
    member: MemberId,
    files: &BatchFiles,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let limit = |value: Option<u64>| value.map(write::signed);
    let [one, two, three, four, five] = &files.separators;
    sqlx::query("DELETE FROM batch_files WHERE member_id = $1")
        .bind(member.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO batch_files (member_id, separator_1, separator_2, separator_3, separator_4, separator_5, \
             segment_fields, hourly_byte_limit, hourly_num_lines_limit, daily_byte_limit, daily_num_lines_limit, \
             max_concurrent_uploads, num_error_log_lines, num_invalid_before_error, last_modified) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(member.0)
    .bind(one)
    .bind(two)
    .bind(three)
    .bind(four)
    .bind(five)
    .bind(files.segment_fields.join(","))
    .bind(limit(files.hourly_byte_limit))
    .bind(limit(files.hourly_num_lines_limit))
    .bind(limit(files.daily_byte_limit))
    .bind(limit(files.daily_num_lines_limit))
    .bind(limit(files.max_concurrent_uploads))
    .bind(limit(files.num_error_log_lines))
    .bind(limit(files.num_invalid_before_error))
    .bind(write::signed(now_ms))
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::STEPS;
    use super::*;
    use crate::database::Database;
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
