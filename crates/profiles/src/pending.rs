//! Changes that are not merged into a packed profile yet.
//!
//! The content of a record in memory is whole (the packed profile, the packed links, or nothing for a tombstone), or it is
//! a *base and the changes after it*:
//!
//! - The base lies **on disk**: the user is cold. A write appends its operations and reads nothing. A read lays them over the
//!   blob, and so does the next checkpoint, which writes the result.
//! - The base lies **in memory**, before the changes: the profile is wide. A change is appended instead of writing the whole
//!   profile again. All are merged by the next read or checkpoint, and when they are a part of the base ([`MERGE_SHARE`]).
//!
//! Changes are kept as they were accepted, each with its minute. So merging them gives what applying them one by one would
//! have given. What only the whole profile knows, such as whether an add was new, is known when they are merged.
//!
//! | content | bytes |
//! |---|---|
//! | over the disk | `81 00`, the changes |
//! | the same, of which the checkpoint has taken some | `83 00`, their length (4), the changes |
//! | over a base in memory | `82 00`, the length of the base (4), the base, the changes |
//!
//! A packed form begins with a varint without needless bytes, so never like this. The changes are groups, one for each record:
//! its minute, its count, then the operations: the distance of the segment from the one before and a bit that says whether the
//! change is as before; if not, a code and its numbers follow. In changes of links a group holds ids and the ends of their
//! links. None of this is ever on disk.

use crate::codec::{self, Malformed, unzigzag, zigzag};
use crate::membership::{self, Edit, Merger, Timed};
use crate::{Applied, merging};
use ia_model::{Change, ErasedSegments, Expiry, Minute, Operation, SegmentId, UserKey, varint};

const MARK_BYTES: usize = 2;
const LENGTH_BYTES: usize = 4;
const OVER_DISK: [u8; MARK_BYTES] = [0x81, 0];
const OVER_MEMORY: [u8; MARK_BYTES] = [0x82, 0];
const PARTLY_TAKEN: [u8; MARK_BYTES] = [0x83, 0];

/// A packed profile of this size or more is wide: some 50 memberships.
const WIDE_BYTES: usize = 192;
/// Changes over a base in memory are merged when they are larger than one part in this many of it. Merging costs as much as
/// reading and writing the base; changes cost memory, and reads that merge them.
const MERGE_SHARE: usize = 4;
/// But not before they have that many bytes: four records of ten operations.
const LEAST_ROOM_BYTES: usize = 128;
/// The bytes of an operation in a group, about.
const OPERATION_BYTES: usize = 3;

const REMOVE: u8 = 0;
const ADD: u8 = 1;
const ADD_UNTIL: u8 = 2;
const ADD_LATER: u8 = 3;
const ADD_LATER_UNTIL: u8 = 4;

/// The content of a record in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// All of it; empty for a tombstone.
    Whole(&'a [u8]),
    /// Changes of a blob on disk, if there is one.
    OverDisk {
        changes: &'a [u8],
        /// How many bytes of the changes the checkpoint has taken before the rest came.
        taken: usize,
    },
    /// Changes of a base in memory.
    OverMemory { base: &'a [u8], changes: &'a [u8] },
}

impl Form<'_> {
    #[inline]
    pub(crate) fn of(content: &[u8]) -> Form<'_> {
        match content {
            [0x81..=0x83, 0, ..] => Form::marked(content),
            _ => Form::Whole(content),
        }
    }

    fn marked(content: &[u8]) -> Form<'_> {
        let (mark, rest) = content.split_at(MARK_BYTES);
        if mark == OVER_DISK {
            return Form::OverDisk { changes: rest, taken: 0 };
        }
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>().expect("written with its length");
        let length = u32::from_le_bytes(*length) as usize;
        if mark == PARTLY_TAKEN {
            return Form::OverDisk { changes: rest, taken: length };
        }
        let (base, changes) = rest.split_at(length);
        Form::OverMemory { base, changes }
    }

    /// Whether that many more operations are appended instead of merged.
    pub(crate) fn has_room(&self, operations: usize) -> bool {
        match self {
            Form::Whole(packed) => packed.len() >= WIDE_BYTES && operations * OPERATION_BYTES <= room(packed),
            Form::OverDisk { .. } => true,
            Form::OverMemory { base, changes } => changes.len() + operations * OPERATION_BYTES <= room(base),
        }
    }
}

