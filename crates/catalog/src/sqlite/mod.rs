//! The catalog in SQLite.

mod accounts;
#[cfg(test)]
mod full_disk;
mod known;
mod load;
mod public_keys;
mod suppression;
mod tokens;
mod write;

pub(crate) use write::{forget_segment, signed, state_name};

use crate::apply::{SettledPasswords, plan};
use crate::database::{Database, Step};
use crate::{ApplyReport, Catalog, CatalogError, CatalogFile, Snapshot, StoredLogin};
use async_trait::async_trait;
use ia_model::{Clock, SegmentId};
use sqlx::SqliteConnection;
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
];

/// The catalog in a SQLite file. Several processes may have it open at once.
///
/// Every change is on stable storage when its call returns.
#[derive(Clone)]
pub struct SqliteCatalog {
    pub(crate) database: Database,
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
        sqlx::query_scalar("SELECT id FROM id_high_water WHERE kind = 'segment'")
            .fetch_one(self.database.pool())
            .await
            .map_err(self.database.error("reading the highest segment id"))
    }

    /// Closes the file. Other clones of this catalog are closed with it.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn snapshot(&self) -> Result<Snapshot, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let (generation, state) =
            load::shown(&mut transaction).await.map_err(self.database.error("reading the catalog"))?;
        drop(transaction);
        Ok(Snapshot::build(generation, state))
    }

    async fn generation(&self) -> Result<u64, CatalogError> {
        let mut connection =
            self.database.pool().acquire().await.map_err(self.database.error("reading the generation"))?;
        load::generation(&mut connection).await.map_err(self.database.error("reading the generation"))
    }

    async fn apply(&self, file: &CatalogFile) -> Result<ApplyReport, CatalogError> {
        let stored = load::password_hashes(&self.database).await?;
        let wanted = file.passwords();
        let passwords = tokio::task::spawn_blocking(move || SettledPasswords::settle(wanted, &stored))
            .await
            .map_err(CatalogError::secret)??;

        let mut transaction = self.database.begin_write().await?;
        let state =
            load::state(&mut transaction).await.map_err(self.database.error("reading the catalog"))?;
        let plan = plan(&state, file, &passwords)?;
        if plan.report.is_change() {
            write::plan(&mut transaction, &plan, self.clock.now_ms())
                .await
                .map_err(self.database.error("writing the catalog"))?;
            self.database.commit(transaction).await?;
            self.database.fold().await;
        }
        Ok(plan.report)
    }

    async fn delete_segment(&self, id: SegmentId) -> Result<(), CatalogError> {
        let mut transaction = self.database.begin_write().await?;
        let deleted = write::delete_segment(&mut transaction, id, self.clock.now_ms())
            .await
            .map_err(self.database.error("deleting a segment"))?;
        if !deleted {
            return Err(CatalogError::NotFound(format!("segment {id}")));
        }
        self.database.commit(transaction).await?;
        self.database.fold().await;
        Ok(())
    }

    async fn login_by_name(&self, username: &str) -> Result<Option<StoredLogin>, CatalogError> {
        load::login(&self.database, username).await
    }
}

/// Makes other processes look again. In every transaction that changes what a snapshot or the table of
/// tokens shows.
pub(crate) async fn raise_generation(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE generation SET value = value + 1").execute(connection).await?;
    Ok(())
}

impl fmt::Debug for SqliteCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteCatalog").field("database", &self.database).finish_non_exhaustive()
    }
}
