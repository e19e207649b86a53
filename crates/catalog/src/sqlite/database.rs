//! Opening a SQLite file with the settings and tables that this crate needs.

use crate::{BoxError, CatalogError};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, SqlSafeStr as _, Sqlite, Transaction};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a statement waits for another process to finish its write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before the next attempt where SQLite itself does not wait.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const MAX_CONNECTIONS: u32 = 4;
/// No database is smaller.
const SMALLEST_BYTES: u64 = 512;

/// A step of a schema: its description and its SQL. Steps are numbered from 1, in their order.
pub(super) type Step = (&'static str, &'static str);

/// An open database with the newest schema, and its path for the messages.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pool: SqlitePool,
    path: PathBuf,
}

impl Database {
    /// Opens the file, creating it readable by its owner alone, and brings its schema up to date.
    ///
    /// WAL and `synchronous=FULL`: a commit is on stable storage when it returns, and readers do not wait
    /// for a writer.
    pub(super) async fn open(path: &Path, steps: &[Step]) -> Result<Database, CatalogError> {
        create_private(path).map_err(|source| CatalogError::File { path: path.to_owned(), source })?;
        if !may_be_database(path).map_err(|source| CatalogError::File { path: path.to_owned(), source })? {
            let source = "its first bytes are not those of a database".into();
            return Err(CatalogError::Damaged { path: path.to_owned(), source });
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Deleted bytes are overwritten, so that user ids leave the statistics with their lines.
            .pragma("secure_delete", "ON")
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            // When a statement or a commit fails for want of room, SQLite rolls back by itself, and sqlx,
            // whose own rollback fails then, takes the connection to be in a transaction for ever. The
            // rollback that a dropped transaction leaves is done by now: the return to the pool waits for it.
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
            .connect_lazy_with(options);
        let database = Database { pool, path: path.to_owned() };
        let deadline = Instant::now() + BUSY_TIMEOUT;
        loop {
            // Switching a new file to WAL takes a lock for which SQLite does not wait.
            match database.migrate(steps).await {
                Err(error) if error.is_busy() && Instant::now() < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Ok(()) => break,
                Err(error) => return Err(error),
            }
        }
        database.check_schema(steps).await?;
        Ok(database)
    }

    /// Two processes may come here at once. The transaction lets one wait for the other; each step is
    /// then a savepoint in it.
    async fn migrate(&self, steps: &[Step]) -> Result<(), CatalogError> {
        let migrations = (1i64..).zip(steps).map(|(version, &(description, sql))| {
            Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        let migrator = Migrator::with_migrations(migrations.collect());
        let mut transaction = self.begin_write().await?;
        migrator.run_direct(None, &mut *transaction, false).await.map_err(|error| match error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                self.error("updating the tables")(source)
            }
            other => CatalogError::UnknownSchema { path: self.path.clone(), source: other.into() },
        })?;
        self.commit(transaction).await
    }

    /// Checks every page, and that rows and indexes agree. Takes time in proportion to the file.
    pub(super) async fn check(&self) -> Result<(), CatalogError> {
        let findings: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_one(&self.pool)
            .await
            .map_err(self.error("checking the file"))?;
        if findings == "ok" { Ok(()) } else { Err(self.damaged(findings)) }
    }

    pub(super) fn damaged(&self, finding: impl Into<BoxError>) -> CatalogError {
        CatalogError::Damaged { path: self.path.clone(), source: finding.into() }
    }

    /// Fails unless the tables are exactly those that the steps make. A statement that the disk has changed may still
    /// be valid.
    async fn check_schema(&self, steps: &[Step]) -> Result<(), CatalogError> {
        const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name <> '_sqlx_migrations' ORDER BY type, name";
        type Row = (String, String, String, Option<String>);
        let found: Vec<Row> =
            sqlx::query_as(SCHEMA).fetch_all(&self.pool).await.map_err(self.error("reading the tables"))?;
        let options = SqliteConnectOptions::new().in_memory(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
        let model = Database { pool, path: PathBuf::from(":memory:") };
        model.migrate(steps).await?;
        let wanted: Vec<Row> =
            sqlx::query_as(SCHEMA).fetch_all(&model.pool).await.map_err(model.error("reading the tables"))?;
        model.close().await;
        if found == wanted { Ok(()) } else { Err(self.damaged("its tables are not those of this program")) }
    }

    /// Moves committed pages from the WAL into the file. The loss of the WAL's end looks like a transaction that was
    /// never committed. A reader may be in the way; then the next call moves them.
    pub(super) async fn fold(&self) {
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.pool).await;
    }

    /// The same, but on success no overwritten bytes are left in the WAL. Fails with a retryable error while a reader
    /// is in the way.
    pub(super) async fn fold_all(&self) -> Result<(), CatalogError> {
        let action = "moving the WAL into the file";
        let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&self.pool)
            .await
            .map_err(self.error(action))?;
        if busy == 0 {
            return Ok(());
        }
        let source = "a reader is in the way".into();
        Err(CatalogError::Storage { path: self.path.clone(), action, passing: true, source })
    }

