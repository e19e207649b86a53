//! Checks files while they come in: a thread reads a file behind its upload, so that little of it is left to check when the
//! upload ends. What it finds is only kept in memory; a file without it is checked when its turn comes.

use super::read::FileFault;
use super::read::open::{FileLimits, FileSummary, check};
use crate::threads::Urgency;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What a check found.
pub(super) type Checked = Result<FileSummary, FileFault>;

/// The checks of files that come in, or wait for their turn.
pub(crate) struct EarlyChecks {
    by_job: Mutex<BTreeMap<u64, JoinHandle<Checked>>>,
    /// How many may run at once.
    most: usize,
}

/// An upload that is followed by a check. Dropped without [`end`](Followed::end), it ends the check.
pub(super) struct Followed {
    checks: Arc<EarlyChecks>,
    job: u64,
    written: Arc<Written>,
}

/// How far the file is written.
#[derive(Default)]
struct Written {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// All of it is there.
    Whole,
    /// No more will come.
    BrokenOff,
}

/// Reads a file up to what is written, and waits for the rest.
struct Following {
    file: Box<dyn Read + Send>,
    read_bytes: u64,
    written: Arc<Written>,
}

impl EarlyChecks {
    /// At most that many at once.
    pub(crate) fn new(most: usize) -> Arc<EarlyChecks> {
        Arc::new(EarlyChecks { by_job: Mutex::default(), most })
    }

    /// Begins to check the file of a job, of which nothing is written yet. `None` where too many are checked already.
    pub(super) fn begin(
        self: &Arc<Self>,
        job: u64,
        file: Box<dyn Read + Send>,
        limits: FileLimits,
    ) -> Option<Followed> {
        let mut by_job = self.by_job();
        if by_job.values().filter(|check| !check.is_finished()).count() >= self.most {
            return None;
        }
        let written = Arc::<Written>::default();
        let following = Following { file, read_bytes: 0, written: Arc::clone(&written) };
        let work = move || {
            Urgency::Low.set_for_this_thread();
            check(Box::new(following), limits)
        };
        match std::thread::Builder::new().name("ia-file-check".to_owned()).spawn(work) {
            Ok(running) => drop(by_job.insert(job, running)),
            Err(error) => {
                tracing::warn!(%error, "no thread to check a file with; it is checked later");
                return None;
            }
        }
        drop(by_job);
        Some(Followed { checks: Arc::clone(self), job, written })
    }

    /// Waits for the check of a whole file; `None` where it was not checked early, or the disk failed.
    pub(super) fn take(&self, job: u64) -> Option<Checked> {
        let running = self.by_job().remove(&job)?;
        running.join().ok().filter(|checked| !matches!(checked, Err(FileFault::Io(_))))
    }

    /// Lets go of what was found of a file.
    pub(super) fn forget(&self, job: u64) {
        self.by_job().remove(&job);
    }

    fn by_job(&self) -> MutexGuard<'_, BTreeMap<u64, JoinHandle<Checked>>> {
        self.by_job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followed {
    /// More of the file is written.
    pub(super) fn wrote(&self, bytes: usize) {
        self.written.change(|state| state.bytes += bytes as u64);
    }

    /// All of the file is written.
    pub(super) fn end(self) {
        self.written.change(|state| state.end = Some(End::Whole));
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let is_whole = self.written.state().end == Some(End::Whole);
        if !is_whole {
            self.written.change(|state| state.end = Some(End::BrokenOff));
            self.checks.forget(self.job);
        }
    }
}

impl Written {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_one();
    }
}

impl Read for Following {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Other threads run between two buffers.
        std::thread::yield_now();
        let written = &self.written;
        let is_ahead = |state: &mut State| state.bytes == self.read_bytes && state.end.is_none();
        let state =
            written.changed.wait_while(written.state(), is_ahead).unwrap_or_else(PoisonError::into_inner);
        if state.end == Some(End::BrokenOff) {
            return Err(io::Error::other("the upload was broken off"));
        }
        let left = usize::try_from(state.bytes - self.read_bytes).unwrap_or(usize::MAX);
        drop(state);
        let length = buffer.len().min(left);
        let read = self.file.read(&mut buffer[..length])?;
        self.read_bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::open::check;
    use super::super::{DiskSpool, Spool};
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    const LIMITS: FileLimits = FileLimits { max_decoded_bytes: 1 << 30 };

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(content).unwrap();
        file.finish().unwrap()
    }

    /// Writes a file in pieces, followed by a check.
    fn upload(checks: &Arc<EarlyChecks>, spool: &DiskSpool, job: u64, content: &[u8]) -> Option<Followed> {
        let mut file = spool.create(job).unwrap();
        let followed = checks.begin(job, spool.open(job).unwrap(), LIMITS);
        for piece in content.chunks(1000) {
            file.append(piece).unwrap();
            if let Some(followed) = &followed {
                followed.wrote(piece.len());
            }
        }
        file.finish().unwrap();
        followed
    }

    #[test]
    fn what_is_found_is_what_a_check_of_the_whole_file_finds() {
        let directory = tempfile::TempDir::new().unwrap();
        let spool = DiskSpool::open(directory.path().to_owned()).unwrap();
        let checks = EarlyChecks::new(8);
        let text: Vec<u8> = (0..100_000).flat_map(|user| format!("{user}:1,2,3\n").into_bytes()).collect();
        let mut damaged = gzip(&text);
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let cut_off = gzip(&text)[..middle].to_vec();
        let files = [text.clone(), gzip(&text), Vec::new(), b"PAR1\x15\x04".to_vec(), damaged, cut_off];
        for (job, content) in (0..).zip(&files) {
            upload(&checks, &spool, job, content).unwrap().end();
            let told = |checked: Checked| checked.map_err(|fault| format!("{fault:?}"));
            let early = told(checks.take(job).unwrap());
            assert_eq!(early, told(check(spool.open(job).unwrap(), LIMITS)));
            assert_eq!(early.is_ok(), job < 3, "{early:?}");
            assert!(checks.take(job).is_none());
        }
    }

    #[test]
    fn an_upload_that_is_broken_off_leaves_nothing() {
        let directory = tempfile::TempDir::new().unwrap();
        let spool = DiskSpool::open(directory.path().to_owned()).unwrap();
        let checks = EarlyChecks::new(1);
        let first = upload(&checks, &spool, 1, b"1:1,2,3\n").unwrap();
        assert!(upload(&checks, &spool, 2, b"1:1,2,3\n").is_none(), "one runs already");
        let running = checks.by_job().remove(&1).unwrap();
        drop(first);
        assert!(matches!(running.join(), Ok(Err(FileFault::Io(_)))), "the thread ends");
        assert!(checks.take(1).is_none());
        upload(&checks, &spool, 3, b"1:1,2,3\n").unwrap().end();
        checks.forget(3);
        assert!(checks.take(3).is_none());
    }
}
