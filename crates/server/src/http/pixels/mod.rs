//! The pixels: routes that web pages call from browsers. They take no token; the browser's id is in a cookie.
//!
//! A call is counted against its rates first, then its cookie is read, then the whole query, redirect included, before
//! anything is written. Without consent ([`ConsentParameters`]) a call is answered as always, but writes nothing and sets
//! no cookie; `/optout` works all the same. The routes are in the router and in the OpenAPI document only if pixels are on.

mod getuid;
mod mapuid;
mod optout;
mod seg;

use super::client::Client;
use super::error::ApiError;
use super::openapi;
use crate::http::Http;
use crate::pixels::{Browser, ConsentParameters, IdCookie, Pixels};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ia_engine::pixels::PixelWriter;
use ia_model::UserKey;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A transparent image of one pixel.
const GIF: &[u8; 43] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00\x21\xf9\x04\x01\x00\x00\x00\x00\
    \x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The routes, for a server with pixels switched on.
pub(super) fn routes() -> OpenApiRouter<Arc<Http>> {
    let routes = OpenApiRouter::new()
        .routes(routes!(getuid::getuid))
        .routes(routes!(getuid::getuidnb))
        .routes(routes!(getuid::getuidu))
        .routes(routes!(getuid::getuidj))
        .routes(routes!(getuid::getuidp))
        .routes(routes!(mapuid::get))
        .routes(routes!(seg::get))
        .routes(routes!(optout::get, optout::post));
    openapi::pixels(routes)
}

/// A call within the rates. Extracting it refuses a call over them.
struct Call {
    http: Arc<Http>,
    client: Client,
    cookie: IdCookie,
    /// The browser sent Global Privacy Control.
    gpc: bool,
}

impl FromRequestParts<Arc<Http>> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Call, ApiError> {
        let pixels = http.pixels.as_ref().ok_or_else(ApiError::no_such_service)?;
        let client = *parts.extensions.get::<Client>().ok_or_else(ApiError::internal_without_cause)?;
        pixels.take_request(client.address, http.engine.clock.now_ms())?;
        let cookie = IdCookie::read(cookies(&parts.headers));
        let gpc = parts.headers.get_all("sec-gpc").iter().any(|value| value.as_bytes().trim_ascii() == b"1");
        Ok(Call { http: Arc::clone(http), client, cookie, gpc })
    }
}

impl Call {
    fn pixels(&self) -> &Pixels {
        self.http.pixels.as_ref().expect("there is no call without pixels")
    }

    fn writer(&self) -> &PixelWriter {
        &self.http.engine.pixels
    }

    /// The calling browser, or the one without consent if `parameters` or its headers refuse.
    fn browser_with(&self, parameters: &ConsentParameters) -> Result<Browser, ApiError> {
        match self.pixels().options.consent.refusal(&parameters.signals(self.gpc)) {
            Some(refusal) => {
                tracing::debug!(?refusal, "a pixel is answered without consent");
                Ok(Browser::WITHOUT_CONSENT)
            }
            None => self.browser(),
        }
    }

    /// The calling browser, whether it consents or not; without an id it gets one.
    fn browser(&self) -> Result<Browser, ApiError> {
        let is_suppressed = |user: &UserKey| self.writer().is_suppressed(user);
        Browser::of(self.cookie, is_suppressed).map_err(|error| ApiError::internal(&error))
    }

    /// Counts a call whose browser has no user to write about.
    fn not_written(&self, browser: Browser) {
        if browser.cookie().is_some() {
            self.http.engine.metrics.pixel_ignored("opted_out");
        }
    }

    /// An answer to `browser` that renews its id cookie. Without consent there is no cookie, and the call is counted.
    fn answer(&self, browser: Browser, content_type: &'static str, body: impl IntoResponse) -> Response {
        let mut response = body.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.finish(browser, response)
    }

    fn redirect(&self, browser: Browser, target: &str) -> Result<Response, ApiError> {
        let mut response = StatusCode::FOUND.into_response();
        let target = HeaderValue::from_str(target).map_err(|error| ApiError::internal(&error))?;
        response.headers_mut().insert(header::LOCATION, target);
        Ok(self.finish(browser, response))
    }

    fn finish(&self, browser: Browser, mut response: Response) -> Response {
        let headers = response.headers_mut();
        match browser.cookie() {
            Some(id) => add_cookie(headers, &self.pixels().options.cookies.set_id(id, self.client.is_secure)),
            None => self.http.engine.metrics.pixel_ignored("consent"),
        }
        forbid_caching(headers);
        response
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok())
}

fn add_cookie(headers: &mut HeaderMap, cookie: &str) {
    let cookie = HeaderValue::from_str(cookie).expect("cookies are plain ASCII");
    headers.append(header::SET_COOKIE, cookie);
}

/// No cache may keep an answer to one browser, and no browser may guess another content type.
fn forbid_caching(headers: &mut HeaderMap) {
    const NOSNIFF: (HeaderName, HeaderValue) =
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NOSNIFF.0, NOSNIFF.1);
}
