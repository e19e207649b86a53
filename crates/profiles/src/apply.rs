//! Applying a record: all of it or, when a profile on disk cannot be read, nothing.
//!
//! A record's users are grouped by shard, so that one hold of a shard's lock covers many users, and the
//! memory reads of one user do not wait for those of another. First the absent profiles are read from disk,
//! without a lock; those in memory are held there. Then nothing can fail any more, and each user is changed
//! in its place.

use crate::codec::{self, Malformed};
use crate::hidden::Removal;
use crate::links;
use crate::membership::{Edit, Merger};
use crate::shard::{Found, Hashed, Shard};
use crate::shards::Shards;
use crate::store::{Blob, Store};
use crate::stored;
use crate::waiting::Replacement;
use crate::{Applied, ProfilesError, adding};
use ia_model::{Change, Domain, ErasedSegments, Minute, Operation, UserKey};
use std::collections::VecDeque;
use std::hint::black_box;
use std::ops::Range;

/// How many users are changed under one hold of a shard's lock. A user with ten memberships takes 1.4
/// microseconds, so this is a tenth of a millisecond at the most.
const USERS_PER_HOLD: usize = 64;

/// How many users are changed before other threads get their turn: one or two tenths of a millisecond.
const USERS_PER_TURN: usize = 128;

/// The change of a user's profile or links.
pub(crate) struct UserEdit<'a> {
    pub(crate) key: Hashed<'a>,
    /// The domain of the user's id.
    pub(crate) domain: Domain,
    pub(crate) edit: KeyEdit<'a>,
}

/// The change under one key.
pub(crate) enum KeyEdit<'a> {
    /// A profile is changed.
    Profile(Edit<'a>),
    /// Links are added.
    Link(&'a [(UserKey, Minute)]),
    /// All links are removed.
    Unlink,
    /// The user is taken out of the segments that it is hidden from; see `replacing`.
    Settle,
}

impl KeyEdit<'_> {
    /// Whether everything under the key is removed.
    fn takes_all(&self) -> bool {
        matches!(self, KeyEdit::Profile(Edit::Erase(ErasedSegments::All)) | KeyEdit::Unlink)
    }
}

/// Applies one record at a time; its buffers are used again from record to record.
pub(crate) struct Applier {
    links_per_user: usize,
    /// Replacements that are in force and not settled, in the order of the log.
    pub(crate) waiting: VecDeque<Replacement>,
    /// What their removals have changed, and was not reported yet.
    pub(crate) settled: Applied,
    merger: Merger,
    packed: Vec<u8>,
    /// The users of the record by shard; those of one shard in the record's order.
    order: Vec<u32>,
    /// The end of each shard's users in `order`.
    ends: Vec<u32>,
    /// The blobs from disk, in the order of `order`.
    read: Vec<(u32, Stored)>,
}

/// The store's entry of a user that is not in memory.
enum Stored {
    Blob(Blob),
    /// An unreadable blob, which does not matter, because all of it is to be erased.
    Damaged,
}

impl Applier {
    pub(crate) fn new(links_per_user: usize) -> Applier {
        Applier {
            links_per_user,
            waiting: VecDeque::new(),
            settled: Applied::default(),
            merger: Merger::default(),
            packed: Vec::new(),
            order: Vec::new(),
            ends: Vec::new(),
            read: Vec::new(),
        }
    }

