//! Where uploaded files wait: private files in the data directory, each until its job has ended.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Keeps uploaded files. Its calls block.
pub(crate) trait Spool: Send + Sync {
    /// Begins the file of a job, in place of what is left of an earlier try.
    fn create(&self, job: u64) -> io::Result<Box<dyn SpoolFile>>;

    /// Opens the file of a job to read it.
    fn open(&self, job: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Removes the file of a job, if there is one.
    fn remove(&self, job: u64) -> io::Result<()>;

    /// The jobs that have a file.
    fn list(&self) -> io::Result<Vec<u64>>;

    /// Where there is room for files that belong to that of a job. They are named after it, and go with it.
    fn beside(&self, job: u64, what: &str) -> PathBuf;
}

/// A file that is being received. Without [`finish`](SpoolFile::finish) it may be lost.
pub(crate) trait SpoolFile: Send {
    /// Appends bytes. What was appended is made durable bit by bit, so that little is left to do at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file durable.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// How many bytes may be written but not durable. A disk takes a fraction of a second for them.
const FLUSH_BYTES: usize = 8 << 20;

/// Less than this is left of the disk for others, in bytes: the log needs it more.
const MIN_FREE_BYTES: u64 = 256 << 20;

/// The ending of an uploaded file.
const ENDING: &str = "upload";

/// Files in a folder that only this user can read.
pub(crate) struct DiskSpool {
    dir: PathBuf,
}

impl DiskSpool {
    /// Files in `dir`, which is made if it is missing.
    pub(crate) fn open(dir: PathBuf) -> io::Result<DiskSpool> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        sync_dir(dir.parent().unwrap_or(Path::new(".")))?;
        Ok(DiskSpool { dir })
    }

    fn path(&self, job: u64) -> PathBuf {
        self.beside(job, ENDING)
    }
}

impl Spool for DiskSpool {
    fn create(&self, job: u64) -> io::Result<Box<dyn SpoolFile>> {
        check_room(&self.dir)?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.path(job))?;
        Ok(Box::new(DiskFile { file, dir: self.dir.clone(), unflushed: 0 }))
    }

    fn open(&self, job: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path(job))?))
    }

    fn remove(&self, job: u64) -> io::Result<()> {
        let prefix = format!("{job}.");
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<u64>> {
        let mut jobs = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number: Option<u64> = name.to_str().and_then(|name| name.split_once('.')?.0.parse().ok());
            jobs.extend(number);
        }
        jobs.sort_unstable();
        jobs.dedup();
        Ok(jobs)
    }

    fn beside(&self, job: u64, what: &str) -> PathBuf {
        self.dir.join(format!("{job}.{what}"))
    }
}

/// Copies the files that wait, durably, and returns their bytes. Those that are gone by their turn are left out.
pub fn copy_spool(from: &Path, to: &Path) -> io::Result<u64> {
    let to = DiskSpool::open(to.to_owned())?;
    let mut bytes = 0;
    let entries = match std::fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let mut source = match File::open(entry.path()) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let path = to.dir.join(entry.file_name());
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        bytes += io::copy(&mut source, &mut copy)?;
        copy.sync_all()?;
    }
    sync_dir(&to.dir)?;
    Ok(bytes)
}

struct DiskFile {
    file: File,
    dir: PathBuf,
    unflushed: usize,
}

impl SpoolFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.unflushed += bytes.len();
        if self.unflushed >= FLUSH_BYTES {
            self.file.sync_data()?;
            self.unflushed = 0;
            check_room(&self.dir)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        // A new name must survive a power cut too.
        sync_dir(&self.dir)
    }
}

/// Fails where the disk is almost full: a file can wait, the log cannot.
fn check_room(dir: &Path) -> io::Result<()> {
    let disk = rustix::fs::statvfs(dir)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < MIN_FREE_BYTES {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_private_and_goes_with_what_lies_beside_it() {
        let directory = tempfile::TempDir::new().unwrap();
        let spool = DiskSpool::open(directory.path().join("files")).unwrap();
        for job in [1, 12] {
            let mut file = spool.create(job).unwrap();
            file.append(b"12:").unwrap();
            file.append(&job.to_string().into_bytes()).unwrap();
            file.finish().unwrap();
        }
        std::fs::write(spool.beside(1, "before"), "x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&spool.path(12)), mode(&spool.dir)), (0o600, 0o700));
        assert_eq!(spool.list().unwrap(), [1, 12]);
        spool.remove(1).unwrap();
        spool.remove(1).unwrap();
        assert_eq!(spool.list().unwrap(), [12]);
        let mut text = String::new();
        spool.open(12).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "12:12");
    }
}
