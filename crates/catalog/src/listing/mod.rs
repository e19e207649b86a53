//! Lists of a catalog service: which fields a kind of object has, and what of it is asked for.
//!
//! A kind of object is a [`Resource`] in a static table: its two names and its [`Field`]s. A request becomes a
//! [`ListQuery`] that points into that table, so that no name of a request gets near SQL. Two engines answer it:
//! `sql` adds conditions, order and page to a statement, `plain` does the same to rows in memory. They agree on
//! everything, which is what the conformance suite is for:
//!
//! - Text is compared without regard to ASCII case, so the SQL expression of a text field is its lower-case form.
//! - An absent value sorts first and fails every test but `not_` and the two `nmin_` and `nmax_`.
//! - Rows that sort alike stand in the order of their ids, in the direction of the last field that is sorted by, so
//!   that an index over both serves either direction.

mod field;
pub(crate) mod plain;
pub(crate) mod sql;

pub use field::{Field, Kind, Resource, Writing};

/// A value to filter or sort by.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    Null,
    /// A number, a flag (0 or 1), or a time in milliseconds since 1970.
    Integer(i64),
    /// A number with a fraction.
    Decimal(f64),
    /// In lower case.
    Text(String),
}

impl Value {
    /// Text, to be compared without regard to case.
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(text.as_ref().to_ascii_lowercase())
    }

    /// A value, or none.
    pub fn of<T: Into<Value>>(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Integer(flag.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Decimal(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

/// What a field is held against.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is one of these.
    In(Vec<Value>),
    /// It is none of these, or absent.
    NotIn(Vec<Value>),
    /// It is at least this.
    Min(Value),
    /// It is at most this.
    Max(Value),
    /// It is absent or at least this.
    NullOrMin(Value),
    /// It is absent or at most this.
    NullOrMax(Value),
    /// It is text like this, in which `%` stands for anything; without one it only has to contain it.
    Like(String),
}

/// A condition on one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// One that can be filtered by.
    pub field: &'static Field,
    /// What it must be.
    pub test: Test,
}

/// Which way a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// What of a list is asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListQuery {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// One of the fields that are searched contains it.
    pub search: Option<String>,
    /// The first counts most; then comes the id, in the direction of the last.
    pub sort: Vec<(&'static Field, Direction)>,
    /// How many of what matches are left out before the page.
    pub start_element: u32,
    /// The size of the page.
    pub num_elements: u32,
}

impl ListQuery {
    /// The direction of the ids of rows that sort alike.
    fn direction_of_ids(&self) -> Direction {
        self.sort.last().map_or(Direction::Ascending, |(_, direction)| *direction)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What stands on it.
    pub items: Vec<T>,
    /// How many match, on this page and on others.
    pub count: u64,
}

/// `pattern` as a lower-case SQL pattern with `\` as its escape.
fn like_pattern(pattern: &str) -> String {
    let lower = pattern.to_ascii_lowercase();
    let escaped = lower.replace('\\', "\\\\").replace('_', "\\_");
    if escaped.contains('%') { escaped } else { format!("%{escaped}%") }
}
