//! The transport under `object_store`: the same client as for the server, in place of a second one with its own TLS.

use crate::cli::client::Http;
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Request;
use hyper::body::Incoming;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, Result};
use std::io::{Error, ErrorKind};
use std::time::Duration;

/// For the head of an answer, and for each further part of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Gives `object_store` this program's client.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Http);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let allows_http = allows_http.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Ok(HttpClient::new(Transport { http: self.0.clone(), allows_http }))
    }
}

#[derive(Debug)]
struct Transport {
    http: Http,
    allows_http: bool,
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if !self.allows_http && request.uri().scheme_str() != Some("https") {
            let why = "http:// is only used with AWS_ALLOW_HTTP=true";
            return Err(HttpError::new(HttpErrorKind::Unknown, Error::new(ErrorKind::Unsupported, why)));
        }
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, body.map_err(Error::other).boxed_unsync());
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, self.http.send(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let kind =
                    if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
                return Err(HttpError::new(kind, error));
            }
            Err(late) => return Err(HttpError::new(HttpErrorKind::Timeout, late)),
        };
        Ok(answer.map(patient))
    }
}

/// A body that fails where it stands still.
fn patient(body: Incoming) -> HttpResponseBody {
    let frames = stream::unfold(Some(body), async |body| {
        let mut body = body?;
        let frame = match tokio::time::timeout(ANSWER_TIMEOUT, body.frame()).await {
            Ok(None) => return None,
            Ok(Some(frame)) => frame.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)),
            Err(late) => Err(HttpError::new(HttpErrorKind::Timeout, late)),
        };
        let rest = frame.is_ok().then_some(body);
        Some((frame, rest))
    });
    // Readers may ask once more behind the end.
    HttpResponseBody::new(StreamBody::new(frames.fuse()))
}
