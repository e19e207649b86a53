//! The links of a platform user: the ids that members and other sources have for it. They are kept beside its profile, under a
//! key of their own, and so share shards, checkpoints and eviction with profiles.
//!
//! Of an id that is linked again the later end counts, and of too many links those that end last stay; of links that
//! end in the same minute, the ones that were made last, in the order of the log. So a new link never loses against an
//! older one of the same minute.
//!
//! A replay over links that are partly ahead of it ends in the same ones, in the same order. It makes every link after
//! its start again, in order, so these end up behind all others of their minute, as before. And it drops none that was
//! made before its start: whatever could push it out ends later or was made later, and so is in the links already, which
//! are not too many. (A record also drops links that have ended by its minute. Any link that could push out another in
//! their place ends later still.)

use crate::ProfilesError;
use crate::codec::Malformed;
use ia_model::{Domain, Link, Minute, UserKey, varint};

/// The first byte of a key of links; no domain has it. The rest is that of the user's key.
const TAG: u8 = 255;
const KEY_BYTES: usize = 9;

/// The version of the blobs. In those of version 1 the ids ascend, so nothing says which was linked first.
pub(crate) const LINKS_FORMAT_VERSION: u8 = 2;

/// Ids, each with the first minute after its link: by these minutes, and of the same minute the older link first.
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

/// Adds links to others, as the latest, and drops those that have ended at `seen`; at most `most` stay. Those of one
/// record are made in the order of their ids.
pub(crate) fn merge(links: &mut Links, new: &[(UserKey, Minute)], seen: Minute, most: usize) {
    let mut new: Vec<&(UserKey, Minute)> = new.iter().filter(|(_, end)| seen < *end).collect();
    new.sort_unstable_by(|(one, one_end), (other, other_end)| (one, other_end).cmp(&(other, one_end)));
    new.dedup_by(|(later, _), (kept, _)| later == kept);
    links.retain(|(id, end)| {
        if *end <= seen {
            return false;
        }
        let Ok(at) = new.binary_search_by(|(new, _)| new.cmp(id)) else { return true };
        let is_later = new[at].1 >= *end;
        if !is_later {
            new.remove(at);
        }
        !is_later
    });
    links.extend(new.into_iter().cloned());
    in_order(links);
    links.drain(..links.len().saturating_sub(most));
}

/// Links that stand in the order in which they were made, as far as they end in the same minute.
fn in_order(links: &mut Links) {
    links.sort_by_key(|(_, end)| *end);
}

/// Appends the packed form of links, which are not empty.
pub(crate) fn pack(links: &[(UserKey, Minute)], out: &mut Vec<u8>) {
    let base = links.iter().map(|(_, end)| *end).min().unwrap_or_default();
    varint::write(out, u64::from(base.0));
    for (id, end) in links {
        out.extend_from_slice(id.as_bytes());
        varint::write(out, u64::from(end.0 - base.0));
    }
}

/// Reads the packed form, also that of a blob of version 1.
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
    in_order(&mut links);
    Ok(links)
}

