//! Reading many users in one pass: first what memory has, then the rest in the order of its keys on disk, so that
//! users that share a block of the store are read one after the other.

use crate::packed::PackedProfiles;
use crate::{Membership, Profiles, ProfilesError};
use ia_model::{Minute, UserKey};

/// How many users are read before the thread offers the processor to others: a tenth of a millisecond of reads from
/// memory, and less than one of reads from the page cache.
const USERS_PER_TURN: usize = 64;

impl PackedProfiles {
    /// [`Profiles::load_many`].
    pub(crate) fn load_in_one_pass(
        &self,
        users: &[&UserKey],
        now: Minute,
    ) -> Vec<Result<Vec<Membership>, ProfilesError>> {
        let mut turns = 0;
        let mut take_turn = || {
            turns += 1;
            if turns % USERS_PER_TURN == 0 {
                std::thread::yield_now();
            }
        };
        let mut on_disk = Vec::new();
        let mut found: Vec<_> = users
            .iter()
            .enumerate()
            .map(|(index, user)| {
                take_turn();
                Ok(self.get(user, now).unwrap_or_else(|| {
                    on_disk.push(index);
                    Vec::new()
                }))
            })
            .collect();
        on_disk.sort_unstable_by_key(|&index| users[index].as_bytes());
        for index in on_disk {
            take_turn();
            found[index] = self.load(users[index], now);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{NOW, add_all, user};
    use crate::store::Checkpoint;
    use crate::{ProfileOptions, load_many_joined};

    /// Nothing is in memory after a start, so all of these are read from disk, out of the order of their keys.
    #[test]
    fn users_are_read_in_the_order_asked_and_a_damaged_one_fails_alone() {
        let dir = tempfile::tempdir().unwrap();
        let open = || PackedProfiles::open(dir.path(), ProfileOptions::default()).unwrap();
        let profiles = open();
        for id in 1..=9 {
            profiles.apply(id, &add_all(vec![user(id)], id as u32)).unwrap();
        }
        profiles.checkpoint().unwrap();
        let damaged = Checkpoint { position: 9, ..Checkpoint::default() };
        profiles.store.write_one(damaged, user(5).as_bytes(), &[250, 1, 2]);
        drop(profiles);
        let profiles = open();
        let asked: Vec<UserKey> = [9, 2, 5, 77, 2, 8].into_iter().map(user).collect();
        let asked: Vec<&UserKey> = asked.iter().collect();
        for _ in 0..2 {
            for found in [profiles.load_many(&asked, NOW), load_many_joined(&profiles, &asked, NOW)] {
                assert_eq!(found.len(), asked.len());
                for (user, found) in asked.iter().zip(found) {
                    match profiles.load(user, NOW) {
                        Ok(alone) => assert_eq!(found.unwrap(), alone),
                        Err(error) => assert_eq!(found.unwrap_err().to_string(), error.to_string()),
                    }
                }
            }
        }
        assert!(profiles.load(&user(5), NOW).is_err());
        let of = |id| profiles.load(&user(id), NOW).unwrap();
        assert!(of(9) != of(2) && of(2) != of(8) && of(77).is_empty(), "the order can be seen");
    }
}
