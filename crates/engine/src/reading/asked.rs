//! Who is asked for in a read: one id, or several ids of one person.

use ia_model::{Domain, UserKey};
use serde::Serialize;
use utoipa::ToSchema;

/// Who is asked for. Several ids are one person's: a read joins what is stored under each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedUser {
    user: Option<UserKey>,
    /// Ids in `eids`, each once, in the order of the request.
    eids: Vec<UserKey>,
}

impl From<UserKey> for AskedUser {
    fn from(user: UserKey) -> AskedUser {
        AskedUser { user: Some(user), eids: Vec::new() }
    }
}

impl AskedUser {
    /// A person by its `user_id`, by `eids`, or both; `None` where there is no id. One that is there twice counts once.
    pub fn new(user: Option<UserKey>, eids: Vec<UserKey>) -> Option<AskedUser> {
        let mut asked = AskedUser { user, eids: Vec::with_capacity(eids.len()) };
        for eid in eids {
            if !asked.eids.contains(&eid) {
                asked.eids.push(eid);
            }
        }
        asked.ids().next()?;
        Some(asked)
    }

    /// All its ids.
    pub fn ids(&self) -> impl Iterator<Item = &UserKey> {
        self.user.iter().chain(&self.eids)
    }

    /// The id that was asked for as `user_id`.
    pub(super) fn user(&self) -> Option<&UserKey> {
        self.user.as_ref()
    }

    /// The ids that were asked for in `eids`, in that form.
    pub(super) fn eids(&self) -> Vec<Eid> {
        Eid::of(self.eids.iter())
    }

    /// All its extended ids as OpenRTB has them, and its other id.
    pub(super) fn openrtb_ids(&self) -> (Option<&UserKey>, Vec<Eid>) {
        let is_extended = |id: &&UserKey| id.domain() == Domain::Extended;
        (self.user().filter(|id| !is_extended(id)), Eid::of(self.ids().filter(is_extended)))
    }
}

/// The ids of one source, as `eids` of OpenRTB 2.6 has them.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OpenRtbEid)]
pub(super) struct Eid {
    /// A domain name.
    source: String,
    uids: Vec<Uid>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OpenRtbUid)]
struct Uid {
    id: String,
}

impl Eid {
    /// Each source once, in the order in which they come.
    fn of<'u>(ids: impl Iterator<Item = &'u UserKey>) -> Vec<Eid> {
        let mut eids: Vec<Eid> = Vec::new();
        for id in ids {
            let source = id.source().unwrap_or_default();
            let uid = Uid { id: id.id() };
            match eids.iter_mut().find(|eid| eid.source == source) {
                Some(eid) => eid.uids.push(uid),
                None => eids.push(Eid { source: source.to_owned(), uids: vec![uid] }),
            }
        }
        eids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn eid(source: &str, id: &str) -> UserKey {
        UserKey::extended(source, id).unwrap()
    }

    #[test]
    fn ids_are_grouped_by_their_source_and_counted_once() {
        let ids = vec![eid("a", "1"), eid("b", "1"), eid("A", "2"), eid("a", "1")];
        let asked = AskedUser::new(None, ids).unwrap();
        assert_eq!(asked.ids().count(), 3);
        let expected = json!([
            {"source": "a", "uids": [{"id": "1"}, {"id": "2"}]}, {"source": "b", "uids": [{"id": "1"}]},
        ]);
        assert_eq!(serde_json::to_value(asked.eids()).unwrap(), expected);
        assert_eq!(AskedUser::new(None, Vec::new()), None);
    }

    #[test]
    fn openrtb_has_extended_ids_apart_from_the_others() {
        let platform = UserKey::platform(7).unwrap();
        let both = AskedUser::new(Some(platform.clone()), vec![eid("a", "1")]).unwrap();
        assert_eq!(both.openrtb_ids(), (Some(&platform), both.eids()));
        let one = AskedUser::from(eid("a", "1"));
        assert_eq!(one.openrtb_ids(), (None, both.eids()));
        assert_eq!(one.eids(), [], "it was asked for by its domain");
        assert_eq!(AskedUser::from(platform.clone()).openrtb_ids(), (Some(&platform), vec![]));
    }
}
