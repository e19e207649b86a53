//! Dense storage for byte records of a few hundred bytes, addressed by 4-byte handles.
//!
//! Records of about one size are side by side in chunks. When a record is removed, the last one of its size
//! moves into its place, so there are never holes; the caller learns which record moved.

/// Records up to this many bytes are in chunks; longer ones have an allocation each.
const LARGEST_SLOT_BYTES: usize = 4096;
/// Slots up to this size are a multiple of [`FINE_STEP_BYTES`], larger ones of [`COARSE_STEP_BYTES`].
const LARGEST_FINE_SLOT_BYTES: usize = 1024;
const FINE_STEP_BYTES: usize = 32;
const COARSE_STEP_BYTES: usize = 128;
const FINE_CLASSES: usize = LARGEST_FINE_SLOT_BYTES / FINE_STEP_BYTES;
const SLOT_CLASSES: usize = FINE_CLASSES + (LARGEST_SLOT_BYTES - LARGEST_FINE_SLOT_BYTES) / COARSE_STEP_BYTES;
/// The class of the records that have an allocation each.
const SINGLE: usize = SLOT_CLASSES;

/// The largest chunk. Small, because each size in use has one partly empty chunk in each shard.
const CHUNK_BYTES: usize = 2048;
/// The cost of an allocation beyond its bytes: the pointer to it and the allocator's header.
const ALLOCATION_COST_BYTES: usize = 32;

const INDEX_BITS: u32 = 26;

/// The place of a record: its size class and its index in it. Void once the record moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle(u32);

impl Handle {
    fn new(class: usize, index: usize) -> Handle {
        // 67 million records of one size in one shard; such a shard would hold gigabytes, and the number of
        // shards prevents it.
        assert!(index < 1 << INDEX_BITS, "too many profiles of one size in a shard: use more shards");
        Handle(((class as u32) << INDEX_BITS) | index as u32)
    }

    fn class(self) -> usize {
        (self.0 >> INDEX_BITS) as usize
    }

    fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }
}

/// The records of one shard.
#[derive(Debug)]
pub(crate) struct Slabs {
    classes: [Class; SLOT_CLASSES],
    singles: Vec<Box<[u8]>>,
    allocated_bytes: usize,
}

#[derive(Debug, Default)]
struct Class {
    chunks: Vec<Box<[u8]>>,
    records: usize,
}

impl Slabs {
    pub(crate) fn new() -> Slabs {
        Slabs { classes: std::array::from_fn(|_| Class::default()), singles: Vec::new(), allocated_bytes: 0 }
    }

    /// Its memory in bytes, with the allocator's overhead.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.allocated_bytes
    }

    /// Stores a record. [`Slabs::get`] returns it with some bytes appended, up to the size of its slot.
    pub(crate) fn insert(&mut self, record: &[u8]) -> Handle {
        let class = class_of(record.len());
        if class == SINGLE {
            self.allocated_bytes += record.len() + ALLOCATION_COST_BYTES;
            self.singles.push(record.into());
            return Handle::new(SINGLE, self.singles.len() - 1);
        }
        let index = self.classes[class].records;
        let handle = Handle::new(class, index);
        if index == self.classes[class].chunks.len() << slots_shift(class) {
            let chunk = vec![0; slot_bytes(class) << slots_shift(class)].into_boxed_slice();
            self.allocated_bytes += chunk.len() + ALLOCATION_COST_BYTES;
            self.classes[class].chunks.push(chunk);
        }
        self.classes[class].records += 1;
        self.get_mut(handle)[..record.len()].copy_from_slice(record);
        handle
    }

    /// Whether a record of that many bytes has the same slot as the one at `handle`.
    #[inline]
    pub(crate) fn fits(handle: Handle, bytes: usize) -> bool {
        class_of(bytes) == handle.class() && handle.class() != SINGLE
    }

    #[inline]
    pub(crate) fn get(&self, handle: Handle) -> &[u8] {
        let (class, index) = (handle.class(), handle.index());
        if class == SINGLE {
            return &self.singles[index];
        }
        let (chunk, range) = place(class, index);
        &self.classes[class].chunks[chunk][range]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, handle: Handle) -> &mut [u8] {
        let (class, index) = (handle.class(), handle.index());
        if class == SINGLE {
            return &mut self.singles[index];
        }
        let (chunk, range) = place(class, index);
        &mut self.classes[class].chunks[chunk][range]
    }

    /// Takes a record out. When another one moved into its place, and so has its handle now, returns that
    /// one's old handle.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Handle> {
        let (class, index) = (handle.class(), handle.index());
        let last = if class == SINGLE {
            let removed = self.singles.swap_remove(index);
            self.allocated_bytes -= removed.len() + ALLOCATION_COST_BYTES;
            self.singles.len()
        } else {
            self.remove_slot(class, index)
        };
        (index != last).then(|| Handle::new(class, last))
    }

    /// The index of the record that was last before the removal.
    fn remove_slot(&mut self, class: usize, index: usize) -> usize {
        let slots = &mut self.classes[class];
        let last = slots.records - 1;
        let (from_chunk, from) = place(class, last);
        let (to_chunk, to) = place(class, index);
        if from_chunk == to_chunk {
            slots.chunks[to_chunk].copy_within(from, to.start);
        } else {
            let (head, tail) = slots.chunks.split_at_mut(from_chunk);
            head[to_chunk][to].copy_from_slice(&tail[0][from]);
        }
        slots.records = last;
        let needed = last.div_ceil(1 << slots_shift(class));
        while slots.chunks.len() > needed {
            if let Some(chunk) = slots.chunks.pop() {
                self.allocated_bytes -= chunk.len() + ALLOCATION_COST_BYTES;
            }
        }
        last
    }
}

