//! Lists as statements, built once for SQLite and PostgreSQL.
//!
//! Text is compared byte by byte and lowered in ASCII alone. SQLite does so by itself; on PostgreSQL the columns need
//! the collation "C".

use super::{Column, Direction, Field, Kind, ListQuery, Resource, Test, Value};
use sea_query::{
    Asterisk, CaseStatement, Condition, Expr, ExprTrait as _, Func, LikeExpr, NullOrdering, Order, Query,
    SelectStatement,
};

/// No searched text is longer. SQLite refuses patterns of more than 50,000 bytes.
const MAX_SEARCHED_BYTES: usize = 10_000;

/// In patterns. Not a backslash, which the two databases write in different ways.
const ESCAPE: char = '!';

/// The rows of one table that a query asks for.
#[derive(Debug)]
pub(crate) struct List<'q> {
    pub resource: &'static Resource,
    pub table: &'static str,
    /// Which rows the caller may see.
    pub visible: Condition,
    /// Where some of those rows show only some of their fields.
    pub partly: Option<PartlyShown>,
    pub query: &'q ListQuery,
}

/// Rows of which only some fields are shown. The others count as absent: an order or a filter would tell them.
#[derive(Debug)]
pub(crate) struct PartlyShown {
    /// The rows that are shown whole.
    pub whole: Expr,
    /// What is shown of the other rows, the searched fields among them.
    pub fields: &'static [&'static str],
}

impl List<'_> {
    /// How many rows match, on all pages.
    pub(crate) fn count(&self) -> SelectStatement {
        self.matching().expr(Func::count(Expr::col(Asterisk))).take()
    }

    /// The rows of the page, with all columns.
    pub(crate) fn page(&self) -> SelectStatement {
        let mut statement = self.matching();
        statement.column(Asterisk);
        for (field, direction) in &self.query.sort {
            // Written out, because the two databases disagree on where absent values go.
            let (order, nulls) = match direction {
                Direction::Ascending => (Order::Asc, NullOrdering::First),
                Direction::Descending => (Order::Desc, NullOrdering::Last),
            };
            statement.order_by_expr_with_nulls(self.shown(field), order, nulls);
        }
        let by_id = match self.query.direction_of_ids() {
            Direction::Ascending => Order::Asc,
            Direction::Descending => Order::Desc,
        };
        statement.order_by_expr(expression(sortable(self.resource.fields[0].column)), by_id);
        statement.limit(self.query.num_elements.into()).offset(self.query.start_element.into()).take()
    }

    fn matching(&self) -> SelectStatement {
        let mut statement = Query::select();
        statement.from(self.table).cond_where(self.visible.clone());
        for filter in &self.query.filters {
            statement.and_where(passes(&self.shown(filter.field), &filter.test));
        }
        if let Some(search) = &self.query.search {
            statement.cond_where(self.contains(search));
        }
        statement
    }

    /// The value of a field, as far as it is shown.
    fn shown(&self, field: &Field) -> Expr {
        let value = expression(sortable(field.column));
        match &self.partly {
            Some(partly) if !partly.fields.contains(&field.name) => {
                CaseStatement::new().case(partly.whole.clone(), value).into()
            }
            _ => value,
        }
    }

    /// Whether one of the searched fields contains `text`.
    fn contains(&self, text: &str) -> Condition {
        // SQLite takes a pattern to end at a NUL, and PostgreSQL refuses one.
        if text.len() > MAX_SEARCHED_BYTES || text.contains('\0') {
            return nothing();
        }
        let pattern = containing(text);
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let mut any = Condition::any();
        for field in self.resource.fields.iter().filter(|field| field.searched) {
            let Some(column) = field.column else { continue };
            let searched = match field.kind {
                Kind::Integer if !is_digits => continue,
                Kind::Integer => expression(column).cast_as("text"),
                _ => expression(column),
            };
            any = any.add(like(searched, pattern.clone()));
        }
        if any.is_empty() { nothing() } else { any }
    }
}

/// No row at all.
pub(crate) fn nothing() -> Condition {
    Condition::all().add(Expr::Constant(false.into()))
}

fn sortable(column: Option<Column>) -> Column {
    column.expect("only fields with a column are filtered and sorted by")
}

fn expression(column: Column) -> Expr {
    match column {
        Column::Plain(name) => Expr::col(name),
        Column::Lower(name) => Func::lower(Expr::col(name)).into(),
        Column::Second(name) => Expr::col(name).div(1000i64).mul(1000i64),
    }
}

fn passes(column: &Expr, test: &Test) -> Expr {
    let column = || column.clone();
    let or_absent = |test: Expr| column().is_null().or(test);
    match test {
        Test::In(values) => column().is_in(values.iter().map(bound)),
        Test::NotIn(values) => or_absent(column().is_not_in(values.iter().map(bound))),
        Test::Min(least) => column().gte(bound(least)),
        Test::Max(most) => column().lte(bound(most)),
        Test::NullOrMin(least) => or_absent(column().gte(bound(least))),
        Test::NullOrMax(most) => or_absent(column().lte(bound(most))),
        Test::Like(pattern) if pattern.contains('%') => like(column(), escaped(pattern)),
        Test::Like(pattern) => like(column(), containing(pattern)),
    }
}

