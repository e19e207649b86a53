//! Opt-outs.

use super::SqliteCatalog;
use super::statement::malformed;
use crate::CatalogError;
use crate::suppression::{SuppressedLink, SuppressedUser, SuppressionKey, SuppressionStore, new_key};
use async_trait::async_trait;
use ia_model::MemberId;

/// The member of an opt-out from all members.
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
        let users = rows.iter().map(|(hash, member)| stored_user(hash, *member));
        users.collect::<Result<_, sqlx::Error>>().map_err(&failed)
    }

    async fn suppressed_links(&self) -> Result<Vec<SuppressedLink>, CatalogError> {
        let failed = self.database.error("reading the ids that are kept out with opt-outs");
        let rows: Vec<(Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT person, member_id, hash FROM suppressed_links ORDER BY person, member_id, hash",
        )
        .fetch_all(self.database.pool())
        .await
        .map_err(&failed)?;
        let links = rows.iter().map(|(person, member, hash)| {
            Ok(SuppressedLink { of: stored_user(person, *member)?, hash: bytes(hash)? })
        });
        links.collect::<Result<_, sqlx::Error>>().map_err(&failed)
    }

    async fn suppress(&self, users: &[SuppressedUser], links: &[SuppressedLink]) -> Result<(), CatalogError> {
        let failed = self.database.error("writing opt-outs");
        let mut transaction = self.database.begin_write().await?;
        for user in users {
            sqlx::query(
                "INSERT INTO suppressed_users (hash, member_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(user.hash.as_slice())
            .bind(stored_member(user))
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        }
        for link in links {
            sqlx::query(
                "INSERT INTO suppressed_links (person, member_id, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .bind(link.of.hash.as_slice())
            .bind(stored_member(&link.of))
            .bind(link.hash.as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        }
        self.database.commit(transaction).await?;
        // A WAL that damage cuts short would let these people in again, without a word.
        self.database.fold().await;
        Ok(())
    }

    async fn lift_suppression(&self, users: &[SuppressedUser]) -> Result<(), CatalogError> {
        let mut transaction = self.database.begin_write().await?;
        for user in users {
            // The ids that are kept out with it go too.
            sqlx::query("DELETE FROM suppressed_users WHERE hash = $1 AND member_id = $2")
                .bind(user.hash.as_slice())
                .bind(stored_member(user))
                .execute(&mut *transaction)
                .await
                .map_err(self.database.error("writing opt-outs"))?;
        }
        self.database.commit(transaction).await
    }
}

fn stored_member(user: &SuppressedUser) -> i64 {
    user.member.map_or(ALL_MEMBERS, |member| i64::from(member.0))
}

fn stored_user(hash: &[u8], member: i64) -> Result<SuppressedUser, sqlx::Error> {
    let member = match member {
        ALL_MEMBERS => None,
        member => Some(MemberId(u32::try_from(member).map_err(malformed)?)),
    };
    Ok(SuppressedUser { hash: bytes(hash)?, member })
}

fn bytes(stored: &[u8]) -> Result<[u8; 16], sqlx::Error> {
    stored.try_into().map_err(malformed)
}
