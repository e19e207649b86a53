//! The content under a key, in memory and on disk: a profile, or links.

use crate::codec::{self, Malformed};
use crate::links::{self, Links};
use crate::membership::Merger;
use crate::{Applied, Membership, ProfilesError, pending};
use ia_model::{Domain, UserKey};

/// A type of content. Its default has no bytes.
pub(crate) trait Content: Default {
    /// Reads the packed form, which is not empty.
    fn unpack(packed: &[u8]) -> Result<Self, Malformed>;

    /// Reads a blob; `domain` is the domain of the user's id.
    fn read_blob(blob: &[u8], domain: Domain) -> Result<Self, ProfilesError>;

    /// The content after changes that were put off (see `pending`); the first `taken` bytes of them are not counted.
    fn changed(
        self,
        changes: &[u8],
        taken: usize,
        links_per_user: usize,
    ) -> Result<(Self, Applied), Malformed>;

    /// Appends the packed form; nothing where there is no content.
    fn pack(&self, out: &mut Vec<u8>);
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

    fn changed(self, changes: &[u8], taken: usize, _: usize) -> Result<(Self, Applied), Malformed> {
        let mut merger = Merger::of(self);
        let mut operations = pending::read_operations(changes, taken)?;
        let mut applied = pending::no_longer_put_off(&operations);
        applied += merger.merge_records(&mut operations);
        Ok((merger.after, applied))
    }

    fn pack(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            codec::pack(self, out);
        }
    }
}

impl Content for Links {
    fn unpack(packed: &[u8]) -> Result<Links, Malformed> {
        links::unpack(packed)
    }

    fn read_blob(blob: &[u8], _: Domain) -> Result<Links, ProfilesError> {
        links::read_blob(blob)
    }

    fn changed(
        mut self,
        changes: &[u8],
        _: usize,
        links_per_user: usize,
    ) -> Result<(Links, Applied), Malformed> {
        pending::read_links(changes, |seen, new| links::merge(&mut self, new, seen, links_per_user))?;
        Ok((self, Applied::default()))
    }

    fn pack(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            links::pack(self, out);
        }
    }
}

/// Merges changes into the blob under a key, and appends the packed form. Nothing is appended where nothing is left. The
/// first `taken` bytes of the changes are not counted.
pub(crate) fn merge(
    key: &[u8],
    blob: Option<&[u8]>,
    changes: &[u8],
    taken: usize,
    links_per_user: usize,
    entries: &mut Vec<Membership>,
    out: &mut Vec<u8>,
) -> Result<Applied, ProfilesError> {
    let base = match blob {
        Some(blob) => {
            check(key, blob, entries)?;
            &blob[1..]
        }
        None => &[],
    };
    merge_packed(key, base, changes, taken, links_per_user, out)
}

/// The same for a packed form in memory.
pub(crate) fn merge_packed(
    key: &[u8],
    base: &[u8],
    changes: &[u8],
    taken: usize,
    links_per_user: usize,
    out: &mut Vec<u8>,
) -> Result<Applied, ProfilesError> {
    match domain_of_profile(key)? {
        Some(domain) => pending::read_operations(changes, taken)
            .and_then(|operations| {
                let mut applied = pending::no_longer_put_off(&operations);
                applied += pending::merge(base, operations, out)?;
                Ok(applied)
            })
            .map_err(|damage| damage.in_profile(domain)),
        None => {
            let links = unpack::<Links>(base, Domain::Platform)?;
            let changed = links.changed(changes, taken, links_per_user);
            let (links, applied) = changed.map_err(|damage| damage.in_profile(Domain::Platform))?;
            links.pack(out);
            Ok(applied)
        }
    }
}

/// The domain of the user whose profile is under a key; `None` for a key of links.
fn domain_of_profile(key: &[u8]) -> Result<Option<Domain>, ProfilesError> {
    if links::is_key(key) {
        return Ok(None);
    }
    let user = UserKey::from_bytes(key).map_err(|_| ProfilesError::DamagedStore { part: "user keys" })?;
    Ok(Some(user.domain()))
}

/// Reads packed bytes in memory, which may be none.
pub(crate) fn unpack<T: Content>(packed: &[u8], domain: Domain) -> Result<T, ProfilesError> {
    if packed.is_empty() {
        return Ok(T::default());
    }
    T::unpack(packed).map_err(|damage| damage.in_profile(domain))
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
