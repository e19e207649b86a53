//! Applying a record: all of it or, when a profile on disk cannot be read, nothing.
//!
//! A record's users are grouped by shard, so that a shard's lock is taken for many users at once, and
//! what is read of one user does not wait for what is read of another. First all that has to come from
//! disk is read, without a lock; what is in memory is held there. Then nothing can fail any more, and
//! each user is changed in its place.

use crate::codec::{self, Malformed};
use crate::links;
use crate::membership::{Edit, Merger};
use crate::packed::{PackedProfiles, lock};
use crate::shard::{Hashed, Shard};
use crate::store::Blob;
use crate::stored;
use crate::{Applied, ProfilesError, adding};
use ia_model::{Domain, ErasedSegments, Minute, UserKey};
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// How many users are changed under one hold of a shard's lock. At the 1.4 microseconds that a user with
/// ten memberships takes, this is a tenth of a millisecond at the most.
const USERS_PER_HOLD: usize = 64;

/// How many users are changed before other threads get their turn: one or two tenths of a millisecond.
const USERS_PER_TURN: usize = 128;

/// What a record does to what lies under one key of a user.
pub(crate) struct UserEdit<'a> {
    pub(crate) key: Hashed<'a>,
    /// That of the user's id.
    pub(crate) domain: Domain,
    pub(crate) edit: KeyEdit<'a>,
}

/// What is done.
pub(crate) enum KeyEdit<'a> {
    /// To a profile.
    Profile(Edit<'a>),
    /// These links are added to others.
    Link(&'a [(UserKey, Minute)]),
    /// All links go.
    Unlink,
}

impl KeyEdit<'_> {
    /// Whether what was there before does not matter.
    fn takes_all(&self) -> bool {
        matches!(self, KeyEdit::Profile(Edit::Erase(ErasedSegments::All)) | KeyEdit::Unlink)
    }
}

/// Room that is used again from record to record. One record is applied at a time.
#[derive(Default)]
pub(crate) struct Applying {
    merger: Merger,
    packed: Vec<u8>,
    /// The users of the record by shard; those of one shard in the record's order.
    order: Vec<u32>,
    /// Where in `order` the users of each shard end.
    ends: Vec<u32>,
    /// What was read from disk, in the order of `order`.
    read: Vec<(u32, Stored)>,
}

/// What the store has of a user that is not in memory.
enum Stored {
    Blob(Blob),
    /// A blob that cannot be read, which does not matter, because all of it is to be erased.
    Damaged,
}

