//! Public keys in SQLite.

use super::load::{login_columns, login_of};
use super::{SqliteCatalog, raise_generation};
use crate::change::{Changed, Delta};
use crate::listing::{ListQuery, Page, plain};
use crate::{
    CatalogError, NewPublicKey, PUBLIC_KEY, PasswordHash, PublicKey, PublicKeyStore, RsaKey, StoredLogin,
};
use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

macro_rules! key_columns {
    () => {
        "public_keys.id AS key_id, public_keys.user_id AS key_user_id, public_keys.name AS key_name, \
         public_keys.active AS key_active, public_keys.spki, public_keys.created_at"
    };
}

#[async_trait]
impl PublicKeyStore for SqliteCatalog {
    async fn public_keys(
        &self,
        user_id: Option<u32>,
        query: &ListQuery,
    ) -> Result<Page<PublicKey>, CatalogError> {
        // There are few: a login has ten at the most.
        let rows = sqlx::query(concat!(
            "SELECT ",
            key_columns!(),
            " FROM public_keys WHERE $1 IS NULL OR user_id = $1 ORDER BY id"
        ))
        .bind(user_id)
        .fetch_all(self.database.pool())
        .await
        .map_err(self.database.error("reading the public keys"))?;
        let keys = rows.iter().map(key_of).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(self.database.error("reading the public keys"))?;
        Ok(plain::page(&PUBLIC_KEY, keys, query, PublicKey::value))
    }

    async fn public_key_of(
        &self,
        username: &str,
        name: &str,
    ) -> Result<Option<(StoredLogin, PublicKey)>, CatalogError> {
        let read = async {
            let row = sqlx::query(concat!(
                "SELECT ",
                key_columns!(),
                ", ",
                login_columns!(),
                " JOIN public_keys ON public_keys.user_id = users.id \
                 WHERE users.username_lower = $1 AND public_keys.name = $2 AND public_keys.active"
            ))
            .bind(crate::state::login_key(username))
            .bind(name)
            .fetch_optional(self.database.pool())
            .await?;
            row.map(|row| {
                let login = StoredLogin {
                    login: login_of(&row)?,
                    active: row.try_get("active")?,
                    password_hash: PasswordHash::from_phc(row.try_get("password_hash")?),
                };
                Ok((login, key_of(&row)?))
            })
            .transpose()
        };
        read.await.map_err(self.database.error("reading a public key"))
    }

    async fn create_public_key(&self, new: &NewPublicKey) -> Result<Changed<PublicKey>, CatalogError> {
        let failed = self.database.error("writing a public key");
        let mut transaction = self.database.begin_write().await?;
        let found: Option<i64> = sqlx::query_scalar("SELECT id FROM users WHERE id = $1")
            .bind(new.user_id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        found.ok_or_else(|| CatalogError::NotFound(format!("user {}", new.user_id)))?;
        let names: Vec<String> = sqlx::query_scalar("SELECT name FROM public_keys WHERE user_id = $1")
            .bind(new.user_id)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
        crate::public_key::check_new(new, &names)?;
        let id: u32 =
            sqlx::query_scalar("UPDATE id_high_water SET id = id + 1 WHERE kind = 'public_key' RETURNING id")
                .fetch_one(&mut *transaction)
                .await
                .map_err(&failed)?;
        sqlx::query(
            "INSERT INTO public_keys (id, user_id, name, active, spki, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id)
        .bind(new.user_id)
        .bind(&new.name)
        .bind(new.active)
        .bind(new.key.as_spki())
        .bind(i64::try_from(new.now_ms).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        let generation = raised(&mut transaction).await.map_err(&failed)?;
        self.database.commit(transaction).await?;
        self.database.fold().await;
        Ok(Changed { value: new.stored(id), generation, delta: Delta::Logins })
    }

    async fn switch_public_keys(
        &self,
        owner: Option<u32>,
        ids: &[u32],
        active: bool,
    ) -> Result<Changed<Vec<PublicKey>>, CatalogError> {
        let failed = self.database.error("writing a public key");
        let mut transaction = self.database.begin_write().await?;
        let mut changed = Vec::new();
        for &id in ids {
            let row = sqlx::query(concat!(
                "UPDATE public_keys SET active = $3 WHERE id = $1 AND ($2 IS NULL OR user_id = $2) RETURNING ",
                "id AS key_id, user_id AS key_user_id, name AS key_name, active AS key_active, spki, created_at"
            ))
            .bind(id)
            .bind(owner)
            .bind(active)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
            let row = row.ok_or_else(|| not_found(id))?;
            changed.push(key_of(&row).map_err(&failed)?);
            if !active {
                revoke(&mut transaction, id).await.map_err(&failed)?;
            }
        }
        let generation = raised(&mut transaction).await.map_err(&failed)?;
        self.database.commit(transaction).await?;
        self.database.fold().await;
        Ok(Changed { value: changed, generation, delta: Delta::Logins })
    }

    async fn delete_public_keys(&self, owner: Option<u32>, ids: &[u32]) -> Result<Changed<()>, CatalogError> {
        let failed = self.database.error("deleting a public key");
        let mut transaction = self.database.begin_write().await?;
        for &id in ids {
            let deleted =
                sqlx::query("DELETE FROM public_keys WHERE id = $1 AND ($2 IS NULL OR user_id = $2)")
                    .bind(id)
                    .bind(owner)
                    .execute(&mut *transaction)
                    .await
                    .map_err(&failed)?;
            if deleted.rows_affected() == 0 {
                return Err(not_found(id));
            }
            revoke(&mut transaction, id).await.map_err(&failed)?;
        }
        let generation = raised(&mut transaction).await.map_err(&failed)?;
        self.database.commit(transaction).await?;
        self.database.fold().await;
        Ok(Changed { value: (), generation, delta: Delta::Logins })
    }
}

fn not_found(id: u32) -> CatalogError {
    CatalogError::NotFound(format!("public key {id}"))
}

/// Takes back the tokens that were issued through a key.
async fn revoke(connection: &mut SqliteConnection, key_id: u32) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE tokens SET revoked = TRUE WHERE public_key_id = $1")
        .bind(key_id)
        .execute(connection)
        .await?;
    Ok(())
}

async fn raised(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    raise_generation(&mut *connection).await?;
    super::load::generation(connection).await
}

fn key_of(row: &SqliteRow) -> Result<PublicKey, sqlx::Error> {
    let spki: &[u8] = row.try_get("spki")?;
    Ok(PublicKey {
        id: row.try_get("key_id")?,
        user_id: row.try_get("key_user_id")?,
        name: row.try_get("key_name")?,
        active: row.try_get("key_active")?,
        key: RsaKey::from_spki(spki).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        created_at_ms: u64::try_from(row.try_get::<i64, _>("created_at")?).unwrap_or_default(),
    })
}
