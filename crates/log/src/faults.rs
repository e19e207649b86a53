//! A disk that fails on demand, for the tests of this crate and of those above it.

pub mod simulated;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use rustix::io::Errno;

use crate::{Access, Disk, DiskFile};

/// The longest wait for another thread before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The kinds of calls that can be counted, failed and held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the operation of `Disk` or `DiskFile` with its name")]
pub enum Call {
    CreateDir,
    LockDir,
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncDir,
    Size,
    Read,
    Write,
    Flush,
    Allocate,
    SetSize,
}

impl Call {
    /// Every kind.
    pub const ALL: [Call; 14] = [
        Call::CreateDir,
        Call::LockDir,
        Call::List,
        Call::Create,
        Call::Open,
        Call::Rename,
        Call::Remove,
        Call::SyncDir,
        Call::Size,
        Call::Read,
        Call::Write,
        Call::Flush,
        Call::Allocate,
        Call::SetSize,
    ];
}

/// A disk with faults. Clones share their faults and counters: give one to the log and keep one.
///
/// ```
/// use ia_log::RealDisk;
/// use ia_log::faults::{Call, Errno, FaultyDisk};
///
/// let disk = FaultyDisk::new(RealDisk);
/// disk.fail_next(Call::Flush, Errno::IO);
/// disk.fail_always(Call::Allocate, Errno::NOSPC);
/// disk.heal();
/// ```
#[derive(Clone)]
pub struct FaultyDisk {
    real: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    calls: HashMap<Call, usize>,
    plans: HashMap<Call, Plan>,
    /// The number of bytes of a failing write that still reach the disk.
    torn_write_bytes: usize,
    hold: Option<Call>,
    held: usize,
}

#[derive(Clone, Copy)]
enum Plan {
    /// The call with this number, counted from the first ever.
    Nth(usize, Errno),
    /// The same and all later calls.
    From(usize, Errno),
    Always(Errno),
}

impl FaultyDisk {
    /// A disk that works like `real` until a fault is set.
    pub fn new(real: impl Disk + 'static) -> FaultyDisk {
        FaultyDisk { real: Arc::new(real), faults: Arc::default() }
    }

    /// The same disk, in the type that a log takes.
    pub fn as_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Fails the next call of a kind; those after it succeed.
    pub fn fail_next(&self, call: Call, errno: Errno) {
        self.fail_nth(call, 1, errno);
    }

    /// Fails the `n`-th call of a kind from now on, 1 being the next; those before and after it succeed.
    pub fn fail_nth(&self, call: Call, n: usize, errno: Errno) {
        let mut state = self.faults.lock();
        let nth = state.calls.get(&call).copied().unwrap_or(0) + n;
        state.plans.insert(call, Plan::Nth(nth, errno));
    }

    /// Fails the `n`-th call of a kind from now on and all after it, until [`FaultyDisk::heal`].
    pub fn fail_from(&self, call: Call, n: usize, errno: Errno) {
        let mut state = self.faults.lock();
        let nth = state.calls.get(&call).copied().unwrap_or(0) + n;
        state.plans.insert(call, Plan::From(nth, errno));
    }

    /// Fails all calls of a kind until [`FaultyDisk::heal`].
    pub fn fail_always(&self, call: Call, errno: Errno) {
        self.faults.lock().plans.insert(call, Plan::Always(errno));
    }

    /// Lets that many bytes of every failing write reach the disk.
    pub fn tear_failing_writes_after(&self, bytes: usize) {
        self.faults.lock().torn_write_bytes = bytes;
    }

    /// Removes all faults and releases held calls.
    pub fn heal(&self) {
        let mut state = self.faults.lock();
        state.plans.clear();
        state.torn_write_bytes = 0;
        state.hold = None;
        drop(state);
        self.faults.changed.notify_all();
    }

    /// Makes calls of a kind wait, before they do anything, until [`FaultyDisk::release`].
    pub fn hold(&self, call: Call) {
        self.faults.lock().hold = Some(call);
    }

    /// Waits until a call is being held.
    ///
    /// # Panics
    ///
    /// When no call comes for a long time.
    pub fn wait_until_held(&self) {
        self.faults.wait_while("a call to hold", |state| state.held == 0);
    }

    /// Releases held calls, and holds no more.
    pub fn release(&self) {
        self.faults.lock().hold = None;
        self.faults.changed.notify_all();
    }

    /// Waits until `count` calls of a kind have been made, counted from the first ever.
    ///
    /// # Panics
    ///
    /// When they do not come for a long time.
    pub fn wait_for_calls(&self, call: Call, count: usize) {
        self.faults.wait_while("calls", |state| state.calls.get(&call).copied().unwrap_or(0) < count);
    }

    /// How many calls of a kind have been made, failed ones included.
    pub fn calls(&self, call: Call) -> usize {
        self.faults.lock().calls.get(&call).copied().unwrap_or(0)
    }
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while condition(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}");
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Counts a call, holds it if asked to, and fails it if a fault is set.
    fn enter(&self, call: Call) -> io::Result<()> {
        let mut state = self.lock();
        let count = state.calls.entry(call).or_default();
        *count += 1;
        let number = *count;
        self.changed.notify_all();
        if state.hold == Some(call) {
            state.held += 1;
            drop(state);
            self.changed.notify_all();
            self.wait_while("the release of a held call", |state| state.hold == Some(call));
            state = self.lock();
            state.held -= 1;
        }
        match state.plans.get(&call) {
            Some(&Plan::Always(errno)) => Err(errno.into()),
            Some(&Plan::Nth(nth, errno)) if nth == number => Err(errno.into()),
            Some(&Plan::From(nth, errno)) if nth <= number => Err(errno.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.enter(Call::CreateDir)?;
        self.real.create_dir(dir)
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.faults.enter(Call::LockDir)?;
        self.real.lock_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.faults.enter(Call::List)?;
        self.real.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.faults.enter(Call::Create)?;
        Ok(Box::new(FaultyFile { real: self.real.create(path)?, faults: self.faults.clone() }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        self.faults.enter(Call::Open)?;
        Ok(Box::new(FaultyFile { real: self.real.open(path, access)?, faults: self.faults.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.enter(Call::Rename)?;
        self.real.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.enter(Call::Remove)?;
        self.real.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.enter(Call::SyncDir)?;
        self.real.sync_dir(dir)
    }
}

struct FaultyFile {
    real: Box<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn size(&self) -> io::Result<u64> {
        self.faults.enter(Call::Size)?;
        self.real.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.enter(Call::Read)?;
        self.real.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.faults.enter(Call::Write) {
            let torn = self.faults.lock().torn_write_bytes.min(bytes.len());
            self.real.write_at(&bytes[..torn], offset)?;
            return Err(error);
        }
        self.real.write_at(bytes, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.faults.enter(Call::Flush)?;
        self.real.flush()
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.faults.enter(Call::Allocate)?;
        self.real.allocate(size)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.faults.enter(Call::SetSize)?;
        self.real.set_size(size)
    }
}
