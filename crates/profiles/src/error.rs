use ia_model::Domain;
use std::io;
use std::path::PathBuf;

/// The kind of a failure, from which follows what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Another process, or another handle in this one, has the store open.
    Locked,
    /// The data on disk cannot be read. Trying again does not help.
    Corrupted,
    /// The disk or the file system failed.
    Io,
}

/// How to repair a damaged store.
const REPAIR: &str = "restore the data directory from a backup; or, where the log still begins at position \
    1, move the store's folder away and start: the profiles are built again from the log";

/// An error of the profiles. No message contains a user id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfilesError {
    /// The store is open already.
    #[error("the profile store {} is in use by another process; stop that one first", dir.display())]
    Locked {
        /// The folder of the store.
        dir: PathBuf,
    },
    /// A newer version of this program wrote the data.
    #[error(
        "{what} has format version {found}, and this program knows version {known}; \
         use the version of the program that wrote it"
    )]
    UnknownVersion {
        /// The data with the unknown version.
        what: &'static str,
        /// Its version.
        found: u8,
        /// The version that this program writes and reads.
        known: u8,
    },
    /// The stored profile of one user is damaged.
    #[error("the stored profile of a user of domain {domain:?} is damaged in its {part}; {}", REPAIR)]
    DamagedProfile {
        /// The domain of the user's id.
        domain: Domain,
        /// The damaged part of the blob.
        part: &'static str,
    },
    /// The store is damaged outside a profile.
    #[error("the profile store is damaged in its {part}; {}", REPAIR)]
    DamagedStore {
        /// The damaged part.
        part: &'static str,
    },
    /// A file of the store is missing, or its bytes are not those that were written.
    #[error("{} is damaged: {what}; {}", file.display(), REPAIR)]
    DamagedFile {
        /// The file.
        file: PathBuf,
        /// The damage.
        what: &'static str,
    },
    /// The storage engine read bytes that are not those that were written.
    #[error(
        "the profile store is damaged, as found while {doing}; `instant-audience inspect checkpoint` names \
         the file; {}",
        REPAIR
    )]
    DamagedTable {
        /// The operation.
        doing: &'static str,
        /// The engine's error.
        #[source]
        source: Box<fjall::Error>,
    },
    /// The journal of the storage engine, which is always empty, has content.
    #[error("{} must be empty and is not; the disk has changed it: remove it and start", file.display())]
    JournalInUse {
        /// The file.
        file: PathBuf,
    },
    /// A file of the store cannot be read.
    #[error("cannot read {}", file.display())]
    UnreadableFile {
        /// The file.
        file: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A write of the store reached the disk and then failed, so that the disk is ahead of memory.
    #[error(
        "a failure of the disk cut off an earlier write of the profile store: it takes no more until a restart"
    )]
    HalfWritten,
    /// The storage engine failed.
    #[error("the profile store failed while {doing}")]
    Store {
        /// The operation.
        doing: &'static str,
        /// The engine's error.
        #[source]
        source: Box<fjall::Error>,
    },
    /// The file system failed.
    #[error("could not {doing}")]
    Io {
        /// The operation.
        doing: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl ProfilesError {
    /// The kind of the failure.
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

    /// Sorts an error of the storage engine in the operation `doing`.
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
        // Missing bytes at the end of a file are damage, though the system reports an IO error.
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
            if error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            ErrorKind::Corrupted
        }
        // A failed write poisons the store, so this is a failed disk as well.
        fjall::Error::Io(_) | fjall::Error::Storage(fjall::LsmError::Io(_)) | fjall::Error::Poisoned => {
            ErrorKind::Io
        }
        fjall::Error::Locked => ErrorKind::Locked,
        _ => ErrorKind::Corrupted,
    }
}
