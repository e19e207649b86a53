//! Lists of a catalog service: the fields of each kind of object, and the query of a list.
//!
//! A kind of object is a [`Resource`] in a static table: its two names and its [`Field`]s. A request becomes a
//! [`ListQuery`] that points into that table, so that no name of a request gets near SQL. `sql` turns the query into
//! statements. Its rules:
//!
//! - Text is compared without regard to ASCII case.
//! - An absent value sorts first. It passes `not_`, `nmin_` and `nmax_`, and no other test.
//! - Rows with the same sort values are in the order of their ids, in the direction of the last sort field, so that
//!   one index serves both directions.

mod field;
pub(crate) mod sql;

pub use field::{Column, Field, Kind, Resource, Writing};

/// A value to filter or sort by.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, or a time in milliseconds since 1970.
    Integer(i64),
    /// A number with a fraction.
    Decimal(f64),
    /// True or false.
    Flag(bool),
    /// In lower case.
    Text(String),
}

impl Value {
    /// Text, to be compared without regard to case.
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(text.as_ref().to_ascii_lowercase())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Integer(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

/// A test of the value of a field.
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
    /// It is text like this pattern, in which `%` matches anything; a pattern without `%` matches text that contains it.
    Like(String),
}

impl Test {
    /// Whether an absent value passes.
    pub(crate) fn passes_absent(&self) -> bool {
        matches!(self, Test::NotIn(_) | Test::NullOrMin(_) | Test::NullOrMax(_))
    }
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

/// Which part of a list a caller asks for, in which order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListQuery {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// One of the fields that are searched contains it.
    pub search: Option<String>,
    /// The most important first. Ties are in the order of ids, in the direction of the last.
    pub sort: Vec<(&'static Field, Direction)>,
    /// How many matches come before the page.
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
    /// The objects on it.
    pub items: Vec<T>,
    /// How many objects match, on all pages.
    pub count: u64,
}
