use super::plan::{Draft, Place};
use super::text;
use crate::file::LimitsEdit;
use crate::redirect_host::read_hosts;
use crate::rules::MAX_INT;
use crate::state::MemberRow;
use crate::{CatalogError, Change};
use ia_model::MemberId;
use std::sync::Arc;

/// What is to become of a member. What is `None` or [`Change::Keep`] stays, or is as usual in a new one.
#[derive(Debug, Clone, Default)]
pub struct MemberEdit {
    /// Where the object stands in a list of several, like `members[3].`; for errors.
    pub path: String,
    /// For a new one; `None` takes the next free id.
    pub id: Option<u32>,
    /// Its name.
    pub name: Option<String>,
    /// Whether its logins may be used.
    pub active: Option<bool>,
    /// Minutes; 0 is for ever.
    pub default_expiration: Change<u32>,
    /// Whether a user id without a domain is one of the member's own.
    pub use_external_uids: Option<bool>,
    /// In whose name space those ids are.
    pub external_member_uid: Change<u32>,
    /// What differs from the configured limits.
    pub limits: LimitsEdit,
    /// Where its pixels may redirect browsers, beside the hosts of the server's configuration.
    pub redirect_hosts: Change<Vec<String>>,
    /// Whether `redirect_hosts` comes to what is there already, in place of it.
    pub append: bool,
}

impl Draft<'_> {
    pub(super) fn create_member(&mut self, edit: &MemberEdit) -> Result<u32, CatalogError> {
        let at = &Place(&edit.path);
        self.must_be_admin()?;
        let highest = self.members.keys().next_back().map_or(0, |id| id.0);
        let id = match edit.id {
            Some(id) => id,
            None if highest >= MAX_INT => {
                return Err(CatalogError::conflict(at.of("id"), "the next id is not free: name one"));
            }
            None => highest + 1,
        };
        text::id(&at.of("id"), id)?;
        if self.members.contains_key(&MemberId(id)) {
            return Err(CatalogError::conflict(at.of("id"), format!("there is a member {id} already")));
        }
        text::required(&at.of("name"), edit.name.as_ref())?;
        self.members.insert(MemberId(id), MemberRow::new(MemberId(id)));
        self.write_member(at, MemberId(id), edit)
    }

    pub(super) fn edit_member(&mut self, id: MemberId, edit: &MemberEdit) -> Result<u32, CatalogError> {
        let at = &Place(&edit.path);
        let is_visible = self.is_admin() || id == self.by.member;
        let before = self.members.get(&id).filter(|_| is_visible).cloned();
        let before = before.ok_or_else(|| CatalogError::NotFound(format!("member {id}")))?;
        if edit.id.is_some_and(|other| other != id.0) {
            return Err(CatalogError::invalid(at.of("id"), "an id cannot be changed"));
        }
        if self.is_admin() {
            return self.write_member(at, id, edit);
        }
        let outcome = self.write_member(at, id, edit);
        let mut allowed = before;
        let row = &self.members[&id];
        allowed.member.default_expiration = row.member.default_expiration;
        if *row == allowed {
            outcome
        } else {
            Err(CatalogError::forbidden("A member may change its default_expiration; the rest is for admins"))
        }
    }

    fn write_member(&mut self, at: &Place, id: MemberId, edit: &MemberEdit) -> Result<u32, CatalogError> {
        let mut row = self.members[&id].clone();
        let member = &mut row.member;
        if let Some(name) = &edit.name {
            text::name(&at.of("name"), name)?;
            member.name = name.as_str().into();
        }
        if let Some(active) = edit.active {
            member.active = active;
        }
        text::at_most_max(&at.of("default_expiration"), &edit.default_expiration)?;
        edit.default_expiration.write_to(&mut member.default_expiration);
        if let Some(use_external_uids) = edit.use_external_uids {
            member.use_external_uids = use_external_uids;
        }
        self.external_member(&at.of("external_member_uid"), &edit.external_member_uid, member)?;
        for (name, limit) in edit.limits.named() {
            text::at_most_max(&at.of(&format!("limits.{name}")), limit)?;
        }
        edit.limits.write_to(&mut member.limits);
        match &edit.redirect_hosts {
            Change::Keep => {}
            Change::Clear => member.redirect_hosts = Arc::default(),
            Change::Set(hosts) => {
                let before = if edit.append { &member.redirect_hosts[..] } else { &[] };
                member.redirect_hosts = read_hosts(before, hosts).map_err(|(index, reason)| {
                    let index = index.map_or(String::new(), |index| format!("[{index}]"));
                    CatalogError::invalid(at.of(&format!("redirect_hosts{index}")), reason)
                })?;
            }
        }
        self.members.insert(id, row);
        Ok(id.0)
    }

    /// Sets in whose name space the member's own ids are.
    pub(super) fn external_member(
        &self,
        path: &str,
        change: &Change<u32>,
        member: &mut crate::Member,
    ) -> Result<(), CatalogError> {
        match change {
            Change::Keep => {}
            Change::Clear => member.external_member_uid = None,
            // An id that is there already may be sent again by who may not look for others.
            Change::Set(id) if member.external_member_uid == Some(MemberId(*id)) => {}
            Change::Set(_) if !self.is_admin() => {
                return Err(CatalogError::forbidden(
                    "A member may change its default_expiration; the rest is for admins",
                ));
            }
            Change::Set(id) => member.external_member_uid = Some(self.known_member(path, *id)?),
        }
        Ok(())
    }
}
