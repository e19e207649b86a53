//! `GET /mapuid`

use super::{Call, GIF};
use crate::http::envelope::RequestInfo;
use crate::http::error::ApiError;
use crate::http::openapi::{ConsentQuery, PixelFailures};
use crate::pixels::{ConsentParameters, Mapping};
use axum::Extension;
use axum::http::Uri;
use axum::response::Response;
use ia_engine::linking::IdsToLink;

/// Link the browser's id to ids of a member and to extended ids
///
/// A link lasts for a time that the operator has set, from its last call on. Reads of the browser's id include
/// everything stored under these ids, before or after the call. For a browser that has opted out, without consent, for a
/// member that does not exist, or for ids of a member that has none of its own, nothing is written; the answer is the
/// same.
#[utoipa::path(get, path = "/mapuid", operation_id = "map_ids", params(
    ("member" = u64, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "The member whose ids they are, and for which segments are written"),
    ("user" = Option<String>, Query, description = "Ids of the member, each of 1 to 255 bytes, with `;` between them; a `;` in an id is `%3B`. With `eid` there are 1 to 20 ids"),
    ("eid" = Option<String>, Query, description = "Extended ids, each its source, a colon and the id, with `;` between them: `liveramp.com:XY1;id5-sync.com:ID5*2`"),
    ("seg" = Option<String>, Query, description = "Ids of segments to put the browser into, each with an optional value: `1,2:5`"),
    ("seg_code" = Option<String>, Query, description = "The same by the member's codes: `sports,travel:5`"),
    ConsentQuery,
), responses(
    (status = 200, description = "One transparent pixel; the writes are durable and visible", body = String, content_type = "image/gif"),
    PixelFailures,
))]
pub(super) async fn get(
    call: Call,
    Extension(info): Extension<RequestInfo>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = uri.query().unwrap_or_default();
    let mapping = Mapping::parse(query)?;
    let browser = call.browser_with(&ConsentParameters::of(query)?)?;
    match browser.cookie_user() {
        Some(user) => {
            let Mapping { member, ids, eids, segments } = &mapping;
            let ids = IdsToLink { own: ids, extended: eids };
            call.writer().map(*member, ids, &info.id, user, segments).await?;
        }
        None => call.not_written(browser),
    }
    Ok(call.answer(browser, "image/gif", &GIF[..]))
}
