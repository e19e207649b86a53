//! How a change of accounts becomes changes of rows, in any store.

use super::AccountChange;
use crate::state::{LoginRow, MemberRow, SharingRow, State, snapshot_accounts};
use crate::{CatalogError, Login, SnapshotAccounts, UserType};
use ia_model::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// The rows to write. Unchanged rows are left out.
#[derive(Debug, Default)]
pub(crate) struct AccountPlan {
    pub members: Vec<MemberRow>,
    pub logins: Vec<LoginRow>,
    pub deleted_logins: Vec<u32>,
    /// Logins whose tokens are taken back.
    pub revoked: Vec<u32>,
    pub sharing: Vec<((MemberId, MemberId), SharingRow)>,
    pub deleted_sharing: Vec<(MemberId, MemberId)>,
    /// The ids of the named objects, in their order.
    pub ids: Vec<u32>,
}

impl AccountPlan {
    /// What a snapshot shows after the plan; `before` is the rows before it.
    pub(crate) fn accounts_after(&self, before: State) -> SnapshotAccounts {
        let State { mut members, mut sharing, .. } = before;
        members.extend(self.members.iter().map(|row| (row.member.id, row.clone())));
        sharing.retain(|pair, _| !self.deleted_sharing.contains(pair));
        sharing.extend(self.sharing.iter().cloned());
        snapshot_accounts(members, sharing)
    }

    pub(crate) fn is_change(&self) -> bool {
        let AccountPlan { members, logins, deleted_logins, revoked: _, sharing, deleted_sharing, ids: _ } =
            self;
        !(members.is_empty()
            && logins.is_empty()
            && deleted_logins.is_empty()
            && sharing.is_empty()
            && deleted_sharing.is_empty())
    }
}

/// Plans `change` in `state`, which must hold the segments that the change names. Fails where a rule forbids it.
pub(crate) fn plan_accounts(
    state: &State,
    change: &AccountChange,
    by: &Login,
) -> Result<AccountPlan, CatalogError> {
    let mut draft = Draft::of(state, by)?;
    let ids: Vec<u32> = match change {
        AccountChange::CreateMembers(edits) => each(edits, |edit| draft.create_member(edit)),
        AccountChange::EditMembers(edits) => each(edits, |(id, edit)| draft.edit_member(MemberId(*id), edit)),
        AccountChange::CreateLogins(edits) => each(edits, |edit| draft.create_login(edit)),
        AccountChange::EditLogins(edits) => each(edits, |(id, edit)| draft.edit_login(*id, edit)),
        AccountChange::DeleteLogins(ids) => each(ids, |&id| draft.delete_login(id)),
        AccountChange::CreateSharing(edits) => each(edits, |edit| draft.create_sharing(edit)),
        AccountChange::EditSharing(edits) => each(edits, |(id, edit)| draft.edit_sharing(*id, edit)),
        AccountChange::DeleteSharing(ids) => each(ids, |&id| draft.delete_sharing(id)),
        AccountChange::CreateBatch(edits) => {
            each(edits, |(id, edit)| draft.create_batch(MemberId(*id), edit))
        }
        AccountChange::EditBatch(edits) => each(edits, |(id, edit)| draft.edit_batch(MemberId(*id), edit)),
    }?;
    if has_admin(&state.members, state.logins.values()) && !has_admin(&draft.members, draft.logins.values()) {
        let reason = "at least one admin must stay that is active and may change things";
        return Err(CatalogError::conflict("user", reason));
    }
    Ok(draft.changes(ids))
}

fn each<T>(
    objects: &[T],
    change: impl FnMut(&T) -> Result<u32, CatalogError>,
) -> Result<Vec<u32>, CatalogError> {
    objects.iter().map(change).collect()
}

/// The place of an object in a list of several, like `users[3].`.
pub(super) struct Place<'e>(pub(super) &'e str);

