//! Late binding: a platform user is in its own segments and in those of every linked id, from the moment of
//! the link, whether the link or the segment came first.

use crate::{Membership, Profiles, ProfilesError};
use ia_model::{Minute, UserKey};

/// Reads anything of several users, or of one and its ids. If the members of a segment are replaced meanwhile, it reads
/// again, so that what it returns is of before or of after. Each repetition needs another replacement, which is a whole
/// file.
pub fn read_at_once<T>(profiles: &dyn Profiles, mut read: impl FnMut() -> T) -> T {
    loop {
        let before = profiles.replacements();
        let found = read();
        if profiles.replacements() == before {
            return found;
        }
    }
}

/// [`Profiles::get`] of a user, joined with those of the ids that are linked to it.
pub fn get_joined(profiles: &dyn Profiles, user: &UserKey, now: Minute) -> Option<Vec<Membership>> {
    if !profiles.has_links() {
        return profiles.get(user, now);
    }
    read_at_once(profiles, || {
        let mut joined = profiles.get(user, now)?;
        for id in profiles.links(user, now)? {
            join(&mut joined, &profiles.get(&id, now)?);
        }
        Some(joined)
    })
}

/// [`Profiles::load`] of a user, joined with those of the ids that are linked to it.
///
/// # Errors
///
/// When one of them cannot be read from disk.
pub fn load_joined(
    profiles: &dyn Profiles,
    user: &UserKey,
    now: Minute,
) -> Result<Vec<Membership>, ProfilesError> {
    if !profiles.has_links() {
        return profiles.load(user, now);
    }
    read_at_once(profiles, || {
        let mut joined = profiles.load(user, now)?;
        for id in profiles.load_links(user, now)? {
            join(&mut joined, &profiles.load(&id, now)?);
        }
        Ok(joined)
    })
}

/// [`load_joined`] of each of these users, in their order, in as few passes over the disk as there are steps: one for
/// the users, one for their links, one for the ids that are linked to them. A user that cannot be read, or an id that is
/// linked to it, has its own error; the others are read all the same.
pub fn load_many_joined(
    profiles: &dyn Profiles,
    users: &[&UserKey],
    now: Minute,
) -> Vec<Result<Vec<Membership>, ProfilesError>> {
    if !profiles.has_links() {
        return profiles.load_many(users, now);
    }
    read_at_once(profiles, || {
        let mut joined = profiles.load_many(users, now);
        let mut order: Vec<usize> = (0..users.len()).collect();
        order.sort_unstable_by_key(|&index| users[index].as_bytes());
        let mut linked: Vec<(usize, UserKey)> = Vec::new();
        for index in order {
            match profiles.load_links(users[index], now) {
                Ok(ids) => linked.extend(ids.into_iter().map(|id| (index, id))),
                Err(error) => joined[index] = Err(error),
            }
        }
        let ids: Vec<&UserKey> = linked.iter().map(|(_, id)| id).collect();
        for ((index, _), of_id) in linked.iter().zip(profiles.load_many(&ids, now)) {
            match (&mut joined[*index], of_id) {
                (Ok(joined), Ok(of_id)) => join(joined, &of_id),
                (Ok(_), Err(error)) => joined[*index] = Err(error),
                (Err(_), _) => {}
            }
        }
        joined
    })
}

/// [`Profiles::load_later`] of a user, joined with those of the ids that are linked to it now. Their links may end before
/// the memberships begin.
///
/// # Errors
///
/// When one of them cannot be read from disk.
pub fn load_joined_later(
    profiles: &dyn Profiles,
    user: &UserKey,
    now: Minute,
) -> Result<Vec<Membership>, ProfilesError> {
    let mut joined = profiles.load_later(user, now)?;
    if profiles.has_links() {
        for id in profiles.load_links(user, now)? {
            join(&mut joined, &profiles.load_later(&id, now)?);
        }
    }
    Ok(joined)
}

/// Adds the memberships of another id of one person, which ascend by segment as `joined` does. Of two memberships of one segment, the one added
/// last stays; of two added in the same minute, the one with the later expiry, then with the greater value,
/// then with the earlier first add. So the order of joining makes no difference.
pub fn join(joined: &mut Vec<Membership>, others: &[Membership]) {
    if joined.is_empty() || others.is_empty() {
        return joined.extend_from_slice(others);
    }
    let rank =
        |entry: &Membership| (entry.last_seen, entry.expires, entry.value, u32::MAX - entry.added_at.0);
    joined.extend_from_slice(others);
    joined.sort_unstable_by(|one, other| {
        one.segment.cmp(&other.segment).then_with(|| rank(other).cmp(&rank(one)))
    });
    joined.dedup_by_key(|entry| entry.segment);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_model::{Expiry, SegmentId};
    use proptest::prelude::*;

    fn entry(segment: u32, seen: u32, expires: Expiry, value: u32, added: u32) -> Membership {
        let (added_at, last_seen) = (Minute(added), Minute(seen));
        Membership { segment: SegmentId(segment), value, added_at, last_seen, expires, pause: None }
    }

    #[test]
    fn the_one_added_last_wins_then_the_longer_then_the_greater() {
        let until = |minute| Expiry::At(Minute(minute));
        let (early, late) = (entry(1, 5, Expiry::Never, 9, 5), entry(1, 6, until(7), 0, 6));
        let (long, short) = (entry(2, 5, Expiry::Never, 0, 5), entry(2, 5, until(900), 9, 5));
        let (great, small) = (entry(3, 5, until(9), 2, 5), entry(3, 5, until(9), 1, 1));
        let (old, new) = (entry(4, 5, until(9), 2, 1), entry(4, 5, until(9), 2, 5));
        let mut joined = vec![early, long, small, old];
        join(&mut joined, &[late, short, great, new, entry(7, 1, until(9), 0, 1)]);
        assert_eq!(joined, [late, long, great, old, entry(7, 1, until(9), 0, 1)]);
    }

    proptest! {
        #[test]
        fn the_order_makes_no_difference(
            lists in proptest::collection::vec(
                proptest::collection::btree_map(1u32..6, (0u32..3, 0u32..3, 0u32..2, 0u32..3), 0..5), 0..4,
            ),
            turn in 0usize..4,
        ) {
            let lists: Vec<Vec<Membership>> = lists
                .into_iter()
                .map(|list| {
                    let entry = |(segment, (seen, end, value, added))| {
                        let expires = if end == 0 { Expiry::Never } else { Expiry::At(Minute(50 + end)) };
                        entry(segment, seen, expires, value, added)
                    };
                    list.into_iter().map(entry).collect()
                })
                .collect();
            let all = |lists: &[Vec<Membership>]| {
                let mut joined = Vec::new();
                lists.iter().for_each(|list| join(&mut joined, list));
                joined
            };
            let joined = all(&lists);
            prop_assert!(joined.is_sorted_by(|one, next| one.segment < next.segment));
            let mut turned = lists;
            let by = turn.min(turned.len());
            turned.rotate_left(by);
            prop_assert_eq!(all(&turned), joined);
        }
    }
}