    /// Checks `from` and copies its committed pages into the new file `to`, also while other processes use `from`. The
    /// caller makes the copy durable.
    pub(super) async fn copy(from: &Path, to: &Path) -> Result<(), CatalogError> {
        let options =
            SqliteConnectOptions::new().filename(from).create_if_missing(false).busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
        let database = Database { pool, path: from.to_owned() };
        let copied = database.copy_to(to).await;
        database.close().await;
        copied
    }

    async fn copy_to(&self, to: &Path) -> Result<(), CatalogError> {
        // The copy's indexes are made from its rows, so a damaged row would pass for a sound one.
        self.check().await?;
        let target = to.to_str().ok_or_else(|| CatalogError::File {
            path: to.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not UTF-8"),
        })?;
        let copied = sqlx::query("VACUUM INTO $1").bind(target).execute(&self.pool).await;
        copied.map(drop).map_err(self.error("copying the file"))
    }

    /// For single statements that read.
    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// A transaction that sees one point in time.
    pub(super) async fn begin_read(&self) -> Result<Transaction<'static, Sqlite>, CatalogError> {
        self.pool.begin().await.map_err(self.error("starting to read"))
    }

    /// A transaction that has the write lock from its start, so that what it reads cannot change before
    /// it writes.
    pub(super) async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>, CatalogError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.error("starting to write"))
    }

    pub(super) async fn commit(&self, transaction: Transaction<'static, Sqlite>) -> Result<(), CatalogError> {
        transaction.commit().await.map_err(self.error("committing"))
    }

    /// Turns errors of the driver into ours. `action` is what the caller was doing.
    pub(super) fn error(&self, action: &'static str) -> impl Fn(sqlx::Error) -> CatalogError + '_ {
        move |error| CatalogError::storage(&self.path, action, error)
    }

    /// Closes all connections, which folds the WAL into the file.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
impl Database {
    /// Lets the file grow by no page, as on a full disk, or grow again: on all connections, and on those
    /// that replace them.
    pub(super) async fn set_full(&self, full: bool) {
        // SQLite takes the file's present size for a limit below it.
        let most_pages = if full { "1" } else { "1000000" };
        let options = (*self.pool.connect_options()).clone();
        self.pool.set_connect_options(options.pragma("max_page_count", most_pages));
        let mut connections = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            connections.push(self.pool.acquire().await.unwrap());
        }
        for connection in &mut connections {
            let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {most_pages}"));
            sqlx::query(pragma).fetch_one(&mut **connection).await.unwrap();
        }
    }
}

/// Creates an empty file with mode 0600 unless there is one; SQLite gives its WAL the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            // The name is durable only with its directory.
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// SQLite takes a file without a whole header for a new one, and begins anew.
fn may_be_database(path: &Path) -> std::io::Result<bool> {
    use std::io::Read as _;

    if path.is_dir() {
        // SQLite has a better message for it.
        return Ok(true);
    }
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let has_wal = std::fs::metadata(wal).is_ok_and(|wal| wal.len() > 0);
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(SMALLEST_BYTES).read_to_end(&mut head)?;
    let is_whole = head.len() as u64 == SMALLEST_BYTES && head.starts_with(b"SQLite format 3\0");
    Ok(is_whole || (head.is_empty() && !has_wal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_sqlite_gave_up_does_not_spoil_its_connection() {
        let directory = tempfile::TempDir::new().unwrap();
        let steps: [Step; 1] = [("a table", "CREATE TABLE t (n INTEGER)")];
        let database = Database::open(&directory.path().join("a.sqlite"), &steps).await.unwrap();
        for _ in 0..2 * MAX_CONNECTIONS {
            let mut transaction = database.begin_write().await.unwrap();
            sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *transaction).await.unwrap();
            // What SQLite does by itself when the disk is full, and sqlx does not hear of.
            sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
            assert!(database.commit(transaction).await.is_err());
        }
        let transaction = database.begin_write().await.unwrap();
        database.commit(transaction).await.unwrap();
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(database.pool()).await.unwrap();
        assert_eq!(rows, 0);
    }

    #[tokio::test]
    async fn a_file_that_may_not_be_written_now_is_a_reason_to_retry() {
        let directory = tempfile::TempDir::new().unwrap();
        let steps: [Step; 1] = [("a table", "CREATE TABLE t (n INTEGER)")];
        let database = Database::open(&directory.path().join("a.sqlite"), &steps).await.unwrap();
        let mut connection = database.pool().acquire().await.unwrap();
        sqlx::query("PRAGMA query_only = TRUE").execute(&mut *connection).await.unwrap();
        let error = sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *connection).await.unwrap_err();
        let error = database.error("writing")(error);
        assert!(error.is_retryable() && !error.is_busy(), "{error:?}");
    }
}
