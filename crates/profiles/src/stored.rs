//! The content under a key, in memory and on disk: a profile, or links.

use crate::codec::{self, Malformed};
use crate::links::{self, Links};
use crate::{Membership, ProfilesError};
use ia_model::{Domain, UserKey};

/// A type of content. Its default has no bytes.
pub(crate) trait Content: Default {
    /// Reads the packed form, which is not empty.
    fn unpack(packed: &[u8]) -> Result<Self, Malformed>;

    /// Reads a blob; `domain` is the domain of the user's id.
    fn read_blob(blob: &[u8], domain: Domain) -> Result<Self, ProfilesError>;
}

impl Content for Vec<Membership> {
    fn unpack(packed: &[u8]) -> Result<Vec<Membership>, Malformed> {
        let mut entries = Vec::new();
        codec::unpack(packed, &mut entries)?;
        Ok(entries)
    }

    fn read_blob(blob: &[u8], domain: Domain) -> Result<Vec<Membership>, ProfilesError> {
        let mut entries = Vec::new();
        codec::read_blob(blob, domain, &mut entries)?;
        Ok(entries)
    }
}

impl Content for Links {
    fn unpack(packed: &[u8]) -> Result<Links, Malformed> {
        links::unpack(packed)
    }

    fn read_blob(blob: &[u8], _: Domain) -> Result<Links, ProfilesError> {
        links::read_blob(blob)
    }
}

/// Splits a record into its key and its content; `None` where it does not begin with a key.
pub(crate) fn split(record: &[u8]) -> Option<(&[u8], &[u8])> {
    UserKey::split_encoded(record).or_else(|| links::split(record))
}

/// The kind of an entry of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Profile,
    Links,
}

/// The version of the blob that is written under a key, of packed content that is not empty.
pub(crate) fn version(key: &[u8], packed: &[u8]) -> u8 {
    if links::is_key(key) { links::LINKS_FORMAT_VERSION } else { codec::version_of(packed) }
}

/// Checks a key of the store and the blob under it. `entries` is a buffer.
pub(crate) fn check(key: &[u8], blob: &[u8], entries: &mut Vec<Membership>) -> Result<Kind, ProfilesError> {
    if links::is_key(key) {
        return links::read_blob(blob).map(|_| Kind::Links);
    }
    let user = UserKey::from_bytes(key).map_err(|_| ProfilesError::DamagedStore { part: "user keys" })?;
    codec::read_blob(blob, user.domain(), entries).map(|()| Kind::Profile)
}
