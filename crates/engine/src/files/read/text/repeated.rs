//! Finds lines that a file has twice.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How many lines are known at least, once there are as many: as many as a table of 2^19 places takes. Such a table has
/// 4.5 MiB, and there are two.
pub(crate) const LINES_IN_WINDOW: usize = (1 << 19) / 8 * 7;

/// Of no meaning, but fixed: a file that is read again, in another process, must give the same. So a sender can make two
/// lines that are taken for the same, of which the second is refused; both are the sender's own.
const SEED: u64 = 0x1a5e_97c3_0b6d_f284;

/// Hashes of the last lines: at least of [`LINES_IN_WINDOW`] different ones, at most of twice as many.
///
/// A line is taken for one of up to 917,504 others by chance with a probability of 2^-44: in a file of a billion lines
/// once in 20,000 files.
#[derive(Default)]
pub(super) struct Repeated {
    /// What is known: `newer` takes the lines, and becomes `older` when it is full.
    newer: HashTable<u64>,
    older: HashTable<u64>,
}

impl Repeated {
    /// Whether one of the last lines had just these bytes.
    pub(super) fn is_repeated(&mut self, line: &[u8]) -> bool {
        let hash = xxh3_64_with_seed(line, SEED);
        if self.newer.len() == LINES_IN_WINDOW {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        let was_older = self.older.find(hash, |&other| other == hash).is_some();
        match self.newer.entry(hash, |&other| other == hash, |&other| other) {
            Entry::Occupied(_) => true,
            Entry::Vacant(place) => {
                place.insert(hash);
                was_older
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_for_the_whole_window_and_its_tables_do_not_grow_beyond_it() {
        let mut repeated = Repeated::default();
        let line = |number: usize| number.to_string().into_bytes();
        assert!(!repeated.is_repeated(b"first"));
        for number in 1..LINES_IN_WINDOW {
            assert!(!repeated.is_repeated(&line(number)));
        }
        assert!(repeated.is_repeated(b"first"), "it is the oldest of the window");
        for number in LINES_IN_WINDOW..4 * LINES_IN_WINDOW {
            assert!(!repeated.is_repeated(&line(number)));
        }
        assert!(!repeated.is_repeated(b"first"), "it is long out of the window");
        assert!(repeated.is_repeated(b"first"));
        for table in [&repeated.newer, &repeated.older] {
            assert!(table.allocation_size() < 5 << 20, "{}", table.allocation_size());
        }
    }

    #[test]
    fn hashes_are_the_same_in_every_process() {
        assert_eq!(xxh3_64_with_seed(b"12345:100,1440,5", SEED), 593_736_924_564_936_641);
    }
}
