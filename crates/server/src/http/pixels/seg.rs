//! `GET /seg`

use super::{Call, GIF, JAVASCRIPT};
use crate::http::envelope::RequestInfo;
use crate::http::error::ApiError;
use crate::http::openapi::{ConsentQuery, PixelFailures, PixelType};
use crate::pixels::{ConsentParameters, Reply, SegmentPixel};
use axum::Extension;
use axum::http::Uri;
use axum::response::Response;
use ia_engine::pixels::PixelSegment;

/// Put the browser into segments, take it out
///
/// Works like a `POST /rt-segment` of the member, and counts in its statistics. Up to 100 segments; a segment that is
/// both added and removed is removed. For a browser that has opted out, without consent, or for a member or segment that
/// does not exist, nothing is written; the answer is the same.
#[utoipa::path(get, path = "/seg", operation_id = "segment_pixel", params(
    ("add" = Option<String>, Query, description = "Ids of segments, each with an optional value: `1,2:5`"),
    ("add_code" = Option<String>, Query, description = "The same by the member's codes: `sports,travel:5`"),
    ("remove" = Option<String>, Query, description = "Ids of segments"),
    ("remove_code" = Option<String>, Query, description = "The member's codes"),
    ("member" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "The member for which it writes; required with codes. Absent: the owner of the first segment"),
    ("value" = Option<u64>, Query, maximum = 2_147_483_647_u64, description = "The value for segments without their own"),
    ("redir" = Option<String>, Query, description = "The URL of a redirect, on a host that the operator has named, for all or for this member"),
    ("t" = inline(Option<PixelType>), Query, description = "1 for a `script`, 2 for an `img`, as if absent"),
    ConsentQuery,
), responses(
    (status = 200, description = "One transparent pixel, or JavaScript that does nothing; the writes are durable and visible", content((String = "image/gif"), (String = "text/javascript; charset=utf-8"))),
    (status = 302, description = "A redirect to `redir`; the writes are durable and visible", headers(("Location" = String, description = "The URL of `redir`"))),
    PixelFailures,
))]
pub(super) async fn get(
    call: Call,
    Extension(info): Extension<RequestInfo>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = uri.query().unwrap_or_default();
    let hosts = &call.pixels().options.redirect_hosts;
    let own_hosts = |member, segments: &[PixelSegment]| call.writer().redirect_hosts(member, segments);
    let pixel = SegmentPixel::parse(query, hosts, own_hosts)?;
    let browser = call.browser_with(&ConsentParameters::of(query)?)?;
    match browser.cookie_user() {
        Some(user) => call.writer().write(pixel.member, &info.id, user, &pixel.segments).await?,
        None => call.not_written(browser),
    }
    match &pixel.reply {
        Reply::Gif => Ok(call.answer(browser, "image/gif", &GIF[..])),
        Reply::JavaScript => Ok(call.answer(browser, JAVASCRIPT, "/* */")),
        Reply::Redirect(target) => call.redirect(browser, target),
    }
}
