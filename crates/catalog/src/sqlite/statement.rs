//! Running statements that are built, and reading the numbers of their rows.
//!
//! Statements that are not built are plain SQL that PostgreSQL takes as well. Numbers are bound and read as `i64`,
//! since PostgreSQL has no unsigned ones.

use crate::BoxError;
use crate::listing::Page;
use crate::listing::sql::List;
use sea_query::{Expr, InsertStatement, OnConflict, Query, SelectStatement, SqliteQueryBuilder, Value};
use sea_query_sqlx::SqlxBinder as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

pub(super) async fn fetch_all(
    connection: &mut SqliteConnection,
    statement: &SelectStatement,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let (sql, values) = statement.build_sqlx(SqliteQueryBuilder);
    sqlx::query_with(AssertSqlSafe(sql), values).fetch_all(connection).await
}

/// The rows of a page, and how many there are on all. Both are of one moment where `connection` is in a transaction.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    list: &List<'_>,
) -> Result<Page<SqliteRow>, sqlx::Error> {
    let (sql, values) = list.count().build_sqlx(SqliteQueryBuilder);
    let count: i64 = sqlx::query_scalar_with(AssertSqlSafe(sql), values).fetch_one(&mut *connection).await?;
    let is_behind = i64::from(list.query.start_element) >= count;
    let items = if is_behind { Vec::new() } else { fetch_all(connection, &list.page()).await? };
    Ok(Page { items, count: count.unsigned_abs() })
}

/// Writes a row of `table`, over the one with the same `key` if there is one.
pub(super) async fn upsert<const N: usize>(
    connection: &mut SqliteConnection,
    table: &'static str,
    key: &[&'static str],
    row: [(&'static str, Value); N],
) -> Result<(), sqlx::Error> {
    let columns = row.each_ref().map(|(column, _)| *column);
    let written = columns.into_iter().filter(|column| !key.contains(column));
    let mut insert = InsertStatement::new();
    insert
        .into_table(table)
        .columns(columns)
        .values_panic(row.map(|(_, value)| Expr::Value(value)))
        .on_conflict(OnConflict::columns(key.iter().copied()).update_columns(written).to_owned());
    let (sql, values) = insert.build_sqlx(SqliteQueryBuilder);
    sqlx::query_with(AssertSqlSafe(sql), values).execute(connection).await?;
    Ok(())
}

/// All rows of `table`, or those whose `column` is one of `ids`.
pub(super) fn rows_of(table: &'static str, column: &'static str, ids: Option<&[u32]>) -> SelectStatement {
    use sea_query::{Asterisk, ExprTrait as _};

    let of_ids = ids.map(|ids| Expr::col(column).is_in(ids.iter().copied()));
    Query::select().column(Asterisk).from(table).and_where_option(of_ids).take()
}

/// Numbers that are not negative.
pub(super) trait Numbers {
    fn optional_u64(&self, column: &str) -> Result<Option<u64>, sqlx::Error>;

    fn u64(&self, column: &str) -> Result<u64, sqlx::Error> {
        self.optional_u64(column)?
            .ok_or_else(|| sqlx::Error::Decode(Box::new(sqlx::error::UnexpectedNullError)))
    }

    fn optional_u32(&self, column: &str) -> Result<Option<u32>, sqlx::Error> {
        self.optional_u64(column)?.map(u32::try_from).transpose().map_err(malformed)
    }

    fn u32(&self, column: &str) -> Result<u32, sqlx::Error> {
        u32::try_from(self.u64(column)?).map_err(malformed)
    }
}

impl Numbers for SqliteRow {
    fn optional_u64(&self, column: &str) -> Result<Option<u64>, sqlx::Error> {
        self.try_get::<Option<i64>, _>(column)?.map(u64::try_from).transpose().map_err(malformed)
    }
}

/// A stored value that the schema's own rules exclude.
pub(super) fn malformed(error: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// A number for a signed column. Times reach its end in 292 million years.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Times of segments are shown and filtered by the second.
pub(super) fn whole_second(unix_ms: u64) -> u64 {
    unix_ms / 1000 * 1000
}

pub(super) fn state_name(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

pub(super) fn is_active(row: &SqliteRow) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<&str, _>("state")? == "active")
}
