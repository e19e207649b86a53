use super::{
    SEGMENT, SegmentChange, SegmentDetails, SegmentStore, SegmentViewer, StoredSegment, check_limit,
    is_about_shared_fields, no_ids_left, no_such_segment,
};
use crate::listing::{ListQuery, Page, sql};
use crate::sqlite::{raise_generation, signed, state_name};
use crate::{CatalogError, Changed, Delta, Segment, SqliteCatalog};
use async_trait::async_trait;
use ia_model::{MemberId, SegmentId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

const COLUMNS: &str = "id, member_id, code, state, short_name, expire_minutes, last_modified, description, \
    advertiser_id, parent_segment_id, enable_rm_piggyback, max_usersync_pixels, piggyback_pixels, \
    querystring_mapping, querystring_mapping_key_value, price";

fn stored(row: &SqliteRow) -> Result<StoredSegment, sqlx::Error> {
    let code: Option<String> = row.try_get("code")?;
    let parent: Option<u32> = row.try_get("parent_segment_id")?;
    let last_modified: i64 = row.try_get("last_modified")?;
    let json = |column| {
        let text: Option<String> = row.try_get(column)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| sqlx::Error::Decode(error.into()))
    };
    Ok(StoredSegment {
        segment: Segment {
            id: SegmentId(row.try_get("id")?),
            member: MemberId(row.try_get("member_id")?),
            code: code.map(String::into_boxed_str),
            active: row.try_get::<&str, _>("state")? == "active",
            expire_minutes: row.try_get("expire_minutes")?,
        },
        short_name: row.try_get("short_name")?,
        details: SegmentDetails {
            description: row.try_get("description")?,
            advertiser_id: row.try_get("advertiser_id")?,
            parent_segment_id: parent.map(SegmentId),
            enable_rm_piggyback: row.try_get("enable_rm_piggyback")?,
            max_usersync_pixels: row.try_get("max_usersync_pixels")?,
            piggyback_pixels: json("piggyback_pixels")?,
            querystring_mapping: json("querystring_mapping")?,
            querystring_mapping_key_value: json("querystring_mapping_key_value")?,
            price: row.try_get("price")?,
        },
        last_modified_ms: u64::try_from(last_modified).unwrap_or_default(),
    })
}

/// Appends which segments are in the viewer's list. What is shared is looked for only when something is: with
/// nothing but its own, the list follows an index.
fn push_scope(statement: &mut QueryBuilder<Sqlite>, viewer: MemberId, shared: &Shared) {
    statement.push(" FROM segments WHERE deleted_at IS NULL AND ");
    if !shared.is_any() {
        statement.push("member_id = ").push_bind(viewer.0);
        return;
    }
    statement.push("(member_id = ").push_bind(viewer.0);
    // One list, and not a chain: SQLite takes expressions of a thousand levels. Numbers, and not values to bind, of
    // which it takes as many as a query of the longest URL has.
    statement.push(" OR (state = 'active' AND (member_id IN (");
    for (index, owner) in shared.whole.iter().enumerate() {
        statement.push(if index > 0 { ", " } else { "" }).push(owner);
    }
    statement.push(")");
    if shared.has_lists {
        statement.push(" OR id IN (SELECT segment_id FROM shared_segments WHERE buyer_member_id = ");
        statement.push_bind(viewer.0).push(")");
    }
    statement.push(")))");
}

/// What others share with a viewer.
#[derive(Default)]
struct Shared {
    /// Owners that share all.
    whole: Vec<u32>,
    has_lists: bool,
}

impl Shared {
    fn is_any(&self) -> bool {
        self.has_lists || !self.whole.is_empty()
    }

    async fn with(connection: &mut SqliteConnection, viewer: MemberId) -> Result<Shared, sqlx::Error> {
        let rows: Vec<(u32, String)> =
            sqlx::query_as("SELECT data_member_id, segment_exposure FROM sharing WHERE buyer_member_id = $1")
                .bind(viewer.0)
                .fetch_all(connection)
                .await?;
        let (whole, lists): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, exposure)| exposure == "all");
        Ok(Shared {
            whole: whole.into_iter().map(|(owner, _)| owner).collect(),
            has_lists: !lists.is_empty(),
        })
    }
}

