//! The data directory: the places of all files, and the locks on them.

use anyhow::{Context, bail};
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The paths in a data directory.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// Held while a server uses a data directory. The system releases it when the process ends.
#[derive(Debug)]
pub struct DataDirLock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

/// Held while log files are removed, or while a backup needs all of them. The system releases it when the
/// process ends.
#[derive(Debug)]
pub struct LogHold(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

/// The file that marks an unfinished backup.
const INCOMPLETE: &str = "INCOMPLETE";

impl DataDir {
    /// The directory at `path`. Creates it if it is missing, readable by this user only.
    pub fn create(path: &Path) -> anyhow::Result<DataDir> {
        let fault = || format!("cannot make the data directory {}", path.display());
        refuse_incomplete(path)?;
        let absolute = std::path::absolute(path).with_context(fault)?;
        let missing: Vec<&Path> = absolute.ancestors().take_while(|path| !path.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&absolute).with_context(fault)?;
        // A new name must survive a power cut, or everything below it is lost.
        for parent in missing.iter().filter_map(|new| new.parent()) {
            File::open(parent).and_then(|parent| parent.sync_all()).with_context(fault)?;
        }
        Ok(DataDir(path.to_owned()))
    }

    /// Flushes the file names in the directory to stable storage.
    pub fn sync(&self) -> anyhow::Result<()> {
        let synced = File::open(&self.0).and_then(|dir| dir.sync_all());
        synced.with_context(|| format!("cannot sync the data directory {}", self.0.display()))
    }

    /// The directory at `path`, which must exist.
    pub fn existing(path: &Path) -> anyhow::Result<DataDir> {
        if !path.is_dir() {
            bail!("there is no data directory at {}", path.display());
        }
        refuse_incomplete(path)?;
        Ok(DataDir(path.to_owned()))
    }

    /// Makes this process the only one that serves the directory. Fails if another process serves it.
    pub fn lock(&self) -> anyhow::Result<DataDirLock> {
        let path = self.0.join("LOCK");
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match try_lock(file, &path)? {
            Some(file) => Ok(DataDirLock(file)),
            None => bail!("the data directory {} is in use by another process", self.0.display()),
        }
    }

    /// Keeps other processes from removing log files. `None` if another process holds them.
    pub fn hold_log(&self) -> anyhow::Result<Option<LogHold>> {
        // Locks the directory itself: a full disk, which the removal would help, may have no room for a lock file.
        let dir = File::open(&self.0).with_context(|| format!("cannot open {}", self.0.display()))?;
        Ok(try_lock(dir, &self.0)?.map(LogHold))
    }

    /// Closes an existing directory to other users.
    pub fn make_private(&self) -> anyhow::Result<()> {
        std::fs::set_permissions(&self.0, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot change the mode of {}", self.0.display()))
    }

    /// Marks the directory as an unfinished backup, durably.
    pub fn mark_incomplete(&self) -> anyhow::Result<()> {
        let path = self.0.join(INCOMPLETE);
        let text = "This backup was not finished and is of no use. Remove the folder.\n";
        std::fs::write(&path, text)
            .and_then(|()| File::open(&path)?.sync_all())
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.sync()
    }

    /// Removes that mark, durably.
    pub fn mark_complete(&self) -> anyhow::Result<()> {
        let path = self.0.join(INCOMPLETE);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        self.sync()
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The log's folder.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The folder of the checkpoint store.
    pub fn profiles(&self) -> PathBuf {
        self.0.join("profiles")
    }

    /// The catalog's database.
    pub fn catalog(&self) -> PathBuf {
        self.0.join("catalog.sqlite")
    }

    /// Whether there is a log but no catalog. A server creates the catalog before the log.
    pub fn has_lost_its_catalog(&self) -> bool {
        let has_log = std::fs::read_dir(self.log()).is_ok_and(|mut files| files.next().is_some());
        has_log && std::fs::metadata(self.catalog()).map_or(true, |file| file.len() == 0)
    }

    /// The folder of files that were uploaded and are not read yet.
    pub fn files(&self) -> PathBuf {
        self.0.join("files")
    }

    /// The database of the usage statistics, and of the jobs of files.
    pub fn usage(&self) -> PathBuf {
        self.0.join("usage.sqlite")
    }
}

fn refuse_incomplete(path: &Path) -> anyhow::Result<()> {
    if path.join(INCOMPLETE).exists() {
        bail!("{} is a backup that was not finished; it is of no use", path.display());
    }
    Ok(())
}

/// Locks an open file. `None` if another process holds the lock.
fn try_lock(file: File, path: &Path) -> anyhow::Result<Option<File>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}
