//! Logins.

use super::database::Database;
use super::statement::{
    Numbers as _, fetch_all, is_active, malformed, page, rows_of, signed, state_name, upsert,
};
use crate::accounts::LoginRecord;
use crate::listing::Page;
use crate::listing::sql::List;
use crate::login::login_key;
use crate::state::LoginRow;
use crate::{CatalogError, Login, PasswordHash, StoredLogin, UserType};
use ia_model::MemberId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use std::collections::BTreeMap;

/// The columns that [`login_of`] and [`by_name`] read. `active` is that of the login and its member together.
macro_rules! login_columns {
    () => {
        "users.id, users.username, users.member_id, users.user_type, users.read_only, \
         users.password_hash, (users.state = 'active' AND members.state = 'active') AS active \
         FROM users JOIN members ON members.id = users.member_id"
    };
}
pub(super) use login_columns;

pub(super) fn login_of(row: &SqliteRow) -> Result<Login, sqlx::Error> {
    Ok(Login {
        user_id: row.u32("id")?,
        username: row.try_get::<String, _>("username")?.into(),
        member: MemberId(row.u32("member_id")?),
        user_type: UserType::from_name(row.try_get("user_type")?).map_err(malformed)?,
        read_only: row.try_get("read_only")?,
    })
}

/// The login of that name, in any case.
pub(super) async fn by_name(
    connection: &mut SqliteConnection,
    username: &str,
) -> Result<Option<StoredLogin>, sqlx::Error> {
    let row = sqlx::query(concat!("SELECT ", login_columns!(), " WHERE users.username_lower = $1"))
        .bind(login_key(username))
        .fetch_optional(connection)
        .await?;
    let stored = |row: SqliteRow| {
        let password_hash = PasswordHash::from_phc(row.try_get("password_hash")?);
        Ok(StoredLogin { login: login_of(&row)?, active: row.try_get("active")?, password_hash })
    };
    row.map(stored).transpose()
}

/// The hash of every login, by the login's key.
pub(super) async fn password_hashes(
    database: &Database,
) -> Result<BTreeMap<String, PasswordHash>, CatalogError> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT username_lower, password_hash FROM users")
        .fetch_all(database.pool())
        .await
        .map_err(database.error("reading the logins"))?;
    Ok(rows.into_iter().map(|(key, phc)| (key, PasswordHash::from_phc(phc))).collect())
}

/// All logins, by key.
pub(super) async fn load(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<String, LoginRow>, sqlx::Error> {
    let login = |row: &SqliteRow| {
        let Login { user_id, username, member, user_type, read_only } = login_of(row)?;
        let login = LoginRow {
            id: user_id,
            username: (*username).to_owned(),
            password_hash: PasswordHash::from_phc(row.try_get("password_hash")?),
            active: is_active(row)?,
            user_type,
            read_only,
            member,
            email: row.try_get("email")?,
            first_name: row.try_get("first_name")?,
            last_name: row.try_get("last_name")?,
            last_modified_ms: row.optional_u64("last_modified")?,
        };
        Ok((row.try_get("username_lower")?, login))
    };
    fetch_all(connection, &rows_of("users", "id", None)).await?.iter().map(login).collect()
}

/// A page of logins.
pub(super) async fn list(
    connection: &mut SqliteConnection,
    list: &List<'_>,
) -> Result<Page<LoginRecord>, sqlx::Error> {
    let record = |row: &SqliteRow| {
        Ok(LoginRecord {
            login: login_of(row)?,
            active: is_active(row)?,
            email: row.try_get("email")?,
            first_name: row.try_get("first_name")?,
            last_name: row.try_get("last_name")?,
            last_modified_ms: row.optional_u64("last_modified")?,
        })
    };
    let Page { items, count } = page(connection, list).await?;
    Ok(Page { items: items.iter().map(record).collect::<Result<_, sqlx::Error>>()?, count })
}

pub(super) async fn write(
    connection: &mut SqliteConnection,
    login: &LoginRow,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    let row = [
        ("id", login.id.into()),
        ("username", login.username.as_str().into()),
        ("username_lower", login_key(&login.username).into()),
        ("password_hash", login.password_hash.as_phc().into()),
        ("state", state_name(login.active).into()),
        ("user_type", login.user_type.name().into()),
        ("read_only", login.read_only.into()),
        ("member_id", login.member.0.into()),
        ("email", login.email.clone().into()),
        ("first_name", login.first_name.clone().into()),
        ("last_name", login.last_name.clone().into()),
        ("last_modified", signed(now_ms).into()),
    ];
    upsert(connection, "users", &["id"], row).await
}

/// Deletes a login, and its tokens and keys with it.
pub(super) async fn delete(connection: &mut SqliteConnection, id: u32) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM users WHERE id = $1").bind(i64::from(id)).execute(connection).await?;
    Ok(())
}

/// Takes back all tokens of those logins.
pub(super) async fn revoke_tokens(
    connection: &mut SqliteConnection,
    user_ids: &[u32],
) -> Result<(), sqlx::Error> {
    for &user_id in user_ids {
        sqlx::query("UPDATE tokens SET revoked = TRUE WHERE user_id = $1")
            .bind(i64::from(user_id))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
