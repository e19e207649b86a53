//! The catalog and the statistics in SQLite.

mod accounts;
mod database;
mod file_jobs;
#[cfg(test)]
mod full_disk;
mod known_users;
mod logins;
mod members;
#[cfg(test)]
mod planned;
mod public_keys;
mod segment_rows;
mod segments;
mod sharing;
mod statement;
mod suppression;
mod tokens;
mod usage;

pub use usage::SqliteUsage;

use self::database::{Database, Step};
use self::statement::{Numbers as _, malformed};
use crate::apply::{Plan, SettledPasswords, plan};
use crate::state::State;
use crate::{ApplyReport, Catalog, CatalogError, CatalogFile, Snapshot, StoredLogin};
use async_trait::async_trait;
use ia_model::{Clock, SegmentId};
use sqlx::{Row as _, Sqlite, SqliteConnection, Transaction};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

const STEPS: &[Step] = &[
    ("catalog", include_str!("../../migrations/catalog/0001_catalog.sql")),
    ("every value twice", include_str!("../../migrations/catalog/0002_every_value_twice.sql")),
    ("services", include_str!("../../migrations/catalog/0003_services.sql")),
    ("accounts", include_str!("../../migrations/catalog/0004_accounts.sql")),
    ("suppression", include_str!("../../migrations/catalog/0006_suppression.sql")),
    ("known users", include_str!("../../migrations/catalog/0007_known_users.sql")),
    ("public keys", include_str!("../../migrations/catalog/0008_public_keys.sql")),
    ("search", include_str!("../../migrations/catalog/0009_search.sql")),
    ("suppressed links", include_str!("../../migrations/catalog/0010_suppressed_links.sql")),
    ("redirect hosts", include_str!("../../migrations/catalog/0011_redirect_hosts.sql")),
];

/// The catalog in a SQLite file. Several processes may have it open at once.
///
/// Every change is on stable storage when its call returns.
#[derive(Clone)]
pub struct SqliteCatalog {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl SqliteCatalog {
    /// Opens the file, creates it (mode 0600) if there is none, and brings its tables up to date.
    ///
    /// Fails with `Damaged` or `UnknownSchema`, naming the file, when it cannot be used. `clock` dates
    /// the changes of segments.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteCatalog, CatalogError> {
        let database = Database::open(path, STEPS).await?;
        database.check().await?;
        Ok(SqliteCatalog { database, clock })
    }

    /// Copies the catalog in `from` into the new file `to`, also while other processes use it. The caller
    /// makes the copy durable.
    pub async fn copy(from: &Path, to: &Path) -> Result<(), CatalogError> {
        Database::copy(from, to).await
    }

    /// The highest id that a segment ever had: a new one that gets its id from the service must be above.
    /// 0 when there never was any.
    pub async fn highest_segment_id(&self) -> Result<u32, CatalogError> {
        let failed = self.database.error("reading the highest segment id");
        let row = sqlx::query("SELECT id FROM id_high_water WHERE kind = 'segment'")
            .fetch_one(self.database.pool())
            .await
            .map_err(&failed)?;
        row.u32("id").map_err(failed)
    }

    /// Closes the file. Other clones of this catalog are closed with it.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Raises the generation, so that other processes read again, and commits. Returns the new generation. For every
    /// transaction that changes the content of a snapshot or of the table of tokens.
    async fn commit_change(
        &self,
        mut transaction: Transaction<'static, Sqlite>,
    ) -> Result<u64, CatalogError> {
        let raised = sqlx::query_scalar("UPDATE generation SET value = value + 1 RETURNING value")
            .fetch_one(&mut *transaction)
            .await;
        let generation: i64 = raised.map_err(self.database.error("raising the generation"))?;
        self.database.commit(transaction).await?;
        self.database.fold().await;
        Ok(generation.unsigned_abs())
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn snapshot(&self) -> Result<Snapshot, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let read = async {
            let generation = generation(&mut transaction).await?;
            Ok::<_, sqlx::Error>((generation, load_without_logins(&mut transaction, false).await?))
        };
        let (generation, state) = read.await.map_err(self.database.error("reading the catalog"))?;
        drop(transaction);
        Ok(state.into_snapshot(generation))
    }

    async fn generation(&self) -> Result<u64, CatalogError> {
        let failed = self.database.error("reading the generation");
        let mut connection = self.database.pool().acquire().await.map_err(&failed)?;
        generation(&mut connection).await.map_err(failed)
    }

