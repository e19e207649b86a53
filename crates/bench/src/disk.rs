//! What a data folder takes on disk.

use crate::error::Error;
use serde::Serialize;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Allocated bytes, as `du` counts them: what is preallocated counts, holes do not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct DiskUsage {
    /// Everything.
    pub total: u64,
    /// The log's folder.
    pub log: u64,
    /// The folder of the checkpoint store.
    pub profiles: u64,
    /// The SQLite databases with their journals.
    pub sqlite: u64,
}

/// Adds up a data folder. A file that disappears meanwhile counts nothing.
pub(crate) fn usage(data_dir: &Path) -> Result<DiskUsage, Error> {
    let mut usage = DiskUsage::default();
    walk(data_dir, &mut |path, bytes| {
        let top = path.strip_prefix(data_dir).ok().and_then(|path| path.iter().next()?.to_str());
        usage.total += bytes;
        match top {
            Some("log") => usage.log += bytes,
            Some("profiles") => usage.profiles += bytes,
            Some(name) if name.contains(".sqlite") => usage.sqlite += bytes,
            _ => {}
        }
    })
    .map_err(Error::io(format!("measure {}", data_dir.display())))?;
    Ok(usage)
}

fn walk(folder: &Path, file: &mut impl FnMut(&Path, u64)) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = match path.symlink_metadata() {
            // The server trims its log and merges its tables whenever it likes.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if metadata.is_dir() {
            match walk(&path, file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other?,
            }
        } else {
            file(&path, metadata.blocks() * 512);
        }
    }
    Ok(())
}

/// Whether a folder is in memory: a flush costs nothing there, and a rate says nothing.
pub(crate) fn is_in_memory(folder: &Path) -> bool {
    const TMPFS: i128 = 0x0102_1994;
    const RAMFS: i128 = 0x8584_58f6;
    rustix::fs::statfs(folder).is_ok_and(|found| [TMPFS, RAMFS].contains(&i128::from(found.f_type)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_counted_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("log/000001.log", 1 << 20),
            ("profiles/tables/1", 2 << 20),
            ("catalog.sqlite", 1 << 18),
            ("catalog.sqlite-wal", 1 << 18),
            ("usage.sqlite", 1 << 18),
            ("LOCK", 0),
            ("stray", 1 << 16),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, vec![7u8; bytes]).unwrap();
            // Blocks are allocated late; a flush makes sure that they are.
            std::fs::File::open(&path).unwrap().sync_all().unwrap();
        }
        let usage = usage(folder.path()).unwrap();
        // File systems may round a file up by some blocks.
        let near = |bytes: u64, expected: u64| (expected..expected + (1 << 16)).contains(&bytes);
        assert!(near(usage.log, 1 << 20), "{usage:?}");
        assert!(near(usage.profiles, 2 << 20), "{usage:?}");
        assert!(near(usage.sqlite, 3 << 18), "{usage:?}");
        let rest = usage.total - usage.log - usage.profiles - usage.sqlite;
        assert!(near(rest, 1 << 16), "{usage:?}");
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error() {
        assert!(usage(Path::new("/nonexistent/data")).is_err());
    }
}
