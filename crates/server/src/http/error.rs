//! What a failure looks like on the wire: the one table from domain errors to statuses.

use crate::auth::LoginError;
use crate::identities::LinkError;
use crate::ingest::body::BodyError;
use crate::ingest::commit::CommitError;
use crate::ingest::decode::DecodeError;
use crate::limits::OverRate;
use crate::pixels::{BadForm, BadPixel, BadTarget, OverPixelRate, PixelError};
use crate::privacy::PrivacyError;
use crate::rate::Exceeded;
use crate::reading::ReadError;
use crate::services::ServiceError;
use crate::usage::RangeError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ia_catalog::{CatalogError, CredentialError, TokenError};
use ia_log::AppendError;
use ia_profiles::ProfilesError;
use std::borrow::Cow;

/// A failure as the caller sees it.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The vendor's identifier of the kind.
    pub(crate) error_id: &'static str,
    /// One clear sentence.
    pub(crate) message: Cow<'static, str>,
    /// When to try again.
    pub(crate) retry_after_seconds: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, error_id: &'static str, message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError { status, error_id, message: message.into(), retry_after_seconds: None }
    }

    fn retry_after(mut self, seconds: u64) -> ApiError {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The request makes no sense: 400.
    pub(crate) fn syntax(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "SYNTAX", message)
    }

    /// A request of a person that makes no sense: 422.
    pub(crate) fn unprocessable(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "SYNTAX", message)
    }

    /// Not the caller's: 403.
    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "UNAUTH", message)
    }

    /// No such path, or no such method on it: 404, never 405, which clients take for throttling.
    pub(crate) fn no_such_service() -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "SYNTAX", "No such service, or no such method on it")
    }

    /// There is no such object, or none that the caller may know of: 404.
    pub(crate) fn no_such_object(what: &'static str) -> ApiError {
        CatalogError::NotFound(what.to_owned()).into()
    }

    /// No usable token: 401.
    pub(crate) fn unauthenticated(message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "NOAUTH", message)
    }

    /// The body is over its limit: 413.
    pub(crate) fn too_large(max_bytes: usize) -> ApiError {
        let message = format!("The request body is larger than {max_bytes} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "SYNTAX", message)
    }

    /// The request line and the headers are over their limit: 431.
    pub(crate) fn head_too_large(max_bytes: usize) -> ApiError {
        let message =
            format!("The request line and the headers are larger than {max_bytes} bytes, or too many");
        ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "SYNTAX", message)
    }

    /// Over a rate: 429.
    pub(crate) fn rate_exceeded(exceeded: Exceeded, message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "SYSTEM", message)
            .retry_after(exceeded.retry_after_seconds)
    }

    /// A fault of ours: 500 to the caller, the cause to the log.
    pub(crate) fn internal(cause: &(dyn std::error::Error + 'static)) -> ApiError {
        tracing::error!(error = cause, "a request failed through a fault of the server");
        ApiError::internal_without_cause()
    }

    /// A fault of ours whose cause is in the log already.
    pub(crate) fn internal_without_cause() -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "SYSTEM", "The server failed to answer this request")
    }

    /// No memory for another body: 503.
    pub(crate) fn too_many_bodies() -> ApiError {
        ApiError::unavailable("Too many requests are being received; nothing of this one was applied", 1)
    }

    fn unavailable(message: &'static str, retry_after_seconds: u64) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "SYSTEM", message).retry_after(retry_after_seconds)
    }
}

