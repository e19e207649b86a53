use super::{SEGMENT, SHARED_FIELDS, SegmentViewer};
use crate::listing::sql::{List, PartlyShown};
use crate::listing::{Filter, ListQuery};
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
    let is_own = Expr::col("member_id").eq(viewer.member.0);
    let has_shared = shared.has_lists || !shared.whole.is_empty();
    let (is_visible, partly) = if has_shared && viewer.may_list_shared(query) {
        let partly = PartlyShown { whole: is_own.clone(), fields: SHARED_FIELDS };
        (is_own.or(is_shared(viewer, shared)), Some(partly))
    } else {
        (is_own, None)
    };
    let visible = Condition::all().add(Expr::col("deleted_at").is_null()).add(is_visible);
    List { resource: &SEGMENT, table: "segments", visible, partly, query }
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
    /// Whether segments of others may be in the list: of a field that they do not show their value counts as absent,
    /// and most filters let nothing absent pass.
    fn may_list_shared(self, query: &ListQuery) -> bool {
        let may_pass =
            |filter: &Filter| SHARED_FIELDS.contains(&filter.field.name) || filter.test.passes_absent();
        self.with_shared && query.filters.iter().all(may_pass)
    }
}
