//! Failures on the wire: the only table from kinds of errors to statuses.

use crate::pixels::{BadForm, BadPixel, BadTarget, ChoiceError};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ia_catalog::CatalogError;
use ia_engine::{Error, ErrorKind};
use std::borrow::Cow;

/// A failure for the caller.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The vendor's `error_id` for its kind.
    pub(crate) error_id: &'static str,
    /// One clear sentence for the caller.
    pub(crate) message: Cow<'static, str>,
    /// The vendor's `error_code`, where the failure has one of its own.
    pub(crate) error_code: Option<&'static str>,
    /// Seconds after which to try again.
    pub(crate) retry_after_seconds: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, error_id: &'static str, message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError { status, error_id, message: message.into(), error_code: None, retry_after_seconds: None }
    }

    /// The request is not valid: 400.
    pub(crate) fn syntax(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "SYNTAX", message)
    }

    /// A person's request about their data is not valid: 422.
    pub(crate) fn unprocessable(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "SYNTAX", message)
    }

    /// The caller has no right to it: 403.
    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "UNAUTH", message)
    }

    /// There is no such path or method: 404, never 405, which clients take for throttling.
    pub(crate) fn no_such_service() -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "SYNTAX", "No such service, or no such method on it")
    }

    /// The path lacks the method, and something else does what it is for: 404.
    pub(crate) fn no_such_method(instead: &'static str) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "SYNTAX", instead)
    }

    /// There is no such object, or the caller may not know of it: 404.
    pub(crate) fn no_such_object(what: &'static str) -> ApiError {
        CatalogError::NotFound(what.to_owned()).into()
    }

    /// There is no valid token: 401.
    pub(crate) fn unauthenticated(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "NOAUTH", message)
    }

    /// The request line and the headers are over their limit: 431.
    pub(crate) fn head_too_large(max_bytes: usize) -> ApiError {
        let message =
            format!("The request line and the headers are larger than {max_bytes} bytes, or too many");
        ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "SYNTAX", message)
    }

    /// A fault of the server: 500. The cause goes to the log, not to the caller.
    pub(crate) fn internal(cause: &(dyn std::error::Error + 'static)) -> ApiError {
        Error::internal(cause).into()
    }

    /// A fault of the server whose cause is in the log already.
    pub(crate) fn internal_without_cause() -> ApiError {
        Error::new(ErrorKind::Internal, "The server failed to answer this request").into()
    }
}

fn status_of(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Syntax => (StatusCode::BAD_REQUEST, "SYNTAX"),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "SYNTAX"),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "NOAUTH"),
        ErrorKind::LoginDisabled => (StatusCode::UNAUTHORIZED, "NOAUTH_DISABLED"),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "UNAUTH"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "SYNTAX"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "INTEGRITY"),
        ErrorKind::Limit => (StatusCode::CONFLICT, "LIMIT"),
        ErrorKind::RateExceeded => (StatusCode::TOO_MANY_REQUESTS, "SYSTEM"),
        ErrorKind::FileTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "LIMIT"),
        ErrorKind::FileLimit => (StatusCode::TOO_MANY_REQUESTS, "LIMIT"),
        ErrorKind::UploadTooSlow => (StatusCode::REQUEST_TIMEOUT, "LIMIT"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "SYSTEM"),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "SYSTEM"),
    }
}

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> ApiError {
        let Error { kind, message, retry_after_seconds } = error.into();
        let (status, error_id) = status_of(kind);
        ApiError { status, error_id, message, error_code: error_code_of(kind), retry_after_seconds }
    }
}

/// The vendor's `error_code` for a kind that has one of its own.
fn error_code_of(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::RateExceeded => Some("RATE_EXCEEDED"),
        ErrorKind::FileTooLarge => Some("FILESIZE_LIMIT_EXCEEDED"),
        ErrorKind::FileLimit | ErrorKind::UploadTooSlow => Some("RATE_LIMIT_EXCEEDED"),
        _ => None,
    }
}

/// The envelope (`http::envelope`) takes the error from the extensions and writes the body, which holds facts of the
/// request that are not known here.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BadPixel> for ApiError {
    fn from(error: BadPixel) -> ApiError {
        ApiError::syntax(error.0)
    }
}

impl From<BadTarget> for ApiError {
    fn from(error: BadTarget) -> ApiError {
        ApiError::syntax(format!("The browser is not sent on: {error}"))
    }
}

impl From<BadForm> for ApiError {
    fn from(error: BadForm) -> ApiError {
        match error {
            BadForm::Choice => ApiError::syntax(error.to_string()),
            BadForm::OtherSite => ApiError::forbidden(error.to_string()),
        }
    }
}

impl From<ChoiceError> for ApiError {
    fn from(error: ChoiceError) -> ApiError {
        match error {
            ChoiceError::Pixel(error) => error.into(),
            ChoiceError::Random(error) => ApiError::internal(&error),
        }
    }
}
