//! The table of opt-outs: users that have opted out of members, and the ids linked to them.

use hashbrown::{HashMap, HashSet};
use ia_catalog::{SuppressedLink, SuppressedUser};
use ia_model::MemberId;

/// Opt-outs, with the linked ids that are opted out too.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The opt-outs of each user, by the hash of its key. Most have one.
    own: HashMap<[u8; 16], Vec<OptOut>>,
    /// For each linked id, the number of opt-outs that include it: it may be linked to several people.
    linked: HashMap<SuppressedUser, u32>,
}

/// An opt-out of one user.
#[derive(Debug)]
struct OptOut {
    /// Of this member; `None` for all members.
    member: Option<MemberId>,
    /// The hashes of the linked ids.
    linked: HashSet<[u8; 16]>,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Whether the user, or a user linked to this id, has opted out of that member.
    pub(super) fn contains(&self, user: &SuppressedUser) -> bool {
        self.opt_outs_of(&user.hash).any(|opt_out| opt_out.member == user.member)
            || self.linked.contains_key(user)
    }

    /// The members that the user itself has opted out of.
    pub(super) fn members_without(&self, person: &[u8; 16]) -> Vec<MemberId> {
        self.opt_outs_of(person).filter_map(|opt_out| opt_out.member).collect()
    }

    /// The ids of `linked` that the user's opt-outs of members do not include, each with the opt-out.
    pub(super) fn missing(&self, person: [u8; 16], linked: &[[u8; 16]]) -> Vec<SuppressedLink> {
        let of_members = self.opt_outs_of(&person).filter(|opt_out| opt_out.member.is_some());
        let missing = of_members.flat_map(|OptOut { member, linked: held }| {
            let of = SuppressedUser { hash: person, member: *member };
            let missing = linked.iter().filter(|hash| !held.contains(*hash));
            missing.map(move |&hash| SuppressedLink { of, hash })
        });
        missing.collect()
    }

    pub(super) fn add(&mut self, user: SuppressedUser) {
        self.entry(user);
    }

    /// Adds a linked id to an opt-out.
    pub(super) fn link(&mut self, SuppressedLink { of, hash }: SuppressedLink) {
        if self.entry(of).linked.insert(hash) {
            *self.linked.entry(SuppressedUser { hash, ..of }).or_default() += 1;
        }
    }

    /// Removes an opt-out and its linked ids.
    pub(super) fn lift(&mut self, user: &SuppressedUser) {
        let Some(opt_outs) = self.own.get_mut(&user.hash) else { return };
        let Some(index) = opt_outs.iter().position(|opt_out| opt_out.member == user.member) else { return };
        let lifted = opt_outs.swap_remove(index);
        if opt_outs.is_empty() {
            self.own.remove(&user.hash);
        }
        for hash in lifted.linked {
            let id = SuppressedUser { hash, ..*user };
            if let Some(count) = self.linked.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    self.linked.remove(&id);
                }
            }
        }
    }

    fn opt_outs_of(&self, person: &[u8; 16]) -> impl Iterator<Item = &OptOut> {
        self.own.get(person).into_iter().flatten()
    }

    fn entry(&mut self, user: SuppressedUser) -> &mut OptOut {
        let opt_outs = self.own.entry(user.hash).or_default();
        let index = opt_outs.iter().position(|opt_out| opt_out.member == user.member).unwrap_or_else(|| {
            opt_outs.push(OptOut { member: user.member, linked: HashSet::new() });
            opt_outs.len() - 1
        });
        &mut opt_outs[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    #[test]
    fn ids_that_come_later_are_missing_from_each_opt_out_of_a_member() {
        let user = |member: Option<u32>| SuppressedUser { hash: [1; 16], member: member.map(MemberId) };
        let mut table = Table::default();
        [None, Some(7), Some(8)].into_iter().for_each(|member| table.add(user(member)));
        let missing = table.missing([1; 16], &[[2; 16], [3; 16]]);
        assert_eq!(missing.len(), 4, "an opt-out of all members needs no ids: {missing:?}");
        assert!(table.missing([2; 16], &[[1; 16]]).is_empty());
        missing.into_iter().for_each(|link| table.link(link));
        assert!(table.missing([1; 16], &[[2; 16], [3; 16]]).is_empty());
        assert_eq!(table.members_without(&[1; 16]), [7, 8].map(MemberId));
        table.lift(&user(Some(7)));
        assert!(table.contains(&SuppressedUser { hash: [2; 16], ..user(Some(8)) }));
        assert!(!table.contains(&SuppressedUser { hash: [2; 16], ..user(Some(7)) }));
    }
}
