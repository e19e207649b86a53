//! The files of the store, checked before fjall opens them.
//!
//! fjall checks every block that it reads against a checksum. This module makes up for the checks that
//! fjall leaves out, and for its treatment of missing files:
//!
//! - It does not compare the version file (the list of the tables) with the checksum in `current`.
//! - It reserves memory by a number in a table's list of sections before it checks that list.
//! - It takes a folder without `current`, or without an entry in keyspace 0, as unfinished, and *deletes*
//!   it; without `version` it begins a new database. The files in such a folder may suffice to repair it.
//! - It does not open a store without its lock file; without the journal it opens the store, and later
//!   writes are hidden behind older ones.
//!
//! Nothing here changes an existing file.

use crate::ProfilesError;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// The content of `version` in fjall 3.
const VERSION_MARKER: &[u8] = b"FJL\x03";
/// A version number, a checksum and the kind of the checksum.
const CURRENT_BYTES: usize = 8 + 16 + 1;
/// The end of a table: magic bytes, version, kind of the checksum, checksum, place and length of the list
/// of sections.
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;
/// Tables have six sections with short names.
const MAX_SECTION_LIST_BYTES: u64 = 4096;
/// Nothing is ever written to it.
const JOURNAL: &str = "0.jnl";
/// The part of the journal that is checked: fjall stops at the first invalid entry.
const JOURNAL_BYTES: u64 = 4096;

/// The part of the tables that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Their lists of sections. fjall checks the rest when it reads it.
    Ends,
    /// Every byte.
    Whole,
}

/// Whether a store may be opened. A missing, empty or unfinished folder may be: it gets a new store.
pub(crate) fn check(dir: &Path, depth: Depth) -> Result<(), ProfilesError> {
    let keyspaces = keyspaces(dir)?;
    let has_profiles = keyspaces.iter().any(|keyspace| keyspace.number != 0 && !keyspace.tables.is_empty());
    check_marker(dir, has_profiles)?;
    check_journal(&dir.join(JOURNAL))?;
    if has_profiles && !keyspaces.iter().any(|keyspace| keyspace.number == 0) {
        return Err(damaged(dir.join("keyspaces").join("0"), "it is missing"));
    }
    for keyspace in &keyspaces {
        let is_needed = !keyspace.tables.is_empty() || (has_profiles && keyspace.number == 0);
        let Some(current) = read(&keyspace.path.join("current"))? else {
            if is_needed {
                return Err(damaged(keyspace.path.join("current"), "it is missing"));
            }
            continue;
        };
        for table in listed_tables(&keyspace.path, &current)? {
            check_table(&keyspace.path.join("tables").join(table.number.to_string()), &table, depth)?;
        }
    }
    Ok(())
}

/// Makes missing files that are always empty, and that fjall needs: the lock and the journal. Without a
/// journal fjall counts its writes from the start again, and older writes then hide newer ones.
pub(crate) fn complete(dir: &Path) -> Result<(), ProfilesError> {
    if !dir.join("version").exists() {
        return Ok(());
    }
    for name in ["lock", JOURNAL] {
        let made = OpenOptions::new().create(true).append(true).mode(0o600).open(dir.join(name));
        made.map_err(unreadable(&dir.join(name)))?;
    }
    Ok(())
}

struct KeyspaceFolder {
    number: u64,
    path: PathBuf,
    tables: BTreeSet<u64>,
}

fn keyspaces(dir: &Path) -> Result<Vec<KeyspaceFolder>, ProfilesError> {
    let mut keyspaces = Vec::new();
    for path in entries(&dir.join("keyspaces"))? {
        if path.is_file() {
            continue;
        }
        let number = number_in(&path)?;
        let tables = entries(&path.join("tables"))?;
        let tables = tables.iter().map(|table| number_in(table)).collect::<Result<_, _>>()?;
        keyspaces.push(KeyspaceFolder { number, path, tables });
    }
    Ok(keyspaces)
}

/// The paths in a folder, hidden ones left out; none where there is no folder.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, ProfilesError> {
    let listed = match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let mut paths = listed.map_err(unreadable(dir))?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    Ok(paths)
}

/// fjall panics at other names.
fn number_in(path: &Path) -> Result<u64, ProfilesError> {
    let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    number.ok_or_else(|| damaged(path.to_owned(), "it does not belong there"))
}

fn check_marker(dir: &Path, has_profiles: bool) -> Result<(), ProfilesError> {
    let path = dir.join("version");
    match read(&path)? {
        Some(bytes) if bytes == VERSION_MARKER => Ok(()),
        Some(_) => Err(damaged(path, "it does not say that this is a store of this program")),
        None if has_profiles => Err(damaged(path, "it is missing")),
        None => Ok(()),
    }
}

