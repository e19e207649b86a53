use super::plan::{Draft, Place};
use super::text;
use crate::login::login_key;
use crate::state::LoginRow;
use crate::{CatalogError, Change, PasswordHash, UserType};
use ia_model::MemberId;

/// What is to become of a login. What is `None` or [`Change::Keep`] stays, or is as usual in a new one.
#[derive(Debug, Clone, Default)]
pub struct LoginEdit {
    /// Where the object stands in a list of several, like `users[3].`; for errors.
    pub path: String,
    /// Its name, unique without regard to case.
    pub username: Option<String>,
    /// The hash of its new password, which was held to the rules for passwords.
    pub password_hash: Option<PasswordHash>,
    /// How to reach whoever uses it.
    pub email: Change<String>,
    /// The first name of whoever uses it.
    pub first_name: Change<String>,
    /// The last name of whoever uses it.
    pub last_name: Change<String>,
    /// Whether it may be used.
    pub active: Option<bool>,
    /// What it may see and do.
    pub user_type: Option<UserType>,
    /// Whether it may change nothing.
    pub read_only: Option<bool>,
    /// Whose login it is.
    pub member: Option<u32>,
}

impl Draft<'_> {
    pub(super) fn create_login(&mut self, edit: &LoginEdit) -> Result<u32, CatalogError> {
        let at = &Place(&edit.path);
        self.must_be_admin()?;
        let member = text::required(&at.of("entity_id"), edit.member)?;
        let row = LoginRow {
            id: self.next_login_id(at)?,
            username: text::required(&at.of("username"), edit.username.clone())?,
            password_hash: text::required(&at.of("password"), edit.password_hash.clone())?,
            active: true,
            user_type: UserType::Member,
            read_only: false,
            member: self.known_member(&at.of("entity_id"), member)?,
            email: None,
            first_name: None,
            last_name: None,
            last_modified_ms: None,
        };
        self.write_login(at, row, edit)
    }

    pub(super) fn edit_login(&mut self, id: u32, edit: &LoginEdit) -> Result<u32, CatalogError> {
        let at = &Place(&edit.path);
        let is_visible = |row: &&LoginRow| self.is_admin() || row.member == self.by.member;
        let row = self.logins.get(&id).filter(is_visible).cloned();
        let row = row.ok_or_else(|| CatalogError::NotFound(format!("user {id}")))?;
        if !self.is_admin() {
            if id != self.by.id {
                return Err(CatalogError::forbidden("A login may change itself; others are for admins"));
            }
            let stays = edit.username.as_ref().is_none_or(|name| *name == row.username)
                && edit.active.is_none_or(|active| active == row.active)
                && edit.user_type.is_none_or(|user_type| user_type == row.user_type)
                && edit.read_only.is_none_or(|read_only| read_only == row.read_only)
                && edit.member.is_none_or(|member| MemberId(member) == row.member);
            if !stays {
                return Err(CatalogError::forbidden(
                    "A login may change its password, email and names; the rest is for admins",
                ));
            }
        }
        self.write_login(at, row, edit)
    }

    pub(super) fn delete_login(&mut self, id: u32) -> Result<u32, CatalogError> {
        self.must_be_admin()?;
        let removed = self.logins.remove(&id);
        removed.map(|row| row.id).ok_or_else(|| CatalogError::NotFound(format!("user {id}")))
    }

    fn write_login(&mut self, at: &Place, mut row: LoginRow, edit: &LoginEdit) -> Result<u32, CatalogError> {
        if let Some(username) = &edit.username {
            text::name(&at.of("username"), username)?;
            // Also what another gives up in the same change is taken until it is done.
            let key = login_key(username);
            let stored = self.state.logins.values();
            let is_other = |other: &LoginRow| other.id != row.id && login_key(&other.username) == key;
            if self.logins.values().chain(stored).any(is_other) {
                return Err(CatalogError::conflict(at.of("username"), "another login has this name"));
            }
            row.username.clone_from(username);
        }
        if let Some(hash) = &edit.password_hash {
            row.password_hash = hash.clone();
        }
        if let Some(email) = edit.email.value() {
            text::email(&at.of("email"), email)?;
        }
        for (field, change) in [("first_name", &edit.first_name), ("last_name", &edit.last_name)] {
            if let Some(name) = change.value() {
                text::name(&at.of(field), name)?;
            }
        }
        edit.email.write_to(&mut row.email);
        edit.first_name.write_to(&mut row.first_name);
        edit.last_name.write_to(&mut row.last_name);
        if let Some(active) = edit.active {
            row.active = active;
        }
        if let Some(user_type) = edit.user_type {
            row.user_type = user_type;
        }
        if let Some(read_only) = edit.read_only {
            row.read_only = read_only;
        }
        if let Some(member) = edit.member {
            row.member = self.known_member(&at.of("entity_id"), member)?;
        }
        let id = row.id;
        self.logins.insert(id, row);
        Ok(id)
    }

    fn next_login_id(&self, at: &Place) -> Result<u32, CatalogError> {
        let highest = self.logins.keys().next_back().copied().unwrap_or(0);
        let highest = highest.max(self.state.login_high_water);
        highest
            .checked_add(1)
            .ok_or_else(|| CatalogError::conflict(at.of("id"), "there are no ids left for logins"))
    }
}
