//! How users are drawn: all alike, or few of them often.

use ia_testkit::Dice;
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;

/// How many draws for each user that is wanted are made before the rest is taken from the most frequent
/// users: with a steep distribution over few users, the rarest would not come up in a lifetime.
const DRAWS_PER_USER: u64 = 64;

/// How likely each user is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Distribution {
    /// Every user is as likely as every other.
    Uniform,
    /// The user of number k, from 0, is drawn in proportion to 1 / (k + 1) to the power of this exponent.
    Zipf(f64),
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniformly"),
            Distribution::Zipf(exponent) => write!(f, "from a Zipf distribution of exponent {exponent}"),
        }
    }
}

/// Draws users, numbered from 0, from a distribution.
#[derive(Debug)]
pub(crate) enum Drawing {
    /// Below this number.
    Uniform(u64),
    /// From a Zipf distribution.
    Zipf(Zipf),
}

impl Drawing {
    /// From `users` users, at least one.
    pub(crate) fn new(distribution: Distribution, users: u64) -> Drawing {
        match distribution {
            Distribution::Uniform => Drawing::Uniform(users),
            Distribution::Zipf(exponent) => Drawing::Zipf(Zipf::new(users, exponent)),
        }
    }

    /// How many users there are.
    pub(crate) fn users(&self) -> u64 {
        match self {
            Drawing::Uniform(users) => *users,
            Drawing::Zipf(zipf) => zipf.count,
        }
    }

    /// One user.
    pub(crate) fn one(&self, random: &mut Dice) -> u64 {
        match self {
            Drawing::Uniform(users) => random.below(*users),
            Drawing::Zipf(zipf) => zipf.draw(random),
        }
    }

    /// `count` different users: a server may count a user that is twice in a body once.
    pub(crate) fn different(&self, random: &mut Dice, count: u64) -> Vec<u64> {
        assert!(count <= self.users(), "there are not so many different users");
        let mut seen = HashSet::new();
        let mut drawn = Vec::new();
        let mut draws_left = match self {
            Drawing::Uniform(_) => u64::MAX,
            Drawing::Zipf(_) => count * DRAWS_PER_USER,
        };
        while (drawn.len() as u64) < count && draws_left > 0 {
            draws_left -= 1;
            let user = self.one(random);
            if seen.insert(user) {
                drawn.push(user);
            }
        }
        let missing = count as usize - drawn.len();
        drawn.extend((0..self.users()).filter(|user| !seen.contains(user)).take(missing));
        drawn
    }
}

/// the Zipf distribution by rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates from
/// monotone discrete distributions", 1996): exact, for any number of users, without a table.
#[derive(Debug)]
pub(crate) struct Zipf {
    count: u64,
    exponent: f64,
    /// The integral at the left end of the first bar and at the right end of the last.
    from: f64,
    to: f64,
    /// Draws that lie this near to their bar's middle need no test.
    sure: f64,
}

impl Zipf {
    /// `exponent` must be above 0.
    pub(crate) fn new(count: u64, exponent: f64) -> Zipf {
        assert!(count > 0 && exponent > 0.0, "the Zipf distribution needs users and an exponent");
        let mut zipf = Zipf { count, exponent, from: 0.0, to: 0.0, sure: 0.0 };
        zipf.from = zipf.integral(1.5) - 1.0;
        zipf.to = zipf.integral(count as f64 + 0.5);
        zipf.sure = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    fn draw(&self, random: &mut Dice) -> u64 {
        loop {
            let under = self.to + random.unit() * (self.from - self.to);
            let x = self.inverse(under);
            let rank = x.round().clamp(1.0, self.count as f64);
            if rank - x <= self.sure || under >= self.integral(rank + 0.5) - self.density(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        x.powf(-self.exponent)
    }

    /// The integral of the density from 1 to `x`.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let bend = (1.0 - self.exponent) * log;
        // Near an exponent of 1 the quotient tends to the logarithm.
        if bend.abs() < 1e-8 { log * (1.0 + bend / 2.0) } else { log * bend.exp_m1() / bend }
    }

    fn inverse(&self, y: f64) -> f64 {
        let bend = (y * (1.0 - self.exponent)).max(-1.0);
        if bend.abs() < 1e-8 { (y * (1.0 - bend / 2.0)).exp() } else { (y * bend.ln_1p() / bend).exp() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::dice;

    #[test]
    fn users_are_drawn_without_repeats_from_all() {
        for distribution in [Distribution::Uniform, Distribution::Zipf(1.0), Distribution::Zipf(3.0)] {
            let mut drawn = Drawing::new(distribution, 1000).different(&mut dice(1), 1000);
            drawn.sort_unstable();
            assert_eq!(drawn, (0..1000).collect::<Vec<_>>(), "{distribution}");
        }
    }

    #[test]
    fn zipf_draws_each_user_as_often_as_the_law_says() {
        const DRAWS: u64 = 20_000;
        for exponent in [0.5, 0.99, 1.0, 1.2, 2.5] {
            for users in [1, 2, 100] {
                let drawing = Drawing::new(Distribution::Zipf(exponent), users);
                let mut random = dice(7);
                let mut counts = vec![0u64; users as usize];
                (0..DRAWS).for_each(|_| counts[drawing.one(&mut random) as usize] += 1);
                let weight = |rank: u64| ((rank + 1) as f64).powf(-exponent);
                let total: f64 = (0..users).map(weight).sum();
                for (rank, &count) in counts.iter().enumerate() {
                    let expected = DRAWS as f64 * weight(rank as u64) / total;
                    // Six standard deviations, and a little for where few are expected.
                    let tolerance = 6.0 * expected.sqrt() + 3.0;
                    assert!(
                        (count as f64 - expected).abs() < tolerance,
                        "exponent {exponent}, {users} users, rank {rank}: {count} for {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn zipf_reaches_ten_million_users_and_stays_among_them() {
        let drawing = Drawing::new(Distribution::Zipf(0.9), 10_000_000);
        let mut random = dice(3);
        let drawn: Vec<u64> = (0..5000).map(|_| drawing.one(&mut random)).collect();
        assert!(drawn.iter().all(|&user| user < 10_000_000));
        assert!(drawn.iter().any(|&user| user > 5_000_000));
    }

    #[test]
    fn the_same_users_in_every_run() {
        for distribution in [Distribution::Uniform, Distribution::Zipf(0.9)] {
            let draw = || Drawing::new(distribution, 5000).different(&mut dice(9), 100);
            assert_eq!(draw(), draw());
        }
    }
}