fn bound(value: &Value) -> sea_query::Value {
    match value {
        Value::Integer(number) => (*number).into(),
        Value::Decimal(number) => (*number).into(),
        Value::Flag(flag) => (*flag).into(),
        Value::Text(text) => text.as_str().into(),
    }
}

fn like(text: Expr, pattern: String) -> Expr {
    text.like(LikeExpr::new(pattern).escape(ESCAPE))
}

/// The pattern of what contains `text`.
fn containing(text: &str) -> String {
    format!("%{}%", escaped(text).replace('%', "!%"))
}

/// `pattern` in lower case, where `%` alone means more than itself.
fn escaped(pattern: &str) -> String {
    pattern.to_ascii_lowercase().replace(ESCAPE, "!!").replace('_', "!_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Filter;
    use crate::segments::{SEGMENT, SHARED_FIELDS};
    use sea_query::{PostgresQueryBuilder, SqliteQueryBuilder};

    /// The statement of the page, which must be the same for both databases.
    fn statement(list: &List<'_>) -> String {
        let (sqlite, values) = list.page().build(SqliteQueryBuilder);
        let sqlite = sqlite.replace('"', "");
        let (postgres, same_values) = list.page().build(PostgresQueryBuilder);
        let mut postgres = postgres.replace('"', "");
        for number in (1..=values.0.len()).rev() {
            postgres = postgres.replace(&format!("${number}"), "?");
        }
        assert_eq!((&postgres, same_values), (&sqlite, values));
        sqlite
    }

    fn filter(name: &'static str, test: Test) -> Filter {
        Filter { field: SEGMENT.known_field(name), test }
    }

    #[test]
    fn both_databases_get_the_same_statement() {
        let query = ListQuery {
            filters: vec![
                filter("id", Test::In(vec![Value::Integer(1), Value::Integer(2)])),
                filter("price", Test::NullOrMin(Value::Decimal(0.5))),
                filter("enable_rm_piggyback", Test::NotIn(vec![Value::Flag(true)])),
                filter("short_name", Test::Like("A_%".to_owned())),
            ],
            search: Some("10".to_owned()),
            sort: vec![(SEGMENT.known_field("short_name"), Direction::Descending)],
            start_element: 20,
            num_elements: 10,
        };
        let visible = Condition::all().add(Expr::col("member_id").eq(7u32));
        let list = List { resource: &SEGMENT, table: "segments", visible, partly: None, query: &query };
        assert_eq!(
            statement(&list),
            "SELECT * FROM segments WHERE member_id = ? AND id IN (?, ?) AND (price IS NULL OR price >= ?) \
             AND (enable_rm_piggyback IS NULL OR enable_rm_piggyback NOT IN (?)) \
             AND LOWER(short_name) LIKE ? ESCAPE '!' AND (CAST(id AS text) LIKE ? ESCAPE '!' \
             OR code_lower LIKE ? ESCAPE '!' OR LOWER(short_name) LIKE ? ESCAPE '!') \
             ORDER BY LOWER(short_name) DESC NULLS LAST, id DESC LIMIT ? OFFSET ?"
        );
    }

    #[test]
    fn a_value_that_is_not_shown_counts_as_absent_in_both() {
        let query = ListQuery {
            filters: vec![
                filter("code", Test::In(vec![Value::text("a")])),
                filter("description", Test::NotIn(vec![Value::text("b")])),
            ],
            sort: vec![
                (SEGMENT.known_field("price"), Direction::Ascending),
                (SEGMENT.known_field("state"), Direction::Ascending),
            ],
            num_elements: 10,
            ..ListQuery::default()
        };
        let partly = PartlyShown { whole: Expr::col("member_id").eq(7u32), fields: SHARED_FIELDS };
        let visible = Condition::all();
        let list =
            List { resource: &SEGMENT, table: "segments", visible, partly: Some(partly), query: &query };
        let description = "(CASE WHEN (member_id = ?) THEN LOWER(description) END)";
        assert_eq!(
            statement(&list),
            format!(
                "SELECT * FROM segments WHERE code_lower IN (?) \
                 AND ({description} IS NULL OR {description} NOT IN (?)) \
                 ORDER BY (CASE WHEN (member_id = ?) THEN price END) ASC NULLS FIRST, state ASC NULLS FIRST, \
                 id ASC LIMIT ? OFFSET ?"
            )
        );
    }

    #[test]
    fn a_search_looks_into_nothing_that_is_not_shown() {
        let searched = SEGMENT.fields.iter().filter(|field| field.searched);
        assert!(searched.map(|field| field.name).all(|name| SHARED_FIELDS.contains(&name)));
    }

    #[test]
    fn only_a_percent_sign_of_the_caller_means_anything() {
        assert_eq!(escaped("A_%!\\"), "a!_%!!\\");
        assert_eq!(containing("A_%"), "%a!_!%%");
    }
}
