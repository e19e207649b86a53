//! The query of a list.

use super::{ALL, FieldSelection, ResourceKind, ServiceError, plain_name};
use crate::parameters::{Named, Parameters};
use ia_catalog::listing::{Direction, Field, Filter, Kind, ListQuery, Resource, Test, Value};
use ia_model::{lenient, time};

/// The most elements of a page. A request for more gets this many, and `num_elements` of the answer says so, so that
/// clients page on from there.
pub const MAX_PAGE_ELEMENTS: u32 = 100;

/// The most values of one filter: about as many ids as fit into the target of a request.
pub const MAX_VALUES: usize = 10_000;

/// The longest pattern of a `like_` filter. SQLite refuses far longer ones.
const MAX_PATTERN_CHARACTERS: usize = 1000;

/// A request for a list.
#[derive(Debug)]
pub struct ListRequest {
    /// Which objects.
    pub query: ListQuery,
    /// Which of their fields.
    pub fields: FieldSelection,
}

/// Reads a query. `own` are parameters that the service reads itself, like `member_id`.
///
/// Names that no service knows are ignored.
pub fn parse(
    resource: &'static Resource,
    own: &[&str],
    parameters: &Parameters<'_>,
) -> Result<ListRequest, ServiceError> {
    let mut request = ListRequest {
        query: ListQuery { num_elements: MAX_PAGE_ELEMENTS, ..ListQuery::default() },
        fields: FieldSelection::default(),
    };
    for parameter in parameters.by_name().filter(|parameter| !own.contains(&parameter.name)) {
        read(&mut request, resource, &parameter)?;
    }
    Ok(request)
}

impl ListRequest {
    /// Leaves of what it asks for only the objects of those ids.
    pub fn only<K: ResourceKind>(&mut self, ids: &[u32]) {
        let test = Test::In(ids.iter().copied().map(Value::from).collect());
        self.query.filters.push(Filter { field: &K::TABLE.fields[0], test });
    }

    /// Whether it asks for all objects that the caller may see.
    pub fn is_for_all(&self) -> bool {
        self.query.filters.is_empty() && self.query.search.is_none()
    }

    /// Whether it asks for one object: by its id, and by nothing else. Who leaves out objects pages through a list.
    pub fn is_for_one<K: ResourceKind>(&self) -> bool {
        let is_one_id = |filter: &Filter| {
            let is_id = filter.field.name == K::TABLE.fields[0].name || filter.field.name == K::ID_NAME;
            is_id && matches!(&filter.test, Test::In(ids) if ids.windows(2).all(|pair| pair[0] == pair[1]))
        };
        let query = &self.query;
        let is_first_page = query.start_element == 0;
        is_first_page && !self.is_for_all() && query.search.is_none() && query.filters.iter().all(is_one_id)
    }
}