impl Place<'_> {
    /// The path of a field.
    pub(super) fn of(&self, field: &str) -> String {
        format!("{}{field}", self.0)
    }
}

/// The rows while they are being changed.
pub(super) struct Draft<'s> {
    pub(super) state: &'s State,
    /// The caller's login as it is now.
    pub(super) by: &'s LoginRow,
    pub(super) members: BTreeMap<MemberId, MemberRow>,
    /// By id.
    pub(super) logins: BTreeMap<u32, LoginRow>,
    pub(super) sharing: BTreeMap<(MemberId, MemberId), SharingRow>,
}

impl<'s> Draft<'s> {
    fn of(state: &'s State, by: &Login) -> Result<Draft<'s>, CatalogError> {
        // The login may have changed since the token was checked.
        let current = state.logins.values().find(|row| row.id == by.user_id && row.active);
        let by = current.ok_or_else(|| CatalogError::Overtaken("the login".to_owned()))?;
        if by.read_only {
            return Err(CatalogError::forbidden("This login may only read"));
        }
        Ok(Draft {
            state,
            by,
            members: state.members.clone(),
            logins: state.logins.values().map(|row| (row.id, row.clone())).collect(),
            sharing: state.sharing.clone(),
        })
    }

    pub(super) fn is_admin(&self) -> bool {
        self.by.user_type == UserType::Admin
    }

    pub(super) fn must_be_admin(&self) -> Result<(), CatalogError> {
        if self.is_admin() { Ok(()) } else { Err(CatalogError::forbidden("This is for admins")) }
    }

    pub(super) fn known_member(&self, path: &str, id: u32) -> Result<MemberId, CatalogError> {
        let id = MemberId(id);
        match self.members.contains_key(&id) {
            true => Ok(id),
            false => Err(CatalogError::invalid(path, format!("there is no member {id}"))),
        }
    }

    fn changes(self, ids: Vec<u32>) -> AccountPlan {
        let Draft { state, members, logins, sharing, .. } = self;
        let before: BTreeMap<u32, &LoginRow> = state.logins.values().map(|row| (row.id, row)).collect();
        let was_active = |id: &MemberId| state.members.get(id).is_some_and(|row| row.member.active);
        let switched_off: BTreeSet<MemberId> = members
            .iter()
            .filter(|(id, row)| !row.member.active && was_active(id))
            .map(|(&id, _)| id)
            .collect();
        // The tokens of unchanged logins end with their member too.
        let ends = |row: &&LoginRow| {
            before.get(&row.id).is_some_and(|before| row.ends_tokens(before))
                || switched_off.contains(&row.member)
        };
        let revoked = logins.values().filter(ends).map(|row| row.id).collect();
        let deleted_logins = before.keys().filter(|id| !logins.contains_key(id)).copied().collect();
        let kept: BTreeSet<_> = sharing.keys().copied().collect();
        let deleted_sharing = state.sharing.keys().filter(|pair| !kept.contains(pair)).copied().collect();
        let logins: Vec<LoginRow> =
            logins.into_values().filter(|row| before.get(&row.id) != Some(&row)).collect();
        AccountPlan {
            members: members
                .into_values()
                .filter(|row| state.members.get(&row.member.id) != Some(row))
                .collect(),
            revoked,
            logins,
            deleted_logins,
            sharing: sharing.into_iter().filter(|(pair, row)| state.sharing.get(pair) != Some(row)).collect(),
            deleted_sharing,
            ids,
        }
    }
}

/// Whether there is an active admin that may change things.
fn has_admin<'a>(
    members: &BTreeMap<MemberId, MemberRow>,
    logins: impl IntoIterator<Item = &'a LoginRow>,
) -> bool {
    logins.into_iter().any(|row| {
        row.active
            && row.user_type == UserType::Admin
            && !row.read_only
            && members.get(&row.member).is_some_and(|member| member.member.active)
    })
}
