//! The links of a platform user: the ids that members have for it. They are kept beside its profile, under a
//! key of their own, and so share shards, checkpoints and eviction with profiles.
//!
//! Of an id that is linked again the later end counts, and of too many links those that end last stay. So
//! links are the same in any order of arrival, and a replay over links that are partly ahead of it ends in
//! the same ones. (A record also drops links that have ended by its minute. Any link that could push out
//! another in their place ends later still.)

use crate::ProfilesError;
use crate::codec::{self, Malformed};
use ia_model::{Domain, Minute, UserKey, varint};

/// The first byte of a key of links; no domain has it. The rest is that of the user's key.
const TAG: u8 = 255;
const KEY_BYTES: usize = 9;

/// Ids, ascending, each with the first minute after its link.
pub(crate) type Links = Vec<(UserKey, Minute)>;

/// The key of a user's links.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinksKey([u8; KEY_BYTES]);

impl LinksKey {
    /// `None`: a user of that domain has no links.
    pub(crate) fn of(user: &UserKey) -> Option<LinksKey> {
        let mut key: [u8; KEY_BYTES] = user.as_bytes().try_into().ok()?;
        key[0] = TAG;
        (user.domain() == Domain::Platform).then_some(LinksKey(key))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Splits bytes behind the key of links with which they begin. `None` when they begin with something else.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    (bytes.first() == Some(&TAG)).then(|| bytes.split_at_checked(KEY_BYTES))?
}

/// Whether this is exactly a key of links.
pub(crate) fn is_key(key: &[u8]) -> bool {
    split(key).is_some_and(|(key, rest)| rest.is_empty() && key[1..] != [0; KEY_BYTES - 1])
}

/// Adds links to others and drops those that have ended at `seen`; at most `most` stay.
pub(crate) fn merge(links: &mut Links, new: &[(UserKey, Minute)], seen: Minute, most: usize) {
    links.extend_from_slice(new);
    links.retain(|(_, end)| seen < *end);
    links.sort_unstable_by(|(one, one_end), (other, other_end)| (one, other_end).cmp(&(other, one_end)));
    links.dedup_by(|(later, _), (kept, _)| later == kept);
    if links.len() > most {
        links.sort_unstable_by(|(one, one_end), (other, other_end)| (other_end, one).cmp(&(one_end, other)));
        links.truncate(most);
        links.sort_unstable();
    }
}

/// Appends the packed form of links, which ascend and are not empty.
pub(crate) fn pack(links: &[(UserKey, Minute)], out: &mut Vec<u8>) {
    let base = links.iter().map(|(_, end)| *end).min().unwrap_or_default();
    varint::write(out, u64::from(base.0));
    for (id, end) in links {
        out.extend_from_slice(id.as_bytes());
        varint::write(out, u64::from(end.0 - base.0));
    }
}

/// Reads the packed form.
pub(crate) fn unpack(packed: &[u8]) -> Result<Links, Malformed> {
    let mut input = packed;
    let base = varint::read_u32(&mut input).ok_or(Malformed("base minute of the links"))?;
    let mut links = Links::new();
    while !input.is_empty() {
        let (id, rest) = UserKey::split_encoded(input).ok_or(Malformed("linked ids"))?;
        let id = UserKey::from_bytes(id).map_err(|_| Malformed("linked ids"))?;
        input = rest;
        let after = varint::read_u32(&mut input).ok_or(Malformed("ends of links"))?;
        links.push((id, Minute(base.checked_add(after).ok_or(Malformed("ends of links"))?)));
    }
    Ok(links)
}

/// Reads a blob: the version of profiles, then the packed form, which must be what [`pack`] makes.
pub(crate) fn read_blob(blob: &[u8]) -> Result<Links, ProfilesError> {
    let damaged = |damage: Malformed| damage.in_profile(Domain::Platform);
    let packed = codec::packed_in(blob, "a stored list of links", Domain::Platform)?;
    let links = unpack(packed).map_err(damaged)?;
    let mut again = Vec::with_capacity(packed.len());
    pack(&links, &mut again);
    let is_canonical = again == packed
        && links.is_sorted_by(|(one, _), (next, _)| one < next)
        && links.iter().all(|(id, _)| id.domain() == Domain::External);
    if is_canonical && !links.is_empty() {
        Ok(links)
    } else {
        Err(damaged(Malformed("canonical form of the links")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BLOB_FORMAT_VERSION;
    use ia_model::MemberId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// In the order of the ids.
    const BLOB: &[u8] = b"\x01\xc0\x82\xea\x0d\x0c\0\0\x03\xbe\x01A\0\x0c\0\0\x03\xbe\x03b-c\xc0\xca\x01";

    fn id(member: u32, text: &str) -> UserKey {
        UserKey::external(MemberId(member), text).unwrap()
    }

    fn any_links() -> impl Strategy<Value = Links> {
        let any_link =
            (1u32..3, "[a-c]{1,2}", 0u32..40).prop_map(|(of, text, end)| (id(of, &text), Minute(end)));
        proptest::collection::vec(any_link, 0..12)
    }

    #[test]
    fn the_documented_bytes_are_read_and_written() {
        let links = [(id(958, "A"), Minute(29_000_000)), (id(958, "b-c"), Minute(29_025_920))];
        assert_eq!(read_blob(BLOB).unwrap(), links);
        let mut packed = vec![BLOB_FORMAT_VERSION];
        pack(&links, &mut packed);
        assert_eq!(packed, BLOB);
        let user = UserKey::platform(7).unwrap();
        let key = LinksKey::of(&user).unwrap();
        assert_eq!(key.as_bytes(), [255, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert!(
            is_key(key.as_bytes()) && !is_key(user.as_bytes()) && !is_key(&[255; 10]) && !is_key(&[255; 8])
        );
        assert!(LinksKey::of(&links[0].0).is_none());
    }

    #[test]
    fn malformed_bytes_are_refused() {
        // Cut between two links it is a shorter list, which the checksums of the store detect.
        for end in (0..BLOB.len()).filter(|&end| end != 13) {
            assert!(read_blob(&BLOB[..end]).is_err(), "cut at {end}");
        }
        // A version of the future; a link too few; out of order; twice; ends that could be smaller.
        let swapped: &[u8] = b"\x01\x05\x0c\0\0\0\x01\x01b\0\x0c\0\0\0\x01\x01a\0";
        let twice: &[u8] = b"\x01\x05\x0c\0\0\0\x01\x01a\0\x0c\0\0\0\x01\x01a\0";
        for blob in [
            &b"\x02"[..],
            b"\x01\x05",
            swapped,
            twice,
            b"\x01\x05\x0c\0\0\0\x01\x01a\x01",
            b"\x01\x05\x06aaaaaaaaaaaaaaaaaaaa\0",
        ] {
            assert!(read_blob(blob).is_err(), "{blob:?}");
        }
    }

    proptest! {
        #[test]
        fn links_are_the_same_in_any_order(
            records in proptest::collection::vec(any_links(), 1..6), seed in any::<u64>(), most in 1usize..6
        ) {
            let all = |records: &[Links]| {
                let mut links = Links::new();
                records.iter().for_each(|record| merge(&mut links, record, Minute(10), most));
                links
            };
            let mut expected: BTreeMap<UserKey, Minute> = BTreeMap::new();
            for (id, end) in records.iter().flatten().filter(|(_, end)| end.0 > 10) {
                let known = expected.entry(id.clone()).or_default();
                *known = (*known).max(*end);
            }
            let mut expected: Links = expected.into_iter().collect();
            expected.sort_by_key(|(id, end)| (u32::MAX - end.0, id.clone()));
            expected.truncate(most);
            expected.sort();
            prop_assert_eq!(&all(&records), &expected);
            let mut shuffled = records;
            let middle = seed as usize % shuffled.len();
            shuffled.rotate_left(middle);
            shuffled[middle..].reverse();
            prop_assert_eq!(all(&shuffled), expected.clone());
            if !expected.is_empty() {
                let mut blob = vec![BLOB_FORMAT_VERSION];
                pack(&expected, &mut blob);
                prop_assert_eq!(read_blob(&blob).unwrap(), expected);
            }
        }

        #[test]
        fn noise_is_no_panic(noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpack(&noise);
        }
    }
}
