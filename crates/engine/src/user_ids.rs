//! Resolves ids with their domains, as they were sent, to users.

use ia_catalog::{Snapshot, TOKEN_PREFIX};
use ia_model::{Domain, InvalidUserId, MemberId, UserKey, is_source};

/// The name space of ids that `member` sends without a domain; `None` if they are the platform's own.
pub fn namespace(snapshot: &Snapshot, member: MemberId) -> Option<MemberId> {
    let member = snapshot.member(member).filter(|member| member.use_external_uids)?;
    Some(member.external_member_uid.unwrap_or(member.id))
}

/// The rule for ids in a name space, as a part of a sentence about an id that [`key_without_domain`] refuses.
pub const NO_EXTERNAL_ID: &str = "must have 1 to 255 bytes and hold neither control characters nor a token";

/// What is wrong with a domain that is not known, as a sentence for the caller.
pub const UNKNOWN_DOMAIN: &str = "The domain is not supported; known are idfa, aaid, windowsadid, rida, tifa, vida, lgudid, sha1udid, openudid, md5udid, and eid: with a source, such as eid:liveramp.com.";

/// What is wrong with the source of an extended id, as a sentence for the caller.
pub const NO_SOURCE: &str = "The source of an extended id must be a domain name, such as liveramp.com: 1 to 255 letters, digits, dots, hyphens and underscores.";

/// What is wrong with an extended id, as a sentence for the caller.
const NO_EXTENDED_ID: &str = "The user_id is not well formed: an extended id must have 1 to 255 bytes and hold neither control characters nor a token.";

/// The key of an id as it was sent: with the wire name of its domain, or without a domain. A failure is a sentence for
/// the caller that says what the id must be.
pub fn key(namespace: Option<MemberId>, domain: Option<&str>, id: &str) -> Result<UserKey, &'static str> {
    if let Some(source) = domain.and_then(Domain::source_in) {
        return extended(source, id);
    }
    let domain = match domain.map(str::trim) {
        None | Some("") => None,
        Some(name) => Some(Domain::from_name(name).ok_or(UNKNOWN_DOMAIN)?),
    };
    let key = match domain {
        None => key_without_domain(namespace, id),
        Some(domain) => UserKey::parse(domain, id),
    };
    key.map_err(|InvalidUserId| fault(namespace, domain))
}

fn fault(namespace: Option<MemberId>, domain: Option<Domain>) -> &'static str {
    match domain {
        None if namespace.is_some() => {
            "The user_id is not well formed: it must have 1 to 255 bytes and hold neither control characters nor a token."
        }
        None | Some(Domain::Platform | Domain::External | Domain::Extended) => {
            "The user_id is not well formed: without a domain it must be a number from 1 to 18446744073709551615."
        }
        Some(Domain::Sha1Udid | Domain::OpenUdid) => {
            "The user_id is not well formed: in this domain it must be 40 hex digits."
        }
        Some(Domain::Md5Udid) => "The user_id is not well formed: in this domain it must be 32 hex digits.",
        Some(_) => "The user_id is not well formed: in this domain it must be a UUID.",
    }
}

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

/// The key of an id that `source` gave. A failure is a sentence for the caller. A token is refused, as in
/// [`key_without_domain`]; no source can hold one.
pub fn extended(source: &str, id: &str) -> Result<UserKey, &'static str> {
    if !is_source(source.trim()) {
        return Err(NO_SOURCE);
    }
    if id.contains(TOKEN_PREFIX) {
        return Err(NO_EXTENDED_ID);
    }
    UserKey::extended(source, id).map_err(|InvalidUserId| NO_EXTENDED_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domains_that_are_named_are_all() {
        for name in Domain::ALL.into_iter().filter_map(Domain::name) {
            assert!(UNKNOWN_DOMAIN.contains(&format!(" {name}")), "{name}");
        }
    }

    #[test]
    fn ids_without_a_domain_are_the_platforms_unless_a_name_space_says_otherwise() {
        let own = key_without_domain(Some(MemberId(1)), "0").unwrap();
        assert_eq!((own.domain(), own.id().as_str()), (Domain::External, "0"));
        assert!(key_without_domain(None, "0").is_err());
        assert_eq!(key_without_domain(None, "7"), UserKey::platform(7));
        assert!(key_without_domain(Some(MemberId(1)), "a hbapi:1:x:y").is_err(), "a token");
    }

    #[test]
    fn an_extended_id_is_the_same_for_every_member() {
        let eid = UserKey::extended("liveramp.com", "XY").unwrap();
        for namespace in [None, Some(MemberId(1))] {
            for name in ["eid:liveramp.com", " EID : LiveRamp.com "] {
                assert_eq!(key(namespace, Some(name), " XY "), Ok(eid.clone()));
            }
            for name in ["eid:", "eid:a b", "eid:hbapi:1:x:y", "eid:https://a"] {
                assert_eq!(key(namespace, Some(name), "XY"), Err(NO_SOURCE), "{name}");
            }
            for id in ["", " ", "a\nb", "a hbapi:1:x:y", &"x".repeat(256)] {
                assert_eq!(key(namespace, Some("eid:a"), id), Err(NO_EXTENDED_ID), "{id:?}");
            }
            assert_eq!(key(namespace, Some("eid"), "XY"), Err(UNKNOWN_DOMAIN));
        }
        assert!(!is_source(TOKEN_PREFIX));
    }
}
