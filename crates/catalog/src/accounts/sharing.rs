use super::plan::{Draft, Place};
use super::text;
use crate::CatalogError;
use crate::state::{Exposure, SharingRow};
use ia_model::{MemberId, SegmentId};
use std::collections::BTreeSet;

/// What is to become of a sharing. What is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct SharingEdit {
    /// Where the object stands in a list of several, like `member_data_sharings[3].`; for errors.
    pub path: String,
    /// Whose segments are shown; the caller's member's where a new one does not say.
    pub data_member: Option<u32>,
    /// To whom.
    pub buyer_member: Option<u32>,
    /// Whether each segment is shown, or those that are listed.
    pub all: Option<bool>,
    /// The list.
    pub segments: Option<Vec<u32>>,
    /// Whether `segments` come to those that are listed already, in place of them.
    pub append: bool,
}

impl Draft<'_> {
    pub(super) fn create_sharing(&mut self, edit: &SharingEdit) -> Result<u32, CatalogError> {
        let at = &Place(&edit.path);
        let owner = edit.data_member.unwrap_or(self.by.member.0);
        if !self.is_admin() && owner != self.by.member.0 {
            return Err(CatalogError::forbidden("A member shares its own segments alone"));
        }
        let owner = self.known_member(&at.of("data_member_id"), owner)?;
        let path = at.of("buyer_member_id");
        let viewer = text::required(&path, edit.buyer_member)?;
        if viewer == owner.0 {
            return Err(CatalogError::invalid(path, "a member sees its own segments without sharing"));
        }
        let viewer = self.known_member(&path, viewer)?;
        if let Some(row) = self.sharing.get(&(owner, viewer)) {
            let reason = format!("sharing {} is for these two members already", row.id);
            return Err(CatalogError::conflict(path, reason));
        }
        text::required(&at.of("segment_exposure"), edit.all)?;
        let exposure = self.exposure(at, owner, None, edit)?;
        let highest = self.sharing.values().map(|row| row.id).max().unwrap_or(0);
        let id = highest.max(self.state.sharing_high_water).checked_add(1);
        let id =
            id.ok_or_else(|| CatalogError::conflict(at.of("id"), "there are no ids left for sharing"))?;
        self.sharing.insert((owner, viewer), SharingRow { id, exposure, last_modified_ms: None });
        Ok(id)
    }

    pub(super) fn edit_sharing(&mut self, id: u32, edit: &SharingEdit) -> Result<u32, CatalogError> {
        let at = &Place(&edit.path);
        let (owner, viewer) = self.changeable_sharing(id)?;
        for (field, wanted, is) in
            [("data_member_id", edit.data_member, owner), ("buyer_member_id", edit.buyer_member, viewer)]
        {
            if wanted.is_some_and(|wanted| wanted != is.0) {
                let reason = "the members of a sharing stay; delete it and make another";
                return Err(CatalogError::invalid(at.of(field), reason));
            }
        }
        let before = &self.sharing[&(owner, viewer)];
        let exposure = self.exposure(at, owner, Some(&before.exposure), edit)?;
        let row = SharingRow { exposure, ..before.clone() };
        self.sharing.insert((owner, viewer), row);
        Ok(id)
    }

    pub(super) fn delete_sharing(&mut self, id: u32) -> Result<u32, CatalogError> {
        let pair = self.changeable_sharing(id)?;
        self.sharing.remove(&pair);
        Ok(id)
    }

    /// The members of a sharing that the caller may change.
    fn changeable_sharing(&self, id: u32) -> Result<(MemberId, MemberId), CatalogError> {
        let own = self.by.member;
        let is_visible =
            |(owner, viewer): &(MemberId, MemberId)| self.is_admin() || *owner == own || *viewer == own;
        let found = self.sharing.iter().find(|(_, row)| row.id == id).map(|(&pair, _)| pair);
        let pair = found.filter(is_visible);
        let pair = pair.ok_or_else(|| CatalogError::NotFound(format!("member-data-sharing {id}")))?;
        if self.is_admin() || pair.0 == own {
            Ok(pair)
        } else {
            Err(CatalogError::forbidden("Only who owns the segments may change how they are shared"))
        }
    }

    fn exposure(
        &self,
        at: &Place,
        owner: MemberId,
        before: Option<&Exposure>,
        edit: &SharingEdit,
    ) -> Result<Exposure, CatalogError> {
        let all = edit.all.unwrap_or(before == Some(&Exposure::All));
        let path = at.of("segments");
        let listed = match (before, &edit.segments) {
            (_, Some(ids)) if all && !ids.is_empty() => {
                return Err(CatalogError::invalid(path, "only the exposure 'list' has segments"));
            }
            _ if all => return Ok(Exposure::All),
            (Some(Exposure::List(ids)), None) => return Ok(Exposure::List(ids.clone())),
            (_, None) => {
                return Err(CatalogError::invalid(path, "the exposure 'list' needs its segments"));
            }
            (_, Some(ids)) => ids,
        };
        let mut ids = match before {
            Some(Exposure::List(ids)) if edit.append => ids.clone(),
            _ => BTreeSet::new(),
        };
        for (index, &id) in listed.iter().enumerate() {
            let id = SegmentId(id);
            let row = self.state.segments.get(&id).filter(|row| !row.deleted);
            if row.is_none_or(|row| row.segment.member != owner) {
                let path = at.of(&format!("segments[{index}]"));
                return Err(CatalogError::invalid(path, format!("member {owner} has no segment {id}")));
            }
            ids.insert(id);
        }
        Ok(Exposure::List(ids))
    }
}
