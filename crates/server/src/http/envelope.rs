//! What every answer has in common: the request id, `dbg_info`, the shape of failures, a metric, a log line.

use super::body::Leftover;
use super::client::Client;
use super::connection::Peer;
use super::error::ApiError;
use super::routes::{self, Route};
use crate::http::Http;
use axum::Extension;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use ia_catalog::TOKEN_PREFIX;
use ia_engine::json;
use ia_engine::limits::ServiceLimits;
use serde::Serialize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// The header that carries the request id, in both directions.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// The longest request id that is taken from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// What is known of a request before it is looked at.
#[derive(Debug, Clone)]
pub(crate) struct RequestInfo {
    /// The caller's id when it sent a sane one, else a new one.
    pub(crate) id: Arc<str>,
    client: Client,
    started: Instant,
}

/// About the answer itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DbgInfo<'a> {
    version: &'static str,
    /// Which process answered.
    instance: &'a str,
    request_id: &'a str,
    /// What the payload is called.
    output_term: &'static str,
    /// Whole milliseconds since the request was read.
    time: u64,
    /// What was ignored of the request.
    warnings: &'a [String],
}

/// The body of every failure.
#[derive(Serialize, ToSchema)]
pub(crate) struct FailureBody<'a> {
    response: Failure<'a>,
}

#[derive(Serialize, ToSchema)]
struct Failure<'a> {
    #[schema(schema_with = status_error)]
    status: &'static str,
    error_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_code: Option<&'static str>,
    /// One clear sentence.
    error: &'a str,
    /// The same sentence, in failures of files alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<[&'a str; 1]>,
    dbg_info: DbgInfo<'a>,
}

/// The `status` of a failure.
fn status_error() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["ERROR"])).build()
}

impl RequestInfo {
    fn of(http: &Http, client: Client, headers: &HeaderMap) -> RequestInfo {
        let id = sane_request_id(headers).unwrap_or_else(|| http.next_request_id());
        RequestInfo { id: id.into(), client, started: Instant::now() }
    }

