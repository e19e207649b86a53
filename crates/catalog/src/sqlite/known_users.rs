//! The ids that strict mode knows.

use super::SqliteCatalog;
use crate::known::VACANT;
use crate::{CatalogError, KnownUserStore};
use async_trait::async_trait;
use sqlx::SqliteConnection;

/// Nearly as many as fit on a page of the database.
const HASHES_PER_BLOCK: usize = 500;
const HASH_BYTES: usize = 8;

/// How many blocks are read at once: some megabytes.
const BLOCKS_PER_READ: i64 = 1000;

/// An addition of more than this is moved out of the WAL at once.
const MANY_HASHES: usize = 100_000;

type Block = (i64, Vec<u8>, i64);

#[async_trait]
impl KnownUserStore for SqliteCatalog {
    async fn known_user_key(&self) -> Result<[u8; 32], CatalogError> {
        let failed = self.database.error("reading the key of known ids");
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(CatalogError::secret)?;
        let mut transaction = self.database.begin_write().await?;
        sqlx::query("INSERT INTO known_user_key (id, key) VALUES (1, $1) ON CONFLICT DO NOTHING")
            .bind(key.as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        let key: Vec<u8> = sqlx::query_scalar("SELECT key FROM known_user_key")
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        self.database.commit(transaction).await?;
        key.try_into().map_err(|_| self.database.damaged("the key of known ids has another length"))
    }

    async fn known_users_after(&self, position: u64) -> Result<Vec<u64>, CatalogError> {
        let per_block = HASHES_PER_BLOCK as u64;
        let first = i64::try_from(position / per_block + 1).unwrap_or(i64::MAX);
        let blocks: Vec<Block> = sqlx::query_as(
            "SELECT block, hashes, crc FROM known_user_blocks WHERE block >= $1 ORDER BY block LIMIT $2",
        )
        .bind(first)
        .bind(BLOCKS_PER_READ)
        .fetch_all(self.database.pool())
        .await
        .map_err(self.database.error("reading the known ids"))?;
        let mut hashes = Vec::with_capacity(blocks.len() * HASHES_PER_BLOCK);
        for (expected, block) in (first..).zip(&blocks) {
            // A block that is missing in the middle would shift all that comes after it.
            if block.0 != expected || !hashes.len().is_multiple_of(HASHES_PER_BLOCK) {
                return Err(self.database.damaged("a block of known ids is missing"));
            }
            self.check_block(block)?;
            let (bytes, _) = block.1.as_chunks::<HASH_BYTES>();
            hashes.extend(bytes.iter().map(|bytes| u64::from_be_bytes(*bytes)));
        }
        let seen = usize::try_from(position % per_block).unwrap_or(0).min(hashes.len());
        Ok(hashes.split_off(seen))
    }

    async fn add_known_users(&self, hashes: &[u64]) -> Result<(), CatalogError> {
        let mut transaction = self.database.begin_write().await?;
        let last: Option<Block> =
            sqlx::query_as("SELECT block, hashes, crc FROM known_user_blocks ORDER BY block DESC LIMIT 1")
                .fetch_optional(&mut *transaction)
                .await
                .map_err(self.database.error("reading the known ids"))?;
        let (mut number, mut bytes) = (1, Vec::new());
        if let Some(last) = last {
            // A new checksum would make a damaged block look sound.
            self.check_block(&last)?;
            (number, bytes) = (last.0, last.1);
        }
        for &hash in hashes {
            if bytes.len() >= HASHES_PER_BLOCK * HASH_BYTES {
                self.write_block(&mut transaction, number, &bytes).await?;
                number += 1;
                bytes.clear();
            }
            bytes.extend_from_slice(&hash.to_be_bytes());
        }
        if !bytes.is_empty() {
            self.write_block(&mut transaction, number, &bytes).await?;
        }
        self.database.commit(transaction).await?;
        if hashes.len() > MANY_HASHES {
            self.database.fold().await;
        }
        Ok(())
    }

    async fn vacate_known_users(&self, positions: &[u64]) -> Result<(), CatalogError> {
        let mut transaction = self.database.begin_write().await?;
        let mut positions = positions.to_vec();
        positions.sort_unstable();
        let block_of = |position: &u64| position / HASHES_PER_BLOCK as u64;
        for positions in positions.chunk_by(|one, next| block_of(one) == block_of(next)) {
            let number = i64::try_from(block_of(&positions[0]) + 1).unwrap_or(i64::MAX);
            let mut block: Block =
                sqlx::query_as("SELECT block, hashes, crc FROM known_user_blocks WHERE block = $1")
                    .bind(number)
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(self.database.error("reading the known ids"))?;
            self.check_block(&block)?;
            let (places, _) = block.1.as_chunks_mut::<HASH_BYTES>();
            for position in positions {
                let place = usize::try_from(position % HASHES_PER_BLOCK as u64).unwrap_or(usize::MAX);
                if let Some(hash) = places.get_mut(place) {
                    *hash = VACANT.to_be_bytes();
                }
            }
            self.write_block(&mut transaction, number, &block.1).await?;
        }
        self.database.commit(transaction).await?;
        // The WAL still has the bytes that were removed.
        self.database.fold().await;
        Ok(())
    }
}

impl SqliteCatalog {
    fn check_block(&self, (number, hashes, crc): &Block) -> Result<(), CatalogError> {
        let is_sound = *crc == block_crc(*number, hashes)
            && hashes.len().is_multiple_of(HASH_BYTES)
            && hashes.len() <= HASHES_PER_BLOCK * HASH_BYTES;
        if is_sound { Ok(()) } else { Err(self.database.damaged("a block of known ids has changed")) }
    }

    async fn write_block(
        &self,
        connection: &mut SqliteConnection,
        number: i64,
        hashes: &[u8],
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO known_user_blocks (block, hashes, crc) VALUES ($1, $2, $3) \
             ON CONFLICT (block) DO UPDATE SET hashes = excluded.hashes, crc = excluded.crc",
        )
        .bind(number)
        .bind(hashes)
        .bind(block_crc(number, hashes))
        .execute(connection)
        .await
        .map_err(self.database.error("writing the known ids"))?;
        Ok(())
    }
}

fn block_crc(number: i64, hashes: &[u8]) -> i64 {
    i64::from(crc32c::crc32c_append(crc32c::crc32c(&number.to_be_bytes()), hashes))
}
