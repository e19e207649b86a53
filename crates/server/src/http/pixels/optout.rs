//! `/optout`: a page on which a person opts out, or in again.

use super::{Call, add_cookie, cookies, forbid_caching};
use crate::http::body;
use crate::http::error::ApiError;
use crate::http::openapi::{Forbidden, OptOutForm, PixelFailures, TooLarge};
use crate::pixels::{self, Choice, FORM_COOKIE, FormToken};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

/// A form is small.
const MAX_FORM_BYTES: u32 = 4 << 10;

/// The page loads nothing and runs nothing, and no other page may show it in a frame to trick people into a click.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The page on which a person opts out
#[utoipa::path(get, path = "/optout", operation_id = "opt_out_page", responses(
    (status = 200, description = "Whether this browser is known, and a button to change that", body = String, content_type = "text/html; charset=utf-8", headers(
        ("Set-Cookie" = String, description = "`ia_optout=…; Path=/optout; HttpOnly; SameSite=Strict`, which the form must come with"),
        ("Content-Security-Policy" = String, description = "Nothing is loaded, and no other page shows it in a frame"),
    )),
))]
pub(super) async fn get(call: Call, headers: HeaderMap) -> Result<Response, ApiError> {
    let token = match FormToken::of(cookies(&headers)) {
        Some(token) => token,
        None => FormToken::new().map_err(|error| ApiError::internal(&error))?,
    };
    let is_out = call.is_out()?;
    let cookie =
        call.pixels().options.cookies.set_own(FORM_COOKIE, token.as_str(), "/optout", call.client.is_secure);
    Ok(page(is_out, &token, &cookie))
}

/// Opt out, or in again
///
/// Sent by the form of the page, with the page's cookie. Opting out deletes the browser's id and everything stored
/// under it; opting in gives a new id.
#[utoipa::path(post, path = "/optout", operation_id = "opt_out",
    request_body(content = OptOutForm, content_type = "application/x-www-form-urlencoded"), responses(
        (status = 200, description = "The page, with the new state", body = String, content_type = "text/html; charset=utf-8", headers(
            ("Set-Cookie" = String, description = "`uuid2=…`: 0 for a browser that has opted out"),
            ("Content-Security-Policy" = String, description = "Nothing is loaded, and no other page shows it in a frame"),
        )),
        PixelFailures,
        Forbidden,
        TooLarge,
    ))]
pub(super) async fn post(call: Call, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let (body, _reservation) = body::read(&call.http, &headers, body, MAX_FORM_BYTES).await?.decode()?;
    let sent_from = headers.get("sec-fetch-site").map(|site| site.to_str().unwrap_or_default());
    let token = FormToken::of(cookies(&headers));
    let (choice, token) = Choice::read(&body, token, sent_from)?;
    let browser = pixels::choose(call.writer(), call.cookie, choice).await?;
    // A choice always has a cookie.
    let id = browser.cookie().unwrap_or_default();
    let cookie = call.pixels().options.cookies.set_id(id, call.client.is_secure);
    Ok(page(choice == Choice::Out, &token, &cookie))
}

impl Call {
    /// Whether the browser or its user has opted out. A browser without an id does not get one here.
    fn is_out(&self) -> Result<bool, ApiError> {
        Ok(self.browser()?.user().is_none())
    }
}

fn page(is_out: bool, token: &FormToken, cookie: &str) -> Response {
    let (state, button, choice) = if is_out {
        (
            "This browser has opted out. It has no id here, and nothing is stored about it.",
            "Opt in again",
            "in",
        )
    } else {
        (
            "This browser has not opted out. It may have an id here, under which companies keep what interests you.",
            "Opt out",
            "out",
        )
    };
    let token = token.as_str();
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Your choice</title>\n<style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:4em auto;padding:0 1em}}\
         button{{font:inherit;padding:.5em 1em}}</style>\n<h1>Your choice</h1>\n<p id=\"state\">{state}</p>\n\
         <form method=\"post\" action=\"/optout\">\n<input type=\"hidden\" name=\"token\" value=\"{token}\">\n\
         <button name=\"choice\" value=\"{choice}\">{button}</button>\n</form>\n\
         <p>The choice is kept in a cookie: it holds for this browser, until its cookies are deleted.</p>\n</html>\n"
    );
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    add_cookie(headers, cookie);
    forbid_caching(headers);
    response
}
