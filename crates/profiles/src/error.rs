use ia_model::Domain;
use std::io;
use std::path::PathBuf;

/// What kind of failure it is; what to do follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Another process, or another handle in this one, has the store open.
    Locked,
    /// What is on disk cannot be understood. Trying again does not help.
    Corrupted,
    /// The disk or the file system failed.
    Io,
}

/// Why the profiles could not do what they were asked to. No message tells a user id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfilesError {
    /// The store is open already.
    #[error("the profile store {} is in use by another process; stop that one first", dir.display())]
    Locked {
        /// The folder of the store.
        dir: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error(
        "{what} has format version {found}, and this program knows version {known}; \
         use the version of the program that wrote it"
    )]
    UnknownVersion {
        /// What has the unknown version.
        what: &'static str,
        /// The version that was found.
        found: u8,
        /// The version that this program writes and reads.
        known: u8,
    },
    /// The stored profile of one user is damaged.
    #[error(
        "the stored profile of a user of domain {domain:?} is damaged in its {part}; restore the profile \
         store from a copy, or delete its folder and replay a log that goes back to the first record"
    )]
    DamagedProfile {
        /// The domain of the user's id.
        domain: Domain,
        /// Which part of the blob does not hold together.
        part: &'static str,
    },
    /// The store is damaged outside a profile.
    #[error(
        "the profile store is damaged in its {part}; restore its folder from a copy, or delete it and \
         replay a log that goes back to the first record"
    )]
    DamagedStore {
        /// Which part does not hold together.
        part: &'static str,
    },
    /// A write of the store was done on the disk and then failed, so that the disk is ahead of memory.
    #[error(
        "an earlier write of the profile store was cut off by a failure of the disk; it takes no more until a restart"
    )]
    HalfWritten,
    /// The storage engine failed.
    #[error("the profile store failed while {doing}")]
    Store {
        /// What it was about to do.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Box<fjall::Error>,
    },
    /// The file system failed.
    #[error("could not {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ProfilesError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ProfilesError::Locked { .. } => ErrorKind::Locked,
            ProfilesError::UnknownVersion { .. }
            | ProfilesError::DamagedProfile { .. }
            | ProfilesError::DamagedStore { .. } => ErrorKind::Corrupted,
            ProfilesError::Io { .. } | ProfilesError::HalfWritten => ErrorKind::Io,
            ProfilesError::Store { source, .. } => match &**source {
                // A store that was poisoned by a failed write is a failed disk as well.
                fjall::Error::Io(_)
                | fjall::Error::Storage(fjall::LsmError::Io(_))
                | fjall::Error::Poisoned => ErrorKind::Io,
                fjall::Error::Locked => ErrorKind::Locked,
                _ => ErrorKind::Corrupted,
            },
        }
    }
}
