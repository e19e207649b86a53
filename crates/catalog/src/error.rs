use std::path::{Path, PathBuf};

/// The cause of an error from any library: no type of the SQL driver leaves this crate.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The errors of the catalog and of the usage statistics.
///
/// No variant ever holds a password, a token or a hash of one.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The change does not go with what is stored.
    #[error("{path}: {reason}")]
    Conflict {
        /// What was to be changed, like `segments[3].code`.
        path: String,
        /// Why it cannot be.
        reason: String,
    },
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no room for more objects of a kind.
    #[error("{0}")]
    Limit(String),
    /// The thing asked for does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// A value that may not be stored.
    #[error("{path}: {reason}")]
    Invalid {
        /// Which value, like `segments[3].member_id`.
        path: String,
        /// The fault.
        reason: String,
    },
    /// Someone else changed the same rows at the same time. Nothing was changed.
    #[error("{0} was changed by another process at the same time")]
    Overtaken(String),
    /// The file is no database of this program, or bytes of it are lost.
    #[error("{} is damaged or no database of this program", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: BoxError,
    },
    /// The file was written by another version of this program, whose tables this one does not know.
    #[error("{} was written by another version of this program", path.display())]
    UnknownSchema {
        /// The file.
        path: PathBuf,
        /// Which migration is not known, or differs.
        source: BoxError,
    },
    /// The database refused or failed.
    #[error("{} failed while {action}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// Whether it may succeed later: it was busy, or the disk was full or failed.
        passing: bool,
        /// What the database said.
        source: BoxError,
    },
    /// The file could not be created.
    #[error("cannot create {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gave no random bytes, or no memory to hash a password with.
    #[error("cannot make a secret or the hash of one")]
    Secret {
        /// What the system said.
        source: BoxError,
    },
}

impl CatalogError {
    /// Whether the same call may succeed when made again as it is: it was overtaken, the database was
    /// busy, or it could not be written now because the disk under it is full, failing or read-only. The
    /// last of these may need an operator, so retry at a slow pace.
    pub fn is_retryable(&self) -> bool {
        matches!(self, CatalogError::Overtaken(_) | CatalogError::Storage { passing: true, .. })
    }

    /// Whether only another connection was in the way, so that a moment's wait is all that it needs.
    pub(crate) fn is_busy(&self) -> bool {
        let CatalogError::Storage { source, .. } = self else { return false };
        source.downcast_ref::<sqlx::Error>().is_some_and(driver_was_busy)
    }

    pub(crate) fn conflict(path: impl Into<String>, reason: impl Into<String>) -> CatalogError {
        CatalogError::Conflict { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn invalid(path: impl Into<String>, reason: impl Into<String>) -> CatalogError {
        CatalogError::Invalid { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn forbidden(reason: impl Into<String>) -> CatalogError {
        CatalogError::Forbidden(reason.into())
    }

    pub(crate) fn secret(source: impl Into<BoxError>) -> CatalogError {
        CatalogError::Secret { source: source.into() }
    }

    /// Sorts an error of the driver. `path` is the database's file.
    pub(crate) fn storage(path: &Path, action: &'static str, source: sqlx::Error) -> CatalogError {
        match sqlite_code(&source) {
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => {
                CatalogError::Damaged { path: path.to_owned(), source: source.into() }
            }
            code => {
                let unwritable =
                    matches!(code, Some(SQLITE_READONLY | SQLITE_IOERR | SQLITE_FULL | SQLITE_CANTOPEN));
                let passing = unwritable || driver_was_busy(&source);
                CatalogError::Storage { path: path.to_owned(), action, passing, source: source.into() }
            }
        }
    }
}

// https://www.sqlite.org/rescode.html; the extended codes carry these in their lowest byte.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
/// A file system becomes read-only when it has failed, too.
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_NOTADB: i32 = 26;

fn driver_was_busy(error: &sqlx::Error) -> bool {
    matches!(sqlite_code(error), Some(SQLITE_BUSY | SQLITE_LOCKED))
        || matches!(error, sqlx::Error::PoolTimedOut)
}

fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|extended| extended & 0xff)
}
