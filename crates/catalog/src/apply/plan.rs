use super::passwords::SettledPasswords;
use super::report::ApplyReport;
use crate::file::{
    CatalogFile, ExposureEntry, MemberEntry, SegmentEntry, SharingEntry, StateEntry, UserEntry,
};
use crate::login::login_key;
use crate::redirect_host::read_hosts;
use crate::state::{Exposure, LoginRow, MemberRow, SegmentRow, SharingRow, State};
use crate::{CatalogError, Change, Segment, UserType};
use ia_model::{MemberId, SegmentId};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The rows to write so that the catalog says what the file says. Unchanged rows are left out.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub members: Vec<MemberRow>,
    pub logins: Vec<LoginRow>,
    /// Logins whose tokens are taken back.
    pub revoked: Vec<u32>,
    pub segments: Vec<SegmentRow>,
    /// Those of `segments` that have another code now.
    pub recoded: Vec<SegmentId>,
    pub sharing: Vec<((MemberId, MemberId), SharingRow)>,
    pub report: ApplyReport,
}

impl Plan {
    /// Puts the rows into `state`.
    pub(crate) fn write_to(self, state: &mut State) {
        state.members.extend(self.members.into_iter().map(|row| (row.member.id, row)));
        for row in self.logins {
            state.login_high_water = state.login_high_water.max(row.id);
            state.logins.insert(login_key(&row.username), row);
        }
        state.segments.extend(self.segments.into_iter().map(|row| (row.segment.id, row)));
        for (pair, row) in self.sharing {
            state.sharing_high_water = state.sharing_high_water.max(row.id);
            state.sharing.insert(pair, row);
        }
    }
}

/// Plans the changes of `file` in `state`. Fails where the file contradicts it.
pub(crate) fn plan(
    state: &State,
    file: &CatalogFile,
    passwords: &SettledPasswords,
) -> Result<Plan, CatalogError> {
    let mut planner = Planner { state, members: BTreeSet::new(), plan: Plan::default() };
    planner.members.extend(state.members.keys());
    planner.members.extend(file.members.iter().map(|entry| MemberId(entry.id)));

    for (index, entry) in file.members.iter().enumerate() {
        planner.member(&format!("members[{index}]"), entry)?;
    }
    for (index, entry) in file.users.iter().enumerate() {
        planner.login(&format!("users[{index}]"), entry, passwords)?;
    }
    for (index, entry) in file.segments.iter().enumerate() {
        planner.segment(&format!("segments[{index}]"), entry)?;
    }
    check_codes(state, file, &planner.plan.segments)?;
    let owners = planner.owners();
    for (index, entry) in file.sharing.iter().enumerate() {
        planner.sharing(&format!("sharing[{index}]"), entry, &owners)?;
    }
    Ok(planner.plan)
}

struct Planner<'a> {
    state: &'a State,
    /// Existing and planned members.
    members: BTreeSet<MemberId>,
    plan: Plan,
}

