//! Profiles that are too large for a page, each with an allocation of its own.

/// The cost of an allocation beyond its bytes: the pointer to it and the allocator's header.
const ALLOCATION_COST_BYTES: usize = 32;

/// A profile that grows gets one part in this many of its size as room for more.
const GROWTH_SHARE: usize = 8;

/// The size of a ticket, which a page holds in place of the profile.
pub(crate) const TICKET_BYTES: usize = 4;

/// The large profiles of one shard.
#[derive(Debug, Default)]
pub(crate) struct LargeProfiles {
    /// An empty one is free.
    profiles: Vec<Vec<u8>>,
    free: Vec<u32>,
    allocated_bytes: usize,
}

impl LargeProfiles {
    /// Stores a profile; the ticket finds it again.
    pub(crate) fn insert(&mut self, packed: &[u8]) -> [u8; TICKET_BYTES] {
        self.allocated_bytes += packed.len() + ALLOCATION_COST_BYTES;
        let place = self.free.pop().unwrap_or_else(|| {
            self.profiles.push(Vec::new());
            u32::try_from(self.profiles.len() - 1).expect("a shard has less than 4 billion large profiles")
        });
        self.profiles[place as usize] = packed.to_vec();
        place.to_le_bytes()
    }

    /// Appends bytes to a profile.
    pub(crate) fn append(&mut self, ticket: &[u8], bytes: &[u8]) {
        let profile = &mut self.profiles[place(ticket) as usize];
        let before = profile.capacity();
        if before - profile.len() < bytes.len() {
            profile.reserve_exact(bytes.len() + profile.len() / GROWTH_SHARE);
        }
        profile.extend_from_slice(bytes);
        self.allocated_bytes += profile.capacity() - before;
    }

    pub(crate) fn get(&self, ticket: &[u8]) -> &[u8] {
        &self.profiles[place(ticket) as usize]
    }

    pub(crate) fn remove(&mut self, ticket: &[u8]) {
        let place = place(ticket);
        let removed = std::mem::take(&mut self.profiles[place as usize]);
        self.allocated_bytes -= removed.capacity() + ALLOCATION_COST_BYTES;
        self.free.push(place);
    }

    /// Their memory in bytes, with the allocator's overhead.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.allocated_bytes
    }
}

fn place(ticket: &[u8]) -> u32 {
    u32::from_le_bytes(ticket.try_into().expect("a ticket has 4 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_bytes_given_back() {
        let mut larges = LargeProfiles::default();
        let (one, two) = (larges.insert(&[1; 2000]), larges.insert(&[2; 3000]));
        assert_eq!((larges.get(&one), larges.get(&two)), ([1; 2000].as_slice(), [2; 3000].as_slice()));
        larges.append(&two, &[4; 3]);
        larges.append(&two, &[5; 3]);
        assert_eq!(larges.get(&two)[3000..], [4, 4, 4, 5, 5, 5]);
        larges.remove(&one);
        let three = larges.insert(&[3; 1500]);
        assert_eq!((three, larges.get(&two).len()), (one, 3006));
        larges.remove(&two);
        larges.remove(&three);
        assert_eq!((larges.allocated_bytes(), larges.profiles.len()), (0, 2));
    }
}
