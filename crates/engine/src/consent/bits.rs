//! The bits of a consent string: each character stands for six, in the alphabet of base64 for URLs.

/// Reads from the front. Every read past the end gives `None`.
pub(super) struct Bits<'t> {
    text: &'t [u8],
    /// How many bits were read.
    at: usize,
}

impl<'t> Bits<'t> {
    /// `None` if a character is not of the alphabet. Padding at the end is left out.
    pub(super) fn of(text: &'t str) -> Option<Bits<'t>> {
        let text = text.trim_end_matches('=').as_bytes();
        text.iter().all(|&byte| value(byte).is_some()).then_some(Bits { text, at: 0 })
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let six = value(*self.text.get(self.at / 6)?)?;
        let bit = six >> (5 - self.at % 6) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// An integer of up to 16 bits.
    pub(super) fn int(&mut self, bits: u32) -> Option<u16> {
        debug_assert!(bits <= u16::BITS);
        (0..bits).try_fold(0, |read, _| Some(read << 1 | u16::from(self.flag()?)))
    }

    pub(super) fn skip(&mut self, bits: usize) -> Option<()> {
        let at = self.at + bits;
        (at <= self.text.len() * 6).then(|| self.at = at)
    }

    /// A positive integer as a sum of Fibonacci numbers: a bit for each of 1, 2, 3, 5, 8, …, and a 1 after the last.
    /// `None` also for sums of more than 16 bits.
    pub(super) fn fibonacci(&mut self) -> Option<u16> {
        let (mut this, mut next, mut sum) = (1u32, 2u32, 0u32);
        let mut was_one = false;
        loop {
            let is_one = self.flag()?;
            if is_one && was_one {
                return u16::try_from(sum).ok();
            }
            if is_one {
                sum += this;
            }
            // The next number would be too large for the sum.
            if this > u32::from(u16::MAX) {
                return None;
            }
            (this, next, was_one) = (next, this + next, is_one);
        }
    }
}

/// The six bits of a character.
fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}
