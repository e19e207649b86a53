//! Reading a checkpoint without the server: for `inspect`, beside a running server or a stopped one.
//!
//! fjall lets one process at a time open a database, and opening changes the folder (it removes files
//! without a reference). So these functions open a *view*: a temporary folder with copies of the few small
//! files that list the tables, and symbolic links to the tables, which never change once written. The
//! folder itself is only read. A running server may unlink a table meanwhile; then the view is made again.

use crate::codec;
use crate::files::{self, Depth};
use crate::links::{self, LinksKey};
use crate::store::{Checkpoint, Store};
use crate::stored::{self, Kind};
use crate::{ErrorKind, Membership, ProfilesError};
use ia_model::{Minute, UserKey};
use std::fs;
use std::io;
use std::path::Path;
use tempfile::TempDir;

/// A checkpoint of a running server takes seconds, and making a view takes milliseconds.
const ATTEMPTS: usize = 8;
const CACHE_BYTES: u64 = 4 << 20;
const PROFILES_PER_SCAN: usize = 4096;

/// A summary of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointSummary {
    /// The position of the log that it covers.
    pub position: u64,
    /// Profiles in it.
    pub profiles: u64,
    /// Users in it with linked ids of members.
    pub linked_users: u64,
    /// Bytes of the blobs of both.
    pub blob_bytes: u64,
    /// Size of the store on disk, in bytes, outdated entries included.
    pub store_bytes: u64,
    /// The version of the store's layout.
    pub format_version: u8,
    /// The next checkpoint has to rewrite the store, because something was erased.
    pub rewrite_due: bool,
}

/// A user in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProfile {
    /// The position of the log that the checkpoint covers; later records are not included.
    pub position: u64,
    /// Its memberships, ids ascending, with those that have expired since. Empty for an unknown user.
    pub memberships: Vec<Membership>,
    /// The ids that are linked to it, each with the first minute after the link, and with those that have
    /// ended since.
    pub links: Vec<(UserKey, Minute)>,
}

/// Sums up the checkpoint in `dir`; reads and checks all of it. `None` before the first checkpoint.
///
/// # Errors
///
/// When there is no store in `dir`, or it cannot be read.
pub fn checkpoint(dir: &Path) -> Result<Option<CheckpointSummary>, ProfilesError> {
    with_view(dir, Depth::Whole, |store, checkpoint| {
        let mut summary = CheckpointSummary {
            position: checkpoint.position,
            profiles: 0,
            linked_users: 0,
            blob_bytes: 0,
            store_bytes: store.disk_bytes(),
            format_version: store.version()?,
            rewrite_due: checkpoint.rewrite_due,
        };
        let (mut last_key, mut memberships) = (Vec::new(), Vec::new());
        loop {
            let blobs = store.scan(&last_key, PROFILES_PER_SCAN)?;
            let Some((key, _)) = blobs.last() else { return Ok(summary) };
            last_key = key.to_vec();
            for (key, blob) in &blobs {
                match stored::check(key, blob, &mut memberships)? {
                    Kind::Profile => summary.profiles += 1,
                    Kind::Links => summary.linked_users += 1,
                }
            }
            summary.blob_bytes += blobs.iter().map(|(_, blob)| blob.len() as u64).sum::<u64>();
        }
    })
}

/// A user's profile in the checkpoint in `dir`. `None` before the first checkpoint.
///
/// # Errors
///
/// When there is no store in `dir`, or it cannot be read.
pub fn profile(dir: &Path, user: &UserKey) -> Result<Option<StoredProfile>, ProfilesError> {
    with_view(dir, Depth::Ends, |store, checkpoint| {
        let mut memberships = Vec::new();
        if let Some(blob) = store.get(user.as_bytes())? {
            codec::read_blob(&blob, user.domain(), &mut memberships)?;
        }
        let links = match LinksKey::of(user) {
            Some(key) => store.get(key.as_bytes())?.map_or(Ok(Vec::new()), |blob| links::read_blob(&blob))?,
            None => Vec::new(),
        };
        Ok(StoredProfile { position: checkpoint.position, memberships, links })
    })
}

fn with_view<T>(
    dir: &Path,
    depth: Depth,
    read: impl Fn(&Store, Checkpoint) -> Result<T, ProfilesError>,
) -> Result<Option<T>, ProfilesError> {
    let mut attempt = 1;
    loop {
        let result = files::check(dir, depth).and_then(|()| View::of(dir)).and_then(|view| {
            let store = Store::open_still(view.0.path(), CACHE_BYTES)?;
            store.checkpoint()?.map(|checkpoint| read(&store, checkpoint)).transpose()
        });
        match result {
            // A file that is gone looks like a failed disk, or like a missing table.
            Err(error) if attempt < ATTEMPTS && error.kind() != ErrorKind::Locked => attempt += 1,
            result => return result,
        }
    }
}

/// A folder that looks like the store; dropping it removes the folder.
struct View(TempDir);

impl View {
    fn of(dir: &Path) -> Result<View, ProfilesError> {
        let failed = |source| ProfilesError::Io { doing: "read the folder of the profile store", source };
        let view = TempDir::with_prefix("ia-inspect-")
            .map_err(|source| ProfilesError::Io { doing: "make a temporary folder", source })?;
        fill(dir, view.path()).map_err(failed)?;
        Ok(View(view))
    }
}

/// Fills a view. Opening it makes the lock and the journal, which are empty.
fn fill(dir: &Path, view: &Path) -> io::Result<()> {
    fs::copy(dir.join("version"), view.join("version"))?;
    fs::create_dir(view.join("keyspaces"))?;
    for keyspace in fs::read_dir(dir.join("keyspaces"))? {
        let keyspace = keyspace?;
        let (from, to) = (keyspace.path(), view.join("keyspaces").join(keyspace.file_name()));
        fs::create_dir_all(to.join("tables"))?;
        // It names the version, so it is copied before the versions: a newer version may appear meanwhile,
        // but the named one was there.
        fs::copy(from.join("current"), to.join("current"))?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('v') {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        for table in fs::read_dir(from.join("tables"))? {
            let table = table?;
            std::os::unix::fs::symlink(
                fs::canonicalize(table.path())?,
                to.join("tables").join(table.file_name()),
            )?;
        }
    }
    Ok(())
}
