//! Tokens.

use super::SqliteCatalog;
use super::logins::{login_columns, login_of};
use super::statement::{Numbers as _, malformed, signed};
use crate::{CatalogError, Login, NewToken, StoredToken, TokenHash, TokenStore};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// How many tokens one transaction writes: a sweep of many must not keep a login waiting.
const TOKENS_PER_TRANSACTION: usize = 500;

#[async_trait]
impl TokenStore for SqliteCatalog {
    async fn insert_token(&self, token: &NewToken) -> Result<Login, CatalogError> {
        let failed = self.database.error("keeping a token");
        let mut transaction = self.database.begin_write().await?;
        let row = sqlx::query(concat!(
            "SELECT ",
            login_columns!(),
            " WHERE users.id = $1 AND users.password_hash = $2 AND users.state = 'active' \
              AND members.state = 'active' \
              AND ($3 IS NULL OR EXISTS (SELECT 1 FROM public_keys WHERE public_keys.id = $3 AND public_keys.active))"
        ))
        .bind(i64::from(token.user_id))
        .bind(token.password_hash.as_phc())
        .bind(token.public_key.map(i64::from))
        .fetch_optional(&mut *transaction)
        .await
        .map_err(&failed)?;
        let Some(row) = row else { return Err(CatalogError::Overtaken("the login".to_owned())) };
        let login = login_of(&row).map_err(&failed)?;
        sqlx::query(
            "INSERT INTO tokens (hash, user_id, issued_at, last_used, revoked, public_key_id) \
             VALUES ($1, $2, $3, $3, FALSE, $4)",
        )
        .bind(token.hash.0.as_slice())
        .bind(i64::from(token.user_id))
        .bind(signed(token.issued_at_ms))
        .bind(token.public_key.map(i64::from))
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        self.database.commit(transaction).await?;
        Ok(login)
    }

    async fn load_tokens(&self) -> Result<Vec<StoredToken>, CatalogError> {
        let failed = self.database.error("reading the tokens");
        let rows = sqlx::query(concat!(
            "SELECT tokens.hash, tokens.issued_at, tokens.last_used, tokens.revoked, ",
            login_columns!(),
            " JOIN tokens ON tokens.user_id = users.id"
        ))
        .fetch_all(self.database.pool())
        .await
        .map_err(&failed)?;
        rows.iter().map(token_of).collect::<Result<_, _>>().map_err(failed)
    }

    async fn write_last_use(&self, uses: &[(TokenHash, u64)]) -> Result<(), CatalogError> {
        for uses in uses.chunks(TOKENS_PER_TRANSACTION) {
            let mut transaction = self.database.begin_write().await?;
            for (hash, last_use_ms) in uses {
                sqlx::query("UPDATE tokens SET last_used = $2 WHERE hash = $1 AND last_used < $2")
                    .bind(hash.0.as_slice())
                    .bind(signed(*last_use_ms))
                    .execute(&mut *transaction)
                    .await
                    .map_err(self.database.error("writing when a token was used"))?;
            }
            self.database.commit(transaction).await?;
        }
        Ok(())
    }

    async fn delete_tokens(&self, tokens: &[TokenHash]) -> Result<(), CatalogError> {
        for tokens in tokens.chunks(TOKENS_PER_TRANSACTION) {
            let mut transaction = self.database.begin_write().await?;
            for hash in tokens {
                sqlx::query("DELETE FROM tokens WHERE hash = $1")
                    .bind(hash.0.as_slice())
                    .execute(&mut *transaction)
                    .await
                    .map_err(self.database.error("forgetting a token"))?;
            }
            self.database.commit(transaction).await?;
        }
        Ok(())
    }
}

fn token_of(row: &SqliteRow) -> Result<StoredToken, sqlx::Error> {
    let hash: &[u8] = row.try_get("hash")?;
    Ok(StoredToken {
        hash: TokenHash(hash.try_into().map_err(malformed)?),
        issued_at_ms: row.u64("issued_at")?,
        last_use_ms: row.u64("last_used")?,
        revoked: row.try_get("revoked")?,
        login: login_of(row)?,
        active: row.try_get("active")?,
    })
}
