//! One shard: the packed profiles of the users whose hash falls into it.
//!
//! Nothing here blocks or does IO; one hold of a shard's lock covers the work of some dozens of users.
//!
//! The shard is a hash table by *linear hashing*: the lowest bits of a user's hash pick its page, and when
//! the pages grow too large on average, one more page takes its share of the records of another. So growing
//! never takes longer than one split. Pages never merge: an empty one costs 36 bytes.

mod changes;

pub(crate) use changes::Needless;

use crate::hidden::HiddenUsers;
use crate::large::{LargeProfiles, TICKET_BYTES};
use crate::page::{self, DIRTY, LARGE, Place, RECENT, WRITING};
use crate::slab::{Handle, Slabs};

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// The average size of a page: a dozen users with ten memberships each. 384 (with steps of slots half as
/// large) was no faster, and took 3 % more memory.
const PAGE_BYTES: usize = 640;
/// The largest profile in a page; a larger one would make all edits of its page slow.
const LARGEST_IN_PAGE_BYTES: usize = 1024;
/// How many pages the clock hand may pass for one arrival. It bounds the time under the lock; each
/// arrival brings the shard closer to its budget.
const HAND_PAGES: usize = 4;
/// The same for all the arrivals of one turn.
const HAND_PAGES_PER_TURN: usize = 64;
const CACHE_LINE_BYTES: usize = 64;

/// A user with the hash of its key, which picks the shard and the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) hash: u64,
}

/// Keyed at random in each process: user ids come from clients, and with a known hash anyone could send
/// ids that all fall into one page. SipHash takes about 1 % of the time of applying a record.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

/// A record of the shard. Void once the shard changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    number: usize,
    place: Place,
}

#[derive(Debug)]
pub(crate) struct Shard {
    hasher: KeyHasher,
    /// The handle of each page.
    pages: Vec<Handle>,
    slabs: Slabs,
    larges: LargeProfiles,
    /// Bytes in use in all pages.
    used_bytes: usize,
    records: usize,
    dirty_records: usize,
    dirty_bytes: usize,
    /// Hashes of tombstones and changes that were kept although they are on disk, because the warm-up runs.
    kept: Vec<u64>,
    /// The page of the clock hand.
    hand: usize,
    budget_bytes: usize,
    links_per_user: usize,
    /// See [`Shard::departures`].
    departures: u64,
    /// See [`Shard::merges`].
    merges: u64,
    evictions: u64,
    complete: bool,
    /// Users whose membership of a segment is removed, whatever their record here or on disk says.
    pub(crate) hidden: HiddenUsers,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    page: Vec<u8>,
    moved: Vec<u8>,
    /// For each record of a page whether it leaves the page.
    goes: Vec<bool>,
    content: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShardStats {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) dirty_records: usize,
    pub(crate) dirty_bytes: usize,
    pub(crate) evictions: u64,
}

impl Shard {
    pub(crate) fn new(
        hasher: KeyHasher,
        budget_bytes: usize,
        links_per_user: usize,
        complete: bool,
    ) -> Shard {
        let mut slabs = Slabs::new();
        let first = slabs.insert(&page::empty(0));
        Shard {
            hasher,
            pages: vec![first],
            slabs,
            larges: LargeProfiles::default(),
            used_bytes: page::HEAD_BYTES,
            records: 0,
            dirty_records: 0,
            dirty_bytes: 0,
            kept: Vec::new(),
            hand: 0,
            budget_bytes,
            links_per_user,
            departures: 0,
            merges: 0,
            evictions: 0,
            complete,
            hidden: HiddenUsers::default(),
            scratch: Scratch::default(),
        }
    }

    /// Whether a user without a record here is not on disk either, and one with changes over the disk is not there.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Rises whenever a record that is on disk leaves memory, and whenever changes leave a record because they are on disk.
    ///
    /// A reader of a blob without the lock may keep it in memory, or lay changes over it, only if the user has no whole
    /// record and this number is the same, both before the read and after it: then no checkpoint wrote its blob in
    /// between, so the blob is not outdated, and lacks no change that has left memory.
    pub(crate) fn departures(&self) -> u64 {
        self.departures
    }

    /// Rises whenever changes or tombstones leave memory because they are on disk.
    pub(crate) fn merges(&self) -> u64 {
        self.merges
    }

    pub(crate) fn stats(&self) -> ShardStats {
        ShardStats {
            records: self.records,
            bytes: self.bytes(),
            dirty_records: self.dirty_records,
            dirty_bytes: self.dirty_bytes,
            evictions: self.evictions,
        }
    }

    fn bytes(&self) -> usize {
        let lists = self.pages.capacity() * size_of::<Handle>() + self.kept.capacity() * 8;
        self.slabs.allocated_bytes() + self.larges.allocated_bytes() + lists + self.hidden.bytes()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.budget_bytes
    }

