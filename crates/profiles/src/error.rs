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

/// The way out of a damaged store.
const WAY_OUT: &str = "restore the data directory from a backup; or, where the log still begins at position \
    1, move the store's folder away and start: the profiles are built again from the log";

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
    #[error("the stored profile of a user of domain {domain:?} is damaged in its {part}; {}", WAY_OUT)]
    DamagedProfile {
        /// The domain of the user's id.
        domain: Domain,
        /// Which part of the blob does not hold together.
        part: &'static str,
    },
    /// The store is damaged outside a profile.
    #[error("the profile store is damaged in its {part}; {}", WAY_OUT)]
    DamagedStore {
        /// Which part does not hold together.
        part: &'static str,
    },
    /// A file of the store is missing, or its bytes are not those that were written.
    #[error("{} is damaged: {what}; {}", file.display(), WAY_OUT)]
    DamagedFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The storage engine met bytes that are not those that were written.
    #[error(
        "the profile store is damaged, as shows in {doing}; `instant-audience inspect checkpoint` names the \
         file; {}",
        WAY_OUT
    )]
    DamagedTable {
        /// What it was about to do.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Box<fjall::Error>,
    },
    /// The journal of the storage engine, which nothing writes to, holds something.
    #[error("{} is not empty, as it always is; the disk has changed it: remove it and start", file.display())]
    JournalInUse {
        /// The file.
        file: PathBuf,
    },
    /// A file of the store cannot be read.
    #[error("cannot read {}", file.display())]
    UnreadableFile {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
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
            | ProfilesError::DamagedStore { .. }
            | ProfilesError::DamagedFile { .. }
            | ProfilesError::DamagedTable { .. }
            | ProfilesError::JournalInUse { .. } => ErrorKind::Corrupted,
            ProfilesError::Io { .. } | ProfilesError::UnreadableFile { .. } | ProfilesError::HalfWritten => {
                ErrorKind::Io
            }
            ProfilesError::Store { source, .. } => kind_of(source),
        }
    }

    /// Sorts an error of the storage engine that came up in `doing`.
    pub(crate) fn store(doing: &'static str, source: fjall::Error) -> ProfilesError {
        let source = Box::new(source);
        match kind_of(&source) {
            ErrorKind::Corrupted => ProfilesError::DamagedTable { doing, source },
            ErrorKind::Io | ErrorKind::Locked => ProfilesError::Store { doing, source },
        }
    }
}

fn kind_of(error: &fjall::Error) -> ErrorKind {
    match error {
        // Bytes that are missing at the end of a file are damage, whatever the system calls them.
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
            if error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            ErrorKind::Corrupted
        }
        // A store that was poisoned by a failed write is a failed disk as well.
        fjall::Error::Io(_) | fjall::Error::Storage(fjall::LsmError::Io(_)) | fjall::Error::Poisoned => {
            ErrorKind::Io
        }
        fjall::Error::Locked => ErrorKind::Locked,
        _ => ErrorKind::Corrupted,
    }
}
