//! Lists as statements: conditions, order and page, with every value bound.

use super::{Direction, Kind, ListQuery, Resource, Test, Value, like_pattern};
use sqlx::{QueryBuilder, Sqlite};

/// Appends the conditions of `query`, each after an `AND`.
pub(crate) fn push_conditions(statement: &mut QueryBuilder<Sqlite>, resource: &Resource, query: &ListQuery) {
    for filter in &query.filters {
        let column = filter.field.column.expect("only fields with a column are filtered by");
        statement.push(" AND ");
        push_test(statement, column, &filter.test);
    }
    if let Some(search) = &query.search {
        statement.push(" AND (FALSE");
        let search = search.to_ascii_lowercase();
        for field in resource.fields.iter().filter(|field| field.searched) {
            let Some(column) = field.column else { continue };
            match field.kind {
                Kind::Integer => statement.push(format_args!(" OR instr(CAST({column} AS TEXT), ")),
                _ => statement.push(format_args!(" OR instr({column}, ")),
            };
            statement.push_bind(search.clone()).push(") > 0");
        }
        statement.push(")");
    }
}

fn push_test(statement: &mut QueryBuilder<Sqlite>, column: &'static str, test: &Test) {
    match test {
        Test::In(values) => push_list(statement, column, " IN (", values),
        Test::NotIn(values) => {
            statement.push(format_args!("({column} IS NULL OR "));
            push_list(statement, column, " NOT IN (", values);
            statement.push(")");
        }
        Test::Min(bound) => push_bound(statement, column, " >= ", bound),
        Test::Max(bound) => push_bound(statement, column, " <= ", bound),
        Test::NullOrMin(bound) => {
            statement.push(format_args!("({column} IS NULL OR "));
            push_bound(statement, column, " >= ", bound);
            statement.push(")");
        }
        Test::NullOrMax(bound) => {
            statement.push(format_args!("({column} IS NULL OR "));
            push_bound(statement, column, " <= ", bound);
            statement.push(")");
        }
        Test::Like(pattern) => {
            statement.push(format_args!("{column} LIKE "));
            statement.push_bind(like_pattern(pattern)).push(" ESCAPE '\\'");
        }
    }
}

fn push_list(
    statement: &mut QueryBuilder<Sqlite>,
    column: &'static str,
    operator: &'static str,
    values: &[Value],
) {
    statement.push(column).push(operator);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            statement.push(", ");
        }
        push_value(statement, value);
    }
    statement.push(")");
}

fn push_bound(
    statement: &mut QueryBuilder<Sqlite>,
    column: &'static str,
    operator: &'static str,
    bound: &Value,
) {
    statement.push(column).push(operator);
    push_value(statement, bound);
}

fn push_value(statement: &mut QueryBuilder<Sqlite>, value: &Value) {
    match value {
        Value::Null => statement.push("NULL"),
        Value::Integer(number) => statement.push_bind(*number),
        Value::Decimal(number) => statement.push_bind(*number),
        Value::Text(text) => statement.push_bind(text.clone()),
    };
}

/// Appends order and page. SQLite puts NULLs first when it ascends.
pub(crate) fn push_order_and_page(
    statement: &mut QueryBuilder<Sqlite>,
    resource: &Resource,
    query: &ListQuery,
) {
    statement.push(" ORDER BY ");
    for (field, direction) in &query.sort {
        let column = field.column.expect("only fields with a column are sorted by");
        let direction = if *direction == Direction::Ascending { "" } else { " DESC" };
        statement.push(format_args!("{column}{direction}, "));
    }
    statement.push(resource.fields[0].column.expect("the id has a column"));
    if query.direction_of_ids() == Direction::Descending {
        statement.push(" DESC");
    }
    statement.push(" LIMIT ").push_bind(query.num_elements);
    statement.push(" OFFSET ").push_bind(query.start_element);
}
