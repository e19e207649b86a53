//! Applying a record, which reads nothing from disk.
//!
//! A record's users are grouped by shard, so that one hold of a shard's lock covers many users, and the memory reads of one
//! user do not wait for those of another. A user whose profile is in memory is changed in its place. The changes of one whose
//! profile may be on disk are kept as they are, and so are those of a wide profile (see `pending`).

use crate::codec::{self, Malformed};
use crate::hidden::Removal;
use crate::links;
use crate::membership::{Edit, Merger, Timed};
use crate::pending::{self, Form};
use crate::shard::{Found, Hashed, Shard};
use crate::shards::Shards;
use crate::waiting::Replacement;
use crate::{Applied, ProfilesError, merging};
use ia_model::{Change, Domain, Minute, Operation, UserKey};
use std::collections::VecDeque;
use std::hint::black_box;
use std::ops::Range;

/// How many users are changed under one hold of a shard's lock. A user with ten memberships takes 1.4
/// microseconds, so this is a tenth of a millisecond at the most.
const USERS_PER_HOLD: usize = 64;

/// How many users are changed before other threads get their turn: one or two tenths of a millisecond.
const USERS_PER_TURN: usize = 128;

/// Changes over the disk are merged with the blob when they are that large. The blob is read once for some hundred
/// operations; and again after as many more, where it could not be read.
const GROWN_BYTES: usize = 1024;

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
        }
    }

    /// Applies the edits of one record. `grown` gets the indices of users whose changes should be merged now, which needs
    /// their blobs.
    pub(crate) fn apply(
        &mut self,
        shards: &Shards,
        edits: &[UserEdit<'_>],
        seen: Minute,
        grown: &mut Vec<u32>,
    ) -> Result<Applied, ProfilesError> {
        let Applier { links_per_user, settled, merger, packed, order, ends, .. } = self;
        group(edits, shards, order, ends);
        let mut change = RecordChange {
            seen,
            links_per_user: *links_per_user,
            merger,
            packed,
            grown,
            applied: Applied::default(),
            settled,
            users_of_turn: 0,
        };
        for (shard, users) in groups(order, ends) {
            change.apply_to_shard(shards, shard, edits, users)?;
        }
        Ok(change.applied)
    }

    /// How many users of replacements are not settled, at most.
    pub(crate) fn waiting_users(&self) -> usize {
        self.waiting.iter().map(|replacement| replacement.users_left).sum()
    }
}

/// Changes the users of one record.
struct RecordChange<'a> {
    seen: Minute,
    links_per_user: usize,
    merger: &'a mut Merger,
    packed: &'a mut Vec<u8>,
    grown: &'a mut Vec<u32>,
    applied: Applied,
    settled: &'a mut Applied,
    /// Users changed since other threads had their turn.
    users_of_turn: usize,
}