    /// A record is applied; others may be evicted for its `arrivals`.
    pub(crate) fn make_room(&mut self, arrivals: usize) {
        self.evict((HAND_PAGES * arrivals).min(HAND_PAGES_PER_TURN));
    }

    pub(crate) fn find(&self, user: Hashed<'_>) -> Option<Found> {
        let number = self.number_of(user.hash);
        let place = page::find(self.page(number), page::tag(user.hash), user.key)?;
        Some(Found { number, place })
    }

    /// The content of a record; empty for a tombstone. [`Form`] says what it is.
    pub(crate) fn content(&self, found: Found) -> &[u8] {
        let (_, content) = page::split(found.place.record(self.page(found.number)));
        if found.place.has(LARGE) { self.larges.get(content) } else { content }
    }

    /// The content of a user's record. `None`: not in memory. Counts as a use.
    pub(crate) fn get(&mut self, user: Hashed<'_>) -> Option<&[u8]> {
        let found = self.find(user)?;
        if !found.place.has(RECENT) {
            self.set_state(found, found.place.state() | RECENT);
        }
        Some(self.content(found))
    }

    /// Reads the head of a user's page, and returns some of it, so that the read is not optimised away.
    /// Reads of several users do not wait for each other, as their edits would.
    pub(crate) fn touch_page(&self, hash: u64) -> u8 {
        let page = self.page(self.number_of(hash));
        page[0] ^ page[page.len().min(CACHE_LINE_BYTES) - 1]
    }

    /// The same for the user's record and the bytes behind it, which an edit moves.
    pub(crate) fn touch_record(&self, user: Hashed<'_>) -> u8 {
        let page = self.page(self.number_of(user.hash));
        let start = page::find_tag(page, page::tag(user.hash));
        page[start..page::used(page)].iter().step_by(CACHE_LINE_BYTES).fold(0, |sum, byte| sum ^ byte)
    }

    /// Puts a changed profile in the place of `found`, the user's record if there is one. An empty profile
    /// is a tombstone.
    pub(crate) fn put_dirty(&mut self, user: Hashed<'_>, found: Option<Found>, packed: &[u8]) {
        self.put(user, found, packed, DIRTY | RECENT);
    }

    /// Puts a profile in place that a reader found on disk; others may be evicted for it. `found` is the user's record if
    /// there is one, with changes that are merged into the profile. The caller has made sure that the blob was not outdated.
    pub(crate) fn put_loaded(&mut self, user: Hashed<'_>, found: Option<Found>, packed: &[u8]) {
        self.put(user, found, packed, RECENT);
        self.evict(HAND_PAGES);
    }

    /// The same for the warm-up, which evicts nothing.
    pub(crate) fn put_warmed(&mut self, user: Hashed<'_>, found: Option<Found>, packed: &[u8]) {
        self.put(user, found, packed, 0);
    }

    fn put(&mut self, user: Hashed<'_>, found: Option<Found>, packed: &[u8], new_state: u16) {
        let before = found.map_or(0, |found| found.place.state());
        if let Some(found) = found {
            self.forget_content(found);
        }
        let ticket: [u8; TICKET_BYTES];
        let (content, large) = if packed.len() > LARGEST_IN_PAGE_BYTES {
            ticket = self.larges.insert(packed);
            (ticket.as_slice(), LARGE)
        } else {
            (packed, 0)
        };
        let state = (before & !LARGE) | new_state | large;
        let record_bytes = user.key.len() + content.len();
        if let Some(Found { number, place }) = found {
            let used = page::used(self.page(number));
            self.change(number, used, used - place.len() + record_bytes, |page| {
                page::replace(page, place, state, user.key.len(), content);
            });
        } else {
            let number = self.number_of(user.hash);
            let used = page::used(self.page(number));
            self.change(number, used, used + page::ENTRY_BYTES + record_bytes, |page| {
                page::insert(page, page::tag(user.hash), state, user.key, content);
            });
            self.records += 1;
        }
        if state & DIRTY != 0 {
            self.dirty_records += 1;
            self.dirty_bytes += user.key.len() + packed.len();
        }
        while self.used_bytes > self.pages.len() * PAGE_BYTES {
            self.split();
        }
    }

    /// Takes a record's content out of the counts, and frees its large profile. The page stays.
    fn forget_content(&mut self, found: Found) {
        let (key, content) = page::split(found.place.record(page_of(&self.slabs, self.pages[found.number])));
        let is_large = found.place.has(LARGE);
        if found.place.has(DIRTY) {
            let packed = if is_large { self.larges.get(content) } else { content };
            self.dirty_records -= 1;
            self.dirty_bytes -= key.len() + packed.len();
        }
        if is_large {
            self.larges.remove(content);
        }
    }

    fn remove(&mut self, found: Found) {
        self.forget_content(found);
        self.records -= 1;
        let used = page::used(self.page(found.number));
        let new_used = used - page::ENTRY_BYTES - found.place.len();
        self.change(found.number, used, new_used, |page| page::remove(page, found.place));
    }

