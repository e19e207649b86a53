//! The query of a request, read leniently: unknown names are ignored.

use super::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use ia_engine::parameters::Parameters;
use ia_model::{MemberId, lenient};
use std::borrow::Cow;
use std::convert::Infallible;

/// The parameters of a request's target.
#[derive(Clone)]
pub(crate) struct Query<'u>(Parameters<'u>);

impl<'u> Query<'u> {
    /// The query of a request's target.
    pub(crate) fn of(uri: &'u Uri) -> Query<'u> {
        Query(form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect())
    }

    /// All of them.
    pub(crate) fn parameters(&self) -> &Parameters<'u> {
        &self.0
    }

    /// The value of a parameter that takes one; an empty value counts as absent. Different values are an error.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, ApiError> {
        Ok(self.0.one(name)?)
    }

    /// The same for parameters whose empty value is an error.
    pub(crate) fn get_even_empty(&self, name: &str) -> Result<Option<&str>, ApiError> {
        Ok(self.0.one_even_empty(name)?)
    }

    /// The value of a parameter that takes a list: all its values, with commas between them.
    pub(crate) fn list(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.list(name, ",")
    }

    /// A boolean parameter; absent means false.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, ApiError> {
        self.flag_or(name, false)
    }

    /// A boolean parameter with a default.
    pub(crate) fn flag_or(&self, name: &'static str, absent: bool) -> Result<bool, ApiError> {
        match self.get(name)?.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
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
        self.get(name)?.map(|text| id(name, text)).transpose()
    }
}

/// Reads an id, which is called `name` in the error.
pub(crate) fn id(name: &'static str, text: &str) -> Result<u32, ApiError> {
    let id = lenient::unsigned(text).filter(|&id| id > 0);
    id.ok_or_else(|| ApiError::syntax(format!("'{name}' must be a positive integer")))
}

impl<S: Sync> FromRequestParts<S> for Query<'static> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<'static>, Infallible> {
        Ok(Query(Query::of(&parts.uri).0.into_owned()))
    }
}
