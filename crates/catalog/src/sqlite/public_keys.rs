//! Public keys.

use super::statement::{Numbers as _, malformed, page, signed};
use super::{SqliteCatalog, logins};
use crate::change::Changed;
use crate::listing::sql::List;
use crate::listing::{ListQuery, Page};
use crate::public_key::check_new;
use crate::snapshot::Delta;
use crate::{CatalogError, NewPublicKey, PUBLIC_KEY, PublicKey, PublicKeyStore, RsaKey, StoredLogin};
use async_trait::async_trait;
use sea_query::{Condition, Expr, ExprTrait as _};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

#[async_trait]
impl PublicKeyStore for SqliteCatalog {
    async fn public_keys(
        &self,
        user_id: Option<u32>,
        query: &ListQuery,
    ) -> Result<Page<PublicKey>, CatalogError> {
        let failed = self.database.error("reading the public keys");
        let of_user = user_id.map(|id| Expr::col("user_id").eq(id));
        let visible = Condition::all().add_option(of_user);
        let list = List { resource: &PUBLIC_KEY, table: "public_keys", visible, partly: None, query };
        let mut transaction = self.database.begin_read().await?;
        let Page { items, count } = page(&mut transaction, &list).await.map_err(&failed)?;
        Ok(Page { items: items.iter().map(key_of).collect::<Result<_, _>>().map_err(failed)?, count })
    }

    async fn public_key_of(
        &self,
        username: &str,
        name: &str,
    ) -> Result<Option<(StoredLogin, PublicKey)>, CatalogError> {
        let mut transaction = self.database.begin_read().await?;
        let read = async {
            let Some(login) = logins::by_name(&mut transaction, username).await? else { return Ok(None) };
            let row = sqlx::query("SELECT * FROM public_keys WHERE user_id = $1 AND name = $2 AND active")
                .bind(i64::from(login.login.user_id))
                .bind(name)
                .fetch_optional(&mut *transaction)
                .await?;
            row.map(|row| Ok((login, key_of(&row)?))).transpose()
        };
        read.await.map_err(self.database.error("reading a public key"))
    }

    async fn create_public_key(&self, new: &NewPublicKey) -> Result<Changed<PublicKey>, CatalogError> {
        let failed = self.database.error("writing a public key");
        let mut transaction = self.database.begin_write().await?;
        let found: Option<i64> = sqlx::query_scalar("SELECT id FROM users WHERE id = $1")
            .bind(i64::from(new.user_id))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        found.ok_or_else(|| CatalogError::NotFound(format!("user {}", new.user_id)))?;
        let names: Vec<String> = sqlx::query_scalar("SELECT name FROM public_keys WHERE user_id = $1")
            .bind(i64::from(new.user_id))
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
        check_new(new, &names)?;
        let row = sqlx::query("UPDATE id_high_water SET id = id + 1 WHERE kind = 'public_key' RETURNING id")
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        let id = row.u32("id").map_err(&failed)?;
        sqlx::query(
            "INSERT INTO public_keys (id, user_id, name, active, spki, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(i64::from(id))
        .bind(i64::from(new.user_id))
        .bind(&new.name)
        .bind(new.active)
        .bind(new.key.as_spki())
        .bind(signed(new.now_ms))
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        let generation = self.commit_change(transaction).await?;
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
            let row = sqlx::query(
                "UPDATE public_keys SET active = $3 WHERE id = $1 AND ($2 IS NULL OR user_id = $2) RETURNING *",
            )
            .bind(i64::from(id))
            .bind(owner.map(i64::from))
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
        let generation = self.commit_change(transaction).await?;
        Ok(Changed { value: changed, generation, delta: Delta::Logins })
    }

    async fn delete_public_keys(&self, owner: Option<u32>, ids: &[u32]) -> Result<Changed<()>, CatalogError> {
        let failed = self.database.error("deleting a public key");
        let mut transaction = self.database.begin_write().await?;
        for &id in ids {
            let deleted =
                sqlx::query("DELETE FROM public_keys WHERE id = $1 AND ($2 IS NULL OR user_id = $2)")
                    .bind(i64::from(id))
                    .bind(owner.map(i64::from))
                    .execute(&mut *transaction)
                    .await
                    .map_err(&failed)?;
            if deleted.rows_affected() == 0 {
                return Err(not_found(id));
            }
            revoke(&mut transaction, id).await.map_err(&failed)?;
        }
        let generation = self.commit_change(transaction).await?;
        Ok(Changed { value: (), generation, delta: Delta::Logins })
    }
}

fn not_found(id: u32) -> CatalogError {
    CatalogError::NotFound(format!("public key {id}"))
}

/// Takes back the tokens that were issued through a key.
async fn revoke(connection: &mut SqliteConnection, key_id: u32) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE tokens SET revoked = TRUE WHERE public_key_id = $1")
        .bind(i64::from(key_id))
        .execute(connection)
        .await?;
    Ok(())
}

fn key_of(row: &SqliteRow) -> Result<PublicKey, sqlx::Error> {
    Ok(PublicKey {
        id: row.u32("id")?,
        user_id: row.u32("user_id")?,
        name: row.try_get("name")?,
        active: row.try_get("active")?,
        key: RsaKey::from_spki(row.try_get("spki")?).map_err(malformed)?,
        created_at_ms: row.u64("created_at")?,
    })
}
