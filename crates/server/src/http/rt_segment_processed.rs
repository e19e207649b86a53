//! `GET /rt-segment-processed`

use super::caller::Caller;
use super::envelope::json_bytes;
use super::error::ApiError;
use super::openapi::{self, Flag, Forbidden, OfMember, ReadFailures, Unavailable};
use super::query::Query;
use crate::http::Http;
use axum::extract::State;
use axum::response::Response;
use ia_engine::held::HeldAnswer;
use ia_engine::limits::ReadRoute;
use ia_engine::usage::{Range, Report};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = ReportAnswer)]
struct Envelope<'r> {
    response: Answer<'r>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReportResponse)]
struct Answer<'r> {
    #[schema(schema_with = openapi::status_ok)]
    status: &'static str,
    report: &'r Report,
}

/// Usage report
///
/// An entry for each hour, or their sum with `agg=true`. Each accepted POST is counted once, and a report that starts
/// after its answer includes it.
#[utoipa::path(get, path = "/rt-segment-processed", operation_id = "usage_report", tag = "usage", params(
    ("start" = Option<String>, Query, description = "`YYYY-MM-DD HH:MM:SS`, UTC; a `T` or a missing time is taken too. The hour that it lies in is included. Two weeks before the end if absent"),
    ("end" = Option<String>, Query, description = "As `start`; now if absent"),
    ("agg" = inline(Option<Flag>), Query, description = "Whether to sum up"),
    OfMember,
), responses(
    (status = 200, description = "The report", body = Envelope),
    ReadFailures,
    Forbidden,
    Unavailable,
))]
pub(super) async fn get(
    State(http): State<Arc<Http>>,
    caller: Caller,
    query: Query<'static>,
) -> Result<Response, ApiError> {
    let now_ms = http.engine.clock.now_ms();
    caller.take_read(&http, ReadRoute::Processed, now_ms)?;
    let member = caller.member(query.member_id()?)?;
    let range = Range::parse(query.get_even_empty("start")?, query.get_even_empty("end")?, now_ms)?;
    let aggregate = query.flag("agg")?;
    let report = http.engine.reports.report(member, range, aggregate).await?;
    let reservation = http.body_budget.share();
    // Hundreds of hours with hundreds of lines are too much for an async worker.
    let work = &http.engine.large_work;
    let permit = work.permit(!aggregate).await;
    let answer = work
        .run(permit, move || {
            let answer =
                serde_json::to_vec(&Envelope { response: Answer { status: "OK", report: &report.report } });
            HeldAnswer::new(answer.expect("answers hold nothing that JSON cannot say"), reservation)
        })
        .await?;
    Ok(json_bytes(answer.into_bytes()))
}
