//! What a caller may see.

use crate::{BatchFiles, Login, Member};
use ia_model::{MemberId, SegmentId};

/// A member with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// What the hot path knows, too.
    pub member: Member,
    /// The owners into whose segments it may write, by id.
    pub segment_access: Vec<MemberId>,
    /// How its files are laid out; `None` where nobody has set it.
    pub batch: Option<BatchFiles>,
    /// When it was last changed, in milliseconds since 1970, where that is known.
    pub last_modified_ms: Option<u64>,
}

/// A login without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRecord {
    /// Who it is and what it may do.
    pub login: Login,
    /// Whether it is switched on, whatever its member is.
    pub active: bool,
    /// How to reach whoever uses it.
    pub email: Option<String>,
    /// The first name of whoever uses it.
    pub first_name: Option<String>,
    /// The last name of whoever uses it.
    pub last_name: Option<String>,
    /// When it was last changed, in milliseconds since 1970, where that is known.
    pub last_modified_ms: Option<u64>,
}

/// That one member sees segments of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingRecord {
    /// Its id; never used again.
    pub id: u32,
    /// Whose segments are shown.
    pub data_member: MemberId,
    /// To whom.
    pub buyer_member: MemberId,
    /// `None` is each segment, also those to come; else these, by id, each with its name.
    pub segments: Option<Vec<(SegmentId, Option<String>)>>,
    /// When it was last changed, in milliseconds since 1970, where that is known.
    pub last_modified_ms: Option<u64>,
}
