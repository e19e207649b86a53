//! The caller of a request: its token, and the login of the token.

use super::error::ApiError;
use crate::http::Http;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use ia_catalog::{Login, UserType};
use ia_engine::limits::ReadRoute;
use ia_engine::parameters::{self, Repeated};
use ia_model::MemberId;
use std::borrow::Cow;
use std::sync::Arc;

/// The cookie that carries a token.
pub(crate) const TOKEN_COOKIE: &str = "ia_token";

/// The login of a valid token. Extracting it refuses a request without one.
pub(crate) struct Caller(pub(crate) Login);

impl Caller {
    /// The login of a request, found in its headers and its target.
    pub(crate) fn of(http: &Http, headers: &HeaderMap, uri: &Uri) -> Result<Caller, ApiError> {
        let token = token(headers, uri.query())?
            .ok_or_else(|| ApiError::unauthenticated("A token is required; log in at /auth"))?;
        Ok(Caller(http.engine.catalog.tokens.check(&token, http.engine.clock.now_ms())?))
    }

    /// Whether it sees the memberships of every member.
    pub(crate) fn sees_all(&self) -> bool {
        matches!(self.0.user_type, UserType::Bidder | UserType::Admin)
    }

    /// The member of a request: the named one, or else the caller's own. Only admins may name another.
    pub(crate) fn member(&self, named: Option<MemberId>) -> Result<MemberId, ApiError> {
        match named {
            None => Ok(self.0.member),
            Some(member) if member == self.0.member || self.0.user_type == UserType::Admin => Ok(member),
            Some(_) => Err(ApiError::forbidden("This member is not yours")),
        }
    }

    /// Counts a read against the rate of the caller's member.
    pub(crate) fn take_read(&self, http: &Http, route: ReadRoute, now_ms: u64) -> Result<(), ApiError> {
        let snapshot = http.engine.catalog.snapshot();
        Ok(http.engine.limits.take_read(route, self.0.member, &snapshot, now_ms)?)
    }

    /// Refuses a caller that is not an admin.
    pub(crate) fn must_be_admin(&self) -> Result<(), ApiError> {
        match self.0.user_type {
            UserType::Admin => Ok(()),
            UserType::Member | UserType::Bidder => Err(ApiError::forbidden("This is for admins")),
        }
    }

    /// Refuses a login that may only read.
    pub(crate) fn may_change(&self) -> Result<(), ApiError> {
        if self.0.read_only { Err(ApiError::forbidden("This login may only read")) } else { Ok(()) }
    }
}

impl FromRequestParts<Arc<Http>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Caller, ApiError> {
        Caller::of(http, &parts.headers, &parts.uri)
    }
}

/// The token of a request: from the `Authorization` header, with or without `Bearer`, or else from the query, or else
/// from the cookie.
fn token<'r>(headers: &'r HeaderMap, query: Option<&'r str>) -> Result<Option<Cow<'r, str>>, Repeated> {
    let in_header = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = parameters::only("Authorization", in_header)? {
        // A value that is not text becomes an unknown token.
        let value = value.to_str().unwrap_or("?").trim();
        let token = match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => value,
        };
        if !token.is_empty() {
            return Ok(Some(token.into()));
        }
    }
    let in_query = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter_map(|(name, value)| (name == "access_token" && !value.is_empty()).then_some(value));
    let in_query = parameters::only("access_token", in_query)?;
    Ok(in_query.or_else(|| {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| (name == TOKEN_COOKIE && !value.is_empty()).then_some(value.into()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(headers: &[(&'static str, &'static str)], query: &str) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        token(&map, Some(query)).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn two_different_tokens_in_one_place_are_refused() {
        let mut headers = HeaderMap::new();
        let query = Some("access_token=a&access_token=&access_token=b");
        assert!(token(&headers, query).unwrap_err().to_string().contains("'access_token'"));
        assert_eq!(token(&headers, Some("access_token=a&access_token=a")).unwrap().unwrap(), "a");
        for (value, is_clear) in [("x", true), ("x", true), ("y", false)] {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(token(&headers, query).is_ok(), is_clear, "{value}");
        }
    }

    #[test]
    fn a_token_is_found_in_four_places_in_their_order() {
        let header = ("authorization", "hbapi:1:h:x");
        let cookie = ("cookie", "a=b; ia_token=hbapi:1:c:x; c=d");
        let query = "verbose=true&access_token=hbapi%3A1:q:x";
        assert_eq!(token_of(&[header, cookie], query).unwrap(), "hbapi:1:h:x");
        assert_eq!(
            token_of(&[("authorization", "bearer  hbapi:1:b:x"), cookie], query).unwrap(),
            "hbapi:1:b:x"
        );
        assert_eq!(token_of(&[cookie], query).unwrap(), "hbapi:1:q:x");
        assert_eq!(token_of(&[cookie], "").unwrap(), "hbapi:1:c:x");
        assert_eq!(token_of(&[("authorization", "  ")], "access_token="), None);
        assert_eq!(
            token_of(&[("authorization", "Basic abc")], query).unwrap(),
            "Basic abc",
            "no falling through"
        );
    }
}
