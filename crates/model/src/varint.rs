//! LEB128 variable-length integers: seven bits a byte, least significant first.

/// Appends `value` to `out` in 1 to 10 bytes.
pub fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one integer off the front of `input`. `None` when it is cut short or does not fit 64 bits.
#[inline]
pub fn read(input: &mut &[u8]) -> Option<u64> {
    // Most integers here have one byte or two.
    match **input {
        [one, ref rest @ ..] if one < 0x80 => {
            *input = rest;
            Some(u64::from(one))
        }
        [one, two, ref rest @ ..] if two < 0x80 => {
            *input = rest;
            Some(u64::from(one & 0x7f) | u64::from(two) << 7)
        }
        _ => read_long(input),
    }
}

fn read_long(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(value);
        }
    }
    None
}

/// [`read`] for a value that must fit 32 bits.
#[inline]
pub fn read_u32(input: &mut &[u8]) -> Option<u32> {
    read(input).and_then(|value| u32::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any::<u64>(), shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            write(&mut out, value);
            out.push(0xaa);
            let mut input = out.as_slice();
            prop_assert_eq!(read(&mut input), Some(value));
            prop_assert_eq!(input, &[0xaa]);
        }
    }

    #[test]
    fn a_cut_or_too_long_integer_is_refused() {
        assert_eq!(read(&mut [].as_slice()), None);
        assert_eq!(read(&mut [0x80].as_slice()), None);
        assert_eq!(read(&mut [0xff; 10].as_slice()), None);
        assert_eq!(read_u32(&mut [0xff, 0xff, 0xff, 0xff, 0x1f].as_slice()), None);
    }
}
