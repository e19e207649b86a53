//! The table of opt-outs: which users have opted out of which members, including ids that are linked to them.

use hashbrown::{HashMap, HashSet};
use ia_catalog::{SuppressedLink, SuppressedUser};

/// Opt-outs, with the ids that are kept out with them.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Of each opt-out the hashes of its ids.
    own: HashMap<SuppressedUser, HashSet<[u8; 16]>>,
    /// By how many opt-outs an id is kept out: it may have been linked to several people.
    linked: HashMap<SuppressedUser, u32>,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Whether that user may not be added by that member.
    pub(super) fn keep_out(&self, user: &SuppressedUser) -> bool {
        self.own.contains_key(user) || self.linked.contains_key(user)
    }

    pub(super) fn add(&mut self, user: SuppressedUser) {
        self.own.entry(user).or_default();
    }

    /// Adds an id to an opt-out.
    pub(super) fn link(&mut self, SuppressedLink { of, hash }: SuppressedLink) {
        if self.own.entry(of).or_default().insert(hash) {
            *self.linked.entry(SuppressedUser { hash, ..of }).or_default() += 1;
        }
    }

    /// Takes an opt-out back, with its ids.
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
    fn an_id_of_two_people_is_kept_out_until_both_are_let_in() {
        let user = |byte| SuppressedUser { hash: [byte; 16], member: Some(MemberId(7)) };
        let mut table = Table::default();
        for person in [1, 2] {
            for _ in 0..2 {
                table.link(SuppressedLink { of: user(person), hash: [9; 16] });
            }
        }
        assert!([1, 2, 9].iter().all(|&byte| table.keep_out(&user(byte))));
        assert!(!table.keep_out(&SuppressedUser { member: None, ..user(9) }));
        table.lift(&user(9));
        table.lift(&user(1));
        assert!(!table.keep_out(&user(1)) && table.keep_out(&user(9)));
        table.lift(&user(2));
        assert!(!table.keep_out(&user(9)) && table.is_empty());
    }
}
