//! Records with changes, and what a checkpoint takes of all records.

use super::{Found, Hashed, Shard, page_of};
use crate::page::{self, DIRTY, LARGE, Place, RECENT, WRITING};
use crate::pending::{self, Form};
use crate::{Applied, ProfilesError, stored};

/// The treatment of tombstones and changes that a checkpoint has made needless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needless {
    /// They leave memory.
    Drop,
    /// They stay until [`Shard::end_warm_up`].
    Keep,
}

impl Shard {
    /// Adds changes to the user's record `found`, in place of merging them; without a record, over what is on disk.
    /// Returns the bytes of all its changes before and after.
    pub(crate) fn append(
        &mut self,
        user: Hashed<'_>,
        found: Option<Found>,
        changes: &[u8],
    ) -> (usize, usize) {
        let Some(found) = found else {
            let mut content = std::mem::take(&mut self.scratch.content);
            content.clear();
            pending::write_over_disk(&[changes], 0, &mut content);
            self.put_dirty(user, None, &content);
            self.scratch.content = content;
            return (0, changes.len());
        };
        let is_taken = found.place.has(WRITING) && !found.place.has(DIRTY);
        let (before, in_place) = match Form::of(self.content(found)) {
            Form::Whole(_) => (0, false),
            Form::OverMemory { changes, .. } => (changes.len(), found.place.has(LARGE)),
            Form::OverDisk { changes, .. } => (changes.len(), found.place.has(LARGE) && !is_taken),
        };
        if in_place {
            self.append_in_place(user, found, changes);
        } else {
            let mut content = std::mem::take(&mut self.scratch.content);
            content.clear();
            match Form::of(self.content(found)) {
                Form::Whole(packed) => pending::write_over_memory(packed, changes, &mut content),
                Form::OverMemory { base, changes: before } => {
                    pending::write_over_memory(base, before, &mut content);
                    content.extend_from_slice(changes);
                }
                Form::OverDisk { changes: before, taken } => {
                    let taken = if is_taken { before.len() } else { taken };
                    pending::write_over_disk(&[before, changes], taken, &mut content);
                }
            }
            self.put_dirty(user, Some(found), &content);
            self.scratch.content = content;
        }
        (before, before + changes.len())
    }

    /// [`Shard::append`] to content outside of the page.
    fn append_in_place(&mut self, user: Hashed<'_>, found: Found, changes: &[u8]) {
        let before = self.content(found).len();
        let (_, ticket) = page::split(found.place.record(page_of(&self.slabs, self.pages[found.number])));
        self.larges.append(ticket, changes);
        if found.place.has(DIRTY) {
            self.dirty_bytes += changes.len();
        } else {
            self.dirty_records += 1;
            self.dirty_bytes += user.key.len() + before + changes.len();
        }
        self.set_state(found, found.place.state() | DIRTY | RECENT);
    }

    /// How many bytes of a record's changes are counted by the checkpoint that took them.
    pub(crate) fn taken(&self, found: Found) -> usize {
        match Form::of(self.content(found)) {
            Form::OverDisk { changes, .. } if found.place.has(WRITING) && !found.place.has(DIRTY) => {
                changes.len()
            }
            Form::OverDisk { taken, .. } => taken,
            Form::Whole(_) | Form::OverMemory { .. } => 0,
        }
    }

    /// Merges the changes of a record into a base in memory; the first `taken` bytes of them are not counted. Where all
    /// profiles of the shard are in memory, nothing is on disk under changes.
    pub(crate) fn make_whole(
        &mut self,
        user: Hashed<'_>,
        found: Found,
        taken: usize,
    ) -> Result<Applied, ProfilesError> {
        let (base, changes) = match Form::of(self.content(found)) {
            Form::OverMemory { base, changes } => (base, changes),
            Form::OverDisk { changes, .. } if self.complete => (&[][..], changes),
            Form::OverDisk { .. } | Form::Whole(_) => return Ok(Applied::default()),
        };
        let mut whole = Vec::with_capacity(base.len() + changes.len());
        let applied = stored::merge_packed(user.key, base, changes, taken, self.links_per_user, &mut whole)?;
        self.put(user, Some(found), &whole, 0);
        Ok(applied)
    }

