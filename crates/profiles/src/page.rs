//! A page: the records of the users whose hashes end alike, one behind the other, so that a user is found
//! with two or three adjacent cache misses.
//!
//! | part | bytes |
//! |---|---|
//! | number of the page in its shard | 4 |
//! | bytes in use, this head included | 4 |
//! | count of records | 2 |
//! | for each record: a tag (8 bits of the hash), then state and length | 3 |
//! | the records: user key, packed profile; or key of links, packed links | |
//!
//! A record with an empty profile is a *tombstone*: nothing is left of the user. It stays until a checkpoint
//! has deleted the blob, because without it a reader would find the blob and bring the user back. For a
//! [`LARGE`] profile, which is stored elsewhere, the record holds its ticket.
//!
//! This module does not know the size of a page's slot: the caller makes room.

use crate::stored;

/// Changed since a checkpoint took it last.
pub(crate) const DIRTY: u16 = 1 << 12;
/// Taken by the running checkpoint, and not yet known to be on disk.
pub(crate) const WRITING: u16 = 1 << 13;
/// Used since the clock hand last passed.
pub(crate) const RECENT: u16 = 1 << 14;
/// The page holds only the profile's ticket.
pub(crate) const LARGE: u16 = 1 << 15;
const LENGTH: u16 = DIRTY - 1;

pub(crate) const HEAD_BYTES: usize = 10;
pub(crate) const ENTRY_BYTES: usize = 3;

/// The place of a record in its page. Void once the page changes, except for states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    index: usize,
    start: usize,
    /// State and length.
    meta: u16,
}

impl Place {
    pub(crate) fn has(self, state: u16) -> bool {
        self.meta & state != 0
    }

    /// The states that are set.
    pub(crate) fn state(self) -> u16 {
        self.meta & !LENGTH
    }

    /// Bytes of key and content.
    pub(crate) fn len(self) -> usize {
        usize::from(self.meta & LENGTH)
    }

    /// Its number among the page's records.
    pub(crate) fn index(self) -> usize {
        self.index
    }

    /// Key and content.
    pub(crate) fn record(self, page: &[u8]) -> &[u8] {
        &page[self.start..self.start + self.len()]
    }
}

/// The eight bits of a hash that find a record in its page.
pub(crate) fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8
}

pub(crate) fn number(page: &[u8]) -> usize {
    u32::from_le_bytes([page[0], page[1], page[2], page[3]]) as usize
}

pub(crate) fn used(page: &[u8]) -> usize {
    u32::from_le_bytes([page[4], page[5], page[6], page[7]]) as usize
}

fn count(page: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([page[8], page[9]]))
}

/// The head of a page without records.
pub(crate) fn empty(number: usize) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&to_u32(number).to_le_bytes());
    set_used(&mut head, HEAD_BYTES);
    head
}

/// The records with their tags, in their order in the page.
fn tagged_places(page: &[u8]) -> impl Iterator<Item = (u8, Place)> {
    let entries = &page[HEAD_BYTES..HEAD_BYTES + ENTRY_BYTES * count(page)];
    let mut start = HEAD_BYTES + entries.len();
    entries.chunks_exact(ENTRY_BYTES).enumerate().map(move |(index, entry)| {
        let place = Place { index, start, meta: u16::from_le_bytes([entry[1], entry[2]]) };
        start += place.len();
        (entry[0], place)
    })
}

/// The records, in their order in the page.
pub(crate) fn places(page: &[u8]) -> impl Iterator<Item = Place> {
    tagged_places(page).map(|(_, place)| place)
}

/// The record with that key.
pub(crate) fn find(page: &[u8], tag: u8, key: &[u8]) -> Option<Place> {
    let is_found = |&(found, place): &(u8, Place)| found == tag && has_key(place.record(page), key);
    tagged_places(page).find(is_found).map(|(_, place)| place)
}

/// No key is the beginning of another: the first bytes of a key give its length.
fn has_key(record: &[u8], key: &[u8]) -> bool {
    // The platform's own keys have 9 bytes; this is faster than any call.
    match (record.first_chunk::<9>(), key.split_first_chunk::<9>()) {
        (Some(record_head), Some((head, rest))) => record_head == head && record[9..].starts_with(rest),
        _ => record.starts_with(key),
    }
}

