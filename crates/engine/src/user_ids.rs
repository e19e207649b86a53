//! Resolves ids without a domain to users.

use ia_catalog::{Snapshot, TOKEN_PREFIX};
use ia_model::{Domain, InvalidUserId, MemberId, UserKey};

/// The name space of ids that `member` sends without a domain; `None` if they are the platform's own.
pub fn namespace(snapshot: &Snapshot, member: MemberId) -> Option<MemberId> {
    let member = snapshot.member(member).filter(|member| member.use_external_uids)?;
    Some(member.external_member_uid.unwrap_or(member.id))
}

/// The rule for ids in a name space, as a part of a sentence about an id that [`key_without_domain`] refuses.
pub const NO_EXTERNAL_ID: &str = "must have 1 to 255 bytes and hold neither control characters nor a token";

/// The key of an id without a domain: in a name space, or the platform's own if `namespace` is `None`.
///
/// An id that contains a token is refused, because ids are stored and shown in reports.
pub fn key_without_domain(namespace: Option<MemberId>, id: &str) -> Result<UserKey, InvalidUserId> {
    match namespace {
        None => UserKey::parse(Domain::Platform, id),
        Some(_) if id.contains(TOKEN_PREFIX) => Err(InvalidUserId),
        Some(namespace) => UserKey::external(namespace, id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_without_a_domain_are_the_platforms_unless_a_name_space_says_otherwise() {
        let own = key_without_domain(Some(MemberId(1)), "0").unwrap();
        assert_eq!((own.domain(), own.id().as_str()), (Domain::External, "0"));
        assert!(key_without_domain(None, "0").is_err());
        assert_eq!(key_without_domain(None, "7"), UserKey::platform(7));
        assert!(key_without_domain(Some(MemberId(1)), "a hbapi:1:x:y").is_err(), "a token");
    }
}