    async fn apply(&self, file: &CatalogFile) -> Result<ApplyReport, CatalogError> {
        let stored = logins::password_hashes(&self.database).await?;
        let wanted = file.passwords();
        let passwords = tokio::task::spawn_blocking(move || SettledPasswords::settle(wanted, &stored))
            .await
            .map_err(CatalogError::secret)??;

        let mut transaction = self.database.begin_write().await?;
        let state = load(&mut transaction).await.map_err(self.database.error("reading the catalog"))?;
        let plan = plan(&state, file, &passwords)?;
        if plan.report.is_change() {
            let written = write_plan(&mut transaction, &plan, self.clock.now_ms()).await;
            written.map_err(self.database.error("writing the catalog"))?;
            self.commit_change(transaction).await?;
        }
        Ok(plan.report)
    }

    async fn delete_segment(&self, id: SegmentId) -> Result<(), CatalogError> {
        let mut transaction = self.database.begin_write().await?;
        let deleted = segment_rows::delete(&mut transaction, id, self.clock.now_ms())
            .await
            .map_err(self.database.error("deleting a segment"))?;
        if !deleted {
            return Err(CatalogError::NotFound(format!("segment {id}")));
        }
        self.commit_change(transaction).await.map(drop)
    }

    async fn login_by_name(&self, username: &str) -> Result<Option<StoredLogin>, CatalogError> {
        let failed = self.database.error("reading a login");
        let mut connection = self.database.pool().acquire().await.map_err(&failed)?;
        logins::by_name(&mut connection, username).await.map_err(failed)
    }
}

async fn generation(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let value: i64 = sqlx::query_scalar("SELECT value FROM generation").fetch_one(connection).await?;
    u64::try_from(value).map_err(malformed)
}

/// All rows but the logins: the content of a snapshot.
async fn load_without_logins(
    connection: &mut SqliteConnection,
    with_deleted_segments: bool,
) -> Result<State, sqlx::Error> {
    let mut state = State { members: members::load(connection).await?, ..State::default() };
    for row in segment_rows::load(connection, with_deleted_segments).await? {
        let row = row?;
        state.segments.insert(row.segment.id, row);
    }
    state.sharing = sharing::load(connection).await?;
    Ok(state)
}

/// All that a catalog file is planned against.
async fn load(connection: &mut SqliteConnection) -> Result<State, sqlx::Error> {
    let mut state = load_without_logins(connection, true).await?;
    state.logins = logins::load(connection).await?;
    high_waters(connection, &mut state).await?;
    Ok(state)
}

async fn high_waters(connection: &mut SqliteConnection, state: &mut State) -> Result<(), sqlx::Error> {
    for row in sqlx::query("SELECT kind, id FROM id_high_water").fetch_all(connection).await? {
        match row.try_get("kind")? {
            "login" => state.login_high_water = row.u32("id")?,
            "sharing" => state.sharing_high_water = row.u32("id")?,
            _ => {}
        }
    }
    Ok(())
}

/// Notes the highest of `ids`, so that none of them is given out again.
async fn raise_high_water(
    connection: &mut SqliteConnection,
    kind: &str,
    ids: impl Iterator<Item = u32>,
) -> Result<(), sqlx::Error> {
    let Some(highest) = ids.max() else { return Ok(()) };
    sqlx::query("UPDATE id_high_water SET id = $2 WHERE kind = $1 AND id < $2")
        .bind(kind)
        .bind(i64::from(highest))
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes the rows that a catalog file changes. The caller commits.
async fn write_plan(connection: &mut SqliteConnection, plan: &Plan, now_ms: u64) -> Result<(), sqlx::Error> {
    for row in &plan.members {
        members::write(connection, &row.member, now_ms).await?;
    }
    // Access may name members that come later in the file.
    for row in &plan.members {
        members::write_access(connection, row).await?;
    }
    for row in &plan.logins {
        logins::write(connection, row, now_ms).await?;
    }
    logins::revoke_tokens(connection, &plan.revoked).await?;
    // Two segments may swap their codes.
    for &id in &plan.recoded {
        segment_rows::clear_code(connection, id).await?;
    }
    for row in &plan.segments {
        segment_rows::write_row(connection, row, now_ms).await?;
    }
    for (pair, row) in &plan.sharing {
        sharing::write(connection, *pair, row, now_ms).await?;
    }
    raise_high_water(connection, "sharing", plan.sharing.iter().map(|(_, row)| row.id)).await?;
    raise_high_water(connection, "login", plan.logins.iter().map(|row| row.id)).await?;
    raise_high_water(connection, "segment", plan.segments.iter().map(|row| row.segment.id.0)).await
}

impl fmt::Debug for SqliteCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteCatalog").field("database", &self.database).finish_non_exhaustive()
    }
}
