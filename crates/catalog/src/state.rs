//! The catalog as rows, from any store. Changes are planned against them, and snapshots are built from them.

use crate::batch_files::BatchFiles;
use crate::login::UserType;
use crate::password::PasswordHash;
use crate::segments::SegmentDetails;
use crate::snapshot::{Member, MemberLimits, Segment, SharedSegments, Snapshot, SnapshotAccounts};
use hashbrown::{HashMap, HashSet};
use ia_model::{MemberId, SegmentId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All rows but those of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub members: BTreeMap<MemberId, MemberRow>,
    /// By lower-case name.
    pub logins: BTreeMap<String, LoginRow>,
    /// The highest id that a login ever had.
    pub login_high_water: u32,
    pub segments: BTreeMap<SegmentId, SegmentRow>,
    /// By owner and viewer.
    pub sharing: BTreeMap<(MemberId, MemberId), SharingRow>,
    /// The highest id that a sharing ever had.
    pub sharing_high_water: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberRow {
    pub member: Member,
    /// The owners whose segments it may write.
    pub segment_access: BTreeSet<MemberId>,
    /// `None` where nobody has set any.
    pub batch: Option<BatchFiles>,
    /// When it was last changed, in milliseconds since 1970, where that is known.
    pub last_modified_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginRow {
    pub id: u32,
    pub username: String,
    pub password_hash: PasswordHash,
    pub active: bool,
    pub user_type: UserType,
    pub read_only: bool,
    pub member: MemberId,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub last_modified_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub segment: Segment,
    pub short_name: Option<String>,
    /// The default where the row was read for a snapshot or for a change that leaves the details alone.
    pub details: SegmentDetails,
    /// 0 where `details` were not read.
    pub last_modified_ms: u64,
    /// Deleted ones stay as rows, so that their ids are not used again.
    pub deleted: bool,
}

/// A viewer sees segments of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharingRow {
    pub id: u32,
    pub exposure: Exposure,
    pub last_modified_ms: Option<u64>,
}

impl State {
    /// The snapshot of the catalog at `generation`.
    pub(crate) fn into_snapshot(self, generation: u64) -> Snapshot {
        let accounts = snapshot_accounts(self.members, self.sharing);
        let segments =
            self.segments.into_values().filter(|row| !row.deleted).map(|row| row.segment).collect();
        Snapshot::build(generation, segments, accounts)
    }
}

/// What a snapshot shows of members, access and sharing.
pub(crate) fn snapshot_accounts(
    rows: BTreeMap<MemberId, MemberRow>,
    sharing: BTreeMap<(MemberId, MemberId), SharingRow>,
) -> SnapshotAccounts {
    let mut members = HashMap::with_capacity(rows.len());
    let mut access = HashSet::new();
    for row in rows.into_values() {
        access.extend(row.segment_access.iter().map(|&owner| (row.member.id, owner)));
        members.insert(row.member.id, row.member);
    }
    let sharing = sharing.into_iter().map(|(pair, row)| (pair, row.exposure.for_snapshot()));
    SnapshotAccounts::of(members, access, sharing.collect())
}

impl MemberRow {
    /// A new member without a name.
    pub(crate) fn new(id: MemberId) -> MemberRow {
        let member = Member {
            id,
            name: Box::default(),
            active: true,
            default_expiration: None,
            use_external_uids: false,
            external_member_uid: None,
            limits: MemberLimits::default(),
            redirect_hosts: Arc::default(),
        };
        MemberRow { member, segment_access: BTreeSet::new(), batch: None, last_modified_ms: None }
    }
}

impl LoginRow {
    /// Whether a change from `before` takes back the login's tokens: another password or member, or switched off.
    pub(crate) fn ends_tokens(&self, before: &LoginRow) -> bool {
        before.password_hash != self.password_hash
            || before.member != self.member
            || (before.active && !self.active)
    }
}

impl SegmentRow {
    /// A new segment without a code.
    pub(crate) fn new(id: SegmentId, member: MemberId) -> SegmentRow {
        SegmentRow {
            segment: Segment { id, member, code: None, active: true, expire_minutes: None },
            short_name: None,
            details: SegmentDetails::default(),
            last_modified_ms: 0,
            deleted: false,
        }
    }
}

/// Which of an owner's segments a viewer sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exposure {
    All,
    List(BTreeSet<SegmentId>),
}

impl Exposure {
    fn for_snapshot(self) -> SharedSegments {
        match self {
            Exposure::All => SharedSegments::All,
            Exposure::List(ids) => SharedSegments::List(ids.into_iter().collect()),
        }
    }
}