impl Planner<'_> {
    fn known_member(&self, id: u32, path: &str, field: &str) -> Result<MemberId, CatalogError> {
        let id = MemberId(id);
        if self.members.contains(&id) {
            Ok(id)
        } else {
            Err(CatalogError::invalid(format!("{path}.{field}"), format!("there is no member {id}")))
        }
    }

    fn member(&mut self, path: &str, entry: &MemberEntry) -> Result<(), CatalogError> {
        let before = self.state.members.get(&MemberId(entry.id));
        let mut row = before.cloned().unwrap_or_else(|| MemberRow::new(MemberId(entry.id)));
        let member = &mut row.member;
        member.name = entry.name.as_str().into();
        set_state(entry.state, &mut member.active);
        entry.default_expiration.write_to(&mut member.default_expiration);
        if let Some(use_external_uids) = entry.use_external_uids {
            member.use_external_uids = use_external_uids;
        }
        if let Some(&id) = entry.external_member_uid.value() {
            self.known_member(id, path, "external_member_uid")?;
        }
        let mut external = member.external_member_uid.map(|id| id.0);
        entry.external_member_uid.write_to(&mut external);
        member.external_member_uid = external.map(MemberId);
        entry.limits.write_to(&mut member.limits);
        match &entry.redirect_hosts {
            Change::Keep => {}
            Change::Clear => member.redirect_hosts = Arc::default(),
            Change::Set(hosts) => {
                let checked = read_hosts(&[], hosts);
                member.redirect_hosts = checked
                    .map_err(|(_, reason)| CatalogError::invalid(format!("{path}.redirect_hosts"), reason))?;
            }
        }
        if let Some(owners) = &entry.segment_access {
            row.segment_access = owners
                .iter()
                .enumerate()
                .map(|(index, &owner)| self.known_member(owner, path, &format!("segment_access[{index}]")))
                .collect::<Result<_, _>>()?;
        }
        if before.is_some_and(|before| before.member.active) && !row.member.active {
            // Its logins are off with it, which ends their tokens for good.
            let own = self.state.logins.values().filter(|login| login.member == row.member.id);
            self.plan.revoked.extend(own.map(|login| login.id));
        }
        if self.plan.report.members.count(before, &row) {
            self.plan.members.push(row);
        }
        Ok(())
    }

    fn login(
        &mut self,
        path: &str,
        entry: &UserEntry,
        passwords: &SettledPasswords,
    ) -> Result<(), CatalogError> {
        let key = login_key(&entry.username);
        let member = self.known_member(entry.member_id, path, "member_id")?;
        let before = self.state.logins.get(&key);
        let mut row = match (before, passwords.for_login(&key)) {
            (Some(row), _) => row.clone(),
            (None, Some(password_hash)) => LoginRow {
                id: self.next_login_id(path)?,
                username: entry.username.clone(),
                password_hash: password_hash.clone(),
                active: true,
                user_type: UserType::Member,
                read_only: false,
                member,
                email: None,
                first_name: None,
                last_name: None,
                last_modified_ms: None,
            },
            (None, None) => {
                return Err(CatalogError::invalid(
                    format!("{path}.password"),
                    "a new login needs a password",
                ));
            }
        };
        row.username.clone_from(&entry.username);
        row.member = member;
        if let Some(password_hash) = passwords.for_login(&key) {
            row.password_hash = password_hash.clone();
        }
        if let Some(user_type) = entry.user_type {
            row.user_type = user_type;
        }
        if let Some(read_only) = entry.read_only {
            row.read_only = read_only;
        }
        set_state(entry.state, &mut row.active);

        if before.is_some_and(|before| row.ends_tokens(before)) {
            self.plan.revoked.push(row.id);
        }
        if self.plan.report.users.count(before, &row) {
            self.plan.logins.push(row);
        }
        Ok(())
    }

    fn next_login_id(&self, path: &str) -> Result<u32, CatalogError> {
        let planned = self.plan.logins.iter().map(|row| row.id).max().unwrap_or(0);
        planned
            .max(self.state.login_high_water)
            .checked_add(1)
            .ok_or_else(|| CatalogError::conflict(path, "there are no ids left for logins"))
    }

    fn next_sharing_id(&self, path: &str) -> Result<u32, CatalogError> {
        let planned = self.plan.sharing.iter().map(|(_, row)| row.id).max().unwrap_or(0);
        planned
            .max(self.state.sharing_high_water)
            .checked_add(1)
            .ok_or_else(|| CatalogError::conflict(path, "there are no ids left for sharing"))
    }

    fn segment(&mut self, path: &str, entry: &SegmentEntry) -> Result<(), CatalogError> {
        let member = self.known_member(entry.member_id, path, "member_id")?;
        let id = SegmentId(entry.id);
        let before = self.state.segments.get(&id);
        if let Some(before) = before {
            if before.deleted {
                return Err(CatalogError::conflict(
                    format!("{path}.id"),
                    format!("segment {id} was deleted, and an id is never used again"),
                ));
            }
            if before.segment.member != member {
                return Err(CatalogError::conflict(
                    format!("{path}.member_id"),
                    format!("segment {id} belongs to member {}", before.segment.member),
                ));
            }
        }
        let mut row = before.cloned().unwrap_or_else(|| SegmentRow::new(id, member));
        entry.code.write_to(&mut row.segment.code);
        entry.short_name.write_to(&mut row.short_name);
        entry.expire_minutes.write_to(&mut row.segment.expire_minutes);
        set_state(entry.state, &mut row.segment.active);
        if before.is_some_and(|before| before.segment.code != row.segment.code) {
            self.plan.recoded.push(id);
        }
        if self.plan.report.segments.count(before, &row) {
            self.plan.segments.push(row);
        }
        Ok(())
    }

    /// The owner of every existing and planned segment.
    fn owners(&self) -> HashMap<SegmentId, MemberId> {
        let stored = self.state.segments.values().filter(|row| !row.deleted);
        stored.chain(&self.plan.segments).map(|row| (row.segment.id, row.segment.member)).collect()
    }

    fn sharing(
        &mut self,
        path: &str,
        entry: &SharingEntry,
        owners: &HashMap<SegmentId, MemberId>,
    ) -> Result<(), CatalogError> {
        let owner = self.known_member(entry.data_member_id, path, "data_member_id")?;
        let viewer = self.known_member(entry.buyer_member_id, path, "buyer_member_id")?;
        let before = self.state.sharing.get(&(owner, viewer));
        let exposure = match (entry.segment_exposure, &entry.segments, before.map(|row| &row.exposure)) {
            (ExposureEntry::All, _, _) => Exposure::All,
            (ExposureEntry::List, None, Some(list @ Exposure::List(_))) => list.clone(),
            (ExposureEntry::List, None, _) => {
                return Err(CatalogError::invalid(
                    format!("{path}.segments"),
                    "the exposure 'list' needs its segments",
                ));
            }
            (ExposureEntry::List, Some(ids), _) => {
                for (index, &id) in ids.iter().enumerate() {
                    if owners.get(&SegmentId(id)) != Some(&owner) {
                        return Err(CatalogError::invalid(
                            format!("{path}.segments[{index}]"),
                            format!("member {owner} has no segment {id}"),
                        ));
                    }
                }
                Exposure::List(ids.iter().copied().map(SegmentId).collect())
            }
        };
        let row = match before {
            Some(row) => SharingRow { exposure, ..row.clone() },
            None => SharingRow { id: self.next_sharing_id(path)?, exposure, last_modified_ms: None },
        };
        if self.plan.report.sharing.count(before, &row) {
            self.plan.sharing.push(((owner, viewer), row));
        }
        Ok(())
    }
}

