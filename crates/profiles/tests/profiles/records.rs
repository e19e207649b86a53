//! Short calls to make records, memberships and profiles.

use ia_model::record::{FileChunk, Usage};
use ia_model::{
    Batch, Change, Domain, Erase, ErasedSegments, Expiry, Ingest, Link, MemberId, Minute, Operation, Record,
    SegmentId, UserKey,
};
use ia_profiles::{Applied, Membership, PackedProfiles, ProfileOptions, Profiles};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const SMALL: ProfileOptions =
    ProfileOptions { memory_budget_bytes: 1 << 20, shards: 4, store_cache_bytes: 1 << 20, links_per_user: 3 };

/// No clean profile stays in memory for long.
pub(crate) const NO_ROOM: ProfileOptions = ProfileOptions { memory_budget_bytes: 0, ..SMALL };

pub(crate) fn open(dir: &Path, options: ProfileOptions) -> PackedProfiles {
    PackedProfiles::open(&dir.join("profiles"), options).unwrap()
}

/// Applies the records after the checkpoint.
pub(crate) fn replay(profiles: &PackedProfiles, log: &[Record]) {
    let covered = profiles.checkpointed_position();
    for (position, record) in (1..).zip(log).skip(covered as usize) {
        profiles.apply(position, record).unwrap();
    }
}

/// Ends the loops of other threads when it is dropped, also by a panic.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(crate) fn repeat_until<T>(done: &AtomicBool, mut step: impl FnMut() -> T) {
    while !done.load(Ordering::SeqCst) {
        step();
    }
}

pub(crate) fn user(id: u64) -> UserKey {
    UserKey::platform(id).unwrap()
}

/// A user with an id whose bytes are on no disk by chance. Neighbours share no first digits, because the
/// store leaves those out.
pub(crate) fn device(number: u32) -> UserKey {
    let id = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    UserKey::parse(Domain::Idfa, &format!("{id:032x}")).unwrap()
}

pub(crate) fn add(segment: u32, value: u32, expires: Expiry) -> Operation {
    Operation { segment: SegmentId(segment), change: Change::Add { expires, value } }
}

pub(crate) fn remove(segment: u32) -> Operation {
    Operation { segment: SegmentId(segment), change: Change::Remove }
}

pub(crate) fn add_later(segment: u32, begins: u32, value: u32, expires: Expiry) -> Operation {
    let change = Change::AddLater { begins: Minute(begins), expires, value };
    Operation { segment: SegmentId(segment), change }
}

pub(crate) fn until(minute: u32) -> Expiry {
    Expiry::At(Minute(minute))
}

pub(crate) fn ingest(minute: u32, users: impl IntoIterator<Item = (UserKey, Vec<Operation>)>) -> Record {
    let mut batch = Batch::default();
    for (user, operations) in users {
        batch.push(user, operations);
    }
    Record::Ingest(Box::new(Ingest {
        accepted_at_ms: Minute(minute).unix_ms() + 59_999,
        member: MemberId(958),
        request_id: String::new(),
        batch,
        usage: Usage::default(),
        file: None,
    }))
}

/// Takes these users out of a segment, at one moment.
pub(crate) fn replace(minute: u32, segment: u32, users: impl IntoIterator<Item = UserKey>) -> Record {
    let mut record = ingest(minute, users.into_iter().map(|user| (user, vec![remove(segment)])));
    let Record::Ingest(ingest) = &mut record else { unreachable!("it was made so") };
    let replaced = Some(SegmentId(segment));
    ingest.file = Some(Box::new(FileChunk { job: 1, is_last: true, replaced, ..FileChunk::default() }));
    record
}

/// Settles all replacements. Returns what was changed and not reported before.
pub(crate) fn settle_all(profiles: &dyn Profiles) -> Applied {
    let mut settled = Applied::default();
    while let Some(some) = profiles.settle().unwrap() {
        settled += some;
    }
    assert_eq!(profiles.settle().unwrap(), None);
    settled
}

/// The same, after a checkpoint has merged all changes that were put off.
pub(crate) fn merge_all(profiles: &dyn Profiles) -> Applied {
    let mut settled = settle_all(profiles);
    profiles.checkpoint().unwrap();
    settled += settle_all(profiles);
    settled
}

/// The members of a segment, each once.
pub(crate) fn members(profiles: &dyn Profiles, segment: u32, now: u32) -> BTreeSet<UserKey> {
    let mut members = BTreeSet::new();
    let mut visit = |user| {
        members.insert(user);
        ControlFlow::Continue(())
    };
    profiles.visit_members(SegmentId(segment), Minute(now), &mut visit).unwrap();
    members
}

pub(crate) fn erase(minute: u32, user: UserKey, segments: ErasedSegments) -> Record {
    Record::Erase(Erase { accepted_at_ms: Minute(minute).unix_ms(), user, segments, member: None })
}

pub(crate) fn external(id: &str) -> UserKey {
    UserKey::external(MemberId(958), id).unwrap()
}

/// Links end in these minutes.
pub(crate) fn link(minute: u32, user: UserKey, links: impl IntoIterator<Item = (UserKey, u32)>) -> Record {
    let links = links.into_iter().map(|(id, end)| (id, Minute(end))).collect();
    Record::Link(Link {
        accepted_at_ms: Minute(minute).unix_ms() + 59_999,
        member: MemberId(958),
        user,
        links,
    })
}

pub(crate) fn membership(segment: u32, value: u32, added: u32, seen: u32, expires: Expiry) -> Membership {
    let (added_at, last_seen) = (Minute(added), Minute(seen));
    Membership { segment: SegmentId(segment), value, added_at, last_seen, expires, pause: None }
}
