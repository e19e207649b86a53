//! What a caller may see.

use super::{BATCH_SEGMENT_CONFIG, BatchFiles, MEMBER, MEMBER_DATA_SHARING, USER};
use crate::listing::{ListQuery, Page, plain};
use crate::state::{Exposure, LoginRow, MemberRow, SharingRow};
use crate::{Login, Member, UserType};
use ia_model::{MemberId, SegmentId};
use std::collections::BTreeSet;

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

fn may_see(by: &Login, member: MemberId) -> bool {
    by.user_type == UserType::Admin || by.member == member
}

pub(crate) fn member_page<'a>(
    rows: impl IntoIterator<Item = &'a MemberRow>,
    by: &Login,
    query: &ListQuery,
) -> Page<MemberRecord> {
    let visible = rows.into_iter().filter(|row| may_see(by, row.member.id));
    plain::page(&MEMBER, visible.map(member_record), query, |record, field| record.value(field))
}

pub(crate) fn batch_page<'a>(
    rows: impl IntoIterator<Item = &'a MemberRow>,
    by: &Login,
    query: &ListQuery,
) -> Page<MemberRecord> {
    let visible = rows.into_iter().filter(|_| by.user_type == UserType::Admin);
    plain::page(&BATCH_SEGMENT_CONFIG, visible.map(member_record), query, |record, field| record.value(field))
}

fn member_record(row: &MemberRow) -> MemberRecord {
    MemberRecord {
        member: row.member.clone(),
        segment_access: row.segment_access.iter().copied().collect(),
        batch: row.batch.clone(),
        last_modified_ms: row.last_modified_ms,
    }
}

pub(crate) fn login_page<'a>(
    rows: impl IntoIterator<Item = &'a LoginRow>,
    by: &Login,
    query: &ListQuery,
) -> Page<LoginRecord> {
    let record = |row: &LoginRow| LoginRecord {
        login: Login {
            user_id: row.id,
            username: row.username.as_str().into(),
            member: row.member,
            user_type: row.user_type,
            read_only: row.read_only,
        },
        active: row.active,
        email: row.email.clone(),
        first_name: row.first_name.clone(),
        last_name: row.last_name.clone(),
        last_modified_ms: row.last_modified_ms,
    };
    let mut records: Vec<LoginRecord> =
        rows.into_iter().filter(|row| may_see(by, row.member)).map(record).collect();
    records.sort_by_key(|record| record.login.user_id);
    plain::page(&USER, records, query, |record, field| record.value(field))
}

/// `name_of` gives the names of the segments that are listed in `rows`.
pub(crate) fn sharing_page<'a>(
    rows: impl IntoIterator<Item = (&'a (MemberId, MemberId), &'a SharingRow)>,
    name_of: impl Fn(SegmentId) -> Option<String>,
    by: &Login,
    query: &ListQuery,
) -> Page<SharingRecord> {
    let named = |ids: &BTreeSet<SegmentId>| ids.iter().map(|&id| (id, name_of(id))).collect();
    let record = |(&(data_member, buyer_member), row): (&(MemberId, MemberId), &SharingRow)| SharingRecord {
        id: row.id,
        data_member,
        buyer_member,
        segments: match &row.exposure {
            Exposure::All => None,
            Exposure::List(ids) => Some(named(ids)),
        },
        last_modified_ms: row.last_modified_ms,
    };
    let visible = rows.into_iter().filter(|((owner, viewer), _)| may_see(by, *owner) || may_see(by, *viewer));
    let mut records: Vec<SharingRecord> = visible.map(record).collect();
    records.sort_by_key(|record| record.id);
    plain::page(&MEMBER_DATA_SHARING, records, query, |record, field| record.value(field))
}
