//! The engine's error for callers: its kind, the message for the caller, and when to try again. A cause that only the
//! operator may see is logged when it is turned into this error.

use crate::auth::LoginError;
use crate::decode::DecodeError;
use crate::files::{FileError, FileErrorKind};
use crate::held::{BodyFault, OutOfBodyMemory};
use crate::ingest::{BodyError, IngestError};
use crate::limits::OverRate;
use crate::linking::LinkError;
use crate::parameters::Repeated;
use crate::people::PrivacyError;
use crate::pixels::{OverPixelRate, PixelError};
use crate::rate::Exceeded;
use crate::reading::ReadError;
use crate::services::ServiceError;
use crate::usage::RangeError;
use crate::write::commit::CommitError;
use ia_catalog::{CatalogError, CredentialError, TokenError};
use ia_log::AppendError;
use ia_profiles::ProfilesError;
use std::borrow::Cow;

/// Kinds of failures that a caller can distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is not valid.
    Syntax,
    /// The body is over its limit.
    TooLarge,
    /// There is no valid token, or no such login.
    Unauthenticated,
    /// The login is switched off.
    LoginDisabled,
    /// The caller has no right to it.
    Forbidden,
    /// There is no such object, or the caller may not know of it.
    NotFound,
    /// The change conflicts with stored objects.
    Conflict,
    /// The limit of a number of objects is reached.
    Limit,
    /// There are too many requests.
    RateExceeded,
    /// A file is over its limit.
    FileTooLarge,
    /// A member's limits of files are used up.
    FileLimit,
    /// An upload took too long.
    UploadTooSlow,
    /// The server cannot do it now.
    Unavailable,
    /// A fault of the server; its cause is in the log.
    Internal,
}

/// Why a request failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Its kind.
    pub kind: ErrorKind,
    /// One clear sentence for the caller, without internal details.
    pub message: Cow<'static, str>,
    /// Seconds after which to try again.
    pub retry_after_seconds: Option<u64>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error { kind, message: message.into(), retry_after_seconds: None }
    }

    fn over(exceeded: Exceeded, message: impl Into<Cow<'static, str>>) -> Error {
        let retry_after_seconds = Some(exceeded.retry_after_seconds);
        Error { retry_after_seconds, ..Error::new(ErrorKind::RateExceeded, message) }
    }

    fn unavailable(message: &'static str, retry_after_seconds: u64) -> Error {
        let retry_after_seconds = Some(retry_after_seconds);
        Error { retry_after_seconds, ..Error::new(ErrorKind::Unavailable, message) }
    }

    /// A fault of the server: the cause goes to the log, not to the caller.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Error {
        tracing::error!(error = cause, "a request failed through a fault of the server");
        Error::new(ErrorKind::Internal, "The server failed to answer this request")
    }

    fn login_disabled() -> Error {
        Error::new(ErrorKind::LoginDisabled, "This login is switched off")
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Error {
        Error::new(ErrorKind::Syntax, error.to_string())
    }
}

impl From<Repeated> for Error {
    fn from(error: Repeated) -> Error {
        Error::new(ErrorKind::Syntax, error.to_string())
    }
}

