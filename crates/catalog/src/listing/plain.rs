//! Lists of rows in memory: the reference for the statements, and good for kinds of which there are few.

use super::{Direction, Field, ListQuery, Page, Resource, Test, Value};
use std::cmp::Ordering;

/// The page of `rows` that `query` asks for. `value` gives a field of a row.
pub(crate) fn page<T>(
    resource: &Resource,
    rows: impl IntoIterator<Item = T>,
    query: &ListQuery,
    value: impl Fn(&T, &'static Field) -> Value,
) -> Page<T> {
    let search = query.search.as_deref().map(str::to_ascii_lowercase);
    let is_found = |row: &T| {
        let Some(search) = &search else { return true };
        resource.fields.iter().filter(|field| field.searched).any(|field| match value(row, field) {
            Value::Text(text) => text.contains(search.as_str()),
            Value::Integer(number) => number.to_string().contains(search.as_str()),
            Value::Null | Value::Decimal(_) => false,
        })
    };
    let passes = |row: &T| query.filters.iter().all(|filter| holds(&filter.test, &value(row, filter.field)));
    let mut rows: Vec<T> = rows.into_iter().filter(|row| is_found(row) && passes(row)).collect();
    rows.sort_by(|one, other| {
        let by_id = (&resource.fields[0], query.direction_of_ids());
        let mut orders = query.sort.iter().copied().chain([by_id]).map(|(field, direction)| {
            let order = compare(&value(one, field), &value(other, field));
            if direction == Direction::Descending { order.reverse() } else { order }
        });
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    let count = rows.len() as u64;
    let items =
        rows.into_iter().skip(query.start_element as usize).take(query.num_elements as usize).collect();
    Page { items, count }
}

fn holds(test: &Test, value: &Value) -> bool {
    let is_null = *value == Value::Null;
    let at_least = |bound: &Value| !is_null && compare(value, bound).is_ge();
    let at_most = |bound: &Value| !is_null && compare(value, bound).is_le();
    match test {
        Test::In(values) => !is_null && values.contains(value),
        Test::NotIn(values) => is_null || !values.contains(value),
        Test::Min(bound) => at_least(bound),
        Test::Max(bound) => at_most(bound),
        Test::NullOrMin(bound) => is_null || at_least(bound),
        Test::NullOrMax(bound) => is_null || at_most(bound),
        Test::Like(pattern) => match value {
            Value::Text(text) => is_like(text, pattern),
            _ => false,
        },
    }
}

/// Values of one field are of one kind.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (one, other) => number(one).total_cmp(&number(other)),
    }
}

fn number(value: &Value) -> f64 {
    match *value {
        Value::Integer(number) => number as f64,
        Value::Decimal(number) => number,
        Value::Null | Value::Text(_) => f64::NAN,
    }
}

/// Whether lower-case `text` is like `pattern`.
fn is_like(text: &str, pattern: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let Some((first, rest)) = pattern.split_once('%') else { return text.contains(&pattern) };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('%').unwrap_or(("", rest));
    for part in middle.split('%') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_anchored_where_it_has_no_percent_sign() {
        for (text, pattern, is) in [
            ("sports", "POR", true),
            ("sports", "por%", false),
            ("sports", "sp%s", true),
            ("sports", "%o%s", true),
            ("sports", "%", true),
            ("sps", "sp%ps", false),
            ("a_b", "a_b", true),
            ("axb", "a_b", false),
            ("abab", "a%b%ab%", true),
            ("ab", "a%b%b", false),
        ] {
            assert_eq!(is_like(text, pattern), is, "{text} {pattern}");
        }
    }
}
