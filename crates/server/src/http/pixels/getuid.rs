//! `GET /getuid` and its variants: they give the browser's id to a server on the list, or to the page.

use super::{Call, GIF, JAVASCRIPT};
use crate::http::error::ApiError;
use crate::http::openapi::{BrowserId, ConsentQuery, PixelFailures, Redirect};
use crate::http::query::Query;
use crate::pixels::{self, BadTarget, Browser, ConsentParameters, TargetEncoding};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;

/// Tell a server the browser's id
///
/// The whole query is the target URL, plain or with one layer of percent-encoding, which is removed. `$UID` in it
/// is replaced by the id; without `$UID` the id is appended. A browser without an id gets one; the id of a browser that
/// has opted out is 0. Parameters about consent (see `/getuidj`) are read from the target URL, and behind it. Without
/// consent the id is 0.
#[utoipa::path(get, path = "/getuid", operation_id = "redirect_with_id", responses(Redirect, PixelFailures))]
pub(super) async fn getuid(call: Call, uri: Uri) -> Result<Response, ApiError> {
    redirect(&call, &uri, TargetEncoding::Encoded).await
}

/// Tell a server the browser's id, unless it has none
///
/// Like `/getuid`, but a browser whose id is 0 is not redirected.
#[utoipa::path(get, path = "/getuidnb", operation_id = "redirect_with_id_if_any", responses(
    (status = 200, description = "One transparent pixel: the browser has opted out, or there is no consent", body = String, content_type = "image/gif", headers(("Set-Cookie" = String, description = "`uuid2=…`"))),
    Redirect,
    PixelFailures,
))]
pub(super) async fn getuidnb(call: Call, uri: Uri) -> Result<Response, ApiError> {
    let browser = redirected(&call, &uri, TargetEncoding::Encoded)?;
    // A bad URL is an error for every browser.
    let target = target(&call, browser, &uri, TargetEncoding::Encoded)?;
    if browser.public_id() == 0 {
        return Ok(call.answer(browser, "image/gif", &GIF[..]));
    }
    seen(&call, browser).await?;
    call.redirect(browser, &target)
}

/// Tell a server the browser's id, with the URL kept as it is
///
/// Like `/getuid`, but percent-encoded parts of the URL stay encoded.
#[utoipa::path(
    get,
    path = "/getuidu",
    operation_id = "redirect_with_id_encoded",
    responses(Redirect, PixelFailures)
)]
pub(super) async fn getuidu(call: Call, uri: Uri) -> Result<Response, ApiError> {
    redirect(&call, &uri, TargetEncoding::AsIs).await
}

/// The browser's id as JSON
///
/// Pages of origins that the operator has named may read it with the browser's cookie: the answer to them has
/// `Access-Control-Allow-Origin` and `Access-Control-Allow-Credentials`.
#[utoipa::path(get, path = "/getuidj", operation_id = "id_as_json", params(ConsentQuery), responses(
    (status = 200, description = "Its id", body = BrowserId, headers(("Vary" = String, description = "`Origin`"))),
    PixelFailures,
))]
pub(super) async fn getuidj(call: Call, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let browser = call.browser_with(&ConsentParameters::of(uri.query().unwrap_or_default())?)?;
    seen(&call, browser).await?;
    let body = format!("{{\"uid\":{}}}", browser.public_id());
    let mut response = call.answer(browser, "application/json", body);
    let answered = response.headers_mut();
    answered.insert(header::VARY, HeaderValue::from_static("Origin"));
    let origin = headers.get(header::ORIGIN).filter(|sent| {
        let sent = sent.to_str().unwrap_or_default();
        call.pixels().options.cors_origins.iter().any(|origin| origin.is(sent))
    });
    if let Some(origin) = origin {
        answered.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answered.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The browser's id as JavaScript
///
/// A call of the function `callback` with `{"uid": …}`.
#[utoipa::path(get, path = "/getuidp", operation_id = "id_as_javascript",
    params(("callback" = String, Query, pattern = r"^[A-Za-z_$][A-Za-z0-9_$.]{0,63}$", description = "The name of a function"), ConsentQuery),
    responses(
        (status = 200, description = "The call", body = String, content_type = "text/javascript; charset=utf-8"),
        PixelFailures,
    ))]
pub(super) async fn getuidp(call: Call, uri: Uri, query: Query<'static>) -> Result<Response, ApiError> {
    let callback = pixels::callback(query.get("callback")?)?;
    let browser = call.browser_with(&ConsentParameters::of(uri.query().unwrap_or_default())?)?;
    seen(&call, browser).await?;
    // The comment at the start keeps programs from taking the answer for a file of another type.
    let body = format!("/**/{callback}({{\"uid\":{}}});", browser.public_id());
    Ok(call.answer(browser, JAVASCRIPT, body))
}

/// Sends the browser on, with its id.
async fn redirect(call: &Call, uri: &Uri, encoding: TargetEncoding) -> Result<Response, ApiError> {
    let browser = redirected(call, uri, encoding)?;
    let target = target(call, browser, uri, encoding)?;
    seen(call, browser).await?;
    call.redirect(browser, &target)
}

/// Makes the browser's user known, which matters in strict mode.
async fn seen(call: &Call, browser: Browser) -> Result<(), ApiError> {
    if let Some(user) = browser.user() {
        call.writer().seen(&user).await?;
    }
    Ok(())
}

/// The browser that is to be redirected.
fn redirected(call: &Call, uri: &Uri, encoding: TargetEncoding) -> Result<Browser, ApiError> {
    call.browser_with(&ConsentParameters::of_target(uri.query().unwrap_or_default(), encoding)?)
}

/// The URL of the redirect.
fn target(call: &Call, browser: Browser, uri: &Uri, encoding: TargetEncoding) -> Result<String, BadTarget> {
    let hosts = &call.pixels().options.redirect_hosts;
    pixels::target(uri.query().unwrap_or_default(), encoding, browser.public_id(), hosts)
}
