//! The rules that a file can be held to without looking at what is stored.

use super::{CatalogFile, CatalogFileError, Change, ExposureEntry, LimitsEdit, MemberEntry, SegmentEntry};
use super::{SharingEntry, UserEntry};
use crate::check_password_rules;
use crate::login::login_key;
use crate::redirect_host::read_hosts;
use crate::rules::{MAX_INT, check_at_most, check_name};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

const MAX_CODE_CHARACTERS: usize = 50;

type Checked = Result<(), CatalogFileError>;

impl CatalogFile {
    pub(super) fn check(&self) -> Checked {
        let mut ids = Seen::new("id");
        for (index, member) in self.members.iter().enumerate() {
            let path = format!("members[{index}]");
            member.check(&path)?;
            ids.add(member.id, &path, "id")?;
        }
        let mut names = Seen::new("username");
        for (index, user) in self.users.iter().enumerate() {
            let path = format!("users[{index}]");
            user.check(&path)?;
            names.add(login_key(&user.username), &path, "username")?;
        }
        let mut ids = Seen::new("id");
        let mut codes = Seen::new("code");
        for (index, segment) in self.segments.iter().enumerate() {
            let path = format!("segments[{index}]");
            segment.check(&path)?;
            ids.add(segment.id, &path, "id")?;
            if let Some(code) = segment.code.value() {
                codes.add((segment.member_id, code.to_ascii_lowercase()), &path, "code")?;
            }
        }
        let mut pairs = Seen::new("pair of members");
        for (index, sharing) in self.sharing.iter().enumerate() {
            let path = format!("sharing[{index}]");
            sharing.check(&path)?;
            pairs.add((sharing.data_member_id, sharing.buyer_member_id), &path, "buyer_member_id")?;
        }
        Ok(())
    }
}

impl MemberEntry {
    fn check(&self, path: &str) -> Checked {
        id(self.id, path, "id")?;
        name(&self.name, path, "name")?;
        at_most_max(&self.default_expiration, path, "default_expiration")?;
        if let Some(&member) = self.external_member_uid.value() {
            id(member, path, "external_member_uid")?;
        }
        for (index, &owner) in self.segment_access.iter().flatten().enumerate() {
            id(owner, path, &format!("segment_access[{index}]"))?;
        }
        let hosts = self.redirect_hosts.value().map_or(&[][..], Vec::as_slice);
        read_hosts(&[], hosts).or_else(|(index, reason)| {
            let index = index.map_or(String::new(), |index| format!("[{index}]"));
            fault(path, &format!("redirect_hosts{index}"), reason).map(|()| Arc::default())
        })?;
        self.limits.check(&format!("{path}.limits"))
    }
}

impl LimitsEdit {
    fn check(&self, path: &str) -> Checked {
        for (field, limit) in self.named() {
            at_most_max(limit, path, field)?;
        }
        Ok(())
    }
}

impl UserEntry {
    fn check(&self, path: &str) -> Checked {
        name(&self.username, path, "username")?;
        id(self.member_id, path, "member_id")?;
        if let Some(password) = &self.password {
            check_password_rules(password.expose())
                .map_err(|error| CatalogFileError::at(format!("{path}.password"), error.to_string()))?;
        }
        Ok(())
    }
}

impl SegmentEntry {
    fn check(&self, path: &str) -> Checked {
        id(self.id, path, "id")?;
        id(self.member_id, path, "member_id")?;
        if let Some(code) = self.code.value() {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if code.is_empty() || code.len() > MAX_CODE_CHARACTERS || !code.bytes().all(allowed) {
                return fault(
                    path,
                    "code",
                    format!(
                        "a code has 1 to {MAX_CODE_CHARACTERS} characters out of letters, digits, '_' and '-'"
                    ),
                );
            }
        }
        if let Some(short_name) = self.short_name.value() {
            name(short_name, path, "short_name")?;
        }
        at_most_max(&self.expire_minutes, path, "expire_minutes")
    }
}

impl SharingEntry {
    fn check(&self, path: &str) -> Checked {
        id(self.data_member_id, path, "data_member_id")?;
        id(self.buyer_member_id, path, "buyer_member_id")?;
        if self.data_member_id == self.buyer_member_id {
            return fault(path, "buyer_member_id", "a member sees its own segments without sharing");
        }
        match (self.segment_exposure, &self.segments) {
            (ExposureEntry::All, Some(_)) => {
                return fault(path, "segments", "only the exposure 'list' has segments");
            }
            (ExposureEntry::All, None) | (ExposureEntry::List, _) => {}
        }
        for (index, &segment) in self.segments.iter().flatten().enumerate() {
            id(segment, path, &format!("segments[{index}]"))?;
        }
        Ok(())
    }
}

/// Finds duplicates, and names the first of the two.
struct Seen<T> {
    what: &'static str,
    first: HashMap<T, String>,
}

impl<T: Eq + Hash> Seen<T> {
    fn new(what: &'static str) -> Seen<T> {
        Seen { what, first: HashMap::new() }
    }

    fn add(&mut self, value: T, path: &str, field: &str) -> Checked {
        match self.first.insert(value, path.to_owned()) {
            None => Ok(()),
            Some(first) => fault(path, field, format!("{first} has the same {}", self.what)),
        }
    }
}

fn fault(path: &str, field: &str, reason: impl Into<String>) -> Checked {
    Err(CatalogFileError::at(format!("{path}.{field}"), reason))
}

fn id(value: u32, path: &str, field: &str) -> Checked {
    if value == 0 { fault(path, field, "an id is at least 1") } else { Ok(()) }
}

fn at_most_max(value: &Change<u32>, path: &str, field: &str) -> Checked {
    check_at_most(value.value(), MAX_INT).or_else(|reason| fault(path, field, reason))
}

fn name(text: &str, path: &str, field: &str) -> Checked {
    check_name(text).or_else(|reason| fault(path, field, reason))
}
