//! The catalog as rows, whichever store they come from: what a change is planned against, and what a
//! snapshot is built from.

use crate::accounts::BatchFiles;
use crate::segments::SegmentDetails;
use crate::{Member, PasswordHash, Segment, UserType};
use ia_model::{MemberId, SegmentId};
use std::collections::{BTreeMap, BTreeSet};

/// All rows but those of tokens.
#[derive(Debug, Clone, Default)]
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
    /// The owners into whose segments it may write.
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
    /// The default where the row was read for a change or a snapshot that does not touch it.
    pub details: SegmentDetails,
    /// As `details`.
    pub last_modified_ms: u64,
    /// Deleted ones stay as rows, so that their ids are not used again.
    pub deleted: bool,
}

/// That a viewer sees segments of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharingRow {
    pub id: u32,
    pub exposure: Exposure,
    pub last_modified_ms: Option<u64>,
}

impl State {
    /// Deletes a segment that is there.
    pub(crate) fn delete_segment(&mut self, id: SegmentId, now_ms: u64) {
        if let Some(row) = self.segments.get_mut(&id) {
            row.deleted = true;
            row.last_modified_ms = now_ms;
        }
        for row in self.sharing.values_mut() {
            if let Exposure::List(ids) = &mut row.exposure {
                ids.remove(&id);
            }
        }
    }
}

/// Which of an owner's segments a viewer sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exposure {
    All,
    List(BTreeSet<SegmentId>),
}

/// The form of a login's name that makes it unique.
pub(crate) fn login_key(username: &str) -> String {
    username.to_lowercase()
}
