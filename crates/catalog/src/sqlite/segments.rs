//! The segment service's changes.

use super::SqliteCatalog;
use super::segment_rows as rows;
use super::statement::Numbers as _;
use crate::listing::{ListQuery, Page};
use crate::segments::{
    self, SegmentChange, SegmentStore, SegmentViewer, SharedWithViewer, StoredSegment, check_limit,
    no_ids_left, no_such_segment,
};
use crate::{CatalogError, Changed, Delta, Segment};
use async_trait::async_trait;
use ia_model::{MemberId, SegmentId};
use sqlx::{Row as _, Sqlite, SqliteConnection};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

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
        let found = rows::own(&mut self.inner, self.owner, id).await.map_err(self.error())?;
        found.ok_or_else(|| no_such_segment(id))
    }

    /// Changes rows before any is written: a parent must have been there before. Gives the indexes of those that get
    /// another parent.
    async fn apply(
        &mut self,
        stored: &mut [StoredSegment],
        changes: &[&SegmentChange],
    ) -> Result<Vec<usize>, CatalogError> {
        let mut moved = Vec::new();
        for (index, (row, change)) in stored.iter_mut().zip(changes).enumerate() {
            let before = row.details.parent_segment_id;
            change.apply_to(row, self.now_ms)?;
            if let Some(Some(parent)) = change.parent_segment_id.filter(|&parent| parent != before) {
                let found = rows::own(&mut self.inner, self.owner, parent).await.map_err(self.error())?;
                if parent == row.segment.id || found.is_none() {
                    return Err(change.no_such_parent(parent));
                }
                moved.push(index);
            }
        }
        Ok(moved)
    }

    /// The index of one of the `moved` rows that is above itself now. The rows are written by then, so that a circle
    /// which several changes make together is found.
    async fn in_circle(
        &mut self,
        stored: &[StoredSegment],
        moved: &[usize],
    ) -> Result<Option<usize>, CatalogError> {
        if moved.is_empty() {
            return Ok(None);
        }
        let ids: Vec<SegmentId> = moved.iter().map(|&index| stored[index].segment.id).collect();
        let parents = rows::parents_above(&mut self.inner, &ids).await.map_err(self.error())?;
        let circles = circles(&parents, &ids);
        Ok(moved.iter().copied().find(|&index| circles.contains(&stored[index].segment.id)))
    }

    async fn write(&mut self, row: &StoredSegment, change: &SegmentChange) -> Result<(), CatalogError> {
        if let Some(code) = &row.segment.code {
            let other = rows::with_code(&mut self.inner, self.owner, code).await.map_err(self.error())?;
            if let Some(other) = other.filter(|&other| other != row.segment.id) {
                return Err(change.code_taken(other));
            }
        }
        rows::write(&mut self.inner, row).await.map_err(self.error())
    }

    /// Ids that no segment ever had.
    async fn new_ids(&mut self, count: usize) -> Result<RangeInclusive<u32>, CatalogError> {
        let last = self.scalar("SELECT id FROM id_high_water WHERE kind = 'segment'", None).await?;
        let last = u32::try_from(last).map_err(|_| no_ids_left())?;
        let new_last = u32::try_from(count).ok().and_then(|count| last.checked_add(count));
        let new_last = new_last.ok_or_else(no_ids_left)?;
        sqlx::query("UPDATE id_high_water SET id = $1 WHERE kind = 'segment'")
            .bind(i64::from(new_last))
            .execute(&mut *self.inner)
            .await
            .map_err(self.error())?;
        Ok(last + 1..=new_last)
    }

    async fn check_owner(&mut self, new: usize, most: u32) -> Result<(), CatalogError> {
        let owner = Some(self.owner);
        if self.scalar("SELECT count(*) FROM members WHERE id = $1", owner).await? == 0 {
            return Err(CatalogError::NotFound(format!("member {}", self.owner)));
        }
        if most == 0 {
            return Ok(());
        }
        let stored = "SELECT count(*) FROM segments WHERE member_id = $1 AND deleted_at IS NULL";
        check_limit(self.scalar(stored, owner).await?.unsigned_abs(), new, most)
    }

    async fn scalar(&mut self, sql: &'static str, of: Option<MemberId>) -> Result<i64, CatalogError> {
        let mut query = sqlx::query_scalar::<Sqlite, i64>(sql);
        if let Some(member) = of {
            query = query.bind(i64::from(member.0));
        }
        query.fetch_one(&mut *self.inner).await.map_err(self.error())
    }

    async fn finish<T>(
        self,
        value: T,
        delta: Vec<(SegmentId, Option<Segment>)>,
    ) -> Result<Changed<T>, CatalogError> {
        let generation = self.catalog.commit_change(self.inner).await?;
        Ok(Changed { value, generation, delta: Delta::Segments(delta) })
    }

    /// Changes new or old rows, writes them and commits.
    async fn put(
        mut self,
        mut stored: Vec<StoredSegment>,
        changes: &[&SegmentChange],
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError> {
        let moved = self.apply(&mut stored, changes).await?;
        for (row, change) in stored.iter().zip(changes) {
            self.write(row, change).await?;
        }
        if let Some(index) = self.in_circle(&stored, &moved).await? {
            return Err(changes[index].circle(stored[index].segment.id));
        }
        let delta = stored.iter().map(|row| (row.segment.id, Some(row.segment.clone()))).collect();
        self.finish(stored, delta).await
    }
}

