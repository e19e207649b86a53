use super::{SEGMENT, SHARED_FIELDS, SegmentViewer};
use crate::listing::ListQuery;
use crate::listing::sql::List;
use sea_query::{Condition, Expr, ExprTrait as _, Query};

/// The list of `viewer`. `is_any_shared` is whether anybody shares anything with it: a list of nothing but its own
/// segments follows an index.
pub(crate) fn list(viewer: SegmentViewer, is_any_shared: bool, query: &ListQuery) -> List<'_> {
    let own = Expr::col("member_id").eq(viewer.member.0);
    let is_visible =
        if is_any_shared && viewer.may_list_shared(query) { own.or(shared_with(viewer)) } else { own };
    let visible = Condition::all().add(Expr::col("deleted_at").is_null()).add(is_visible);
    List { resource: &SEGMENT, table: "segments", visible, query }
}

/// Active segments of owners that share all of theirs, and those that are listed.
fn shared_with(viewer: SegmentViewer) -> Expr {
    let is_buyer = || Expr::col("buyer_member_id").eq(viewer.member.0);
    let mut owners = Query::select();
    owners
        .column("data_member_id")
        .from("sharing")
        .and_where(is_buyer())
        .and_where(Expr::col("segment_exposure").eq("all"));
    let mut listed = Query::select();
    listed.column("segment_id").from("shared_segments").and_where(is_buyer());
    let is_shared = Expr::col("member_id").in_subquery(owners).or(Expr::col("id").in_subquery(listed));
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
