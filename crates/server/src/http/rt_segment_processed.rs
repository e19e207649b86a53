//! `GET /rt-segment-processed`

use super::caller::Caller;
use super::envelope::json;
use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::limits::ReadRoute;
use crate::usage::{self, Range, Report};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Envelope {
    response: Answer,
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    report: Report,
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Result<Response, ApiError> {
    let now_ms = app.clock.now_ms();
    app.limits.take_read(ReadRoute::Processed, caller.0.member, &app.snapshot.load(), now_ms)?;
    let member = caller.member(query.member_id()?)?;
    let range = Range::parse(query.get_even_empty("start"), query.get_even_empty("end"), now_ms)?;
    let report = usage::report(&app.usage, member, range, query.flag("agg")?).await?;
    Ok(json(&Envelope { response: Answer { status: "OK", report } }))
}
