//! The named values of a request, as a query or a form has them.
//!
//! A parameter that takes a list may be repeated: `id=1&id=2` is `id=1,2`. One that takes a single value may be repeated
//! only with the same value: else it is not known which is meant. Libraries that write lists put brackets behind the
//! name: `id[]=1` and `id[0]=1` are `id=1`.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Decoded names and values, in the order of the request. A list, because there are few. An empty value counts as
/// absent, except in [`Parameters::one_even_empty`] and [`Parameters::has`].
#[derive(Debug, Clone, Default)]
pub struct Parameters<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

/// A parameter that takes one value came with several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' takes one value, and stands there with different ones")]
pub struct Repeated(String);

impl<'q> FromIterator<(Cow<'q, str>, Cow<'q, str>)> for Parameters<'q> {
    fn from_iter<I: IntoIterator<Item = (Cow<'q, str>, Cow<'q, str>)>>(pairs: I) -> Parameters<'q> {
        let without_brackets = |(mut name, value): (Cow<'q, str>, Cow<'q, str>)| {
            match &mut name {
                Cow::Borrowed(name) => *name = plain_name(name),
                Cow::Owned(name) => name.truncate(plain_name(name).len()),
            }
            (name, value)
        };
        Parameters(pairs.into_iter().map(without_brackets).collect())
    }
}

/// A name without the brackets of a list.
pub fn plain_name(name: &str) -> &str {
    let Some((plain, index)) = name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) else {
        return name;
    };
    if index.bytes().all(|byte| byte.is_ascii_digit()) { plain } else { name }
}

impl Parameters<'_> {
    /// The value of a parameter that takes one.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        only(name, self.values(name).filter(|value| !value.is_empty()))
    }

    /// The value of a parameter that takes one, for those whose empty value is an error.
    pub fn one_even_empty(&self, name: &str) -> Result<Option<&str>, Repeated> {
        only(name, self.values(name))
    }

    /// The value of a parameter that takes a list: all its values, with `separator` between them.
    pub fn list(&self, name: &str, separator: &str) -> Option<Cow<'_, str>> {
        joined(self.values(name).filter(|value| !value.is_empty()), separator)
    }

    /// Whether a parameter is there, even without a value.
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Adds a parameter where the request has none of that name.
    pub fn add_absent(&mut self, name: &'static str, value: String) {
        if self.values(name).all(str::is_empty) {
            self.0.push((name.into(), value.into()));
        }
    }

    /// The parameters by name.
    pub fn by_name(&self) -> impl Iterator<Item = Named<'_>> {
        let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            by_name.entry(name).or_default().push(value);
        }
        by_name.into_iter().map(|(name, values)| Named { name, values })
    }

    /// The same without what it borrows.
    pub fn into_owned(self) -> Parameters<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        self.0.into_iter().map(|(name, value)| (owned(name), owned(value))).collect()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| &**value)
    }
}

/// A parameter with all its values, none of them empty.
#[derive(Debug)]
pub struct Named<'p> {
    /// What it is called.
    pub name: &'p str,
    values: Vec<&'p str>,
}

impl<'p> Named<'p> {
    /// Its value, if it takes one.
    pub fn one(&self) -> Result<&'p str, Repeated> {
        Ok(only(self.name, self.values.iter().copied())?.unwrap_or_default())
    }

    /// Its value, if it takes a list: all values, with commas between them.
    pub fn list(&self) -> Cow<'p, str> {
        joined(self.values.iter().copied(), ",").unwrap_or_default()
    }
}

/// The value that all of `values` are.
pub fn only<V: PartialEq>(name: &str, mut values: impl Iterator<Item = V>) -> Result<Option<V>, Repeated> {
    let Some(first) = values.next() else { return Ok(None) };
    if values.all(|value| value == first) { Ok(Some(first)) } else { Err(Repeated(name.to_owned())) }
}

fn joined<'v>(mut values: impl Iterator<Item = &'v str>, separator: &str) -> Option<Cow<'v, str>> {
    let mut all = Cow::Borrowed(values.next()?);
    for value in values {
        let all = all.to_mut();
        all.push_str(separator);
        all.push_str(value);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &'static [(&'static str, &'static str)]) -> Parameters<'static> {
        pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn one_value_is_one_however_often_it_stands_there() {
        let parameters = of(&[("a", "1"), ("b", ""), ("a", "1"), ("a", ""), ("c", "1"), ("c", "01")]);
        assert_eq!(
            (parameters.one("a"), parameters.one("b"), parameters.one("d")),
            (Ok(Some("1")), Ok(None), Ok(None))
        );
        assert_eq!(
            parameters.one("c").unwrap_err().to_string(),
            "'c' takes one value, and stands there with different ones"
        );
        assert_eq!(
            (parameters.one_even_empty("b"), parameters.one_even_empty("d")),
            (Ok(Some("")), Ok(None))
        );
        assert!(parameters.one_even_empty("a").is_err(), "an empty value is a value there");
        assert!(parameters.has("b") && !parameters.has("d"));
    }

    #[test]
    fn brackets_of_lists_are_no_part_of_a_name() {
        for (sent, expected) in [
            ("id[]", "id"),
            ("id[12]", "id"),
            ("id", "id"),
            ("id[x]", "id[x]"),
            ("id]", "id]"),
            ("[]", ""),
            ("a[b][]", "a[b]"),
        ] {
            assert_eq!(plain_name(sent), expected);
            for name in [Cow::Borrowed(sent), Cow::Owned(sent.to_owned())] {
                let parameters: Parameters<'_> = [(name, "1".into())].into_iter().collect();
                assert!(parameters.has(expected), "{sent}");
            }
        }
    }

    #[test]
    fn a_list_is_all_its_values() {
        let mut parameters = of(&[("a", "1,2"), ("b", ""), ("a", ""), ("a", "3")]);
        assert_eq!((parameters.list("a", ",").as_deref(), parameters.list("b", ",")), (Some("1,2,3"), None));
        assert_eq!(parameters.list("a", ";").as_deref(), Some("1,2;3"));
        parameters.add_absent("a", "4".to_owned());
        parameters.add_absent("b", "5".to_owned());
        let all: Vec<_> =
            parameters.by_name().map(|named| (named.name.to_owned(), named.list().into_owned())).collect();
        assert_eq!(all, [("a".to_owned(), "1,2,3".to_owned()), ("b".to_owned(), "5".to_owned())]);
    }
}