    /// The `dbg_info` of an answer whose payload is called `output_term`.
    pub(crate) fn dbg_info<'a>(&'a self, http: &'a Http, output_term: &'static str) -> DbgInfo<'a> {
        let time = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        DbgInfo {
            version: env!("CARGO_PKG_VERSION"),
            instance: &http.instance,
            request_id: &self.id,
            time,
            output_term,
            warnings: &[],
        }
    }

    /// The body of a success with that payload, which `write` appends as JSON.
    pub(crate) fn success(
        &self,
        http: &Http,
        output_term: &'static str,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<u8> {
        self.success_with(http, &[], output_term, &[], write)
    }

    /// The same with numbers ahead of the payload, and with what was ignored of the request.
    pub(crate) fn success_with(
        &self,
        http: &Http,
        numbers: &[(&'static str, u64)],
        output_term: &'static str,
        warnings: &[String],
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(2048);
        out.extend_from_slice(br#"{"response":{"status":"OK""#);
        for (name, number) in numbers {
            out.extend_from_slice(format!(r#","{name}":{number}"#).as_bytes());
        }
        out.extend_from_slice(br#",""#);
        out.extend_from_slice(output_term.as_bytes());
        out.extend_from_slice(br#"":"#);
        write(&mut out);
        out.extend_from_slice(br#","dbg_info":"#);
        DbgInfo { warnings, ..self.dbg_info(http, output_term) }.write(&mut out);
        out.extend_from_slice(b"}}");
        out
    }
}

impl DbgInfo<'_> {
    /// Appends the JSON that the derived `Serialize` makes, in a fraction of the time.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let DbgInfo { version, instance, request_id, output_term, time, warnings } = *self;
        for (name, text) in [
            (r#"{"version":"#, version),
            (r#","instance":"#, instance),
            (r#","request_id":"#, request_id),
            (r#","output_term":"#, output_term),
        ] {
            out.extend_from_slice(name.as_bytes());
            json::write_text(out, text);
        }
        out.extend_from_slice(br#","time":"#);
        out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
        out.extend_from_slice(br#","warnings":["#);
        for (index, warning) in warnings.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::write_text(out, warning);
        }
        out.extend_from_slice(b"]}");
    }
}

/// Wraps every route of the router: gives the request its id and turns failures into bodies.
pub(crate) async fn envelope(
    State(http): State<Arc<Http>>,
    Extension(client): Extension<Client>,
    mut request: Request,
    next: Next,
) -> Response {
    let info = RequestInfo::of(&http, client, request.headers());
    let method = request.method().clone();
    let route =
        request.extensions().get::<MatchedPath>().map_or(&routes::UNKNOWN, |path| Route::of(path.as_str()));
    request.extensions_mut().insert(info.clone());
    // A client that expects a "100 Continue" sends its body only when a handler reads it.
    let waits_to_send = request.headers().contains_key(header::EXPECT);
    let (request, leftover) = if waits_to_send || request.body().is_end_stream() {
        (request, None)
    } else {
        let (head, body) = request.into_parts();
        let (body, leftover) = Leftover::of(body);
        (Request::from_parts(head, body), Some(leftover))
    };

    // The router takes a HEAD for a GET; a pixel would be fired by it.
    let response = match method {
        Method::HEAD => ApiError::no_such_service().into_response(),
        _ => next.run(request).await,
    };
    if let Some(leftover) = leftover {
        leftover.drain().await;
    }
    finish(&http, &info, &method, route, response)
}

/// The same around one handler, for a request that needs no router. What it leaves of the body is the caller's to
/// read.
pub(crate) async fn enclose<F: Future<Output = Result<Response, ApiError>>>(
    http: &Arc<Http>,
    client: Client,
    request: Request,
    route: &'static Route,
    handler: impl FnOnce(State<Arc<Http>>, Extension<RequestInfo>, Request) -> F,
) -> Response {
    let info = RequestInfo::of(http, client, request.headers());
    let method = request.method().clone();
    let handling = handler(State(Arc::clone(http)), Extension(info.clone()), request);
    let handled = AssertUnwindSafe(handling).catch_unwind().await;
    let response = handled.unwrap_or_else(|_| Err(ApiError::internal_without_cause())).into_response();
    finish(http, &info, &method, route, response)
}

fn finish(
    http: &Http,
    info: &RequestInfo,
    method: &Method,
    route: &'static Route,
    mut response: Response,
) -> Response {
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        response = failure(http, info, method, route, &error);
    }
    let id = HeaderValue::from_str(&info.id).expect("a request id is plain ASCII");
    response.headers_mut().insert(REQUEST_ID, id);
    if route.resource().is_some() {
        tell_rates(http, response.headers_mut());
    }
    let known_method = metric_method(method);
    http.metrics.answered(route.path, known_method, response.status().as_u16(), info.started.elapsed());
    tracing::debug!(request_id = %info.id, client = %info.client.address, method = known_method, route = route.path, status = response.status().as_u16(), "answered");
    response
}

fn failure(http: &Http, info: &RequestInfo, method: &Method, route: &Route, error: &ApiError) -> Response {
    let body = failure_body(http, info, route.output_term(method), route, error);
    let mut response = (error.status, json_bytes(body)).into_response();
    let headers = response.headers_mut();
    if let Some(seconds) = error.retry_after_seconds {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn failure_body(
    http: &Http,
    info: &RequestInfo,
    output_term: &'static str,
    route: &Route,
    error: &ApiError,
) -> Vec<u8> {
    let status = error.status.as_u16();
    let is_of_files = route.is_of_files();
    tracing::info!(request_id = %info.id, client = %info.client.address, route = route.path, status, error_id = error.error_id, error = %error.message, "refused");
    let body = FailureBody {
        response: Failure {
            status: "ERROR",
            error_id: error.error_id,
            // Clients of files read one pair or the other: `error_id` and `error`, or `error_code` and `errors`.
            error_code: error.error_code.or(is_of_files.then_some(error.error_id)),
            error: &error.message,
            errors: is_of_files.then_some([&*error.message]),
            dbg_info: info.dbg_info(http, output_term),
        },
    };
    json_vec(&body)
}

/// The answer to what is no request, and so never comes to the router.
pub(super) fn refusal(http: &Http, peer: Peer, error: ApiError) -> Response {
    let headers = HeaderMap::new();
    let info = RequestInfo::of(http, http.client(peer, &headers), &headers);
    // Which method it was, nobody knows; this one has no series of its own.
    finish(http, &info, &Method::TRACE, &routes::UNKNOWN, error.into_response())
}

/// What a member may ask of the services in a minute; nothing is told of a rate that is lifted.
fn tell_rates(http: &Http, headers: &mut HeaderMap) {
    let ServiceLimits { reads_per_minute, writes_per_minute, .. } = http.engine.limits.of_services();
    for (name, rate) in [("x-ratelimit-read", reads_per_minute), ("x-ratelimit-write", writes_per_minute)] {
        if rate > 0 {
            headers.insert(name, rate.into());
        }
    }
}

/// A JSON body of that content.
pub(crate) fn json(content: &impl Serialize) -> Response {
    json_bytes(json_vec(content))
}

fn json_vec(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(content).expect("answers hold nothing that JSON cannot say")
}

/// A body that is JSON already.
pub(crate) fn json_bytes(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.into()).into_response()
}

/// Short, made of what cannot hurt a log line or a header, and no token that got into the wrong header: the id
/// is logged.
fn sane_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let is_sane = (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(plain);
    (is_sane && !id.contains(TOKEN_PREFIX)).then(|| id.to_owned())
}

/// A method that is made up by the caller must not make a new time series, nor get into the log.
fn metric_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dbg_info_by_hand_is_what_serde_makes() {
        let text = "a \"quoted\" é\n";
        for (instance, warnings) in [("one", [].as_slice()), (text, &[text.to_owned(), "two".to_owned()])] {
            let info = DbgInfo {
                version: "1.2.3",
                instance,
                request_id: "r-1",
                output_term: "message",
                time: 125,
                warnings,
            };
            let mut written = Vec::new();
            info.write(&mut written);
            assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&info).unwrap());
        }
    }
}
