//! Short calls of this crate's tests: records, and the segments of a user.

use crate::{PackedProfiles, Profiles};
use ia_model::record::Usage;
use ia_model::{
    Batch, Change, Erase, ErasedSegments, Expiry, Ingest, MemberId, Minute, Operation, Record, SegmentId,
    UserKey,
};

pub(crate) const NOW: Minute = Minute(100);

pub(crate) fn user(id: u64) -> UserKey {
    UserKey::platform(id).unwrap()
}

pub(crate) fn ingest(
    minute: Minute,
    users: impl IntoIterator<Item = UserKey>,
    operation: Operation,
) -> Record {
    let mut batch = Batch::default();
    users.into_iter().for_each(|user| batch.push(user, [operation]));
    Record::Ingest(Box::new(Ingest {
        accepted_at_ms: minute.unix_ms(),
        member: MemberId(1),
        request_id: String::new(),
        batch,
        usage: Usage::default(),
        file: None,
    }))
}

pub(crate) fn add_all(users: impl IntoIterator<Item = UserKey>, segment: u32) -> Record {
    let change = Change::Add { expires: Expiry::Never, value: 1 };
    ingest(NOW, users, Operation { segment: SegmentId(segment), change })
}

pub(crate) fn add(id: u64, segment: u32) -> Record {
    add_all([user(id)], segment)
}

pub(crate) fn remove(id: u64, segment: u32) -> Record {
    ingest(NOW, [user(id)], Operation { segment: SegmentId(segment), change: Change::Remove })
}

pub(crate) fn erase(user: UserKey) -> Record {
    Record::Erase(Erase { accepted_at_ms: NOW.unix_ms(), user, segments: ErasedSegments::All, member: None })
}

pub(crate) fn segments(profiles: &PackedProfiles, id: u64) -> Vec<u32> {
    let live = profiles.load(&user(id), NOW).unwrap();
    live.iter().map(|membership| membership.segment.0).collect()
}