async fn list(
    connection: &mut SqliteConnection,
    viewer: SegmentViewer,
    query: &ListQuery,
) -> Result<Page<StoredSegment>, sqlx::Error> {
    let shared = match viewer.with_shared && is_about_shared_fields(query) {
        true => Shared::with(connection, viewer.member).await?,
        false => Shared::default(),
    };
    let mut counting = QueryBuilder::new("SELECT count(*)");
    push_scope(&mut counting, viewer.member, &shared);
    sql::push_conditions(&mut counting, &SEGMENT, query);
    let count: i64 = counting.build_query_scalar().fetch_one(&mut *connection).await?;
    let mut items = Vec::new();
    if i64::from(query.start_element) < count {
        let mut listing = QueryBuilder::new("SELECT ");
        listing.push(COLUMNS);
        push_scope(&mut listing, viewer.member, &shared);
        sql::push_conditions(&mut listing, &SEGMENT, query);
        sql::push_order_and_page(&mut listing, &SEGMENT, query);
        let rows = listing.build().fetch_all(connection).await?;
        items = rows.iter().map(stored).collect::<Result<_, _>>()?;
    }
    Ok(Page { items, count: u64::try_from(count).unwrap_or_default() })
}

async fn own(
    connection: &mut SqliteConnection,
    owner: MemberId,
    id: SegmentId,
) -> Result<Option<StoredSegment>, sqlx::Error> {
    let mut statement = QueryBuilder::new("SELECT ");
    statement.push(COLUMNS).push(" FROM segments WHERE deleted_at IS NULL AND id = ").push_bind(id.0);
    statement.push(" AND member_id = ").push_bind(owner.0);
    let row = statement.build().fetch_optional(connection).await?;
    row.as_ref().map(stored).transpose()
}

async fn with_code(
    connection: &mut SqliteConnection,
    owner: MemberId,
    code: &str,
) -> Result<Option<u32>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM segments WHERE member_id = $1 AND code_lower = $2")
        .bind(owner.0)
        .bind(code.to_ascii_lowercase())
        .fetch_optional(connection)
        .await
}

async fn write(connection: &mut SqliteConnection, row: &StoredSegment) -> Result<(), sqlx::Error> {
    let StoredSegment { segment, short_name, details, last_modified_ms } = row;
    let json = |value: &Option<serde_json::Value>| value.as_ref().map(serde_json::Value::to_string);
    sqlx::query(
        "INSERT INTO segments (id, member_id, code, code_lower, state, short_name, expire_minutes, last_modified, \
             description, advertiser_id, parent_segment_id, enable_rm_piggyback, max_usersync_pixels, \
             piggyback_pixels, querystring_mapping, querystring_mapping_key_value, price) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
         ON CONFLICT (id) DO UPDATE SET code = excluded.code, code_lower = excluded.code_lower, \
             state = excluded.state, short_name = excluded.short_name, \
             expire_minutes = excluded.expire_minutes, last_modified = excluded.last_modified, \
             description = excluded.description, advertiser_id = excluded.advertiser_id, \
             parent_segment_id = excluded.parent_segment_id, \
             enable_rm_piggyback = excluded.enable_rm_piggyback, \
             max_usersync_pixels = excluded.max_usersync_pixels, \
             piggyback_pixels = excluded.piggyback_pixels, \
             querystring_mapping = excluded.querystring_mapping, \
             querystring_mapping_key_value = excluded.querystring_mapping_key_value, price = excluded.price",
    )
    .bind(segment.id.0)
    .bind(segment.member.0)
    .bind(segment.code.as_deref())
    .bind(segment.code.as_deref().map(str::to_ascii_lowercase))
    .bind(state_name(segment.active))
    .bind(short_name.as_deref())
    .bind(segment.expire_minutes)
    .bind(signed(*last_modified_ms))
    .bind(details.description.as_deref())
    .bind(details.advertiser_id)
    .bind(details.parent_segment_id.map(|id| id.0))
    .bind(details.enable_rm_piggyback)
    .bind(details.max_usersync_pixels)
    .bind(json(&details.piggyback_pixels))
    .bind(json(&details.querystring_mapping))
    .bind(json(&details.querystring_mapping_key_value))
    .bind(details.price)
    .execute(connection)
    .await?;
    Ok(())
}

