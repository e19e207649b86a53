//! `/batch-segment` and `/segment-upload`: the jobs of files, and their uploads.

use super::body;
use super::caller::Caller;
use super::client::Client;
use super::envelope::{RequestInfo, json_bytes};
use super::error::ApiError;
use super::openapi::{
    BatchJobAnswer, Conflict, FileFailures, FileTooLarge, Forbidden, NotFound, OfMember, TooManyFiles,
    UploadAnswer, UploadFailures, UploadTooSlow,
};
use super::page::BodyPage;
use super::service::ServiceCall;
use crate::http::Http;
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use ia_catalog::UserType;
use ia_catalog::file_jobs::FileJob;
use ia_catalog::listing::Page;
use ia_engine::files::FileError;
use ia_engine::services::AnswerObject;
use ia_engine::services::file_job::{FileJobs, ShownJob};
use ia_model::time::format_utc;
use ia_model::{MemberId, SegmentId};
use serde_json::json;
use std::sync::Arc;

/// The parameters that the service reads itself.
const OWN: [&str; 3] = ["member_id", "job_id", "array"];

/// The key of a job in answers.
const TERM: &str = "batch_segment_upload_job";

/// What a body may have that is not looked at.
const MAX_IGNORED_BYTES: u32 = 1 << 20;

/// A new job for a file
///
/// The file is then sent to `upload_url`, within 5 minutes. Whoever knows that URL may send it. A body is ignored.
#[utoipa::path(post, path = "/batch-segment", operation_id = "create_batch_job", tag = "catalog",
    params(
        OfMember,
        ("replace" = Option<u32>, Query, minimum = 1, description = "A segment. When the file is completed, who was in it before the job and is not in the file is out, all at once"),
    ),
    responses(
        (status = 200, description = "The job", body = BatchJobAnswer),
        FileFailures, Forbidden, TooManyFiles,
    ))]
pub(super) async fn post(
    call: ServiceCall,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let http = Arc::clone(&call.http);
    let member = call.caller.member(call.query.member_id()?)?;
    if http.engine.catalog.snapshot().member(member).is_none() {
        // Only an admin can name one that is not there.
        return Err(ApiError::no_such_object("member"));
    }
    let replaced = call.query.id("replace")?.map(SegmentId);
    if let Some(segment) = replaced {
        may_replace(&http, member, segment)?;
    }
    // Read, so that the connection can go on.
    let _ignored = body::read(&http, &head.headers, body, MAX_IGNORED_BYTES).await?;
    let job = http.engine.files.create(member, replaced).await?;
    let shown = json!({
        "id": job.id,
        "job_id": job.job_id,
        "member_id": job.member.0,
        "last_modified": format_utc(job.modified_ms),
        "upload_url": upload_url(&http, client, &head, &job),
    });
    let numbers = [("id", job.id), ("start_element", 0), ("count", 1), ("num_elements", 100)];
    Ok(call.answer(&numbers, TERM, &shown, &[]))
}

/// Jobs of files
///
/// With `job_id` that job, otherwise those of the last 30 days, the newest first.
#[utoipa::path(get, path = "/batch-segment", operation_id = "list_batch_jobs",
    params(
        OfMember,
        ("job_id" = Option<String>, Query, description = "Which one; it is answered as one object"),
        ("array" = Option<String>, Query, description = "true: one job is answered as an array of one"),
    ),
    responses(Forbidden, NotFound))]
pub(super) async fn get(
    call: ServiceCall,
    headers: HeaderMap,
    uri: Uri,
    page: BodyPage,
) -> Result<Response, ApiError> {
    let member = call.caller.member(call.query.member_id()?)?;
    let files = &call.http.engine.files;
    let error_lines = files.error_lines(member).await?;
    let now_ms = call.http.engine.clock.now_ms();
    let show = |job: FileJob| ShownJob { job, error_lines, now_ms }.shown();
    let request = call.list_request::<FileJobs>(&OWN, page)?;
    let numbers = |count: u64| {
        let query = &request.query;
        [
            ("count", count),
            ("start_element", query.start_element.into()),
            ("num_elements", query.num_elements.into()),
        ]
    };
    let Some(job_id) = call.query.get("job_id")? else {
        let Page { items, count } = files.list(member, &request.query).await?;
        let shown: Vec<AnswerObject> = items.into_iter().map(|job| request.fields.of(show(job))).collect();
        return Ok(call.answer(&numbers(count), TERM, &shown, &[]));
    };
    let job = files.job(job_id.trim()).await?.filter(|job| job.member == member);
    let job = job.ok_or_else(|| ApiError::no_such_object("job"))?;
    let shown = request.fields.of(show(job));
    let is_array = call.query.flag("array")? || call.http.is_array_host(host(&headers, &uri));
    Ok(match is_array {
        true => call.answer(&numbers(1), TERM, &[shown], &[]),
        false => call.answer(&numbers(1), TERM, &shown, &[]),
    })
}