/// Reads `id=1,2,3`: what is to be changed or deleted. Each once, ascending.
pub fn ids(value: &str) -> Result<Vec<u32>, ServiceError> {
    let not_ids = || ServiceError::bad("id", "must be positive integers, separated by commas");
    let parse = |text: &str| lenient::unsigned(text).filter(|&id| id > 0).ok_or_else(not_ids);
    let mut ids = split(value, "id")?.map(parse).collect::<Result<Vec<u32>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn read(
    request: &mut ListRequest,
    resource: &'static Resource,
    parameter: &Named<'_>,
) -> Result<(), ServiceError> {
    let query = &mut request.query;
    match parameter.name {
        "search" => query.search = Some(parameter.one()?.to_owned()),
        "sort" => query.sort = sort(resource, &parameter.list())?,
        "fields" => request.fields = FieldSelection::parse(resource, &parameter.list())?,
        "start_element" => query.start_element = number(parameter, 0)?,
        "num_elements" => query.num_elements = number(parameter, 1)?.min(MAX_PAGE_ELEMENTS),
        _ => query.filters.extend(filter(resource, parameter)?),
    }
    Ok(())
}

fn number(parameter: &Named<'_>, least: u32) -> Result<u32, ServiceError> {
    let too_small =
        || ServiceError::bad(parameter.name, format_args!("must be an integer of at least {least}"));
    lenient::unsigned(parameter.one()?).filter(|&number| number >= least).ok_or_else(too_small)
}

fn sort(resource: &'static Resource, value: &str) -> Result<Vec<(&'static Field, Direction)>, ServiceError> {
    let orders = value.split(',').map(|order| {
        let (name, direction) = order.trim().rsplit_once('.').unwrap_or((order.trim(), "asc"));
        let direction = match direction {
            "asc" => Direction::Ascending,
            "desc" => Direction::Descending,
            _ => return Err(ServiceError::bad("sort", "must be <field>.asc or <field>.desc")),
        };
        let field = resource.field(name).filter(|field| field.column.is_some());
        let field = field.ok_or_else(|| {
            ServiceError::bad("sort", format_args!("names no field to sort by: '{}'", plain_name(name)))
        })?;
        Ok((field, direction))
    });
    let orders: Vec<_> = orders.collect::<Result<_, _>>()?;
    if orders.len() > resource.fields.len() {
        return Err(ServiceError::bad("sort", "names more fields than there are"));
    }
    Ok(orders)
}

type ToTest = fn(Value) -> Test;

/// The prefixes of filters that take one bound, the longer ones first.
const BOUNDS: [(&str, ToTest); 4] =
    [("nmin_", Test::NullOrMin), ("nmax_", Test::NullOrMax), ("min_", Test::Min), ("max_", Test::Max)];

/// `None` for a parameter that no service knows.
fn filter(resource: &'static Resource, parameter: &Named<'_>) -> Result<Option<Filter>, ServiceError> {
    let name = parameter.name;
    if let Some(field) = resource.field(name) {
        let field = filterable(Some(field), name)?;
        return Ok(Some(Filter { field, test: Test::In(values(field, parameter)?) }));
    }
    for (prefix, to_test) in BOUNDS {
        let Some(bare) = name.strip_prefix(prefix) else { continue };
        let field = filterable(resource.field(bare), name)?;
        if !matches!(field.kind, Kind::Integer | Kind::Decimal | Kind::Time) {
            return Err(ServiceError::bad(name, "is for numbers and times"));
        }
        return Ok(Some(Filter { field, test: to_test(parse_value(field, name, parameter.one()?)?) }));
    }
    if let Some(bare) = name.strip_prefix("like_") {
        let field = filterable(resource.field(bare), name)?;
        if !matches!(field.kind, Kind::Text | Kind::Word) {
            return Err(ServiceError::bad(name, "is for text"));
        }
        let value = parameter.one()?;
        if value.chars().nth(MAX_PATTERN_CHARACTERS).is_some() {
            let most = format_args!("must have at most {MAX_PATTERN_CHARACTERS} characters");
            return Err(ServiceError::bad(name, most));
        }
        return Ok(Some(Filter { field, test: Test::Like(without_nul(name, value)?.to_owned()) }));
    }
    if let Some(bare) = name.strip_prefix("not_") {
        let field = filterable(resource.field(bare), name)?;
        return Ok(Some(Filter { field, test: Test::NotIn(values(field, parameter)?) }));
    }
    if ALL.iter().any(|other| other.field(name).is_some()) {
        return Err(ServiceError::bad(name, "is no field of this service"));
    }
    Ok(None)
}

fn filterable(field: Option<&'static Field>, name: &str) -> Result<&'static Field, ServiceError> {
    let none = || ServiceError::bad(plain_name(name), "names no field to filter by");
    field.filter(|field| field.column.is_some()).ok_or_else(none)
}

fn split<'v>(value: &'v str, name: &str) -> Result<std::str::Split<'v, char>, ServiceError> {
    if value.matches(',').count() >= MAX_VALUES {
        return Err(ServiceError::bad(name, format_args!("takes at most {MAX_VALUES} values")));
    }
    Ok(value.split(','))
}

/// No text of an object has a NUL, and databases disagree on one in a pattern: to SQLite it is the pattern's end.
fn without_nul<'v>(name: &str, value: &'v str) -> Result<&'v str, ServiceError> {
    match value.contains('\0') {
        true => Err(ServiceError::bad(name, "must have no NUL character")),
        false => Ok(value),
    }
}

fn values(field: &Field, parameter: &Named<'_>) -> Result<Vec<Value>, ServiceError> {
    let name = parameter.name;
    match field.kind {
        Kind::Integer | Kind::Choice(_) | Kind::Word => {
            split(&parameter.list(), name)?.map(|value| parse_value(field, name, value.trim())).collect()
        }
        _ => Ok(vec![parse_value(field, name, parameter.one()?)?]),
    }
}

fn parse_value(field: &Field, name: &str, value: &str) -> Result<Value, ServiceError> {
    let bad = |expected: &str| Err(ServiceError::bad(name, format_args!("must be {expected}")));
    // Space around text may be part of it.
    let value = if field.kind == Kind::Text { value } else { value.trim() };
    match field.kind {
        Kind::Integer => {
            lenient::integer(value).map_or_else(|| bad("an integer"), |number| Ok(Value::Integer(number)))
        }
        Kind::Decimal => match value.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Decimal(number)),
            _ => bad("a number"),
        },
        Kind::Flag => match value.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            _ => bad("true or false"),
        },
        Kind::Time => match time::parse_utc(value).and_then(|unix_ms| i64::try_from(unix_ms).ok()) {
            Some(unix_ms) => Ok(Value::Integer(unix_ms)),
            None => bad("a time, YYYY-MM-DD HH:MM:SS"),
        },
        Kind::Choice(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
            Some(&word) => Ok(word.into()),
            None => bad(&format!("one of {}", words.join(", "))),
        },
        Kind::Text | Kind::Word => Ok(without_nul(name, value)?.into()),
        Kind::Nested => bad("left out"),
    }
}
