use super::{
    SEGMENT, SegmentChange, SegmentStore, SegmentViewer, StoredSegment, check_limit, is_about_shared_fields,
    no_ids_left, no_such_segment,
};
use crate::listing::{ListQuery, Page, plain};
use crate::memory::Inner;
use crate::state::{Exposure, SegmentRow, State};
use crate::{CatalogError, Changed, Delta, MemoryCatalog};
use async_trait::async_trait;
use ia_model::{MemberId, SegmentId};
use std::collections::BTreeSet;

impl SegmentRow {
    fn stored(&self) -> StoredSegment {
        StoredSegment {
            segment: self.segment.clone(),
            short_name: self.short_name.clone(),
            details: self.details.clone(),
            last_modified_ms: self.last_modified_ms,
        }
    }

    fn of(stored: StoredSegment) -> SegmentRow {
        let StoredSegment { segment, short_name, details, last_modified_ms } = stored;
        SegmentRow { segment, short_name, details, last_modified_ms, deleted: false }
    }
}

fn is_shared(state: &State, viewer: MemberId, row: &SegmentRow) -> bool {
    row.segment.active
        && match state.sharing.get(&(row.segment.member, viewer)).map(|row| &row.exposure) {
            None => false,
            Some(Exposure::All) => true,
            Some(Exposure::List(ids)) => ids.contains(&row.segment.id),
        }
}

fn own(state: &State, owner: MemberId, id: SegmentId) -> Result<&SegmentRow, CatalogError> {
    let row = state.segments.get(&id).filter(|row| !row.deleted && row.segment.member == owner);
    row.ok_or_else(|| no_such_segment(id))
}

/// Works out all rows before any is written.
fn changed_rows(
    state: &State,
    owner: MemberId,
    rows: Vec<(StoredSegment, &SegmentChange)>,
    now_ms: u64,
) -> Result<Vec<StoredSegment>, CatalogError> {
    let touched: BTreeSet<SegmentId> = rows.iter().map(|(row, _)| row.segment.id).collect();
    let mut taken: Vec<(String, SegmentId)> = state
        .segments
        .values()
        .filter(|row| !row.deleted && row.segment.member == owner && !touched.contains(&row.segment.id))
        .filter_map(|row| Some((row.segment.code.as_ref()?.to_ascii_lowercase(), row.segment.id)))
        .collect();
    let mut rows = rows;
    for (row, change) in &mut rows {
        let before = row.details.parent_segment_id;
        change.apply_to(row, now_ms)?;
        let id = row.segment.id;
        if let Some(Some(parent)) = change.parent_segment_id.filter(|&parent| parent != before)
            && (parent == id || own(state, owner, parent).is_err())
        {
            return Err(change.no_such_parent(parent));
        }
    }
    for (row, change) in &rows {
        let id = row.segment.id;
        if let Some(code) = row.segment.code.as_ref().map(|code| code.to_ascii_lowercase()) {
            if let Some(&(_, other)) = taken.iter().find(|(other, _)| *other == code) {
                return Err(change.code_taken(other));
            }
            taken.push((code, id));
        }
    }
    Ok(rows.into_iter().map(|(row, _)| row).collect())
}

fn write(inner: &mut Inner, rows: Vec<StoredSegment>) -> Changed<Vec<StoredSegment>> {
    inner.generation += 1;
    let state = &mut inner.state;
    let mut delta = Vec::new();
    for row in &rows {
        delta.push((row.segment.id, Some(row.segment.clone())));
        state.segments.insert(row.segment.id, SegmentRow::of(row.clone()));
    }
    Changed { value: rows, generation: inner.generation, delta: Delta::Segments(delta) }
}

#[async_trait]
impl SegmentStore for MemoryCatalog {
    async fn list_segments(
        &self,
        viewer: SegmentViewer,
        query: &ListQuery,
    ) -> Result<Page<StoredSegment>, CatalogError> {
        let inner = self.inner();
        let state = &inner.state;
        let with_shared = viewer.with_shared && is_about_shared_fields(query);
        let is_visible = |row: &&SegmentRow| {
            !row.deleted
                && (row.segment.member == viewer.member
                    || (with_shared && is_shared(state, viewer.member, row)))
        };
        let rows = state.segments.values().filter(is_visible).map(SegmentRow::stored);
        Ok(plain::page(&SEGMENT, rows, query, |row, field| row.value(field)))
    }

    async fn create_segments(
        &self,
        owner: MemberId,
        new: &[SegmentChange],
        most: u32,
        now_ms: u64,
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError> {
        let inner = &mut *self.inner();
        let state = &inner.state;
        if !state.members.contains_key(&owner) {
            return Err(CatalogError::NotFound(format!("member {owner}")));
        }
        let of_owner = |row: &&SegmentRow| !row.deleted && row.segment.member == owner;
        check_limit(state.segments.values().filter(of_owner).count() as u64, new.len(), most)?;
        let last = state.segments.keys().next_back().map_or(0, |id| id.0);
        let numbered = |(index, change)| {
            let id = u32::try_from(index + 1).ok().and_then(|index| last.checked_add(index));
            Ok((StoredSegment::new(owner, SegmentId(id.ok_or_else(no_ids_left)?)), change))
        };
        let rows = new.iter().enumerate().map(numbered).collect::<Result<_, CatalogError>>()?;
        let rows = changed_rows(state, owner, rows, now_ms)?;
        Ok(write(inner, rows))
    }

    async fn change_segments(
        &self,
        owner: MemberId,
        changes: &[(SegmentId, SegmentChange)],
        now_ms: u64,
    ) -> Result<Changed<Vec<StoredSegment>>, CatalogError> {
        let inner = &mut *self.inner();
        let state = &inner.state;
        let mut rows = Vec::new();
        for (id, change) in changes {
            rows.push((own(state, owner, *id)?.stored(), change));
        }
        let rows = changed_rows(state, owner, rows, now_ms)?;
        Ok(write(inner, rows))
    }

    async fn delete_segments(
        &self,
        owner: MemberId,
        ids: &[SegmentId],
        now_ms: u64,
    ) -> Result<Changed<()>, CatalogError> {
        let inner = &mut *self.inner();
        for &id in ids {
            own(&inner.state, owner, id)?;
        }
        for id in ids {
            inner.state.delete_segment(*id, now_ms);
        }
        inner.generation += 1;
        let delta = Delta::Segments(ids.iter().map(|&id| (id, None)).collect());
        Ok(Changed { value: (), generation: inner.generation, delta })
    }
}
