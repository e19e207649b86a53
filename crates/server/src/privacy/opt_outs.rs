//! The table of opt-outs: who is kept out of whose hands, by themselves or as an id of somebody else.

use hashbrown::{HashMap, HashSet};
use ia_catalog::{SuppressedLink, SuppressedUser};

/// Opt-outs, with the ids that are kept out with them.
#[derive(Debug, Default)]
pub(super) struct OptOuts {
    /// Of each opt-out the hashes of its ids.
    own: HashMap<SuppressedUser, HashSet<[u8; 16]>>,
    /// By how many opt-outs an id is kept out: it may have been linked to several people.
    linked: HashMap<SuppressedUser, u32>,
}

impl OptOuts {
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
        let mut opt_outs = OptOuts::default();
        for person in [1, 2] {
            for _ in 0..2 {
                opt_outs.link(SuppressedLink { of: user(person), hash: [9; 16] });
            }
        }
        assert!([1, 2, 9].iter().all(|&byte| opt_outs.keep_out(&user(byte))));
        assert!(!opt_outs.keep_out(&SuppressedUser { member: None, ..user(9) }));
        opt_outs.lift(&user(9));
        opt_outs.lift(&user(1));
        assert!(!opt_outs.keep_out(&user(1)) && opt_outs.keep_out(&user(9)));
        opt_outs.lift(&user(2));
        assert!(!opt_outs.keep_out(&user(9)) && opt_outs.is_empty());
    }
}