/// The envelope (`http::envelope`) finds the error among the extensions and writes the body, which holds
/// facts of the request that are not known here.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> ApiError {
        ApiError::syntax(error.to_string())
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> ApiError {
        match error {
            DecodeError::NotGzip => ApiError::syntax(error.to_string()),
            DecodeError::TooLarge { max_bytes } => ApiError::too_large(max_bytes),
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> ApiError {
        match error {
            TokenError::Unknown => ApiError::unauthenticated("The token is not known; log in at /auth"),
            TokenError::Expired => ApiError::unauthenticated("The token has expired; log in at /auth"),
            TokenError::Disabled => login_disabled(),
        }
    }
}

fn login_disabled() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "NOAUTH_DISABLED", "This login is switched off")
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> ApiError {
        match error {
            LoginError::Credentials(error @ CredentialError::NoMatch) => {
                ApiError::unauthenticated(error.to_string())
            }
            LoginError::Credentials(CredentialError::Disabled) => login_disabled(),
            LoginError::SignedToken => ApiError::unauthenticated(error.to_string()),
            LoginError::TooMany(exceeded) => ApiError::rate_exceeded(exceeded, error.to_string()),
            LoginError::Catalog(error) => error.into(),
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> ApiError {
        if error.is_retryable() {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(error = cause, "the database is busy, or its disk is full or failing");
            return ApiError::unavailable("The server cannot write this down at present", 5);
        }
        match error {
            CatalogError::Conflict { path, reason } => {
                ApiError::new(StatusCode::CONFLICT, "INTEGRITY", format!("'{path}': {reason}"))
            }
            CatalogError::Limit(reason) => ApiError::new(StatusCode::CONFLICT, "LIMIT", reason),
            CatalogError::Invalid { path, reason } => ApiError::syntax(format!("'{path}': {reason}")),
            CatalogError::Forbidden(reason) => ApiError::forbidden(reason),
            CatalogError::NotFound(_) => ApiError::new(StatusCode::NOT_FOUND, "SYNTAX", error.to_string()),
            error => ApiError::internal(&error),
        }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> ApiError {
        match error {
            ServiceError::Syntax(message) => ApiError::syntax(message),
            ServiceError::Hashing(error) => error.into(),
            ServiceError::Catalog(error) => error.into(),
        }
    }
}

impl From<ProfilesError> for ApiError {
    fn from(error: ProfilesError) -> ApiError {
        ApiError::internal(&error)
    }
}

impl From<PrivacyError> for ApiError {
    fn from(error: PrivacyError) -> ApiError {
        match error {
            PrivacyError::Catalog(error) => error.into(),
            PrivacyError::Commit(error) => error.into(),
            PrivacyError::Profiles(error) => error.into(),
        }
    }
}

impl From<OverRate> for ApiError {
    fn from(error: OverRate) -> ApiError {
        ApiError::rate_exceeded(error.exceeded, error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> ApiError {
        match error {
            ReadError::TooMuch => ApiError::syntax(error.to_string()),
            ReadError::Profiles(error) => error.into(),
        }
    }
}

impl From<RangeError> for ApiError {
    fn from(error: RangeError) -> ApiError {
        ApiError::syntax(error.to_string())
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
            BadForm::Foreign => ApiError::forbidden(error.to_string()),
        }
    }
}

impl From<OverPixelRate> for ApiError {
    fn from(error: OverPixelRate) -> ApiError {
        ApiError::rate_exceeded(error.exceeded, error.to_string())
    }
}

impl From<PixelError> for ApiError {
    fn from(error: PixelError) -> ApiError {
        match error {
            PixelError::Over(error) => error.into(),
            PixelError::Commit(error) | PixelError::Link(LinkError::Commit(error)) => error.into(),
            PixelError::Link(error) => ApiError::syntax(error.to_string()),
            PixelError::OptOut(error) => error.into(),
            PixelError::Known(error) => error.into(),
            PixelError::Random(error) => ApiError::internal(&error),
        }
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> ApiError {
        match error {
            CommitError::Log(AppendError::TooLarge { .. }) => ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "SYNTAX",
                "The request is larger than the log takes in one piece",
            ),
            CommitError::Backlog | CommitError::Log(AppendError::QueueFull) => {
                ApiError::unavailable("Too many writes are waiting; nothing of this request was applied", 1)
            }
            CommitError::Log(AppendError::DiskFull) => ApiError::unavailable(
                "The server has no room for writes; nothing of this request was applied",
                10,
            ),
            CommitError::Log(AppendError::Closed) => ApiError::unavailable("The server is stopping", 5),
            // The cause was logged when it happened.
            CommitError::Broken | CommitError::Log(_) => {
                ApiError::unavailable("The server cannot make writes durable at present", 30)
            }
        }
    }
}