    /// Hands a dirty record to the checkpoint: its content, which is whole or over the disk.
    pub(crate) fn take_dirty(
        &mut self,
        user: Hashed<'_>,
        settled: &mut Applied,
    ) -> Result<Option<&[u8]>, ProfilesError> {
        let is_dirty = |found: &Found| found.place.has(DIRTY);
        let Some(found) = self.find(user).filter(is_dirty) else { return Ok(None) };
        *settled += self.make_whole(user, found, self.taken(found))?;
        let found = self.find(user).expect("it was found just now");
        self.set_state(found, found.place.state() & !DIRTY | WRITING);
        self.dirty_records -= 1;
        self.dirty_bytes -= user.key.len() + self.content(found).len();
        Ok(Some(self.content(found)))
    }

    /// The checkpoint has this user on disk, as it was taken.
    pub(crate) fn written(&mut self, user: Hashed<'_>, needless: Needless) -> Result<(), ProfilesError> {
        let Some(found) = self.find(user).filter(|found| found.place.has(WRITING)) else { return Ok(()) };
        self.set_state(found, found.place.state() & !WRITING);
        let found = self.find(user).expect("it was found just now");
        if !found.place.has(DIRTY) {
            return self.forget(user, found, needless);
        }
        if needless == Needless::Drop
            && let Form::OverDisk { taken, .. } = Form::of(self.content(found))
        {
            self.put_over_disk(user, found, taken, 0);
            self.departures += 1;
            self.merges += 1;
        }
        Ok(())
    }

    /// Removes a clean record that is needless, as the store has all of it: now, or at the end of the warm-up.
    fn forget(
        &mut self,
        user: Hashed<'_>,
        mut found: Found,
        needless: Needless,
    ) -> Result<(), ProfilesError> {
        if self.complete {
            self.make_whole(user, found, usize::MAX)?;
            found = self.find(user).expect("it was found just now");
        }
        let changes = match Form::of(self.content(found)) {
            Form::Whole([]) => None,
            Form::OverDisk { changes, .. } => Some(changes.len()),
            Form::Whole(_) | Form::OverMemory { .. } => return Ok(()),
        };
        match (needless, changes) {
            (Needless::Drop, _) => {
                self.remove(found);
                self.departures += 1;
                self.merges += 1;
            }
            (Needless::Keep, changes) => {
                self.kept.push(user.hash);
                changes.into_iter().for_each(|all| self.put_over_disk(user, found, 0, all));
            }
        }
        Ok(())
    }

    /// Leaves out the first `without` bytes of the changes of a record over the disk. Of the others `taken` bytes are
    /// taken.
    fn put_over_disk(&mut self, user: Hashed<'_>, found: Found, without: usize, taken: usize) {
        let Form::OverDisk { changes, .. } = Form::of(self.content(found)) else { return };
        let mut content = Vec::with_capacity(changes.len());
        pending::write_over_disk(&[&changes[without..]], taken, &mut content);
        self.put(user, Some(found), &content, 0);
    }

    /// The checkpoint failed: this user is to be taken again, if it was taken.
    pub(crate) fn not_written(&mut self, user: Hashed<'_>) {
        let Some(found) = self.find(user).filter(|found| found.place.has(WRITING)) else { return };
        self.set_state(found, found.place.state() & !WRITING | DIRTY);
        if !found.place.has(DIRTY) {
            self.dirty_records += 1;
            self.dirty_bytes += user.key.len() + self.content(found).len();
        }
        let found = self.find(user).expect("it was found just now");
        self.put_over_disk(user, found, 0, 0);
    }

    /// Ends the warm-up, and removes what was kept for it. `all_loaded`: all profiles on disk are in memory, so changes
    /// that are left are of users who had none.
    pub(crate) fn end_warm_up(&mut self, all_loaded: bool) -> Result<(), ProfilesError> {
        self.complete |= all_loaded;
        for hash in std::mem::take(&mut self.kept) {
            let number = self.number_of(hash);
            while let Some(found) = self.needless(number) {
                let key = page::split(found.place.record(self.page(number))).0.to_vec();
                let user = Hashed { key: &key, hash: self.hasher.hash(&key) };
                self.forget(user, found, Needless::Drop)?;
            }
        }
        Ok(())
    }

    fn needless(&self, number: usize) -> Option<Found> {
        let page = self.page(number);
        let is_needless = |place: &Place| {
            let content = Form::of(self.content(Found { number, place: *place }));
            !place.has(DIRTY | WRITING) && matches!(content, Form::Whole([]) | Form::OverDisk { .. })
        };
        let place = page::places(page).find(is_needless)?;
        Some(Found { number, place })
    }
}