fn room(base: &[u8]) -> usize {
    (base.len() / MERGE_SHARE).max(LEAST_ROOM_BYTES)
}

/// Writes content over the disk with these changes, of which the first `taken` bytes are taken.
pub(crate) fn write_over_disk(changes: &[&[u8]], taken: usize, out: &mut Vec<u8>) {
    if taken == 0 {
        out.extend(OVER_DISK);
    } else {
        out.extend(PARTLY_TAKEN);
        write_length(taken, out);
    }
    changes.iter().for_each(|changes| out.extend_from_slice(changes));
}

/// Writes content over a base in memory.
pub(crate) fn write_over_memory(base: &[u8], changes: &[u8], out: &mut Vec<u8>) {
    out.extend(OVER_MEMORY);
    write_length(base.len(), out);
    out.extend_from_slice(base);
    out.extend_from_slice(changes);
}

fn write_length(bytes: usize, out: &mut Vec<u8>) {
    let bytes = u32::try_from(bytes).expect("a shard is smaller than 4 GiB");
    out.extend(bytes.to_le_bytes());
}

/// Appends the group of a record that changes a profile, and returns how many operations it has. `None`: it erases all,
/// which needs no base.
pub(crate) fn write_edit(edit: Edit<'_>, seen: Minute, out: &mut Vec<u8>) -> Option<usize> {
    match edit {
        // What has ended by then is dropped all the same, which shows where the clock is set back: as a removal that finds
        // nothing, because no segment has the number 0.
        _ if edit.operations() == 0 && !matches!(edit, Edit::Erase(ErasedSegments::All)) => {
            let nothing = Operation { segment: SegmentId(0), change: Change::Remove };
            write_group(std::iter::once(nothing), seen, out);
            return Some(1);
        }
        Edit::Operations(operations) => write_group(operations.iter().copied(), seen, out),
        Edit::Erase(ErasedSegments::Only(segments)) => {
            let removals = segments.iter().map(|&segment| Operation { segment, change: Change::Remove });
            write_group(removals, seen, out);
        }
        Edit::Erase(ErasedSegments::All) => return None,
    }
    Some(edit.operations())
}

fn write_group(operations: impl ExactSizeIterator<Item = Operation>, seen: Minute, out: &mut Vec<u8>) {
    varint::write(out, u64::from(seen.0));
    varint::write(out, operations.len() as u64);
    let (mut segment, mut before) = (0, None);
    for operation in operations {
        let distance = zigzag(i64::from(operation.segment.0) - i64::from(segment));
        let is_as_before = before == Some(operation.change);
        varint::write(out, distance << 1 | u64::from(is_as_before));
        if !is_as_before {
            write_change(operation.change, seen, out);
        }
        (segment, before) = (operation.segment.0, Some(operation.change));
    }
}

fn write_change(change: Change, seen: Minute, out: &mut Vec<u8>) {
    let minutes = |minute: Minute| zigzag(i64::from(minute.0) - i64::from(seen.0));
    let (begins, expires, value) = match change {
        Change::Remove => return out.push(REMOVE),
        Change::Add { expires, value } => (None, expires, value),
        Change::AddLater { begins, expires, value } => (Some(begins), expires, value),
    };
    out.push(match (begins, expires) {
        (None, Expiry::Never) => ADD,
        (None, Expiry::At(_)) => ADD_UNTIL,
        (Some(_), Expiry::Never) => ADD_LATER,
        (Some(_), Expiry::At(_)) => ADD_LATER_UNTIL,
    });
    if let Some(begins) = begins {
        varint::write(out, minutes(begins));
    }
    if let Expiry::At(minute) = expires {
        varint::write(out, minutes(minute));
    }
    varint::write(out, u64::from(value));
}

fn read_change(input: &mut &[u8], seen: Minute) -> Option<Change> {
    let code = *input.split_off_first()?;
    let mut minute = || {
        let minutes = unzigzag(varint::read(input)?);
        i64::from(seen.0).checked_add(minutes).and_then(|minute| u32::try_from(minute).ok()).map(Minute)
    };
    let (begins, expires) = match code {
        REMOVE => return Some(Change::Remove),
        ADD => (None, Expiry::Never),
        ADD_UNTIL => (None, Expiry::At(minute()?)),
        ADD_LATER => (Some(minute()?), Expiry::Never),
        ADD_LATER_UNTIL => (Some(minute()?), Expiry::At(minute()?)),
        _ => return None,
    };
    let value = varint::read_u32(input)?;
    Some(match begins {
        None => Change::Add { expires, value },
        Some(begins) => Change::AddLater { begins, expires, value },
    })
}