    fn set_state(&mut self, found: Found, state: u16) {
        page::set_state(self.slabs.get_mut(self.pages[found.number]), found.place, state);
    }

    /// Changes a page, which has `new_used` bytes afterwards, and moves it if its slot has another size.
    fn change(&mut self, number: usize, used: usize, new_used: usize, change: impl FnOnce(&mut [u8])) {
        let handle = self.pages[number];
        if Slabs::fits(handle, new_used) {
            self.used_bytes = self.used_bytes + new_used - used;
            return change(self.slabs.get_mut(handle));
        }
        let mut page = std::mem::take(&mut self.scratch.page);
        page.clear();
        page.extend_from_slice(&self.slabs.get(handle)[..used]);
        page.resize(used.max(new_used), 0);
        change(&mut page);
        self.put_page(number, &page[..new_used]);
        self.scratch.page = page;
    }

    /// Puts a page in the place of the one with its number.
    fn put_page(&mut self, number: usize, page: &[u8]) {
        let handle = self.pages[number];
        self.used_bytes = self.used_bytes + page.len() - page::used(self.slabs.get(handle));
        if self.slabs.remove(handle).is_some() {
            // Another page has moved into the slot.
            let moved = page::number(self.slabs.get(handle));
            self.pages[moved] = handle;
        }
        self.pages[number] = self.slabs.insert(page);
    }

    /// The number of the page of the users with that hash.
    fn number_of(&self, hash: u64) -> usize {
        let mask = self.pages.len().next_power_of_two() - 1;
        let number = hash as usize & mask;
        // A page that is not there yet is still part of the page that it will be split from.
        if number < self.pages.len() { number } else { number & (mask >> 1) }
    }

    fn page(&self, number: usize) -> &[u8] {
        page_of(&self.slabs, self.pages[number])
    }

    /// Adds a page, which takes the records of another whose hashes end in its number.
    fn split(&mut self) {
        let new = self.pages.len();
        let mask = (new + 1).next_power_of_two() - 1;
        let old = new & (mask >> 1);
        let Scratch { page: mut stays, mut moved, mut goes, content } = std::mem::take(&mut self.scratch);
        let page = self.page(old);
        goes.clear();
        goes.extend(page::places(page).map(|place| {
            let (key, _) = page::split(place.record(page));
            self.hasher.hash(key) as usize & mask == new
        }));
        page::select(page, old, |place| !goes[place.index()], &mut stays);
        page::select(page, new, |place| goes[place.index()], &mut moved);
        self.put_page(old, &stays);
        self.pages.push(self.slabs.insert(&moved));
        self.used_bytes += moved.len();
        self.scratch = Scratch { page: stays, moved, goes, content };
    }

    /// Evicts clean records that were not used lately, while the shard is over its budget, from at most
    /// `pages` pages.
    fn evict(&mut self, pages: usize) {
        for _ in 0..pages.min(self.pages.len()) {
            if !self.is_full() {
                return;
            }
            self.hand = (self.hand + 1) % self.pages.len();
            self.evict_from(self.hand);
        }
    }

    fn evict_from(&mut self, number: usize) {
        let Scratch { page: mut stays, moved, mut goes, content } = std::mem::take(&mut self.scratch);
        let page = self.slabs.get_mut(self.pages[number]);
        goes.clear();
        for index in 0.. {
            let Some(place) = page::places(page).nth(index) else { break };
            let is_used = place.has(DIRTY | WRITING | RECENT);
            let is_tombstone = page::split(place.record(page)).1.is_empty();
            goes.push(!is_used && !is_tombstone);
            page::set_state(page, place, place.state() & !RECENT);
        }
        let leaving = goes.iter().filter(|&&goes| goes).count();
        if leaving > 0 {
            let page = page_of(&self.slabs, self.pages[number]);
            for place in page::places(page).filter(|place| goes[place.index()] && place.has(LARGE)) {
                self.larges.remove(page::split(place.record(page)).1);
            }
            page::select(page, number, |place| !goes[place.index()], &mut stays);
            self.put_page(number, &stays);
            self.records -= leaving;
            self.departures += leaving as u64;
            self.evictions += leaving as u64;
            self.complete = false;
        }
        self.scratch = Scratch { page: stays, moved, goes, content };
    }

    /// How many pages there are. A record only ever moves to a page that is new.
    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The records of a page, each with its key and its content; see [`Shard::content`].
    pub(crate) fn records(&self, number: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let page = self.page(number);
        page::places(page).map(move |place| {
            let (key, _) = page::split(place.record(page));
            (key, self.content(Found { number, place }))
        })
    }

    /// The keys of the dirty records of a page.
    pub(crate) fn dirty_keys(&self, number: usize) -> impl Iterator<Item = &[u8]> {
        let page = self.page(number);
        let dirty = page::places(page).filter(|place| place.has(DIRTY));
        dirty.map(|place| page::split(place.record(page)).0)
    }
}

fn page_of(slabs: &Slabs, handle: Handle) -> &[u8] {
    slabs.get(handle)
}
