//! The most memory and disk that a server takes, looked at every second.

use crate::disk;
use ia_testkit::procfs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// What was seen. It is looked until this is dropped.
#[derive(Debug)]
pub(super) struct Peak {
    most: Arc<Most>,
    watching: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Most {
    resident: AtomicU64,
    disk: AtomicU64,
}

impl Peak {
    /// Watches a process and its data from now on.
    pub(super) fn watch(pid: u32, data_dir: &Path) -> Peak {
        let most = Arc::new(Most::default());
        let watching = tokio::spawn(look(pid, data_dir.to_owned(), Arc::clone(&most)));
        Peak { most, watching }
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        self.most.resident.load(Ordering::Relaxed)
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.most.disk.load(Ordering::Relaxed)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn look(pid: u32, data_dir: PathBuf, most: Arc<Most>) {
    let mut every = tokio::time::interval(EVERY);
    // Until the process or its data are gone.
    while let (Ok(usage), Ok(disk)) = (procfs::usage(pid), disk::usage(&data_dir)) {
        most.resident.fetch_max(usage.resident_bytes, Ordering::Relaxed);
        most.disk.fetch_max(disk.total, Ordering::Relaxed);
        every.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_most_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), vec![7u8; 1 << 20]).unwrap();
        std::fs::File::open(folder.path().join("data")).unwrap().sync_all().unwrap();
        let peak = Peak::watch(std::process::id(), folder.path());
        while peak.disk_bytes() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(peak.resident_bytes() > 1 << 16 && peak.disk_bytes() >= 1 << 20, "{peak:?}");
    }
}