    pub(crate) fn apply(
        &mut self,
        shards: &Shards,
        store: &Store,
        edits: &[UserEdit<'_>],
        seen: Minute,
    ) -> Result<Applied, ProfilesError> {
        let Applier { links_per_user, settled, merger, packed, order, ends, read, .. } = self;
        group(edits, shards, order, ends);
        let result = read_absent(shards, store, edits, groups(order, ends), read).and_then(|()| {
            let mut change = RecordChange {
                seen,
                links_per_user: *links_per_user,
                merger,
                packed,
                read: read.drain(..).peekable(),
                applied: Applied::default(),
                settled,
                users_of_turn: 0,
            };
            for (shard, users) in groups(order, ends) {
                change.apply_to_shard(shards, shard, edits, users)?;
            }
            Ok(change.applied)
        });
        read.clear();
        if result.is_err() {
            groups(order, ends).for_each(|(shard, _)| shards.lock(shard).release(0));
        }
        result
    }

    /// How many users of replacements are not settled, at most.
    pub(crate) fn waiting_users(&self) -> usize {
        self.waiting.iter().map(|replacement| replacement.users_left).sum()
    }
}

/// Reads the users that are not in memory and may be on disk. Those in memory stay there.
fn read_absent<'a>(
    shards: &Shards,
    store: &Store,
    edits: &[UserEdit<'_>],
    groups: impl Iterator<Item = (usize, &'a [u32])>,
    read: &mut Vec<(u32, Stored)>,
) -> Result<(), ProfilesError> {
    let mut absent = Vec::new();
    for (shard, users) in groups {
        let mut shard = shards.lock(shard);
        shard.hold();
        if !shard.is_complete() {
            absent.extend(users.iter().filter(|&&index| {
                let UserEdit { key, edit, .. } = &edits[index as usize];
                let is_needed = !matches!(edit, KeyEdit::Settle) || shard.hidden.contains(key.hash);
                is_needed && !shard.contains(*key)
            }));
        }
    }
    let mut entries = Vec::new();
    for index in absent {
        let UserEdit { key, edit, .. } = &edits[index as usize];
        let Some(blob) = store.get(key.key)? else { continue };
        match stored::check(key.key, &blob, &mut entries) {
            Ok(_) => read.push((index, Stored::Blob(blob))),
            Err(_) if edit.takes_all() => read.push((index, Stored::Damaged)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Changes the users of one record.
struct RecordChange<'a, R: Iterator<Item = (u32, Stored)>> {
    seen: Minute,
    links_per_user: usize,
    merger: &'a mut Merger,
    packed: &'a mut Vec<u8>,
    read: std::iter::Peekable<R>,
    applied: Applied,
    settled: &'a mut Applied,
    /// Users changed since other threads had their turn.
    users_of_turn: usize,
}

impl<R: Iterator<Item = (u32, Stored)>> RecordChange<'_, R> {
    fn apply_to_shard(
        &mut self,
        shards: &Shards,
        shard: usize,
        edits: &[UserEdit<'_>],
        users: &[u32],
    ) -> Result<(), ProfilesError> {
        let mut left = users.len();
        for users in users.chunks(USERS_PER_HOLD) {
            let mut shard = shards.lock(shard);
            let of_chunk = || users.iter().map(|&index| &edits[index as usize]);
            if users.len() > 1 {
                black_box(of_chunk().fold(0, |sum, edit| sum ^ shard.touch_page(edit.key.hash)));
                black_box(of_chunk().fold(0, |sum, edit| sum ^ shard.touch_record(edit.key)));
            }
            for &index in users {
                self.apply(&mut shard, index, &edits[index as usize])?;
            }
            left -= users.len();
            if left == 0 {
                shard.release(users.len());
            }
            drop(shard);
            self.users_of_turn += users.len();
            if self.users_of_turn >= USERS_PER_TURN {
                // Without this, a reader that woke meanwhile would wait for the end of this thread's time
                // slice, which is some milliseconds.
                std::thread::yield_now();
                self.users_of_turn = 0;
            }
        }
        Ok(())
    }

    fn apply(&mut self, shard: &mut Shard, index: u32, edit: &UserEdit<'_>) -> Result<(), ProfilesError> {
        let stored = self.read.next_if(|(of, _)| *of == index).map(|(_, stored)| stored);
        let user = User { key: edit.key, domain: edit.domain, stored };
        while let Some(Removal { segment, seen, .. }) = shard.hidden.take(edit.key.hash) {
            let removal = [Operation { segment, change: Change::Remove }];
            let changed = self.change_profile(shard, &user, Edit::Operations(&removal), seen)?;
            *self.settled += changed;
        }
        match edit.edit {
            KeyEdit::Settle => Ok(()),
            KeyEdit::Profile(edit) => {
                let changed = self.change_profile(shard, &user, edit, self.seen)?;
                self.applied += changed;
                Ok(())
            }
            KeyEdit::Link(new) => self.link(shard, &user, new),
            KeyEdit::Unlink => {
                let found = shard.find(user.key);
                if !user.before(shard, found).is_empty() || user.is_damaged() {
                    shard.put_dirty(user.key, found, &[]);
                }
                Ok(())
            }
        }
    }

    fn link(
        &mut self,
        shard: &mut Shard,
        user: &User<'_>,
        new: &[(UserKey, Minute)],
    ) -> Result<(), ProfilesError> {
        let found = shard.find(user.key);
        let before = user.before(shard, found);
        link(before, new, self.seen, self.links_per_user, self.packed)
            .map_err(|damage| damage.in_profile(user.domain))?;
        if before != self.packed.as_slice() {
            shard.put_dirty(user.key, found, self.packed);
        }
        Ok(())
    }

    fn change_profile(
        &mut self,
        shard: &mut Shard,
        user: &User<'_>,
        edit: Edit<'_>,
        seen: Minute,
    ) -> Result<Applied, ProfilesError> {
        let RecordChange { merger, packed, .. } = self;
        let found = shard.find(user.key);
        let before = user.before(shard, found);
        let damaged = |damage: Malformed| damage.in_profile(user.domain);
        if let Edit::Operations(operations) = edit
            && let Some((length, done)) = adding::add(before, operations, seen, packed).map_err(damaged)?
        {
            // A profile has one packed form.
            if before != &packed[..length] {
                shard.put_dirty(user.key, found, &packed[..length]);
            }
            return Ok(done);
        }
        merger.read(before).map_err(damaged)?;
        let applied = merger.merge(edit, seen);
        if merger.before != merger.after || user.is_damaged() {
            packed.clear();
            if !merger.after.is_empty() {
                codec::pack(&merger.after, packed);
            }
            shard.put_dirty(user.key, found, packed);
        }
        Ok(applied)
    }
}

/// A user that is being changed.
struct User<'a> {
    key: Hashed<'a>,
    /// The domain of the user's id.
    domain: Domain,
    /// What was read from disk; `None` where nothing is there, or nothing had to be read.
    stored: Option<Stored>,
}

impl User<'_> {
    /// What is there before the change. A record in memory is as new as the blob, or newer.
    fn before<'s>(&'s self, shard: &'s Shard, found: Option<Found>) -> &'s [u8] {
        match (found, &self.stored) {
            (Some(found), _) => shard.packed(found),
            (None, Some(Stored::Blob(blob))) => &blob[1..],
            (None, _) => &[],
        }
    }

    fn is_damaged(&self) -> bool {
        matches!(self.stored, Some(Stored::Damaged))
    }
}

/// Writes to `packed` the links in `before` with `new` added.
fn link(
    before: &[u8],
    new: &[(UserKey, Minute)],
    seen: Minute,
    links_per_user: usize,
    packed: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut links = if before.is_empty() { Vec::new() } else { links::unpack(before)? };
    links::merge(&mut links, new, seen, links_per_user);
    packed.clear();
    if !links.is_empty() {
        links::pack(&links, packed);
    }
    Ok(())
}

/// Sorts the users by shard, without changing the order of those of one shard.
fn group(edits: &[UserEdit<'_>], shards: &Shards, order: &mut Vec<u32>, ends: &mut Vec<u32>) {
    let shard = |edit: &UserEdit<'_>| shards.number(edit.key.hash);
    ends.clear();
    ends.resize(shards.count(), 0);
    for edit in edits {
        ends[shard(edit)] += 1;
    }
    let mut start = 0;
    for end in ends.iter_mut() {
        start += std::mem::replace(end, start);
    }
    order.clear();
    order.resize(edits.len(), 0);
    // Each counts up from the start of its shard's users to their end.
    for (index, edit) in edits.iter().enumerate() {
        let place = &mut ends[shard(edit)];
        order[*place as usize] = u32::try_from(index).expect("a record has less than 4 billion users");
        *place += 1;
    }
}

/// The shards with users in a record, and those users.
fn groups<'a>(order: &'a [u32], ends: &'a [u32]) -> impl Iterator<Item = (usize, &'a [u32])> {
    let users = |shard: usize| -> Range<usize> {
        let start = shard.checked_sub(1).map_or(0, |before| ends[before]);
        start as usize..ends[shard] as usize
    };
    (0..ends.len()).map(move |shard| (shard, &order[users(shard)])).filter(|(_, users)| !users.is_empty())
}
