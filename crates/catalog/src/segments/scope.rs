use super::{SEGMENT, SHARED_FIELDS, SegmentViewer};
use crate::listing::ListQuery;
use crate::listing::sql::List;
use sea_query::{Condition, Expr, ExprTrait as _, Query};

/// What others share with a viewer.
#[derive(Debug, Default)]
pub(crate) struct SharedWithViewer {
    /// The owners that share all of their segments.
    pub whole: Vec<u32>,
    /// Whether there are owners that share a list.
    pub has_lists: bool,
}

/// The list of `viewer`. A list of nothing but its own segments follows an index.
pub(crate) fn list<'q>(viewer: SegmentViewer, shared: &SharedWithViewer, query: &'q ListQuery) -> List<'q> {
    let mut is_visible = Expr::col("member_id").eq(viewer.member.0);
    if viewer.may_list_shared(query) && (shared.has_lists || !shared.whole.is_empty()) {
        is_visible = is_visible.or(is_shared(viewer, shared));
    }
    let visible = Condition::all().add(Expr::col("deleted_at").is_null()).add(is_visible);
    List { resource: &SEGMENT, table: "segments", visible, query }
}

/// Active segments of owners that share all of theirs, and those that are listed.
fn is_shared(viewer: SegmentViewer, shared: &SharedWithViewer) -> Expr {
    // The numbers are part of the statement: there may be more than SQLite takes as values, and a subquery in their
    // place takes 1.4 times as long.
    let owners = shared.whole.iter().map(|&owner| Expr::Constant(owner.into()));
    let mut is_shared = Expr::col("member_id").is_in(owners);
    if shared.has_lists {
        let mut listed = Query::select();
        let is_buyer = Expr::col("buyer_member_id").eq(viewer.member.0);
        listed.column("segment_id").from("shared_segments").and_where(is_buyer);
        is_shared = is_shared.or(Expr::col("id").in_subquery(listed));
    }
    Expr::col("state").eq("active").and(is_shared)
}

impl SegmentViewer {
    /// Whether segments of others may be in the list: a filter or a sort by a field that is not shown of them would
    /// tell its value.
    pub(crate) fn may_list_shared(self, query: &ListQuery) -> bool {
        let filters = query.filters.iter().map(|filter| filter.field);
        let mut fields = filters.chain(query.sort.iter().map(|(field, _)| *field));
        self.with_shared && fields.all(|field| SHARED_FIELDS.contains(&field.name))
    }
}
