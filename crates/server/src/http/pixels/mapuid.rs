//! `GET /mapuid`

use super::{Call, GIF};
use crate::http::envelope::RequestInfo;
use crate::http::error::ApiError;
use crate::http::openapi::{BadRequest, TooManyRequests, Unavailable};
use crate::pixels::Mapping;
use axum::Extension;
use axum::http::Uri;
use axum::response::Response;

/// Link the browser's id to ids of a member
///
/// The links last as long as the operator has set, from the last call on. What was stored under an id of the member,
/// before or after, is joined by reads of the browser's id. Nothing is written for a browser that has opted out, nor for
/// a member that there is not or that has no ids of its own; the answer is the same.
#[utoipa::path(
    get,
    path = "/mapuid",
    operation_id = "map_ids",
    tag = "pixels",
    security(()),
    params(
        ("member" = u64, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "Whose ids they are, and in whose name segments are written"),
        ("user" = String, Query, min_length = 1, description = "1 to 20 ids of 1 to 255 bytes, with `;` between them"),
        ("seg" = Option<String>, Query, description = "Ids of segments to put the browser into, each with an optional value: `1,2:5`"),
        ("seg_code" = Option<String>, Query, description = "The same by the member's codes: `sports,travel:5`"),
    ),
    responses(
        (status = 200, description = "One transparent pixel; what was to be written is durable and visible", body = String, content_type = "image/gif", headers(
            ("Set-Cookie" = String, description = "`uuid2=…`, the browser's id"),
            ("Cache-Control" = String, description = "`no-store`"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
        )),
        BadRequest,
        TooManyRequests,
        Unavailable,
    )
)]
pub(super) async fn get(
    call: Call,
    Extension(info): Extension<RequestInfo>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mapping = Mapping::parse(uri.query().unwrap_or_default())?;
    let browser = call.browser()?;
    match browser.named() {
        Some(user) => {
            let Mapping { member, ids, segments } = &mapping;
            call.writer().map(*member, ids, &info.id, user, segments).await?;
        }
        None => call.http.engine.metrics.pixel_ignored("opted_out"),
    }
    Ok(call.answer(browser, "image/gif", &GIF[..]))
}