impl PackedProfiles {
    pub(crate) fn apply_edits(&self, edits: &[UserEdit<'_>], seen: Minute) -> Result<Applied, ProfilesError> {
        let mut applying = lock(&self.applying);
        let Applying { merger, packed, order, ends, read } = &mut *applying;
        group(edits, self.shards.len(), |edit| self.shard_index(edit.key.hash), order, ends);
        let result = self.read_absent(edits, order, ends, read).and_then(|()| {
            let mut change = Change {
                seen,
                links_per_user: self.links_per_user,
                merger,
                packed,
                read: read.drain(..).peekable(),
                applied: Applied::default(),
                users_of_turn: 0,
            };
            for (shard, users) in groups(order, ends) {
                self.change_group(shard, edits, users, &mut change)?;
            }
            Ok(change.applied)
        });
        read.clear();
        if result.is_err() {
            for (shard, _) in groups(order, ends) {
                lock(&self.shards[shard]).release(0);
            }
        }
        result
    }

    /// Reads those users that are not in memory and may be on disk. What is in memory stays there.
    fn read_absent(
        &self,
        edits: &[UserEdit<'_>],
        order: &[u32],
        ends: &[u32],
        read: &mut Vec<(u32, Stored)>,
    ) -> Result<(), ProfilesError> {
        let mut absent = Vec::new();
        for (shard, users) in groups(order, ends) {
            let mut shard = lock(&self.shards[shard]);
            shard.hold();
            if !shard.is_complete() {
                absent.extend(users.iter().filter(|&&index| !shard.contains(edits[index as usize].key)));
            }
        }
        let mut entries = Vec::new();
        for index in absent {
            let UserEdit { key, edit, .. } = &edits[index as usize];
            self.read_throughs.fetch_add(1, Ordering::Relaxed);
            let Some(blob) = self.store.get(key.key)? else { continue };
            match stored::check(key.key, &blob, &mut entries) {
                Ok(_) => read.push((index, Stored::Blob(blob))),
                Err(_) if edit.takes_all() => read.push((index, Stored::Damaged)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn change_group(
        &self,
        shard: usize,
        edits: &[UserEdit<'_>],
        users: &[u32],
        change: &mut Change<'_, impl Iterator<Item = (u32, Stored)>>,
    ) -> Result<(), ProfilesError> {
        let mut left = users.len();
        for users in users.chunks(USERS_PER_HOLD) {
            let mut shard = lock(&self.shards[shard]);
            let of_chunk = || users.iter().map(|&index| &edits[index as usize]);
            if users.len() > 1 {
                black_box(of_chunk().fold(0, |sum, edit| sum ^ shard.touch_page(edit.key.hash)));
                black_box(of_chunk().fold(0, |sum, edit| sum ^ shard.touch_record(edit.key)));
            }
            for &index in users {
                change.apply(&mut shard, index, &edits[index as usize])?;
            }
            left -= users.len();
            if left == 0 {
                shard.release(users.len());
            }
            drop(shard);
            change.users_of_turn += users.len();
            if change.users_of_turn >= USERS_PER_TURN {
                // A reader that woke meanwhile would wait for the end of this thread's time slice, which
                // is some milliseconds.
                std::thread::yield_now();
                change.users_of_turn = 0;
            }
        }
        Ok(())
    }
}

/// Changes the users of one record.
struct Change<'a, R: Iterator<Item = (u32, Stored)>> {
    seen: Minute,
    links_per_user: usize,
    merger: &'a mut Merger,
    packed: &'a mut Vec<u8>,
    read: std::iter::Peekable<R>,
    applied: Applied,
    /// Changed since other threads had their turn.
    users_of_turn: usize,
}

impl<R: Iterator<Item = (u32, Stored)>> Change<'_, R> {
    fn apply(&mut self, shard: &mut Shard, index: u32, edit: &UserEdit<'_>) -> Result<(), ProfilesError> {
        let Change { seen, links_per_user, merger, packed, read, applied, .. } = self;
        let stored = read.next_if(|(of, _)| *of == index).map(|(_, stored)| stored);
        let UserEdit { key, domain, edit } = edit;
        let found = shard.find(*key);
        let before: &[u8] = match (found, &stored) {
            // What is in memory is as new as what was read, or newer.
            (Some(found), _) => shard.packed(found),
            (None, Some(Stored::Blob(blob))) => &blob[1..],
            (None, _) => &[],
        };
        let damaged = |damage: Malformed| ProfilesError::DamagedProfile { domain: *domain, part: damage.0 };
        let is_damaged = matches!(stored, Some(Stored::Damaged));
        let edit = match edit {
            KeyEdit::Profile(edit) => *edit,
            KeyEdit::Link(new) => {
                link(before, new, *seen, *links_per_user, packed).map_err(damaged)?;
                if before != packed.as_slice() {
                    shard.put_dirty(*key, found, packed);
                }
                return Ok(());
            }
            KeyEdit::Unlink => {
                if !before.is_empty() || is_damaged {
                    shard.put_dirty(*key, found, &[]);
                }
                return Ok(());
            }
        };
        if let Edit::Operations(operations) = edit
            && let Some((length, done)) = adding::add(before, operations, *seen, packed).map_err(damaged)?
        {
            *applied += done;
            // A profile has one packed form.
            if before != &packed[..length] {
                shard.put_dirty(*key, found, &packed[..length]);
            }
            return Ok(());
        }
        merger.read(before).map_err(damaged)?;
        *applied += merger.merge(edit, *seen);
        if merger.before != merger.after || is_damaged {
            packed.clear();
            if !merger.after.is_empty() {
                codec::pack(&merger.after, packed);
            }
            shard.put_dirty(*key, found, packed);
        }
        Ok(())
    }
}

/// Writes the packed links after a record that adds `new` to those in `before`.
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
fn group<'a>(
    edits: &[UserEdit<'a>],
    shards: usize,
    shard: impl Fn(&UserEdit<'a>) -> usize,
    order: &mut Vec<u32>,
    ends: &mut Vec<u32>,
) {
    ends.clear();
    ends.resize(shards, 0);
    for edit in edits {
        ends[shard(edit)] += 1;
    }
    let mut start = 0;
    for end in ends.iter_mut() {
        start += std::mem::replace(end, start);
    }
    order.clear();
    order.resize(edits.len(), 0);
    // Each begins where its shard's users begin, and ends where they end.
    for (index, edit) in edits.iter().enumerate() {
        let place = &mut ends[shard(edit)];
        order[*place as usize] = u32::try_from(index).expect("a record has less than 4 billion users");
        *place += 1;
    }
}

/// The shards that have users in a record, with those users.
fn groups<'a>(order: &'a [u32], ends: &'a [u32]) -> impl Iterator<Item = (usize, &'a [u32])> {
    let users = |shard: usize| -> Range<usize> {
        let start = shard.checked_sub(1).map_or(0, |before| ends[before]);
        start as usize..ends[shard] as usize
    };
    (0..ends.len()).map(move |shard| (shard, &order[users(shard)])).filter(|(_, users)| !users.is_empty())
}
