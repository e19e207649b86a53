//! Chance that can be repeated: SplitMix64.

/// A stream of numbers that its seed decides.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Another stream, which this one decides.
    pub(crate) fn split(&mut self) -> Dice {
        Dice(self.next())
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end` - 1.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether something happens that does in `percent` of all cases.
    pub(crate) fn in_percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// `count` different numbers below `end`.
    pub(crate) fn distinct(&mut self, count: u64, end: u64) -> Vec<u64> {
        assert!(count <= end, "there are not so many numbers");
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
