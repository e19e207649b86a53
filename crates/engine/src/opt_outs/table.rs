//! The table of opt-outs: users that have opted out of members, and the ids linked to them.

use hashbrown::{HashMap, HashSet};
use ia_catalog::{SuppressedLink, SuppressedUser};

/// Opt-outs, with the linked ids that are opted out too.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// For each opt-out, the hashes of its linked ids.
    own: HashMap<SuppressedUser, HashSet<[u8; 16]>>,
    /// For each linked id, the number of opt-outs that include it: it may be linked to several people.
    linked: HashMap<SuppressedUser, u32>,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Whether the user, or a user linked to this id, has opted out of that member.
    pub(super) fn contains(&self, user: &SuppressedUser) -> bool {
        self.own.contains_key(user) || self.linked.contains_key(user)
    }

    pub(super) fn add(&mut self, user: SuppressedUser) {
        self.own.entry(user).or_default();
    }

    /// Adds a linked id to an opt-out.
    pub(super) fn link(&mut self, SuppressedLink { of, hash }: SuppressedLink) {
        if self.own.entry(of).or_default().insert(hash) {
            *self.linked.entry(SuppressedUser { hash, ..of }).or_default() += 1;
        }
    }

    /// Removes an opt-out and its linked ids.
    pub(super) fn lift(&mut self, user: &SuppressedUser) {
        for hash in self.own.remove(user).into_iter().flatten() {
            let id = SuppressedUser { hash, ..*user };
            if let Some(count) = self.linked.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    self.linked.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ia_model::MemberId;

    #[test]
    fn an_id_of_two_people_is_opted_out_until_both_opt_in() {
        let user = |byte| SuppressedUser { hash: [byte; 16], member: Some(MemberId(7)) };
        let mut table = Table::default();
        for person in [1, 2] {
            for _ in 0..2 {
                table.link(SuppressedLink { of: user(person), hash: [9; 16] });
            }
        }
        assert!([1, 2, 9].iter().all(|&byte| table.contains(&user(byte))));
        assert!(!table.contains(&SuppressedUser { member: None, ..user(9) }));
        table.lift(&user(9));
        table.lift(&user(1));
        assert!(!table.contains(&user(1)) && table.contains(&user(9)));
        table.lift(&user(2));
        assert!(!table.contains(&user(9)) && table.is_empty());
    }
}