/// Nothing is ever written to it, and fjall would apply an entry in it.
fn check_journal(path: &Path) -> Result<(), ProfilesError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(JOURNAL_BYTES).read_to_end(&mut bytes).map_err(unreadable(path))?;
    if bytes.iter().any(|&byte| byte != 0) {
        return Err(ProfilesError::JournalInUse { file: path.to_owned() });
    }
    Ok(())
}

struct ListedTable {
    number: u64,
    checksum: u128,
}

/// The tables of the version that `current` names.
fn listed_tables(keyspace: &Path, current: &[u8]) -> Result<Vec<ListedTable>, ProfilesError> {
    let unclear = || damaged(keyspace.join("current"), "it does not name a version");
    if current.len() != CURRENT_BYTES || current[CURRENT_BYTES - 1] != 0 {
        return Err(unclear());
    }
    let mut current = Cursor::new(current);
    let (version, checksum) = (number(&mut current), take::<16>(&mut current).map(u128::from_le_bytes));
    let (Some(version), Some(checksum)) = (version, checksum) else { return Err(unclear()) };
    let path = keyspace.join(format!("v{version}"));
    let Some(bytes) = read(&path)? else { return Err(damaged(path, "it is missing")) };
    if xxh3_128(&bytes) != checksum {
        return Err(damaged(path, "its bytes are not those that were written"));
    }
    tables_in(&bytes).ok_or_else(|| damaged(path, "it is not laid out as this program knows it"))
}

/// Levels of runs of tables, each with its number, the checksum of its file, and a sequence number.
fn tables_in(version: &[u8]) -> Option<Vec<ListedTable>> {
    let archive = sfa::Reader::from_reader(&mut Cursor::new(version)).ok()?;
    let section = archive.toc().section(b"tables")?;
    let start = usize::try_from(section.pos()).ok()?;
    let end = start.checked_add(usize::try_from(section.len()).ok()?)?;
    let mut bytes = Cursor::new(version.get(start..end)?);
    let mut tables = Vec::new();
    let [levels] = take(&mut bytes)?;
    for _ in 0..levels {
        let [runs] = take(&mut bytes)?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(take(&mut bytes)?) {
                let table = number(&mut bytes)?;
                let [0] = take(&mut bytes)? else { return None };
                let checksum = u128::from_le_bytes(take(&mut bytes)?);
                number(&mut bytes)?;
                tables.push(ListedTable { number: table, checksum });
            }
        }
    }
    Some(tables)
}

fn take<const N: usize>(bytes: &mut Cursor<&[u8]>) -> Option<[u8; N]> {
    let mut taken = [0; N];
    bytes.read_exact(&mut taken).ok()?;
    Some(taken)
}

fn number(bytes: &mut Cursor<&[u8]>) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

fn check_table(path: &Path, table: &ListedTable, depth: Depth) -> Result<(), ProfilesError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(path.to_owned(), "it is missing"));
        }
        Err(error) => return Err(unreadable(path)(error)),
    };
    let is_sound = has_sound_end(&mut file).map_err(unreadable(path))?
        && (depth == Depth::Ends || checksum_of(&mut file).map_err(unreadable(path))? == table.checksum);
    if is_sound { Ok(()) } else { Err(damaged(path.to_owned(), "its bytes are not those that were written")) }
}

/// Checks the list of sections at the end of a table.
fn has_sound_end(file: &mut File) -> io::Result<bool> {
    let size = file.metadata()?.len();
    let Some(list_end) = size.checked_sub(TRAILER_BYTES as u64) else { return Ok(false) };
    let mut trailer = [0; TRAILER_BYTES];
    file.seek(SeekFrom::Start(list_end))?;
    file.read_exact(&mut trailer)?;
    let mut trailer = Cursor::new(&trailer[..]);
    let (Some(magic), Some(kinds), Some(checksum), Some(place), Some(length)) = (
        take::<4>(&mut trailer),
        take::<2>(&mut trailer),
        take::<16>(&mut trailer),
        number(&mut trailer),
        number(&mut trailer),
    ) else {
        return Ok(false);
    };
    if magic != *b"SFA!" || kinds != [1, 0] || length > MAX_SECTION_LIST_BYTES {
        return Ok(false);
    }
    if place.checked_add(length) != Some(list_end) {
        return Ok(false);
    }
    let mut list = vec![0; length as usize];
    file.seek(SeekFrom::Start(place))?;
    file.read_exact(&mut list)?;
    Ok(xxh3_128(&list) == u128::from_le_bytes(checksum))
}

fn checksum_of(file: &mut File) -> io::Result<u128> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.digest128()),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The bytes of a small file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ProfilesError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path)(error)),
    }
}

fn damaged(file: PathBuf, what: &'static str) -> ProfilesError {
    ProfilesError::DamagedFile { file, what }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ProfilesError {
    let file = path.to_owned();
    move |source| ProfilesError::UnreadableFile { file, source }
}
