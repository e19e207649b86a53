//! Ids that members made up: whose they are, and linking them to users of the platform.

use crate::app::App;
use crate::ingest::commit::{CommitError, Encoded};
use ia_catalog::{Snapshot, TOKEN_PREFIX};
use ia_model::{Domain, InvalidUserId, Link, MemberId, Minute, Record, UserKey};
use std::sync::Arc;

/// How links are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkRules {
    /// For how many minutes a link lasts that is not seen again.
    pub ttl_minutes: u32,
}

/// In whose name space are ids that `member` sends without a domain; `None` where they are the platform's.
pub(crate) fn namespace(snapshot: &Snapshot, member: MemberId) -> Option<MemberId> {
    let member = snapshot.member(member).filter(|member| member.use_external_uids)?;
    Some(member.external_member_uid.unwrap_or(member.id))
}

/// What is wrong with an id of a name space that [`key_without_domain`] does not take.
pub(crate) const NO_EXTERNAL_ID: &str =
    "must have 1 to 255 bytes and hold neither control characters nor a token";

/// The key of an id without a domain, in a name space or of the platform's own.
///
/// A token that is sent in the place of an id is none: what is taken here is stored, and reports show it.
pub(crate) fn key_without_domain(namespace: Option<MemberId>, id: &str) -> Result<UserKey, InvalidUserId> {
    match namespace {
        None => UserKey::parse(Domain::Platform, id),
        Some(_) if id.contains(TOKEN_PREFIX) => Err(InvalidUserId),
        Some(namespace) => UserKey::external(namespace, id),
    }
}

/// How many ids one call may link. A browser sends one or two.
pub(crate) const MAX_IDS_PER_LINK: usize = 100;

/// Why nothing was linked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The member does not exist, is switched off, or has no ids of its own.
    #[error("'member' is not one that has user ids of its own")]
    NoExternalIds,
    /// Only users of the platform have links.
    #[error("only a user id of the platform can be linked")]
    NoPlatformUser,
    /// There is no id, or there are too many.
    #[error("'user' must hold 1 to {MAX_IDS_PER_LINK} ids")]
    Count,
    /// An id cannot be one.
    #[error("'user': id {number} {NO_EXTERNAL_ID}")]
    Id {
        /// Which of them, counted from 1.
        number: usize,
    },
    /// It could not be made durable and visible.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Links ids of `member` to a user of the platform, for as long as the operator has set from now on. When this
/// returns, the links are on stable storage, and every read of the user that starts afterwards joins what was
/// stored under these ids. A user that has opted out is not linked, as it is not added.
///
/// # Errors
///
/// When the input is not right, or the record cannot be committed; nothing is linked then.
pub(crate) async fn link(
    app: &Arc<App>,
    member: MemberId,
    user: UserKey,
    ids: &[&str],
) -> Result<(), LinkError> {
    // Until the record is in the log: an opt-out waits for it, to undo it.
    let opt_outs = app.suppression.in_force();
    if opt_outs.refuses(&user, member) {
        return Ok(());
    }
    let link = link_record(&app.snapshot.load(), app.link_rules, app.clock.now_ms(), member, user, ids)?;
    let encoded = Encoded::new(Record::Link(link)).resolved_with(opt_outs);
    // The room of a small body. What the record takes beyond it is found when it is committed.
    let room = app.committer.reserve(0)?;
    app.committer.commit(encoded, room).await?;
    Ok(())
}

/// What [`link`] commits.
pub(crate) fn link_record(
    snapshot: &Snapshot,
    rules: LinkRules,
    now_ms: u64,
    member: MemberId,
    user: UserKey,
    ids: &[&str],
) -> Result<Link, LinkError> {
    let is_active = snapshot.member(member).is_some_and(|member| member.active);
    let namespace = namespace(snapshot, member).filter(|_| is_active).ok_or(LinkError::NoExternalIds)?;
    if user.domain() != Domain::Platform {
        return Err(LinkError::NoPlatformUser);
    }
    if ids.is_empty() || ids.len() > MAX_IDS_PER_LINK {
        return Err(LinkError::Count);
    }
    // Rounded up, as memberships are.
    let end = Minute(Minute::not_before(now_ms).0.saturating_add(rules.ttl_minutes));
    let mut links = Vec::with_capacity(ids.len());
    for (id, number) in ids.iter().zip(1..) {
        let key = key_without_domain(Some(namespace), id).map_err(|_| LinkError::Id { number })?;
        links.push((key, end));
    }
    links.sort_unstable();
    links.dedup();
    Ok(Link { accepted_at_ms: now_ms, member, user, links })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_catalog::CatalogFile;

    /// Member 1 has ids of its own, member 2 sends those of member 1, member 3 has none, and member 4 is off.
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
        link_record(&snapshot(), rules, 60_001, MemberId(member), user.clone(), ids)
    }

    #[test]
    fn ids_are_in_the_name_space_of_their_member() {
        let snapshot = snapshot();
        let spaces = [1, 2, 3, 4, 5].map(|member| namespace(&snapshot, MemberId(member)).map(|of| of.0));
        assert_eq!(spaces, [Some(1), Some(1), None, Some(4), None]);
        let user = UserKey::platform(7).unwrap();
        let link = linked(2, &user, &["b", "7", "b"]).unwrap();
        let id = |text| UserKey::external(MemberId(1), text).unwrap();
        // The minute that begins next, and 30 more.
        assert_eq!(link.links, [(id("7"), Minute(32)), (id("b"), Minute(32))]);
        assert_eq!((link.member, link.user, link.accepted_at_ms), (MemberId(2), user, 60_001));
    }

    #[test]
    fn what_is_not_right_links_nothing_and_is_named() {
        let user = UserKey::platform(7).unwrap();
        let many = vec!["x"; MAX_IDS_PER_LINK + 1];
        let long = "x".repeat(256);
        for (member, ids, expected) in [
            (3, &["a"][..], "'member' is not one"),
            (4, &["a"], "'member' is not one"),
            (5, &["a"], "'member' is not one"),
            (1, &[], "'user' must hold 1 to 100 ids"),
            (1, &many, "'user' must hold 1 to 100 ids"),
            (1, &["a", ""], "'user': id 2 must have"),
            (1, &["a\nb"], "'user': id 1 must have"),
            (1, &["a", "b", &long], "'user': id 3 must have"),
            (1, &["hbapi:1:secret:ia1"], "'user': id 1 must have"),
        ] {
            let error = linked(member, &user, ids).unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains("secret"), "{error}");
        }
        let device = UserKey::parse(Domain::Idfa, &"a".repeat(32)).unwrap();
        assert!(matches!(linked(1, &device, &["a"]), Err(LinkError::NoPlatformUser)));
    }

    #[test]
    fn ids_without_a_domain_are_the_platforms_unless_a_name_space_says_otherwise() {
        let own = key_without_domain(Some(MemberId(1)), "0").unwrap();
        assert_eq!((own.domain(), own.id().as_str()), (Domain::External, "0"));
        assert!(key_without_domain(None, "0").is_err());
        assert_eq!(key_without_domain(None, "7"), UserKey::platform(7));
        assert!(key_without_domain(Some(MemberId(1)), "a hbapi:1:x:y").is_err(), "a token");
    }
}
