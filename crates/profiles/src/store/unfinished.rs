//! The remains of a failed write on the disk, which fjall removes only when it is opened.
//!
//! - *Table files* that no version names. Each failed try leaves the bytes that it had written: on a disk without
//!   room for a checkpoint, the tries would take the room that the log needs.
//! - *A version that is on the disk and not in memory*: the rename that swaps it in was done, and a flush after it
//!   failed. The next version gets the same number, and writing it begins with truncating the file of the version
//!   that is current on the disk. A crash there would leave a store that cannot be opened. So nothing more is
//!   written; the next start finds either version whole.

use super::{Store, failed};
use crate::ProfilesError;
use fjall::AbstractTree;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::{fs, io};

/// The file that names the current version: its number, little-endian in 8 bytes, and a checksum.
const CURRENT_FILE: &str = "current";
const TABLES_FOLDER: &str = "tables";

/// How often versions are compared. A compaction may swap one in between two reads, but not each time.
const LOOKS: u32 = 4;

/// The state before a write.
pub(super) struct Before {
    tables: HashSet<u64>,
    /// The number that fjall's worker had completed.
    pub(super) compactions: usize,
}

impl Store {
    /// Fails when the disk has a version that memory does not have.
    pub(super) fn check_version(&self) -> Result<(), ProfilesError> {
        let tree = &self.profiles.tree;
        for _ in 0..LOOKS {
            // A version that is being swapped in is in memory once the lock is free again.
            drop(tree.get_version_history_lock());
            if self.version_on_disk().map_err(look_failed)? == tree.current_version().id() {
                return Ok(());
            }
        }
        Err(ProfilesError::HalfWritten)
    }

    fn version_on_disk(&self) -> io::Result<u64> {
        let content = fs::read(self.profiles.path().join(CURRENT_FILE))?;
        let number = content.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(u64::from_le_bytes(*number))
    }

    /// The state before a write, for [`Store::remove_leftovers`].
    pub(super) fn before_write(&self) -> Result<Before, ProfilesError> {
        let compactions = self.db.compactions_completed();
        let tables = self.tables_on_disk().map_err(look_failed)?;
        Ok(Before { tables: tables.into_keys().collect(), compactions })
    }

    /// Removes the table files that a failed write left. Keeps them where a compaction may have made some of them
    /// meanwhile, or where the disk has a version that may name them: the next start removes them.
    pub(super) fn remove_leftovers(&self, before: &Before) {
        let Ok(mut tables) = self.tables_on_disk() else { return };
        // In this order. A compaction that begins after the tables were listed made none of them. One that runs
        // now, or has ended since the write began, may have made some. The version that is in memory now names the
        // tables of a compaction that ended before.
        let is_alone =
            self.db.active_compactions() == 0 && self.db.compactions_completed() == before.compactions;
        if !is_alone || self.check_version().is_err() {
            return;
        }
        for table in self.profiles.tree.current_version().iter_tables() {
            tables.remove(&table.id());
        }
        tables.retain(|id, _| !before.tables.contains(id));
        for path in tables.values() {
            // The write has failed already; the next start removes the rest.
            let _ = fs::remove_file(path);
        }
    }

    /// By number.
    fn tables_on_disk(&self) -> io::Result<HashMap<u64, PathBuf>> {
        let mut tables = HashMap::new();
        for entry in fs::read_dir(self.profiles.path().join(TABLES_FOLDER))? {
            let entry = entry?;
            if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                tables.insert(id, entry.path());
            }
        }
        Ok(tables)
    }
}

fn look_failed(source: io::Error) -> ProfilesError {
    failed("looking at its files")(fjall::Error::Io(source))
}
