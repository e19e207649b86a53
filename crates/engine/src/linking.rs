//! Links ids of members (external ids) and of other sources (extended ids) to users of the platform.

use crate::nobody::Nobody;
use crate::people::{People, PrivacyError};
use crate::user_ids::{NO_EXTERNAL_ID, key_without_domain, namespace};
use crate::write::commit::{CommitError, Encoded};
use ia_catalog::Snapshot;
use ia_model::{Domain, Link, MemberId, Minute, Record, UserKey};
use std::sync::Arc;

/// How links are made.
#[derive(Debug, Clone, Copy)]
pub struct LinkRules {
    /// Minutes after which a link ends if it is not made again.
    pub ttl_minutes: u32,
}

/// The most ids that one call may link. A browser sends one or two.
pub const MAX_IDS_PER_LINK: usize = 100;

/// The ids that a call links to a user.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdsToLink<'i> {
    /// Ids of the member that links them, as they were sent.
    pub own: &'i [String],
    /// Extended ids, which are the same for all members.
    pub extended: &'i [UserKey],
}

/// Why nothing was linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The member does not exist, is inactive, or has no user ids of its own.
    #[error("'member' is not one that has user ids of its own")]
    NoExternalIds,
    /// The user is not one of the platform; only those have links.
    #[error("only a user id of the platform can be linked")]
    NoPlatformUser,
    /// There are no ids, or more than [`MAX_IDS_PER_LINK`].
    #[error("'user' and 'eid' must hold 1 to {MAX_IDS_PER_LINK} ids together")]
    Count,
    /// An id is not valid.
    #[error("'user': id {number} {NO_EXTERNAL_ID}")]
    Id {
        /// Its number in the list, from 1.
        number: usize,
    },
    /// An id is nobody's.
    #[error("'{parameter}': id {number} is nobody's: it is sent in place of an id")]
    Nobody {
        /// The list that it is in.
        parameter: &'static str,
        /// Its number in the list, from 1.
        number: usize,
    },
    /// The record could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The ids cannot be kept out of the members that the user has opted out of.
    #[error(transparent)]
    OptOut(#[from] PrivacyError),
}

/// Links ids to users of the platform.
pub struct Linker {
    /// What people have asked for, and the parts that carry it out.
    pub(crate) people: People,
    /// Ids that are not linked.
    pub(crate) nobody: Arc<Nobody>,
    /// How long a link lasts.
    pub(crate) rules: LinkRules,
}

impl Linker {
    /// Links ids to a user of the platform, in the name of `member`, for [`LinkRules::ttl_minutes`]. When this returns, the links
    /// are on stable storage, and every read of the user that starts afterwards includes the memberships of these
    /// ids.
    ///
    /// A user that has opted out of `member` is not linked, without an error; nor is an id that has. If the user has
    /// opted out of another member, the ids are kept out of it too, before they are linked.
    ///
    /// # Errors
    ///
    /// If the input is not valid or the record cannot be committed. Nothing is linked then.
    pub async fn link(&self, member: MemberId, user: UserKey, ids: IdsToLink<'_>) -> Result<(), LinkError> {
        let People { catalog, opt_outs, committer, clock, .. } = &self.people;
        loop {
            // Kept until the record is applied: a new opt-out waits for it, to undo it.
            let in_force = opt_outs.in_force();
            if in_force.refuses(&user, member) || self.nobody.contains(&user) {
                return Ok(());
            }
            let now_ms = clock.now_ms();
            let snapshot = catalog.snapshot();
            let mut link =
                link_record(&snapshot, self.rules, &self.nobody, now_ms, member, user.clone(), ids)?;
            link.links.retain(|(id, _)| !in_force.refuses(id, member));
            if link.links.is_empty() {
                return Ok(());
            }
            let linked: Vec<UserKey> = link.links.iter().map(|(id, _)| id.clone()).collect();
            if !in_force.include(&user, &linked) {
                // This waits for all that hold what is in force, and so for this call too.
                drop(in_force);
                opt_outs.add_links(&user, &linked).await.map_err(PrivacyError::from)?;
                continue;
            }
            // What the ids have from a time at which they were nobody's.
            self.people.erase_in_segments_of(&in_force.members_without(&user), &linked).await?;
            let encoded = Encoded::new(Record::Link(link)).resolved_with(in_force);
            // The room for a small body. The commit reserves more if the record needs it.
            let room = committer.reserve(0)?;
            committer.commit(encoded, room).await?;
            return Ok(());
        }
    }
}

