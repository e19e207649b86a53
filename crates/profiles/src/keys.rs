//! Many user keys in order, in as few bytes as they have.

use std::ops::Range;

/// Keys of one length.
#[derive(Debug, Default)]
struct FixedKeys<const BYTES: usize>(Vec<[u8; BYTES]>);

/// Keys of any other length, such as those of external ids, one behind the other.
#[derive(Debug, Default)]
struct OtherKeys {
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

/// Keys of users and of links, once sorted in ascending order without repeats. Most have 9, 17 or 21 bytes.
#[derive(Debug, Default)]
pub(crate) struct SortedKeys {
    short: FixedKeys<9>,
    middle: FixedKeys<17>,
    long: FixedKeys<21>,
    others: OtherKeys,
}

impl SortedKeys {
    /// With room for that many of the platform's own users.
    pub(crate) fn with_capacity(keys: usize) -> SortedKeys {
        SortedKeys { short: FixedKeys(Vec::with_capacity(keys)), ..SortedKeys::default() }
    }

    pub(crate) fn push(&mut self, key: &[u8]) {
        if !(self.short.push(key) || self.middle.push(key) || self.long.push(key)) {
            self.others.push(key);
        }
    }

    pub(crate) fn sort(&mut self) {
        self.short.sort();
        self.middle.sort();
        self.long.sort();
        self.others.sort();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.short.0.is_empty()
            && self.middle.0.is_empty()
            && self.long.0.is_empty()
            && self.others.places.is_empty()
    }

    /// The keys in order, `size` at a time.
    pub(crate) fn chunks(&self, size: usize) -> impl Iterator<Item = Vec<&[u8]>> {
        let fixed = merge(merge(self.short.iter(), self.middle.iter()), self.long.iter());
        let mut keys = merge(fixed, self.others.iter());
        std::iter::from_fn(move || {
            let chunk: Vec<&[u8]> = keys.by_ref().take(size).collect();
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}

impl<const BYTES: usize> FixedKeys<BYTES> {
    fn push(&mut self, key: &[u8]) -> bool {
        key.try_into().map(|key| self.0.push(key)).is_ok()
    }

    fn sort(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(<[u8; BYTES]>::as_slice)
    }
}

impl OtherKeys {
    fn push(&mut self, key: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.places.push(start..self.bytes.len());
    }

    fn sort(&mut self) {
        let OtherKeys { bytes, places } = self;
        places.sort_unstable_by(|one, other| bytes[one.clone()].cmp(&bytes[other.clone()]));
        places.dedup_by(|one, other| bytes[one.clone()] == bytes[other.clone()]);
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|place| &self.bytes[place.clone()])
    }
}

fn merge<'a>(
    one: impl Iterator<Item = &'a [u8]>,
    other: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if first <= second => one.next(),
        (_, Some(_)) => other.next(),
        (_, None) => one.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn keys_come_out_in_order_and_once(
            pushed in proptest::collection::vec((0usize..6, 0u8..6, 0u8..20), 0..60), size in 1usize..9
        ) {
            let lengths = [9, 17, 21, 7, 12, 513];
            let keys: Vec<Vec<u8>> = pushed
                .into_iter()
                .map(|(length, domain, last)| {
                    // No key is the beginning of another.
                    let mut key = vec![0; lengths[length]];
                    key[0] = domain * 6 + length as u8;
                    *key.last_mut().unwrap() = last;
                    key
                })
                .collect();
            let mut sorted = SortedKeys::with_capacity(3);
            keys.iter().for_each(|key| sorted.push(key));
            sorted.sort();
            let found: Vec<Vec<u8>> = sorted.chunks(size).flatten().map(<[u8]>::to_vec).collect();
            let expected: BTreeSet<Vec<u8>> = keys.into_iter().collect();
            prop_assert_eq!(sorted.is_empty(), expected.is_empty());
            prop_assert!(found.iter().eq(expected.iter()));
        }
    }
}
