//! Copying a checkpoint, also while a server runs on it.
//!
//! The few small files that list the tables are read first, in the order in which fjall follows them; then
//! the tables are opened, so that a table which is unlinked afterwards can still be copied. A server may
//! write a checkpoint, or compact, between the two. Then a table is missing in the copy and the list of
//! tables has changed, and the copy is made again.

use crate::{ErrorKind, ProfilesError, inspect};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A checkpoint of a running server takes seconds, and opening the tables takes milliseconds.
const ATTEMPTS: usize = 20;
const CHUNK_BYTES: usize = 1 << 20;

/// The content of a copy of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCopy {
    /// The position of the log that it covers; 0 before the first checkpoint.
    pub position: u64,
    /// Profiles in it.
    pub profiles: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Copies the store in `from` into the folder `to`, which it makes, makes the copy durable, and reads and
/// checks all of it. `progress` gets the bytes of each copied piece.
///
/// # Errors
///
/// When there is no store in `from`, when it is damaged, or when one of the two cannot be used. The unfinished
/// copy in `to` is left.
pub fn copy(from: &Path, to: &Path, mut progress: impl FnMut(u64)) -> Result<StoreCopy, ProfilesError> {
    let mut attempt = 1;
    loop {
        let state = currents(from);
        let copied = copy_once(from, to, &mut progress)
            .map_err(|source| ProfilesError::Io { doing: "copy the profile store", source })
            .and_then(|bytes| Ok((bytes, inspect::checkpoint(to)?)));
        match copied {
            Ok((bytes, None)) => return Ok(StoreCopy { bytes, ..StoreCopy::default() }),
            Ok((bytes, Some(summary))) => {
                let (position, profiles) = (summary.position, summary.profiles);
                return Ok(StoreCopy { position, profiles, bytes });
            }
            // The store has not changed meanwhile, so it is as bad as its copy.
            Err(error)
                if attempt == ATTEMPTS || (state == currents(from) && error.kind() != ErrorKind::Locked) =>
            {
                // The error names a file of the copy; a check of the store names its own file.
                return Err(crate::files::check(from, crate::files::Depth::Whole).err().unwrap_or(error));
            }
            Err(_) => {
                attempt += 1;
                fs::remove_dir_all(to).map_err(|source| ProfilesError::Io {
                    doing: "clear away a copy of the profile store",
                    source,
                })?;
            }
        }
    }
}

/// The bytes of every `current`, which differ between two states of the store.
fn currents(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let keyspaces = fs::read_dir(dir.join("keyspaces")).into_iter().flatten().flatten();
    let mut currents: Vec<_> = keyspaces.map(|keyspace| keyspace.path()).collect();
    currents.sort();
    currents.into_iter().map(|path| (path.clone(), fs::read(path.join("current")).ok())).collect()
}

/// An open table, which can be read even after it is unlinked.
struct OpenTable {
    file: File,
    target: PathBuf,
}

fn copy_once(from: &Path, to: &Path, progress: &mut impl FnMut(u64)) -> io::Result<u64> {
    let mut bytes = 0;
    let mut tables = Vec::new();
    let mut folders = vec![to.to_owned(), to.join("keyspaces")];
    for folder in &folders {
        make_folder(folder)?;
    }
    for keyspace in fs::read_dir(from.join("keyspaces"))? {
        let keyspace = keyspace?;
        let (source, target) = (keyspace.path(), to.join("keyspaces").join(keyspace.file_name()));
        for folder in [target.clone(), target.join("tables")] {
            make_folder(&folder)?;
            folders.push(folder);
        }
        // It names a version, so it is copied before the versions: a newer version may appear meanwhile, but
        // the named one was there.
        bytes += copy_small(&source, &target, "current".as_ref())?;
        for entry in fs::read_dir(&source)? {
            let name = entry?.file_name();
            if name.as_encoded_bytes().starts_with(b"v") {
                bytes += copy_small(&source, &target, name.as_ref())?;
            }
        }
        for table in fs::read_dir(source.join("tables"))? {
            let table = table?;
            match File::open(table.path()) {
                Ok(file) => {
                    tables.push(OpenTable { file, target: target.join("tables").join(table.file_name()) });
                }
                // If it was needed, the check of the copy fails.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    bytes += copy_small(from, to, "version".as_ref())?;
    for OpenTable { mut file, target } in tables {
        bytes += copy_into(&mut file, &target, progress)?;
    }
    for folder in folders.iter().rev() {
        File::open(folder)?.sync_all()?;
    }
    Ok(bytes)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Skips a file that is gone: the check of the copy fails if it was needed.
fn copy_small(from: &Path, to: &Path, name: &Path) -> io::Result<u64> {
    match File::open(from.join(name)) {
        Ok(mut file) => copy_into(&mut file, &to.join(name), &mut |_| {}),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn copy_into(from: &mut File, to: &Path, progress: &mut impl FnMut(u64)) -> io::Result<u64> {
    let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                target.write_all(&buffer[..read])?;
                bytes += read as u64;
                progress(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    target.sync_all()?;
    Ok(bytes)
}