fn class_of(record_bytes: usize) -> usize {
    debug_assert!(record_bytes > 0, "a record is never empty");
    if record_bytes <= LARGEST_FINE_SLOT_BYTES {
        record_bytes.div_ceil(FINE_STEP_BYTES) - 1
    } else if record_bytes <= LARGEST_SLOT_BYTES {
        FINE_CLASSES + (record_bytes - LARGEST_FINE_SLOT_BYTES).div_ceil(COARSE_STEP_BYTES) - 1
    } else {
        SINGLE
    }
}

const fn slot_bytes(class: usize) -> usize {
    if class < FINE_CLASSES {
        (class + 1) * FINE_STEP_BYTES
    } else {
        LARGEST_FINE_SLOT_BYTES + (class - FINE_CLASSES + 1) * COARSE_STEP_BYTES
    }
}

/// The slots in a chunk of each class, as a power of two: a division would take longer than the rest of
/// finding a slot.
const SLOTS_SHIFTS: [u32; SLOT_CLASSES] = {
    let mut shifts = [0; SLOT_CLASSES];
    let mut class = 0;
    while class < SLOT_CLASSES {
        let slots = CHUNK_BYTES / slot_bytes(class);
        shifts[class] = if slots > 1 { slots.ilog2() } else { 0 };
        class += 1;
    }
    shifts
};

fn slots_shift(class: usize) -> u32 {
    SLOTS_SHIFTS[class]
}

fn place(class: usize, index: usize) -> (usize, std::ops::Range<usize>) {
    let (shift, size) = (slots_shift(class), slot_bytes(class));
    let start = (index & ((1 << shift) - 1)) * size;
    (index >> shift, start..start + size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        for bytes in 1..=LARGEST_SLOT_BYTES {
            let class = class_of(bytes);
            assert!(slot_bytes(class) >= bytes, "{bytes}");
            assert!(class == 0 || slot_bytes(class - 1) < bytes, "{bytes}");
        }
        assert_eq!(class_of(LARGEST_SLOT_BYTES), SLOT_CLASSES - 1);
        assert_eq!(class_of(LARGEST_SLOT_BYTES + 1), SINGLE);
    }

    proptest! {
        /// Compared with a plain list: records come out as they went in, moves are reported, memory is freed.
        #[test]
        fn records_stay_whole_whatever_comes_and_goes(
            steps in proptest::collection::vec((0u8..3, any::<prop::sample::Index>(), 1usize..4300), 1..400)
        ) {
            let mut slabs = Slabs::new();
            let mut expected: Vec<(Handle, Vec<u8>)> = Vec::new();
            for (number, (step, index, bytes)) in steps.into_iter().enumerate() {
                let record: Vec<u8> = (0..bytes).map(|byte| (byte * 7 + number) as u8 | 1).collect();
                match step {
                    0 => expected.push((slabs.insert(&record), record)),
                    _ if expected.is_empty() => {}
                    1 => {
                        let (removed, _) = expected.swap_remove(index.index(expected.len()));
                        if let Some(moved) = slabs.remove(removed) {
                            let entry = expected.iter_mut().find(|(handle, _)| *handle == moved);
                            entry.expect("the record that moved is known").0 = removed;
                        }
                    }
                    _ => {
                        let at = index.index(expected.len());
                        let entry = &mut expected[at];
                        if Slabs::fits(entry.0, bytes) {
                            slabs.get_mut(entry.0)[..bytes].copy_from_slice(&record);
                            entry.1 = record;
                        }
                    }
                }
                for (handle, record) in &expected {
                    prop_assert_eq!(&slabs.get(*handle)[..record.len()], record.as_slice());
                }
            }
            for class in &slabs.classes {
                prop_assert!(class.chunks.len() <= class.records);
            }
            while let Some((handle, _)) = expected.pop() {
                if let Some(moved) = slabs.remove(handle) {
                    let entry = expected.iter_mut().find(|(handle, _)| *handle == moved);
                    entry.expect("the record that moved is known").0 = handle;
                }
            }
            prop_assert_eq!(slabs.allocated_bytes(), 0);
        }
    }
}
