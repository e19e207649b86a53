//! Ids that belong to nobody: what clients send where they have no id. Millions of people share one, so a membership
//! of it would be a membership of all of them.

use crate::user_ids::key_without_domain;
use ia_model::{Domain, MemberId, UserKey};
use std::collections::HashSet;

/// The ids that are nobody's: those of devices that are all zeros, and those that the operator has listed.
#[derive(Debug, Clone, Default)]
pub struct Nobody {
    /// Listed ids, in each domain in which they are well formed.
    keys: HashSet<UserKey>,
    /// Listed ids as ids of any name space or source.
    texts: HashSet<String>,
}

/// A listed id that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no user id in any domain")]
pub struct NoUserId(String);

impl Nobody {
    /// All zeros, and `ids`: each is meant in every domain in which it is well formed, also as a member's own id and
    /// as an extended one.
    pub fn with(ids: &[String]) -> Result<Nobody, NoUserId> {
        let mut nobody = Nobody::default();
        for id in ids {
            nobody.keys.extend(Domain::ALL.into_iter().filter_map(|domain| UserKey::parse(domain, id).ok()));
            // The name space does not matter.
            let own_id = key_without_domain(Some(MemberId(0)), id).map_err(|_| NoUserId(id.clone()))?;
            nobody.texts.insert(own_id.id());
        }
        Ok(nobody)
    }

    /// Whether that id is nobody's.
    pub fn contains(&self, user: &UserKey) -> bool {
        if user.is_all_zero() {
            return true;
        }
        if self.texts.is_empty() {
            return false;
        }
        match user.domain() {
            Domain::External | Domain::Extended => self.texts.contains(&user.id()),
            _ => self.keys.contains(user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROS: &str = "00000000-0000-0000-0000-000000000000";

    fn device(domain: Domain, id: &str) -> UserKey {
        UserKey::parse(domain, id).unwrap()
    }

    fn own(id: &str) -> UserKey {
        UserKey::external(MemberId(958), id).unwrap()
    }

    #[test]
    fn zeros_of_devices_are_nobodys_without_a_list() {
        let nobody = Nobody::default();
        for domain in [Domain::Idfa, Domain::Aaid, Domain::WindowsAdId, Domain::Rida, Domain::LgUdid] {
            assert!(nobody.contains(&device(domain, ZEROS)), "{domain:?}");
        }
        assert!(nobody.contains(&device(Domain::Sha1Udid, &"0".repeat(40))));
        assert!(nobody.contains(&device(Domain::Md5Udid, &"0".repeat(32))));
        assert!(!nobody.contains(&device(Domain::Idfa, "00000000-0000-0000-0000-000000000001")));
        assert!(!nobody.contains(&own("0")), "a member may number its users from 0");
        assert!(!nobody.contains(&UserKey::platform(1).unwrap()));
    }

    fn eid(id: &str) -> UserKey {
        UserKey::extended("liveramp.com", id).unwrap()
    }

    #[test]
    fn zeros_are_nobodys_as_extended_ids_too() {
        let nobody = Nobody::default();
        for id in [ZEROS, &"0".repeat(40), "0"] {
            assert!(nobody.contains(&eid(id)), "{id}");
        }
        assert!(!nobody.contains(&eid("00000000-0000-0000-0000-000000000001")));
    }

    #[test]
    fn a_listed_id_is_nobodys_in_every_domain_that_has_it() {
        let list = ["11111111-1111-1111-1111-111111111111", " NULL ", "42"].map(str::to_owned);
        let nobody = Nobody::with(&list).unwrap();
        assert!(nobody.contains(&device(Domain::Idfa, "11111111111111111111111111111111")));
        assert!(!nobody.contains(&device(Domain::Md5Udid, &"1".repeat(32))), "no spelling with hyphens");
        assert!(nobody.contains(&device(Domain::Aaid, &list[0])));
        assert!(nobody.contains(&own("NULL")) && !nobody.contains(&own("null")));
        assert!(nobody.contains(&eid("NULL")) && !nobody.contains(&eid("null")));
        assert!(nobody.contains(&own("42")) && nobody.contains(&UserKey::platform(42).unwrap()));
        assert!(!nobody.contains(&UserKey::platform(43).unwrap()));
        assert!(nobody.contains(&device(Domain::Aaid, ZEROS)), "a list adds to the zeros");
        for wrong in ["", " ", "a\nb"] {
            assert!(Nobody::with(&[wrong.to_owned()]).is_err(), "{wrong:?}");
        }
    }
}
