//! Who is in which segment: made up, yet the same in every run, so that it can be checked without being
//! kept.

use ia_testkit::{Dice, mix};

/// How many segments the catalog has; their ids are 1 to this.
pub(crate) const SEGMENTS: u32 = 10_000;

/// Every run draws from this seed, so that two runs send the same.
const SEED: u64 = 0x1A5E_ED00_2024_0001;

/// One membership as it is sent, and as it must be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The segment's id.
    pub segment: u32,
    /// What is stored with it: a small number, as providers send.
    pub value: u32,
    /// Minutes from now; 0 is for ever.
    pub expiration: u32,
}

/// A range of users that no other range shares a user with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Population {
    range: u64,
    /// How many users it has; they are numbered from 0.
    pub users: u64,
}

/// Users that workloads write to.
pub(crate) const WRITTEN: u64 = 1;
/// Users with known memberships, for reading and for checking.
pub(crate) const KNOWN: u64 = 2;
/// Users without memberships.
pub(crate) const UNKNOWN: u64 = 3;

impl Population {
    /// `users` users of the range of that number.
    pub(crate) fn new(range: u64, users: u64) -> Population {
        assert!(range > 0 && users > 0 && users < 1 << 40, "ranges hold up to 2^40 users");
        Population { range, users }
    }

    /// The platform id of a user: spread over all 64 bits, like real ones, and never 0.
    pub(crate) fn id(&self, user: u64) -> u64 {
        // The mix is a bijection that maps 0 alone to 0, and no range starts at 0.
        mix((self.range << 40) | user)
    }

    /// The memberships of a user: `count` different segments. Another `variant` gives other ones.
    pub(crate) fn memberships(
        &self,
        user: u64,
        variant: u64,
        count: u32,
    ) -> impl Iterator<Item = Membership> + use<> {
        assert!(count <= SEGMENTS, "a user cannot be in more segments than there are");
        let walk = Walk::new(mix(self.id(user) ^ mix(variant ^ SEED)));
        (0..u64::from(count)).map(move |step| walk.at(step, walk.random))
    }

    /// `count` of the first `of` memberships of a user, with values and expirations of their own for each `draw`.
    pub(crate) fn some_of(
        &self,
        user: u64,
        of: u32,
        draw: u64,
        count: u32,
    ) -> impl Iterator<Item = Membership> + use<> {
        assert!(count <= of && of <= SEGMENTS, "a user has not so many memberships");
        let walk = Walk::new(mix(self.id(user) ^ mix(SEED)));
        let drawn = mix(walk.random ^ mix(draw ^ SEED));
        Dice::new(drawn).distinct(count.into(), of.into()).into_iter().map(move |step| walk.at(step, drawn))
    }
}

/// The segments of a user, in the order in which they are drawn.
#[derive(Debug, Clone, Copy)]
struct Walk {
    random: u64,
    start: u64,
    stride: u64,
}

impl Walk {
    fn new(random: u64) -> Walk {
        let start = random % u64::from(SEGMENTS);
        // A stride that ends in 1 has no divisor in common with 10,000: the walk meets no segment twice.
        Walk { random, start, stride: 10 * ((random >> 32) % 1000) + 1 }
    }

    /// The segment of a step, with what `random` makes of it.
    fn at(&self, step: u64, random: u64) -> Membership {
        let segment = (self.start + step * self.stride) % u64::from(SEGMENTS) + 1;
        let random = mix(random ^ segment);
        Membership {
            segment: u32::try_from(segment).expect("a segment id is at most 10,000"),
            value: (random % 100) as u32,
            expiration: if random >> 63 == 0 { 1440 } else { 0 },
        }
    }
}

/// The dice of that stream; streams are independent of each other.
pub(crate) fn dice(stream: u64) -> Dice {
    Dice::new(mix(SEED ^ mix(stream)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn a_user_is_in_as_many_different_segments_as_asked(
            user in 0u64..1 << 40,
            variant: u64,
            count in 0u32..=SEGMENTS,
        ) {
            let population = Population::new(WRITTEN, (1 << 40) - 1);
            let segments: HashSet<u32> =
                population.memberships(user, variant, count).map(|m| m.segment).collect();
            prop_assert_eq!(segments.len(), count as usize);
            prop_assert!(segments.iter().all(|segment| (1..=SEGMENTS).contains(segment)));
        }
    }

    #[test]
    fn ids_are_unique_over_the_ranges_and_never_0() {
        let mut ids = HashSet::new();
        for range in [WRITTEN, KNOWN, UNKNOWN] {
            let population = Population::new(range, 10_000);
            ids.extend((0..10_000).map(|user| population.id(user)));
        }
        assert_eq!(ids.len(), 30_000);
        assert!(!ids.contains(&0));
    }

    #[test]
    fn the_same_in_every_run_and_other_in_every_variant() {
        let population = Population::new(KNOWN, 10);
        let draw = |variant| population.memberships(7, variant, 10).collect::<Vec<_>>();
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
        assert_eq!(dice(5).next(), dice(5).next());
        assert_ne!(dice(5).next(), dice(6).next());
    }

    #[test]
    fn some_of_the_memberships_are_of_those_that_a_user_has() {
        let population = Population::new(KNOWN, 10);
        let has: Vec<u32> = population.memberships(7, 0, 300).map(|m| m.segment).collect();
        let mut met = HashSet::new();
        for draw in 0..500 {
            let drawn: Vec<Membership> = population.some_of(7, 300, draw, 10).collect();
            let segments: HashSet<u32> = drawn.iter().map(|m| m.segment).collect();
            assert_eq!(segments.len(), 10);
            assert!(segments.iter().all(|segment| has.contains(segment)));
            met.extend(segments);
        }
        assert_eq!(met.len(), 300, "each comes up");
        let values =
            |draw| population.some_of(7, 10, draw, 10).map(|m| (m.segment, m.value)).collect::<HashSet<_>>();
        assert_ne!(values(1), values(2), "with other values");
    }

    #[test]
    fn values_and_expirations_vary() {
        let population = Population::new(KNOWN, 1000);
        let all: Vec<Membership> = (0..1000).flat_map(|user| population.memberships(user, 0, 10)).collect();
        let for_ever = all.iter().filter(|membership| membership.expiration == 0).count();
        assert!((4500..5500).contains(&for_ever), "{for_ever}");
        assert_eq!(all.iter().map(|membership| membership.value).collect::<HashSet<_>>().len(), 100);
    }
}