/// No two segments of a member may end up with the same code.
fn check_codes(state: &State, file: &CatalogFile, changed: &[SegmentRow]) -> Result<(), CatalogError> {
    if changed.is_empty() {
        return Ok(());
    }
    let changed_ids: BTreeSet<SegmentId> = changed.iter().map(|row| row.segment.id).collect();
    let kept = state.segments.values().filter(|row| !row.deleted && !changed_ids.contains(&row.segment.id));
    let mut taken: HashMap<(MemberId, String), SegmentId> =
        kept.filter_map(|row| Some((code_key(&row.segment)?, row.segment.id))).collect();
    for row in changed {
        let Some(key) = code_key(&row.segment) else { continue };
        if let Some(other) = taken.insert(key, row.segment.id) {
            let id = row.segment.id;
            let index = file.segments.iter().position(|entry| entry.id == id.0).unwrap_or_default();
            let reason = format!("segment {other} of member {} has this code", row.segment.member);
            return Err(CatalogError::conflict(format!("segments[{index}].code"), reason));
        }
    }
    Ok(())
}

fn code_key(segment: &Segment) -> Option<(MemberId, String)> {
    Some((segment.member, segment.code.as_deref()?.to_ascii_lowercase()))
}

fn set_state(entry: Option<StateEntry>, active: &mut bool) {
    if let Some(state) = entry {
        *active = state == StateEntry::Active;
    }
}
