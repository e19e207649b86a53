//! Members, logins, tokens, segments, write access and sharing: the rights of every caller.
//!
//! SQL holds the truth ([`SqliteCatalog`]); the hot path reads an immutable [`Snapshot`] and the
//! in-memory table of [`Tokens`], neither of which touches SQL. Operators set a
//! catalog up by a [`CatalogFile`]. The [`usage`] statistics are here too, in a file of their own.
//!
//! A change by another process is noticed by its [`Catalog::generation`]: when it has moved, take a new
//! [`Catalog::snapshot`] and call [`Tokens::reload`].

mod accounts;
mod apply;
mod batch_files;
mod catalog;
mod change;
mod credentials;
mod error;
mod file;
pub mod file_jobs;
mod known;
pub mod listing;
mod login;
mod password;
mod public_key;
mod redirect_host;
mod rules;
pub mod segments;
mod snapshot;
mod sqlite;
mod state;
mod suppression;
mod tokens;
pub mod usage;

pub use accounts::{
    AccountChange, Accounts, BATCH_SEGMENT_CONFIG, BatchEdit, EXPOSURES, LoginEdit, LoginRecord, MEMBER,
    MEMBER_DATA_SHARING, MemberEdit, MemberRecord, SEGMENT_FIELDS, SharingEdit, SharingRecord, USER,
    USER_TYPES,
};
pub use apply::{ApplyReport, Tally};
pub use batch_files::BatchFiles;
pub use catalog::Catalog;
pub use change::Changed;
pub use credentials::{CredentialError, check_credentials};
pub use error::{BoxError, CatalogError};
pub use file::{CatalogFile, CatalogFileError, Change, LimitsEdit};
pub use known::{Imported, KnownUserHasher, KnownUserStore, KnownUsers, import_known_users};
pub use login::{Login, StoredLogin, UserType};
pub use password::{PasswordHash, PasswordRuleError, check_password_rules};
pub use public_key::{
    MAX_PUBLIC_KEYS, NewPublicKey, PUBLIC_KEY, PublicKey, PublicKeyStore, RsaKey, RsaKeyError,
};
pub use redirect_host::{MAX_REDIRECT_HOSTS, NO_REDIRECT_HOST, RedirectHost};
pub use snapshot::{Delta, Member, MemberLimits, Segment, Snapshot, SnapshotAccounts};
pub use sqlite::{SqliteCatalog, SqliteUsage};
pub use suppression::{SuppressedLink, SuppressedUser, SuppressionKey, SuppressionStore};
pub use tokens::{
    NewToken, StoredToken, TOKEN_PREFIX, TokenError, TokenHash, TokenStore, TokenSweep, Tokens,
};