/// One transaction that changes segments.
struct Transaction<'c> {
    catalog: &'c SqliteCatalog,
    inner: sqlx::Transaction<'static, Sqlite>,
    owner: MemberId,
    now_ms: u64,
}

impl<'c> Transaction<'c> {
    async fn begin(
        catalog: &'c SqliteCatalog,
        owner: MemberId,
        now_ms: u64,
    ) -> Result<Transaction<'c>, CatalogError> {
        Ok(Transaction { catalog, inner: catalog.database.begin_write().await?, owner, now_ms })
    }

    fn error(&self) -> impl Fn(sqlx::Error) -> CatalogError + use<'c> {
        self.catalog.database.error("changing segments")
    }

    async fn own(&mut self, id: SegmentId) -> Result<StoredSegment, CatalogError> {
        let found = own(&mut self.inner, self.owner, id).await.map_err(self.error())?;
        found.ok_or_else(|| no_such_segment(id))
    }

    /// Changes rows before any is written: a parent must have been there before.
    async fn apply<'r>(
        &mut self,
        rows: &mut [StoredSegment],
        changes: impl Iterator<Item = &'r SegmentChange>,
    ) -> Result<(), CatalogError> {
        for (row, change) in rows.iter_mut().zip(changes) {
            let before = row.details.parent_segment_id;
            change.apply_to(row, self.now_ms)?;
            if let Some(Some(parent)) = change.parent_segment_id.filter(|&parent| parent != before) {
                let found = own(&mut self.inner, self.owner, parent).await.map_err(self.error())?;
                if parent == row.segment.id || found.is_none() {
                    return Err(change.no_such_parent(parent));
                }
            }
        }
        Ok(())
    }

    async fn put(&mut self, row: &StoredSegment, change: &SegmentChange) -> Result<(), CatalogError> {
        let id = row.segment.id;
        if let Some(code) = &row.segment.code {
            let other = with_code(&mut self.inner, self.owner, code).await.map_err(self.error())?;
            if let Some(other) = other.filter(|&other| other != id.0) {
                return Err(change.code_taken(SegmentId(other)));
            }
        }
        write(&mut self.inner, row).await.map_err(self.error())
    }

    /// Ids that no segment ever had.
    async fn new_ids(&mut self, count: usize) -> Result<std::ops::RangeInclusive<u32>, CatalogError> {
        let last: u32 = sqlx::query_scalar("SELECT id FROM id_high_water WHERE kind = 'segment'")
            .fetch_one(&mut *self.inner)
            .await
            .map_err(self.error())?;
        let new_last = u32::try_from(count).ok().and_then(|count| last.checked_add(count));
        let new_last = new_last.ok_or_else(no_ids_left)?;
        sqlx::query("UPDATE id_high_water SET id = $1 WHERE kind = 'segment'")
            .bind(new_last)
            .execute(&mut *self.inner)
            .await
            .map_err(self.error())?;
        Ok(last + 1..=new_last)
    }

    async fn check_owner(&mut self, new: usize, most: u32) -> Result<(), CatalogError> {
        let known: Option<u32> = sqlx::query_scalar("SELECT id FROM members WHERE id = $1")
            .bind(self.owner.0)
            .fetch_optional(&mut *self.inner)
            .await
            .map_err(self.error())?;
        if known.is_none() {
            return Err(CatalogError::NotFound(format!("member {}", self.owner)));
        }
        if most == 0 {
            return Ok(());
        }
        let stored: i64 =
            sqlx::query_scalar("SELECT count(*) FROM segments WHERE member_id = $1 AND deleted_at IS NULL")
                .bind(self.owner.0)
                .fetch_one(&mut *self.inner)
                .await
                .map_err(self.error())?;
        check_limit(stored.unsigned_abs(), new, most)
    }

    /// Commits, and tells what a snapshot shows differently.
    async fn finish<T>(
        mut self,
        value: T,
        delta: Vec<(SegmentId, Option<Segment>)>,
    ) -> Result<Changed<T>, CatalogError> {
        raise_generation(&mut self.inner).await.map_err(self.error())?;
        let generation: i64 = sqlx::query_scalar("SELECT value FROM generation")
            .fetch_one(&mut *self.inner)
            .await
            .map_err(self.error())?;
        self.catalog.database.commit(self.inner).await?;
        self.catalog.database.fold().await;
        Ok(Changed { value, generation: generation.unsigned_abs(), delta: Delta::Segments(delta) })
    }

    async fn finish_rows(
        self,
        rows: Vec<StoredSegment>,
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError> {
        let delta = rows.iter().map(|row| (row.segment.id, Some(row.segment.clone()))).collect();
        self.finish(rows, delta).await
    }
}

