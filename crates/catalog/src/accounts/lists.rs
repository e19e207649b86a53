//! The lists of members, logins and sharing, and who may see which rows.

use super::{BATCH_SEGMENT_CONFIG, MEMBER, MEMBER_DATA_SHARING, USER};
use crate::listing::ListQuery;
use crate::listing::sql::{List, nothing};
use crate::{Login, UserType};
use sea_query::{Condition, Expr, ExprTrait as _};

pub(crate) fn members<'q>(by: &Login, query: &'q ListQuery) -> List<'q> {
    List { resource: &MEMBER, table: "members", visible: own_rows(by, &["id"]), partly: None, query }
}

/// A set-up for each member, for admins.
pub(crate) fn batch<'q>(by: &Login, query: &'q ListQuery) -> List<'q> {
    let visible = if by.user_type == UserType::Admin { Condition::all() } else { nothing() };
    List { resource: &BATCH_SEGMENT_CONFIG, table: "members", visible, partly: None, query }
}

pub(crate) fn logins<'q>(by: &Login, query: &'q ListQuery) -> List<'q> {
    List { resource: &USER, table: "users", visible: own_rows(by, &["member_id"]), partly: None, query }
}

pub(crate) fn sharing<'q>(by: &Login, query: &'q ListQuery) -> List<'q> {
    let visible = own_rows(by, &["data_member_id", "buyer_member_id"]);
    List { resource: &MEMBER_DATA_SHARING, table: "sharing", visible, partly: None, query }
}

/// The rows that name the caller's member in one of `columns`; all rows for an admin.
fn own_rows(by: &Login, columns: &[&'static str]) -> Condition {
    if by.user_type == UserType::Admin {
        return Condition::all();
    }
    columns.iter().fold(Condition::any(), |any, &column| any.add(Expr::col(column).eq(by.member.0)))
}