impl From<OutOfBodyMemory> for Error {
    fn from(OutOfBodyMemory: OutOfBodyMemory) -> Error {
        Error::unavailable("Too many requests are being received; nothing of this one was applied", 1)
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Error {
        let kind = match error {
            DecodeError::NotGzip => ErrorKind::Syntax,
            DecodeError::TooLarge { .. } => ErrorKind::TooLarge,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<BodyFault> for Error {
    fn from(fault: BodyFault) -> Error {
        match fault {
            BodyFault::Decode(error) => error.into(),
            BodyFault::Memory(error) => error.into(),
        }
    }
}

impl From<IngestError> for Error {
    fn from(error: IngestError) -> Error {
        match error {
            IngestError::OverRate(error) => error.into(),
            IngestError::Body(error) => error.into(),
            IngestError::Parse(error) => error.into(),
            IngestError::Memory(error) => error.into(),
            IngestError::Commit(error) => error.into(),
        }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Error {
        let kind = match error.kind {
            FileErrorKind::Syntax => ErrorKind::Syntax,
            FileErrorKind::NotFound => ErrorKind::NotFound,
            FileErrorKind::Conflict => ErrorKind::Conflict,
            FileErrorKind::TooLarge => ErrorKind::FileTooLarge,
            FileErrorKind::OverLimit => ErrorKind::FileLimit,
            FileErrorKind::TooSlow => ErrorKind::UploadTooSlow,
            FileErrorKind::Unavailable => ErrorKind::Unavailable,
        };
        Error { kind, message: error.message, retry_after_seconds: error.retry_after_seconds }
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Error {
        match error {
            TokenError::Unknown => {
                Error::new(ErrorKind::Unauthenticated, "The token is not known; log in at /auth")
            }
            TokenError::Expired => {
                Error::new(ErrorKind::Unauthenticated, "The token has expired; log in at /auth")
            }
            TokenError::Disabled => Error::login_disabled(),
        }
    }
}

impl From<LoginError> for Error {
    fn from(error: LoginError) -> Error {
        match error {
            LoginError::Credentials(CredentialError::NoMatch) | LoginError::SignedToken => {
                Error::new(ErrorKind::Unauthenticated, error.to_string())
            }
            LoginError::Credentials(CredentialError::Disabled) => Error::login_disabled(),
            LoginError::TooMany(exceeded) => Error::over(exceeded, error.to_string()),
            LoginError::Catalog(error) => error.into(),
        }
    }
}

impl From<CatalogError> for Error {
    fn from(error: CatalogError) -> Error {
        if error.is_retryable() {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(error = cause, "the database is busy, or its disk is full or failing");
            return Error::unavailable("The server cannot write this down at present", 5);
        }
        match error {
            CatalogError::Conflict { path, reason } => {
                Error::new(ErrorKind::Conflict, format!("'{path}': {reason}"))
            }
            CatalogError::Limit(reason) => Error::new(ErrorKind::Limit, reason),
            CatalogError::Invalid { path, reason } => {
                Error::new(ErrorKind::Syntax, format!("'{path}': {reason}"))
            }
            CatalogError::Forbidden(reason) => Error::new(ErrorKind::Forbidden, reason),
            CatalogError::NotFound(_) => Error::new(ErrorKind::NotFound, error.to_string()),
            error => Error::internal(&error),
        }
    }
}

impl From<ServiceError> for Error {
    fn from(error: ServiceError) -> Error {
        match error {
            ServiceError::Syntax(message) => Error::new(ErrorKind::Syntax, message),
            ServiceError::Hashing(error) => error.into(),
            ServiceError::Catalog(error) => error.into(),
        }
    }
}

impl From<ProfilesError> for Error {
    fn from(error: ProfilesError) -> Error {
        Error::internal(&error)
    }
}

impl From<PrivacyError> for Error {
    fn from(error: PrivacyError) -> Error {
        match error {
            PrivacyError::Catalog(error) => error.into(),
            PrivacyError::Commit(error) => error.into(),
            PrivacyError::Profiles(error) => error.into(),
        }
    }
}

impl From<OverRate> for Error {
    fn from(error: OverRate) -> Error {
        Error::over(error.exceeded, error.to_string())
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Error {
        match error {
            ReadError::TooMuch => Error::new(ErrorKind::Syntax, error.to_string()),
            ReadError::Profiles(error) => error.into(),
        }
    }
}

impl From<RangeError> for Error {
    fn from(error: RangeError) -> Error {
        Error::new(ErrorKind::Syntax, error.to_string())
    }
}

impl From<OverPixelRate> for Error {
    fn from(error: OverPixelRate) -> Error {
        Error::over(error.exceeded, error.to_string())
    }
}

impl From<LinkError> for Error {
    fn from(error: LinkError) -> Error {
        match error {
            LinkError::Commit(error) => error.into(),
            LinkError::OptOut(error) => error.into(),
            error => Error::new(ErrorKind::Syntax, error.to_string()),
        }
    }
}

impl From<PixelError> for Error {
    fn from(error: PixelError) -> Error {
        match error {
            PixelError::Over(error) => error.into(),
            PixelError::Commit(error) => error.into(),
            PixelError::Link(error) => error.into(),
            PixelError::OptOut(error) => error.into(),
            PixelError::Known(error) => error.into(),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Error {
        match error {
            CommitError::Log(AppendError::TooLarge { .. }) => {
                Error::new(ErrorKind::TooLarge, "The request is larger than the log takes in one piece")
            }
            CommitError::Backlog | CommitError::Log(AppendError::QueueFull) => {
                Error::unavailable("Too many writes are waiting; nothing of this request was applied", 1)
            }
            CommitError::Log(AppendError::DiskFull) => Error::unavailable(
                "The server has no room for writes; nothing of this request was applied",
                10,
            ),
            CommitError::Log(AppendError::Closed) => Error::unavailable("The server is stopping", 5),
            // The cause is in the log already.
            CommitError::Broken | CommitError::Log(_) => {
                Error::unavailable("The server cannot make writes durable at present", 30)
            }
        }
    }
}
