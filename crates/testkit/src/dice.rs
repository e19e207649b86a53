//! Chance that can be repeated: SplitMix64.

/// A stream of numbers that its seed decides.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Another stream, which this one decides.
    pub fn split(&mut self) -> Dice {
        Dice(self.next())
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "a stream of dice has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 to `end` - 1. The bias of the remainder is below 2^-24 for ends up to 2^40.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from 0 to below 1, of 53 bits.
    pub fn unit(&mut self) -> f64 {
        self.below(1 << 53) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that does in `percent` of all cases.
    pub fn in_percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// `count` different numbers below `end`.
    pub fn distinct(&mut self, count: u64, end: u64) -> Vec<u64> {
        assert!(count <= end, "there are not that many numbers");
        let mut drawn = Vec::new();
        while (drawn.len() as u64) < count {
            let number = self.below(end);
            if !drawn.contains(&number) {
                drawn.push(number);
            }
        }
        drawn
    }
}

/// The finalizer of SplitMix64: a bijection on 64 bits that keeps 0.
pub fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_all_that_follows() {
        let draw = || {
            let mut dice = Dice::new(5);
            let mut other = dice.split();
            (dice.distinct(5, 9), other.next(), dice.unit(), dice.in_percent(50))
        };
        assert_eq!(draw(), draw());
        assert!((0.0..1.0).contains(&draw().2));
    }
}
