//! The data directory: where everything that is kept lies, and who may use it.

use anyhow::{Context, bail};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The places in a data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

/// Held while a server uses a data directory; the system gives it back when the process ends.
#[derive(Debug)]
pub(crate) struct DataDirLock(
    #[expect(dead_code, reason = "the lock lives as long as the file is open")] File,
);

impl DataDir {
    /// The directory at `path`, made where it is missing, for this user alone.
    pub(crate) fn create(path: &Path) -> anyhow::Result<DataDir> {
        let fault = || format!("cannot make the data directory {}", path.display());
        let absolute = std::path::absolute(path).with_context(fault)?;
        let missing: Vec<&Path> = absolute.ancestors().take_while(|path| !path.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&absolute).with_context(fault)?;
        // A new name must survive a power cut, or all that is under it does not.
        for parent in missing.iter().filter_map(|new| new.parent()) {
            File::open(parent).and_then(|parent| parent.sync_all()).with_context(fault)?;
        }
        Ok(DataDir(path.to_owned()))
    }

    /// Makes the names in the directory durable.
    pub(crate) fn sync(&self) -> anyhow::Result<()> {
        let synced = File::open(&self.0).and_then(|dir| dir.sync_all());
        synced.with_context(|| format!("cannot sync the data directory {}", self.0.display()))
    }

    /// The directory at `path`, which must exist.
    pub(crate) fn existing(path: &Path) -> anyhow::Result<DataDir> {
        if !path.is_dir() {
            bail!("there is no data directory at {}", path.display());
        }
        Ok(DataDir(path.to_owned()))
    }

    /// Makes this process the only one that serves the directory. Fails when another does.
    pub(crate) fn lock(&self) -> anyhow::Result<DataDirLock> {
        let path = self.0.join("LOCK");
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(DataDirLock(file)),
            Err(TryLockError::WouldBlock) => {
                bail!("the data directory {} is in use by another process", self.0.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// The log's folder.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The folder of the checkpoint store.
    pub(crate) fn profiles(&self) -> PathBuf {
        self.0.join("profiles")
    }

    /// The catalog's database.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.0.join("catalog.sqlite")
    }

    /// The database of the usage statistics.
    pub(crate) fn usage(&self) -> PathBuf {
        self.0.join("usage.sqlite")
    }
}