/// The start of the first record with that tag; without one, the start of the records.
pub(crate) fn find_tag(page: &[u8], tag: u8) -> usize {
    let found = tagged_places(page).find(|&(found, _)| found == tag);
    found.map_or(HEAD_BYTES + ENTRY_BYTES * count(page), |(_, place)| place.start)
}

/// Splits a record into key and content.
pub(crate) fn split(record: &[u8]) -> (&[u8], &[u8]) {
    stored::split(record).expect("a record begins with a user's key")
}

/// Replaces all states but [`LARGE`].
pub(crate) fn set_state(page: &mut [u8], place: Place, state: u16) {
    set_meta(page, place.index, (place.meta & (LARGE | LENGTH)) | (state & !LARGE));
}

/// Adds a record. The slot has [`ENTRY_BYTES`] and the record's bytes of room.
pub(crate) fn insert(page: &mut [u8], tag: u8, state: u16, key: &[u8], content: &[u8]) {
    let (used, count) = (used(page), count(page));
    let records = HEAD_BYTES + ENTRY_BYTES * count;
    page.copy_within(records..used, records + ENTRY_BYTES);
    page[records] = tag;
    set_meta(page, count, state | length(key.len() + content.len()));
    let start = used + ENTRY_BYTES;
    page[start..start + key.len()].copy_from_slice(key);
    page[start + key.len()..start + key.len() + content.len()].copy_from_slice(content);
    set_count(page, count + 1);
    set_used(page, start + key.len() + content.len());
}

/// Replaces a record's state and content. The slot has room for the difference.
pub(crate) fn replace(page: &mut [u8], place: Place, state: u16, key_bytes: usize, content: &[u8]) {
    let used = used(page);
    let (end, new_end) = (place.start + place.len(), place.start + key_bytes + content.len());
    if new_end != end {
        page.copy_within(end..used, new_end);
        set_used(page, used + new_end - end);
    }
    page[place.start + key_bytes..new_end].copy_from_slice(content);
    set_meta(page, place.index, state | length(key_bytes + content.len()));
}

/// Takes a record out.
pub(crate) fn remove(page: &mut [u8], place: Place) {
    let (used, count) = (used(page), count(page));
    let entry = HEAD_BYTES + ENTRY_BYTES * place.index;
    page.copy_within(entry + ENTRY_BYTES..place.start, entry);
    page.copy_within(place.start + place.len()..used, place.start - ENTRY_BYTES);
    set_count(page, count - 1);
    set_used(page, used - ENTRY_BYTES - place.len());
}

/// Makes a page of the records of another that `belongs` picks.
pub(crate) fn select(from: &[u8], number: usize, belongs: impl Fn(Place) -> bool, to: &mut Vec<u8>) {
    to.clear();
    to.extend(empty(number));
    for place in places(from).filter(|&place| belongs(place)) {
        let entry = HEAD_BYTES + ENTRY_BYTES * place.index;
        to.extend_from_slice(&from[entry..entry + ENTRY_BYTES]);
    }
    let count = (to.len() - HEAD_BYTES) / ENTRY_BYTES;
    set_count(to, count);
    for place in places(from).filter(|&place| belongs(place)) {
        to.extend_from_slice(place.record(from));
    }
    let used = to.len();
    set_used(to, used);
}

fn length(bytes: usize) -> u16 {
    debug_assert!(bytes <= usize::from(LENGTH), "larger profiles are not in a page");
    bytes as u16
}

fn set_meta(page: &mut [u8], index: usize, meta: u16) {
    let at = HEAD_BYTES + ENTRY_BYTES * index + 1;
    page[at..at + 2].copy_from_slice(&meta.to_le_bytes());
}

fn set_count(page: &mut [u8], count: usize) {
    let count = u16::try_from(count).expect("a keyed hash spreads users over the pages");
    page[8..10].copy_from_slice(&count.to_le_bytes());
}

fn set_used(page: &mut [u8], used: usize) {
    page[4..8].copy_from_slice(&to_u32(used).to_le_bytes());
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("a shard is smaller than 4 GiB")
}