/// The segments in circles of parents that the walks from `starts` upwards meet. Each segment is visited once, whatever
/// circles there are.
fn circles(parents: &HashMap<SegmentId, SegmentId>, starts: &[SegmentId]) -> HashSet<SegmentId> {
    // In which walk a segment was met first.
    let mut met: HashMap<SegmentId, usize> = HashMap::new();
    let mut circles = HashSet::new();
    for (walk, &start) in starts.iter().enumerate() {
        let mut at = start;
        while !met.contains_key(&at) {
            met.insert(at, walk);
            at = parents.get(&at).copied().unwrap_or(at);
        }
        // A walk that comes back to itself, and not to its last segment, has found a circle.
        if met[&at] == walk && parents.contains_key(&at) {
            while circles.insert(at) {
                at = parents[&at];
            }
        }
    }
    circles
}

async fn shared_with(
    connection: &mut SqliteConnection,
    viewer: MemberId,
) -> Result<SharedWithViewer, sqlx::Error> {
    let rows = sqlx::query("SELECT data_member_id, segment_exposure FROM sharing WHERE buyer_member_id = $1")
        .bind(i64::from(viewer.0))
        .fetch_all(connection)
        .await?;
    let mut shared = SharedWithViewer::default();
    for row in rows {
        match row.try_get("segment_exposure")? {
            "all" => shared.whole.push(row.u32("data_member_id")?),
            _ => shared.has_lists = true,
        }
    }
    Ok(shared)
}

#[async_trait]
impl SegmentStore for SqliteCatalog {
    async fn list_segments(
        &self,
        viewer: SegmentViewer,
        query: &ListQuery,
    ) -> Result<Page<StoredSegment>, CatalogError> {
        let failed = self.database.error("listing segments");
        let mut transaction = self.database.begin_read().await?;
        let shared = shared_with(&mut transaction, viewer.member).await.map_err(&failed)?;
        let list = segments::list(viewer, &shared, query);
        rows::list(&mut transaction, &list).await.map_err(failed)
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
        let stored = ids.map(|id| StoredSegment::new(owner, SegmentId(id))).collect();
        transaction.put(stored, &new.iter().collect::<Vec<_>>()).await
    }

    async fn change_segments(
        &self,
        owner: MemberId,
        changes: &[(SegmentId, SegmentChange)],
        now_ms: u64,
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError> {
        let mut transaction = Transaction::begin(self, owner, now_ms).await?;
        let mut stored = Vec::with_capacity(changes.len());
        for (id, change) in changes {
            stored.push(transaction.own(*id).await?);
            if change.code.is_some() {
                // Two segments may swap their codes.
                rows::clear_code(&mut transaction.inner, *id).await.map_err(transaction.error())?;
            }
        }
        transaction.put(stored, &changes.iter().map(|(_, change)| change).collect::<Vec<_>>()).await
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
            rows::delete(&mut transaction.inner, id, now_ms).await.map_err(transaction.error())?;
        }
        transaction.finish((), ids.iter().map(|&id| (id, None)).collect()).await
    }
}
