//! Reads the values of Avro's binary form from the bytes of a block.

/// The bytes are not what the schema says, and how. No content of the file is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

const CUT_OFF: Broken = Broken("a value is cut off");
const LONG_NUMBER: Broken = Broken("a number has more than 64 bits");

/// A position in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'b> {
    rest: &'b [u8],
}

impl<'b> Cursor<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Cursor<'b> {
        Cursor { rest: bytes }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// An `int` or a `long`: the sign in the lowest bit, then seven bits a byte, the lowest first.
    #[inline(always)]
    pub(super) fn long(&mut self) -> Result<i64, Broken> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(unzigzag(u64::from(byte)));
        }
        self.long_of_several_bytes()
    }

    fn long_of_several_bytes(&mut self) -> Result<i64, Broken> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(MAX_LONG_BYTES).enumerate() {
            if !add_seven_bits(&mut value, index, byte)? {
                self.rest = &self.rest[index + 1..];
                return Ok(unzigzag(value));
            }
        }
        Err(CUT_OFF)
    }

    /// So many bytes.
    #[inline(always)]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'b [u8], Broken> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The content of `bytes` or of a `string`, behind its length.
    #[inline(always)]
    pub(super) fn counted_bytes(&mut self) -> Result<&'b [u8], Broken> {
        let count = self.long()?;
        self.bytes(usize::try_from(count).map_err(|_| Broken("a length is negative"))?)
    }

    /// The number of a branch of a union or of a symbol of an enum, below `bound`.
    #[inline(always)]
    pub(super) fn index(&mut self, bound: usize) -> Result<usize, Broken> {
        let index = usize::try_from(self.long()?).ok().filter(|&index| index < bound);
        index.ok_or(Broken("a union or an enum has no such branch or symbol"))
    }

    pub(super) fn float(&mut self) -> Result<f64, Broken> {
        let bytes = *self.bytes(4)?.first_chunk().ok_or(CUT_OFF)?;
        Ok(f64::from(f32::from_le_bytes(bytes)))
    }

    pub(super) fn double(&mut self) -> Result<f64, Broken> {
        Ok(f64::from_le_bytes(*self.bytes(8)?.first_chunk().ok_or(CUT_OFF)?))
    }

    /// The head of a part of an array or map: how many items it has, and where it says so its size in bytes. `None`
    /// behind the last part. Items that take space are no more than there are bytes.
    #[inline(always)]
    pub(super) fn part(&mut self, items_take_space: bool) -> Result<Option<(u64, Option<usize>)>, Broken> {
        let count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        let size = if count < 0 {
            let size = usize::try_from(self.long()?).ok().filter(|&size| size <= self.left());
            Some(size.ok_or(Broken("a part of an array or map is larger than its block"))?)
        } else {
            None
        };
        let count = count.unsigned_abs();
        if items_take_space && count > self.left() as u64 {
            return Err(Broken("an array or map has more items than bytes are left"));
        }
        Ok(Some((count, size)))
    }
}

/// The longest form of a number.
pub(super) const MAX_LONG_BYTES: usize = 10;

/// Adds the byte at `index` of a number to its value. Returns whether another byte follows.
#[inline(always)]
pub(super) fn add_seven_bits(value: &mut u64, index: usize, byte: u8) -> Result<bool, Broken> {
    if index + 1 == MAX_LONG_BYTES && byte > 1 {
        return Err(LONG_NUMBER);
    }
    *value |= u64::from(byte & 0x7f) << (7 * index);
    Ok(byte >= 0x80)
}

#[inline(always)]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let long = |bytes: &[u8]| {
            let mut cursor = Cursor::new(bytes);
            cursor.long().map(|value| (value, cursor.left()))
        };
        assert_eq!(long(&[0]), Ok((0, 0)));
        assert_eq!(long(&[1, 7]), Ok((-1, 1)));
        assert_eq!(long(&[0x80, 1]), Ok((64, 0)));
        let widest = |last| [[0xff; 9].as_slice(), &[last]].concat();
        assert_eq!(long(&widest(1)), Ok((i64::MIN, 0)));
        assert_eq!(long(&[[0xfe].as_slice(), &[0xff; 8], &[1]].concat()), Ok((i64::MAX, 0)));
        assert_eq!(long(&widest(2)), Err(LONG_NUMBER));
        assert_eq!(long(&widest(0x80)), Err(LONG_NUMBER));
        assert_eq!(long(&[0xff; 9]), Err(CUT_OFF));
        assert_eq!(long(&[]), Err(CUT_OFF));
    }
}