/// Reads the operations of changes in their order. Those in the first `taken` bytes are counted by who took them.
pub(crate) fn read_operations(changes: &[u8], taken: usize) -> Result<Vec<Timed>, Malformed> {
    let mut operations = Vec::with_capacity(changes.len() / 2);
    let mut input = changes;
    while !input.is_empty() {
        let is_counted = changes.len() - input.len() >= taken;
        read_group(&mut input, is_counted, &mut operations).ok_or(Malformed("changes in memory"))?;
    }
    Ok(operations)
}

/// What is said of operations of changes, beside what they do, once they are merged.
pub(crate) fn no_longer_put_off(operations: &[Timed]) -> Applied {
    let counted = operations.iter().filter(|timed| timed.is_counted).count();
    Applied { put_off: -(counted as i64), ..Applied::default() }
}

/// Merges operations, which are in the order of their records, into a packed profile, where no bytes are no memberships, and
/// appends the result; nothing where nothing is left.
pub(crate) fn merge(
    packed: &[u8],
    mut operations: Vec<Timed>,
    out: &mut Vec<u8>,
) -> Result<Applied, Malformed> {
    let last = operations.last().map_or(Minute(0), |timed| timed.seen);
    if operations.is_sorted_by_key(|timed| timed.seen) {
        membership::sort(&mut operations);
        let mut room = Vec::new();
        if let Some((length, applied)) = merging::merge(packed, operations.iter().copied(), last, &mut room)?
        {
            out.extend_from_slice(&room[..length]);
            return Ok(applied);
        }
        // Back into the order of the records; those of one segment are in it already.
        operations.sort_by_key(|timed| timed.seen);
    }
    let mut merger = Merger::default();
    merger.read(packed)?;
    let applied = merger.merge_records(&mut operations);
    if !merger.after.is_empty() {
        codec::pack(&merger.after, out);
    }
    Ok(applied)
}

fn read_group(input: &mut &[u8], is_counted: bool, out: &mut Vec<Timed>) -> Option<()> {
    let seen = Minute(varint::read_u32(input)?);
    let (mut segment, mut before) = (0, None);
    for _ in 0..varint::read(input)? {
        let head = varint::read(input)?;
        segment = u32::try_from(i64::from(segment).checked_add(unzigzag(head >> 1))?).ok()?;
        let change = if head & 1 == 1 { before? } else { read_change(input, seen)? };
        before = Some(change);
        out.push(Timed { operation: Operation { segment: SegmentId(segment), change }, seen, is_counted });
    }
    Some(())
}

/// Appends the group of a record that links ids.
pub(crate) fn write_links(links: &[(UserKey, Minute)], seen: Minute, out: &mut Vec<u8>) {
    varint::write(out, u64::from(seen.0));
    varint::write(out, links.len() as u64);
    for (id, end) in links {
        out.extend_from_slice(id.as_bytes());
        varint::write(out, u64::from(end.0));
    }
}

/// Reads changes of links, group by group.
pub(crate) fn read_links(
    changes: &[u8],
    mut each: impl FnMut(Minute, &[(UserKey, Minute)]),
) -> Result<(), Malformed> {
    let (mut input, mut links) = (changes, Vec::new());
    while !input.is_empty() {
        let seen = read_link_group(&mut input, &mut links).ok_or(Malformed("changes of links in memory"))?;
        each(seen, &links);
    }
    Ok(())
}

fn read_link_group(input: &mut &[u8], links: &mut Vec<(UserKey, Minute)>) -> Option<Minute> {
    links.clear();
    let seen = Minute(varint::read_u32(input)?);
    for _ in 0..varint::read(input)? {
        let (id, rest) = UserKey::split_encoded(input)?;
        *input = rest;
        links.push((UserKey::from_bytes(id).ok()?, Minute(varint::read_u32(input)?)));
    }
    Some(seen)
}

#[cfg(test)]
mod tests;
