//! A disk in memory that loses power: each unflushed sector survives or is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::{Access, Disk, DiskFile};

/// The unit that a disk writes as a whole.
const SECTOR_BYTES: usize = 512;

/// How long a flush takes where time is simulated.
#[cfg(feature = "shuttle")]
const FLUSH_TIME: std::time::Duration = std::time::Duration::from_millis(4);

/// A small generator, so that a failing case can be run again from its seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice with equal numbers for equal seeds.
    pub fn new(seed: u64) -> Dice {
        Dice(seed | 1)
    }

    /// A number from 0 to `bound - 1`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// The disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<File>,
    names: Names,
    durable_names: Names,
    /// The names after each change since the directory was last flushed.
    pending_names: Vec<Names>,
    /// Changing calls left before the power goes.
    calls_left: Option<u64>,
    locked: BTreeSet<PathBuf>,
}

type Names = BTreeMap<PathBuf, usize>;

#[derive(Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(offset, bytes) => {
                let offset = *offset as usize;
                content.resize(content.len().max(offset + bytes.len()), 0);
                content[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Change::Resize(size) => content.resize(*size as usize, 0),
        }
    }

    /// The parts that the disk may keep.
    fn survivors(&self, dice: &mut Dice) -> Vec<Change> {
        match self {
            Change::Resize(_) if dice.below(2) == 0 => Vec::new(),
            Change::Resize(_) => vec![self.clone()],
            Change::Write(offset, bytes) => {
                let mut kept = Vec::new();
                let mut start = 0;
                while start < bytes.len() {
                    let at = *offset as usize + start;
                    let end = bytes.len().min(start + SECTOR_BYTES - at % SECTOR_BYTES);
                    if dice.below(2) == 0 {
                        kept.push(Change::Write(at as u64, bytes[start..end].to_vec()));
                    }
                    start = end;
                }
                kept
            }
        }
    }
}

impl SimulatedDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a durable file there, in place of any file of that name.
    pub fn put(&self, path: &Path, content: &[u8]) {
        let mut state = self.lock();
        let number = state.files.len();
        state.files.push(File { now: content.to_vec(), durable: content.to_vec(), pending: Vec::new() });
        state.names.insert(path.to_owned(), number);
        state.durable_names.insert(path.to_owned(), number);
    }

    /// All files with their content, by path.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        state.names.iter().map(|(path, &number)| (path.clone(), state.files[number].now.clone())).collect()
    }

    /// The files after a power cut at this moment that keeps only flushed bytes.
    pub fn durable_contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        let durable = state.durable_names.iter();
        durable.map(|(path, &number)| (path.clone(), state.files[number].durable.clone())).collect()
    }

    /// Lets that many more changes happen before the power goes.
    pub fn cut_power_after(&self, calls: u64) {
        self.lock().calls_left = Some(calls);
    }

    /// Only the process ended, not the power: its writes are there, and still not flushed.
    pub fn resume(&self) {
        self.lock().calls_left = None;
    }

    /// The power comes back; unflushed changes are there in part.
    pub fn restart(&self, dice: &mut Dice) {
        let mut state = self.lock();
        let kept = dice.below(state.pending_names.len() as u64 + 1) as usize;
        if let Some(names) = kept.checked_sub(1).map(|last| state.pending_names[last].clone()) {
            state.durable_names = names;
        }
        state.names = state.durable_names.clone();
        state.pending_names.clear();
        state.calls_left = None;
        for file in &mut state.files {
            for change in std::mem::take(&mut file.pending) {
                for survivor in change.survivors(dice) {
                    survivor.apply(&mut file.durable);
                }
            }
            file.now = file.durable.clone();
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        match &mut state.calls_left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        change(&mut state)
    }

    fn change_names(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        self.change(|state| {
            change(state);
            let names = state.names.clone();
            state.pending_names.push(names);
            Ok(())
        })
    }

    fn file(&self, number: usize) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile { disk: self.clone(), number })
    }
}

impl Disk for SimulatedDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        struct Held(SimulatedDisk, PathBuf);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.lock().locked.remove(&self.1);
            }
        }
        if self.lock().locked.insert(dir.to_owned()) {
            Ok(Box::new(Held(self.clone(), dir.to_owned())))
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let state = self.lock();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let number = self.lock().files.len();
        self.change_names(|state| {
            state.files.push(File::default());
            state.names.insert(path.to_owned(), number);
        })?;
        Ok(self.file(number))
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Box<dyn DiskFile>> {
        let number = self.lock().names.get(path).copied();
        Ok(self.file(number.ok_or(io::ErrorKind::NotFound)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(|state| {
            let number = state.names.remove(from).expect("the file to rename");
            state.names.insert(to.to_owned(), number);
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change_names(|state| {
            state.names.remove(path);
        })
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.change(|state| {
            state.durable_names = state.names.clone();
            state.pending_names.clear();
            Ok(())
        })
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    number: usize,
}

impl SimulatedFile {
    fn change(&self, change: Change) -> io::Result<()> {
        self.disk.change(|state| {
            let file = &mut state.files[self.number];
            change.apply(&mut file.now);
            file.pending.push(change);
            Ok(())
        })
    }
}

impl DiskFile for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.number].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let rest = state.files[self.number].now.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn flush(&self) -> io::Result<()> {
        #[cfg(feature = "shuttle")]
        crate::sync::advance(FLUSH_TIME);
        self.disk.change(|state| {
            let file = &mut state.files[self.number];
            file.durable = file.now.clone();
            file.pending.clear();
            Ok(())
        })
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        if self.size()? < size { self.change(Change::Resize(size)) } else { Ok(()) }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.change(Change::Resize(size))
    }
}