impl RecordChange<'_> {
    fn apply_to_shard(
        &mut self,
        shards: &Shards,
        shard: usize,
        edits: &[UserEdit<'_>],
        users: &[u32],
    ) -> Result<(), ProfilesError> {
        for users in users.chunks(USERS_PER_HOLD) {
            let mut shard = shards.lock(shard);
            let of_chunk = || users.iter().map(|&index| &edits[index as usize]);
            if users.len() > 1 {
                black_box(of_chunk().fold(0, |sum, edit| sum ^ shard.touch_page(edit.key.hash)));
                black_box(of_chunk().fold(0, |sum, edit| sum ^ shard.touch_record(edit.key)));
            }
            for &index in users {
                if self.apply(&mut shard, &edits[index as usize])? {
                    self.grown.push(index);
                }
            }
            shard.make_room(users.len());
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

    /// Returns whether the user's changes should be merged now.
    fn apply(&mut self, shard: &mut Shard, edit: &UserEdit<'_>) -> Result<bool, ProfilesError> {
        let user = User { key: edit.key, domain: edit.domain };
        while let Some(Removal { segment, seen, .. }) = shard.hidden.take(edit.key.hash) {
            let removal = [Operation { segment, change: Change::Remove }];
            let (changed, _) = self.change_profile(shard, user, Edit::Operations(&removal), seen)?;
            *self.settled += changed;
        }
        match edit.edit {
            KeyEdit::Settle => Ok(false),
            KeyEdit::Profile(edit) => {
                let (changed, has_grown) = self.change_profile(shard, user, edit, self.seen)?;
                self.applied += changed;
                Ok(has_grown)
            }
            KeyEdit::Link(new) => self.link(shard, user, new),
            KeyEdit::Unlink => {
                let found = shard.find(user.key);
                if found.map_or(!shard.is_complete(), |found| !shard.content(found).is_empty()) {
                    shard.put_dirty(user.key, found, &[]);
                }
                Ok(false)
            }
        }
    }

    fn link(
        &mut self,
        shard: &mut Shard,
        user: User<'_>,
        new: &[(UserKey, Minute)],
    ) -> Result<bool, ProfilesError> {
        let found = shard.find(user.key);
        self.packed.clear();
        let Some(Form::Whole(before)) = user.form(shard, found) else {
            pending::write_links(new, self.seen, self.packed);
            return Ok(has_grown(shard.append(user.key, found, self.packed)));
        };
        link(before, new, self.seen, self.links_per_user, self.packed)
            .map_err(|damage| damage.in_profile(user.domain))?;
        if before != self.packed.as_slice() {
            shard.put_dirty(user.key, found, self.packed);
        }
        Ok(false)
    }

    /// Returns what is known to have changed, and whether the user's changes should be merged now.
    fn change_profile(
        &mut self,
        shard: &mut Shard,
        user: User<'_>,
        edit: Edit<'_>,
        seen: Minute,
    ) -> Result<(Applied, bool), ProfilesError> {
        let RecordChange { merger, packed, .. } = self;
        let damaged = |damage: Malformed| damage.in_profile(user.domain);
        let found = shard.find(user.key);
        let form = user.form(shard, found);
        if form.is_none_or(|form| form.has_room(edit.operations())) {
            packed.clear();
            if let Some(operations) = pending::write_edit(edit, seen, packed) {
                let put_off = Applied { put_off: operations as i64, ..Applied::default() };
                return Ok((put_off, has_grown(shard.append(user.key, found, packed))));
            }
        }
        let applied = match form {
            // All is erased, whatever it is.
            None => {
                shard.put_dirty(user.key, found, &[]);
                Applied::default()
            }
            Some(Form::OverDisk { changes, .. }) => {
                let taken = found.map_or(0, |found| shard.taken(found));
                let operations = pending::read_operations(changes, taken).map_err(damaged)?;
                shard.put_dirty(user.key, found, &[]);
                pending::no_longer_put_off(&operations)
            }
            Some(Form::Whole(before)) => {
                if let Edit::Operations(operations) = edit
                    && operations.is_sorted_by_key(|operation| operation.segment)
                    && let operations = operations.iter().map(|&operation| Timed::of(operation, seen))
                    && let Some((length, done)) =
                        merging::merge(before, operations, seen, packed).map_err(damaged)?
                {
                    // A profile has one packed form.
                    if before != &packed[..length] {
                        shard.put_dirty(user.key, found, &packed[..length]);
                    }
                    return Ok((done, false));
                }
                merger.read(before).map_err(damaged)?;
                let applied = merger.merge(edit, seen);
                if merger.before != merger.after {
                    packed.clear();
                    if !merger.after.is_empty() {
                        codec::pack(&merger.after, packed);
                    }
                    shard.put_dirty(user.key, found, packed);
                }
                applied
            }
            Some(Form::OverMemory { base, changes }) => {
                let mut operations = pending::read_operations(changes, 0).map_err(damaged)?;
                let mut applied = pending::no_longer_put_off(&operations);
                packed.clear();
                applied += match edit {
                    Edit::Operations(new) => {
                        operations.extend(new.iter().map(|&operation| Timed::of(operation, seen)));
                        pending::merge(base, operations, packed).map_err(damaged)?
                    }
                    Edit::Erase(_) => {
                        merger.read(base).map_err(damaged)?;
                        let mut applied = merger.merge_records(&mut operations);
                        merger.go_on();
                        applied += merger.merge(edit, seen);
                        if !merger.after.is_empty() {
                            codec::pack(&merger.after, packed);
                        }
                        applied
                    }
                };
                shard.put_dirty(user.key, found, packed);
                applied
            }
        };
        Ok((applied, false))
    }
}

/// Whether changes that had and have so many bytes should be merged.
fn has_grown((before, after): (usize, usize)) -> bool {
    before / GROWN_BYTES != after / GROWN_BYTES
}

/// A user that is being changed.
#[derive(Clone, Copy)]
struct User<'a> {
    key: Hashed<'a>,
    /// The domain of the user's id.
    domain: Domain,
}

impl User<'_> {
    /// What is there before the change; `None` where it may be on disk.
    fn form<'s>(&self, shard: &'s Shard, found: Option<Found>) -> Option<Form<'s>> {
        match found {
            Some(found) => Some(Form::of(shard.content(found))),
            None => shard.is_complete().then_some(Form::Whole(&[])),
        }
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
