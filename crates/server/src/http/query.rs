//! The query of a request, read leniently: unknown names are ignored, and the last of two equal names counts.

use super::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use ia_model::MemberId;
use std::borrow::Cow;
use std::convert::Infallible;

/// Decoded names and values, in the order of the request. A list, because there are few.
pub(crate) struct Query<'u>(Vec<(Cow<'u, str>, Cow<'u, str>)>);

impl<'u> Query<'u> {
    /// The query of a request's target.
    pub(crate) fn of(uri: &'u Uri) -> Query<'u> {
        Query(form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect())
    }

    /// All names and values, in the order of the request.
    pub(crate) fn pairs(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of `name`; an empty value counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.get_even_empty(name).filter(|value| !value.is_empty())
    }

    /// The value of `name`, for parameters whose empty value is an error.
    pub(crate) fn get_even_empty(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find_map(|(own, value)| (own == name).then_some(&**value))
    }

    /// A boolean parameter; absent means false.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, ApiError> {
        self.flag_or(name, false)
    }

    /// A boolean parameter with a default.
    pub(crate) fn flag_or(&self, name: &'static str, absent: bool) -> Result<bool, ApiError> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(absent),
            Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(ApiError::syntax(format!("'{name}' must be true or false"))),
        }
    }

    /// The parameter `member_id`.
    pub(crate) fn member_id(&self) -> Result<Option<MemberId>, ApiError> {
        Ok(self.id("member_id")?.map(MemberId))
    }

    /// A parameter that is one id.
    pub(crate) fn id(&self, name: &'static str) -> Result<Option<u32>, ApiError> {
        self.get(name).map(|text| id(name, text)).transpose()
    }
}

/// Reads an id, which is called `name` in the error.
pub(crate) fn id(name: &'static str, text: &str) -> Result<u32, ApiError> {
    let id = text.parse().ok().filter(|&id| id > 0);
    id.ok_or_else(|| ApiError::syntax(format!("'{name}' must be a positive integer")))
}

impl<S: Sync> FromRequestParts<S> for Query<'static> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<'static>, Infallible> {
        let Query(pairs) = Query::of(&parts.uri);
        let owned =
            pairs.into_iter().map(|(name, value)| (name.into_owned().into(), value.into_owned().into()));
        Ok(Query(owned.collect()))
    }
}