#[async_trait]
impl SegmentStore for SqliteCatalog {
    async fn list_segments(
        &self,
        viewer: SegmentViewer,
        query: &ListQuery,
    ) -> Result<Page<StoredSegment>, CatalogError> {
        // One point in time for the count and the page.
        let mut transaction = self.database.begin_read().await?;
        list(&mut transaction, viewer, query).await.map_err(self.database.error("listing segments"))
    }

    async fn create_segments(
        &self,
        owner: MemberId,
        new: &[SegmentChange],
        most: u32,
        now_ms: u64,
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError> {
        let mut transaction = Transaction::begin(self, owner, now_ms).await?;
        transaction.check_owner(new.len(), most).await?;
        let ids = transaction.new_ids(new.len()).await?;
        let mut rows: Vec<_> = ids.map(|id| StoredSegment::new(owner, SegmentId(id))).collect();
        transaction.apply(&mut rows, new.iter()).await?;
        for (row, change) in rows.iter().zip(new) {
            transaction.put(row, change).await?;
        }
        transaction.finish_rows(rows).await
    }

    async fn change_segments(
        &self,
        owner: MemberId,
        changes: &[(SegmentId, SegmentChange)],
        now_ms: u64,
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError> {
        let mut transaction = Transaction::begin(self, owner, now_ms).await?;
        let mut rows = Vec::with_capacity(changes.len());
        for (id, change) in changes {
            rows.push(transaction.own(*id).await?);
            if change.code.is_some() {
                // Two segments may swap their codes: all are given up before any is taken.
                sqlx::query("UPDATE segments SET code_lower = NULL WHERE id = $1")
                    .bind(id.0)
                    .execute(&mut *transaction.inner)
                    .await
                    .map_err(transaction.error())?;
            }
        }
        transaction.apply(&mut rows, changes.iter().map(|(_, change)| change)).await?;
        for (row, (_, change)) in rows.iter().zip(changes) {
            transaction.put(row, change).await?;
        }
        transaction.finish_rows(rows).await
    }

    async fn delete_segments(
        &self,
        owner: MemberId,
        ids: &[SegmentId],
        now_ms: u64,
    ) -> Result<Changed<()>, CatalogError> {
        let mut transaction = Transaction::begin(self, owner, now_ms).await?;
        for &id in ids {
            transaction.own(id).await?;
            crate::sqlite::forget_segment(&mut transaction.inner, id, now_ms)
                .await
                .map_err(transaction.error())?;
        }
        transaction.finish((), ids.iter().map(|&id| (id, None)).collect()).await
    }
}
