use super::SqliteCatalog;
use crate::suppression::{SuppressedUser, SuppressionKey, SuppressionStore, new_key};
use crate::{BoxError, CatalogError};
use async_trait::async_trait;
use ia_model::MemberId;

/// Stands for all members.
const ALL_MEMBERS: i64 = 0;

#[async_trait]
impl SuppressionStore for SqliteCatalog {
    async fn suppression_key(&self) -> Result<SuppressionKey, CatalogError> {
        let failed = self.database.error("reading the key of the opt-outs");
        let mut transaction = self.database.begin_write().await?;
        let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT key FROM suppression_key")
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&failed)?;
        if let Some(key) = stored {
            return Ok(SuppressionKey(bytes(&key).map_err(&failed)?));
        }
        let key = new_key()?;
        sqlx::query("INSERT INTO suppression_key (id, key) VALUES (1, $1)")
            .bind(key.0.as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        self.database.commit(transaction).await?;
        self.database.fold().await;
        Ok(key)
    }

    async fn suppressed_users(&self) -> Result<Vec<SuppressedUser>, CatalogError> {
        let failed = self.database.error("reading the opt-outs");
        let rows: Vec<(Vec<u8>, i64)> =
            sqlx::query_as("SELECT hash, member_id FROM suppressed_users ORDER BY hash, member_id")
                .fetch_all(self.database.pool())
                .await
                .map_err(&failed)?;
        let users = rows.iter().map(|(hash, member)| {
            let member = match *member {
                ALL_MEMBERS => None,
                member => Some(MemberId(u32::try_from(member).map_err(decode)?)),
            };
            Ok(SuppressedUser { hash: bytes(hash)?, member })
        });
        users.collect::<Result<_, sqlx::Error>>().map_err(&failed)
    }

    async fn suppress(&self, users: &[SuppressedUser]) -> Result<(), CatalogError> {
        self.change_each(
            users,
            "INSERT INTO suppressed_users (hash, member_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .await
    }

    async fn lift_suppression(&self, users: &[SuppressedUser]) -> Result<(), CatalogError> {
        self.change_each(users, "DELETE FROM suppressed_users WHERE hash = $1 AND member_id = $2").await
    }
}

impl SqliteCatalog {
    async fn change_each(
        &self,
        users: &[SuppressedUser],
        statement: &'static str,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.database.begin_write().await?;
        for user in users {
            sqlx::query(statement)
                .bind(user.hash.as_slice())
                .bind(user.member.map_or(ALL_MEMBERS, |member| i64::from(member.0)))
                .execute(&mut *transaction)
                .await
                .map_err(self.database.error("writing opt-outs"))?;
        }
        self.database.commit(transaction).await
    }
}

fn bytes(stored: &[u8]) -> Result<[u8; 16], sqlx::Error> {
    stored.try_into().map_err(decode)
}

fn decode(error: impl Into<BoxError>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
