//! `POST /rt-segment`

use super::body::{self, BodyLimits, HeldBody};
use super::caller::Caller;
use super::envelope::{RequestInfo, json_bytes};
use super::error::ApiError;
use super::query::Query;
use crate::app::App;
use crate::ingest::decode::Encoding;
use crate::ingest::structure::StructureLimits;
use crate::ingest::{self, Prepared};
use crate::limits::RequestLimits;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use ia_model::{MemberId, Record};
use std::sync::Arc;

/// Bodies larger than this are read on the blocking pool, a bounded number at once: an async worker that
/// parses a megabyte answers nobody else meanwhile.
const LARGE_BODY_BYTES: usize = 64 << 10;

pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(info): Extension<RequestInfo>,
    caller: Result<Caller, ApiError>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let request_id = Arc::clone(&info.id);
    let work = match admit(&app, info, caller, &query) {
        Ok(work) => work,
        Err(error) => return Err(body::refuse(body, app.body_timeout, error).await),
    };
    let (member, limits) = (work.member, work.limits);
    let body = body::read(&headers, body, BodyLimits::new(limits.payload_bytes, &app)).await?;
    let prepared = if body.raw.bytes.len() > LARGE_BODY_BYTES || body.raw.encoding == Encoding::Gzip {
        let _permit = app.large_requests.acquire().await.expect("the semaphore is never closed");
        let task = tokio::task::spawn_blocking(move || work.prepare(body));
        task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    } else {
        work.prepare(body)
    }?;
    app.limits.take_users(member, prepared.users, &limits, app.clock.now_ms())?;
    app.metrics.dropped(&prepared.dropped);
    if let Some(ingest) = prepared.ingest {
        let committed = app.committer.commit(Record::Ingest(ingest)).await?;
        app.metrics.committed(&committed);
        tracing::debug!(%request_id, %member, position = committed.position, "committed");
    }
    Ok(json_bytes(prepared.answer))
}

/// All that is decided before the body is read: who calls, may it write, is it within its rate.
fn admit(
    app: &Arc<App>,
    info: RequestInfo,
    caller: Result<Caller, ApiError>,
    query: &Query,
) -> Result<Work, ApiError> {
    let caller = caller?;
    caller.may_change()?;
    let member = caller.0.member;
    let limits = app.limits.of(&app.snapshot.load(), member);
    app.limits.take_post(member, &limits, app.clock.now_ms())?;
    Ok(Work { app: Arc::clone(app), member, limits, info, verbose: query.flag("verbose")? })
}

/// All that reading a body needs, in one piece that can move to another thread.
struct Work {
    app: Arc<App>,
    member: MemberId,
    limits: RequestLimits,
    info: RequestInfo,
    verbose: bool,
}

impl Work {
    fn prepare(self, body: HeldBody) -> Result<Prepared, ApiError> {
        let bytes = body.decode()?;
        let request = ingest::Request {
            snapshot: &self.app.snapshot.load(),
            member: self.member,
            now_ms: self.app.clock.now_ms(),
            request_id: &self.info.id,
            limits: StructureLimits {
                users_per_request: self.limits.users_per_request as usize,
                segments_per_user: self.limits.segments_per_user as usize,
            },
            expiration: self.app.expiration,
            verbose: self.verbose,
        };
        Ok(ingest::prepare(&bytes, &request)?)
    }
}