/// Sends the file of a job
///
/// To the `upload_url` of the job. OK means that the file is on stable storage and will be applied. The same bytes
/// again are answered OK and change nothing. Any `Content-Type` will do; gzip is found by its bytes.
#[utoipa::path(post, path = "/segment-upload/{job_id}", operation_id = "upload_batch_file", tag = "files",
    security(()),
    params(("job_id" = String, Path, description = "The `job_id`, which is as good as a token for this")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The file is there", body = UploadAnswer),
        UploadFailures, Forbidden, NotFound, Conflict, FileTooLarge, TooManyFiles, UploadTooSlow,
    ))]
pub(super) async fn upload(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    job_id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    receive(&http, &info, job_id, request).await
}

/// Sends the file of a job
///
/// The same as the `POST`.
#[utoipa::path(put, path = "/segment-upload/{job_id}", operation_id = "put_batch_file", tag = "files",
    security(()),
    params(("job_id" = String, Path, description = "The `job_id`, which is as good as a token for this")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The file is there", body = UploadAnswer),
        UploadFailures, Forbidden, NotFound, Conflict, FileTooLarge, TooManyFiles, UploadTooSlow,
    ))]
pub(super) async fn upload_by_put(
    State(http): State<Arc<Http>>,
    Extension(info): Extension<RequestInfo>,
    job_id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    receive(&http, &info, job_id, request).await
}

async fn receive(
    http: &Arc<Http>,
    info: &RequestInfo,
    job_id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let files = &http.engine.files;
    // What is not even text is no id of a job.
    let Path(job_id) = job_id.map_err(|_| FileError::not_found())?;
    let job = files.job(&job_id).await?.ok_or_else(FileError::not_found)?;
    must_not_be_of_another(http, &head, &job)?;
    files.receive(&job, length(&head.headers), body.into_data_stream()).await?;
    let write = |out: &mut Vec<u8>| {
        serde_json::to_writer(out, &json!({"job_id": job.job_id})).expect("a text is JSON");
    };
    Ok(json_bytes(info.success(http, "segment_upload", write)))
}

/// The path is the credential. A good token of another member says that something is mixed up.
fn must_not_be_of_another(http: &Http, head: &Parts, job: &FileJob) -> Result<(), ApiError> {
    let caller = Caller::of(http, &head.headers, &head.uri).ok();
    let is_of_another =
        |caller: &Caller| caller.0.member != job.member && caller.0.user_type != UserType::Admin;
    match caller {
        Some(caller) if is_of_another(&caller) => {
            Err(ApiError::forbidden("This upload belongs to another member than the token"))
        }
        _ => Ok(()),
    }
}

/// Whether the member may replace who is in a segment: as it may add to it.
fn may_replace(http: &Http, member: MemberId, segment: SegmentId) -> Result<(), ApiError> {
    let snapshot = http.engine.catalog.snapshot();
    let found = snapshot.segment(segment).ok_or_else(|| ApiError::no_such_object("segment"))?;
    if !snapshot.may_write(member, found.member) {
        return Err(ApiError::forbidden("This member may not write to the segment"));
    }
    if !found.active {
        return Err(ApiError::syntax("'replace' names a segment that is inactive"));
    }
    Ok(())
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The host of a request, without a port; empty where it names none.
fn host<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> &'r str {
    let named = authority(headers, uri);
    match named.rsplit_once(':') {
        // Not inside of an IPv6 address.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => named,
    }
}

/// The host and port that the caller has used; empty where it names none, or none that can be one.
fn authority<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> &'r str {
    let in_header = || {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        host.parse::<Authority>().is_ok().then_some(host)
    };
    let named = uri.authority().map(Authority::as_str).or_else(in_header).unwrap_or_default();
    // Without the name and the password that may stand in front.
    named.rsplit_once('@').map_or(named, |(_, host)| host)
}

/// Where the file of a job goes: under the URL that the operator has set, or else on the scheme and host that the caller
/// has used.
fn upload_url(http: &Http, client: Client, head: &Parts, job: &FileJob) -> String {
    let path = format!("/segment-upload/{}", job.job_id);
    if let Some(public_url) = &http.public_url {
        return format!("{public_url}{path}");
    }
    let scheme = if client.is_secure { "https" } else { "http" };
    match authority(&head.headers, &head.uri) {
        // HTTP/1.0 needs no host.
        "" => path,
        authority => format!("{scheme}://{authority}{path}"),
    }
}