/// Reads a blob: its version, then the packed form, which must be what [`pack`] makes; in version 1 the ids ascend.
pub(crate) fn read_blob(blob: &[u8]) -> Result<Links, ProfilesError> {
    let damaged = |damage: Malformed| damage.in_profile(Domain::Platform);
    let known = LINKS_FORMAT_VERSION;
    let (version, packed) = match blob.split_first() {
        Some((&version @ (1 | LINKS_FORMAT_VERSION), packed)) => (version, packed),
        Some((&found, _)) => {
            return Err(ProfilesError::UnknownVersion { what: "a stored list of links", found, known });
        }
        None => return Err(damaged(Malformed("version"))),
    };
    let links = unpack(packed).map_err(damaged)?;
    let mut by_id = links.clone();
    by_id.sort_unstable();
    let mut again = Vec::with_capacity(packed.len());
    pack(if version == 1 { &by_id } else { &links }, &mut again);
    let is_canonical = again == packed
        && by_id.is_sorted_by(|(one, _), (next, _)| one < next)
        && links.iter().all(|(id, _)| Link::is_linkable(id));
    if is_canonical && !links.is_empty() {
        Ok(links)
    } else {
        Err(damaged(Malformed("canonical form of the links")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_model::MemberId;
    use proptest::prelude::*;

    /// `A` was linked last, and ends first. The same in the order of the ids, as version 1 has it.
    const BLOB: &[u8] = b"\x02\xc0\x82\xea\x0d\x0c\0\0\x03\xbe\x01A\0\x0c\0\0\x03\xbe\x03b-c\xc0\xca\x01";
    const OF_VERSION_1: &[u8] =
        b"\x01\xc0\x82\xea\x0d\x0c\0\0\x03\xbe\x01A\0\x0c\0\0\x03\xbe\x03b-c\xc0\xca\x01";

    fn id(member: u32, text: &str) -> UserKey {
        UserKey::external(MemberId(member), text).unwrap()
    }

    fn any_links() -> impl Strategy<Value = Links> {
        let any_id = (0u32..3, "[a-c]{1,2}").prop_map(|(of, text)| match of {
            0 => UserKey::extended("id5-sync.com", &text).unwrap(),
            of => id(of, &text),
        });
        let any_link = (any_id, 10u32..16).prop_map(|(id, end)| (id, Minute(end)));
        proptest::collection::vec(any_link, 0..5)
    }

    #[test]
    fn the_documented_bytes_are_read_and_written() {
        let links = [(id(958, "A"), Minute(29_000_000)), (id(958, "b-c"), Minute(29_025_920))];
        assert_eq!(read_blob(BLOB).unwrap(), links);
        assert_eq!(read_blob(OF_VERSION_1).unwrap(), links);
        let mut packed = vec![LINKS_FORMAT_VERSION];
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
    fn an_extended_id_is_linked_beside_a_members_own() {
        let eid = UserKey::extended("a.eu", "A").unwrap();
        let links = [(id(958, "A"), Minute(29_000_000)), (eid, Minute(29_000_000))];
        let blob = b"\x02\xc0\x82\xea\x0d\x0c\0\0\x03\xbe\x01A\0\x0d\x04a.eu\x01A\0";
        assert_eq!(read_blob(blob).unwrap(), links);
        let mut packed = vec![LINKS_FORMAT_VERSION];
        pack(&links, &mut packed);
        assert_eq!(packed, blob);
        for end in (0..blob.len()).filter(|&end| end != 13) {
            assert!(read_blob(&blob[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn malformed_bytes_are_refused() {
        // Cut between two links it is a shorter list, which the checksums of the store detect.
        for end in (0..BLOB.len()).filter(|&end| end != 13) {
            assert!(read_blob(&BLOB[..end]).is_err(), "cut at {end}");
            assert!(read_blob(&OF_VERSION_1[..end]).is_err(), "version 1 cut at {end}");
        }
        // The ids of one minute stand in any order, those of version 1 in theirs.
        let swapped: &[u8] = b"\x05\x0c\0\0\0\x01\x01b\0\x0c\0\0\0\x01\x01a\0";
        let by_id_alone: &[u8] = b"\x05\x0c\0\0\0\x01\x01a\x01\x0c\0\0\0\x01\x01b\0";
        let twice: &[u8] = b"\x05\x0c\0\0\0\x01\x01a\0\x0c\0\0\0\x01\x01a\0";
        let twice_later: &[u8] = b"\x05\x0c\0\0\0\x01\x01a\0\x0c\0\0\0\x01\x01b\0\x0c\0\0\0\x01\x01a\x01";
        for (packed, in_1, in_2) in [
            (swapped, false, true),
            (by_id_alone, true, false),
            // A link too few; an id twice; ends that could be smaller; ids of another domain.
            (b"\x05", false, false),
            (twice, false, false),
            (twice_later, false, false),
            (b"\x05\x0c\0\0\0\x01\x01a\x01", false, false),
            (b"\x05\x06aaaaaaaaaaaaaaaaaaaa\0", false, false),
        ] {
            for (version, is_sound) in [(0, false), (1, in_1), (2, in_2), (3, false)] {
                let blob = [&[version], packed].concat();
                assert_eq!(read_blob(&blob).is_ok(), is_sound, "{blob:?}");
            }
        }
        assert!(read_blob(b"").is_err());
    }

    #[test]
    fn a_new_link_never_loses_against_an_older_one_of_its_minute() {
        let ids = ["d", "b", "e", "a", "c"].map(|text| id(1, text));
        let mut links = Links::new();
        for (made, new) in ids.iter().enumerate() {
            merge(&mut links, &[(new.clone(), Minute(20))], Minute(10), 3);
            let expected = ids[(made + 1usize).saturating_sub(3)..=made].iter();
            assert!(links.iter().map(|(id, _)| id).eq(expected), "{links:?}");
        }
        // To make it again is new, too. One that ends later is kept before all of them.
        merge(&mut links, &[(id(1, "e"), Minute(20)), (id(1, "c"), Minute(19))], Minute(10), 3);
        assert!(links.iter().map(|(id, _)| id).eq([&ids[3], &ids[4], &ids[2]]), "{links:?}");
        merge(&mut links, &[(id(1, "f"), Minute(21))], Minute(10), 3);
        merge(&mut links, &[(id(1, "g"), Minute(20))], Minute(10), 3);
        assert!(links.iter().map(|(id, _)| id).eq([&id(1, "e"), &id(1, "g"), &id(1, "f")]), "{links:?}");
        // Less than the oldest of those that there are.
        merge(&mut links, &[(id(1, "h"), Minute(19))], Minute(10), 3);
        assert!(links.iter().map(|(id, _)| id).eq([&id(1, "e"), &id(1, "g"), &id(1, "f")]), "{links:?}");
    }

    proptest! {
        /// A replay from any record on, over any state from there on, ends in the same links in the same order.
        #[test]
        fn a_replay_over_links_that_are_ahead_changes_nothing(
            records in proptest::collection::vec((any_links(), 5u32..14), 1..12), most in 1usize..6
        ) {
            let apply = |links: &mut Links, from: usize, to: usize| {
                records[from..to].iter().for_each(|(new, seen)| merge(links, new, Minute(*seen), most));
            };
            let mut expected = Links::new();
            apply(&mut expected, 0, records.len());
            for ahead in 0..=records.len() {
                let mut links = Links::new();
                apply(&mut links, 0, ahead);
                for from in 0..=ahead {
                    let mut replayed = links.clone();
                    apply(&mut replayed, from, records.len());
                    prop_assert_eq!(&replayed, &expected, "{} from {}", ahead, from);
                }
            }
            if !expected.is_empty() {
                let mut blob = vec![LINKS_FORMAT_VERSION];
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