/// The record that [`Linker::link`] commits.
pub(crate) fn link_record(
    snapshot: &Snapshot,
    rules: LinkRules,
    nobody: &Nobody,
    now_ms: u64,
    member: MemberId,
    user: UserKey,
    ids: IdsToLink<'_>,
) -> Result<Link, LinkError> {
    let is_active = snapshot.member(member).is_some_and(|member| member.active);
    let namespace = namespace(snapshot, member);
    if !is_active || (namespace.is_none() && !ids.own.is_empty()) {
        return Err(LinkError::NoExternalIds);
    }
    if user.domain() != Domain::Platform {
        return Err(LinkError::NoPlatformUser);
    }
    let count = ids.own.len() + ids.extended.len();
    if count == 0 || count > MAX_IDS_PER_LINK {
        return Err(LinkError::Count);
    }
    // Rounded up, as memberships are.
    let end = Minute(Minute::not_before(now_ms).0.saturating_add(rules.ttl_minutes));
    let mut links = Vec::with_capacity(count);
    let mut add = |key: UserKey, parameter, number| {
        if nobody.contains(&key) {
            return Err(LinkError::Nobody { parameter, number });
        }
        links.push((key, end));
        Ok(())
    };
    for (id, number) in ids.own.iter().zip(1..) {
        add(key_without_domain(namespace, id).map_err(|_| LinkError::Id { number })?, "user", number)?;
    }
    for (id, number) in ids.extended.iter().zip(1..) {
        add(id.clone(), "eid", number)?;
    }
    links.sort_unstable();
    links.dedup();
    Ok(Link { accepted_at_ms: now_ms, member, user, links })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_catalog::CatalogFile;

    /// Member 1 has its own ids, member 2 sends those of member 1, member 3 has none, and member 4 is inactive.
    fn snapshot() -> Snapshot {
        let file = r#"{"members": [
            {"id": 1, "name": "a", "use_external_uids": true},
            {"id": 2, "name": "b", "use_external_uids": true, "external_member_uid": 1},
            {"id": 3, "name": "c", "external_member_uid": 1},
            {"id": 4, "name": "d", "use_external_uids": true, "state": "inactive"}
        ]}"#;
        Snapshot::of(&CatalogFile::parse(file.as_bytes()).unwrap()).unwrap()
    }

    fn linked(member: u32, user: &UserKey, ids: &[&str]) -> Result<Link, LinkError> {
        let rules = LinkRules { ttl_minutes: 30 };
        let nobody = Nobody::with(&["unknown".to_owned()]).unwrap();
        let own: Vec<String> =
            ids.iter().filter(|id| !id.starts_with("eid ")).map(|&id| id.to_owned()).collect();
        let extended = ids.iter().filter_map(|id| id.strip_prefix("eid "));
        let extended: Vec<UserKey> = extended.map(|id| UserKey::extended("a.example", id).unwrap()).collect();
        let ids = IdsToLink { own: &own, extended: &extended };
        link_record(&snapshot(), rules, &nobody, 60_001, MemberId(member), user.clone(), ids)
    }

    #[test]
    fn ids_are_in_the_name_space_of_their_member() {
        let snapshot = snapshot();
        let spaces = [1, 2, 3, 4, 5].map(|member| namespace(&snapshot, MemberId(member)).map(|of| of.0));
        assert_eq!(spaces, [Some(1), Some(1), None, Some(4), None]);
        let user = UserKey::platform(7).unwrap();
        let link = linked(2, &user, &["b", "7", "b"]).unwrap();
        let id = |text| UserKey::external(MemberId(1), text).unwrap();
        // The next full minute, plus 30.
        assert_eq!(link.links, [(id("7"), Minute(32)), (id("b"), Minute(32))]);
        assert_eq!((link.member, link.user, link.accepted_at_ms), (MemberId(2), user, 60_001));
    }

    #[test]
    fn every_active_member_may_link_extended_ids() {
        let user = UserKey::platform(7).unwrap();
        let eid = UserKey::extended("a.example", "7").unwrap();
        for member in [1, 2, 3] {
            assert_eq!(
                linked(member, &user, &["eid 7", "eid 7"]).unwrap().links,
                [(eid.clone(), Minute(32))]
            );
        }
        let own = UserKey::external(MemberId(1), "7").unwrap();
        assert_eq!(linked(1, &user, &["eid 7", "7"]).unwrap().links, [(own, Minute(32)), (eid, Minute(32))]);
    }

    #[test]
    fn invalid_input_links_nothing_and_is_named() {
        let user = UserKey::platform(7).unwrap();
        let many = vec!["x"; MAX_IDS_PER_LINK + 1];
        let long = "x".repeat(256);
        for (member, ids, expected) in [
            (3, &["a"][..], "'member' is not one"),
            (4, &["a"], "'member' is not one"),
            (5, &["a"], "'member' is not one"),
            (4, &["eid a"], "'member' is not one"),
            (3, &["eid a", "a"], "'member' is not one"),
            (1, &[], "'user' and 'eid' must hold 1 to 100 ids"),
            (1, &many, "'user' and 'eid' must hold 1 to 100 ids"),
            (3, &["eid a", "eid unknown"], "'eid': id 2 is nobody's"),
            (3, &["eid 00000000-0000-0000-0000-000000000000"], "'eid': id 1 is nobody's"),
            (1, &["a", ""], "'user': id 2 must have"),
            (1, &["a\nb"], "'user': id 1 must have"),
            (1, &["a", "b", &long], "'user': id 3 must have"),
            (1, &["hbapi:1:secret:ia1"], "'user': id 1 must have"),
            (1, &["a", "unknown "], "'user': id 2 is nobody's"),
        ] {
            let error = linked(member, &user, ids).unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains("secret"), "{error}");
        }
        let device = UserKey::parse(Domain::Idfa, &"a".repeat(32)).unwrap();
        assert!(matches!(linked(1, &device, &["a"]), Err(LinkError::NoPlatformUser)));
    }
}
