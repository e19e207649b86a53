//! A store with damaged files gives the right profiles, or an error that says what to do. Never other
//! profiles, never fewer, never a panic.

use crate::records::*;
use ia_model::{Expiry, Minute, UserKey};
use ia_profiles::{Membership, PackedProfiles, Profiles, ProfilesError, inspect};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

const USERS: u64 = 400;
const POSITION: u64 = 4;
const NOW: Minute = Minute(100);

/// The result of opening and reading a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// An error at the start.
    RefusedAtStart,
    /// An error when the damaged part was read; all else was right.
    RefusedAtRead,
    /// A new, empty store at position 0: the log may or may not reach back that far.
    BeginsAnew,
    /// All was right.
    Harmless,
}

/// Every user, and some unknown ones.
fn users() -> impl Iterator<Item = UserKey> {
    (1..=USERS).map(user).chain((0..20).map(device)).chain((USERS + 1..USERS + 20).map(user))
}

/// Makes a store of several tables, with users that were changed, removed and left alone since they were first
/// written, and returns its content.
fn sound(dir: &Path) -> BTreeMap<UserKey, Vec<Membership>> {
    let profiles = open(dir, SMALL);
    let all =
        (1..=USERS).map(|id| (user(id), vec![add(3, id as u32, Expiry::Never), add(900, 1, until(2000))]));
    profiles
        .apply(1, &ingest(90, all.chain((0..20).map(|n| (device(n), vec![add(5, 1, Expiry::Never)])))))
        .unwrap();
    profiles.checkpoint().unwrap();
    let changed = (1..=USERS).step_by(3).map(|id| (user(id), vec![add(4, 7, Expiry::Never)]));
    profiles.apply(2, &ingest(91, changed)).unwrap();
    profiles.checkpoint().unwrap();
    let removed = (1..=USERS).step_by(7).map(|id| (user(id), vec![remove(3), remove(4), remove(900)]));
    profiles.apply(3, &ingest(92, removed)).unwrap();
    profiles.checkpoint().unwrap();
    profiles.apply(4, &ingest(93, [(user(2), vec![add(9, 9, Expiry::Never)])])).unwrap();
    profiles.checkpoint().unwrap();
    drop(profiles);
    // Opened once more, so that fjall has cut its empty journal.
    let profiles = open(dir, SMALL);
    let content = users().map(|user| (user.clone(), profiles.load(&user, NOW).unwrap())).collect();
    drop(profiles);
    content
}

/// A folder in memory if possible: these tests open and flush a store thousands of times.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

/// The error with its causes.
fn message(error: &ProfilesError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn check_message(error: &ProfilesError, case: &str) {
    let text = message(error);
    let names_it =
        text.contains("profiles/") || text.contains("inspect checkpoint") || text.contains("stored profile");
    let says_what_to_do = text.contains("restore the data directory") || text.contains("remove it and start");
    assert!(names_it && says_what_to_do, "{case}: {text}");
}

/// Opens and reads everything, and compares.
fn judge(folder: &Path, sound: &BTreeMap<UserKey, Vec<Membership>>, case: &str) -> Outcome {
    let profiles = match PackedProfiles::open(folder, SMALL) {
        Ok(profiles) => profiles,
        Err(error) => {
            check_message(&error, case);
            return Outcome::RefusedAtStart;
        }
    };
    let mut refused = false;
    let is_new = profiles.checkpointed_position() == 0;
    if !is_new {
        assert_eq!(profiles.checkpointed_position(), POSITION, "{case}: another position");
    }
    // From disk, one by one; then all, as after a start; then from memory.
    for pass in 0..2 {
        for (user, memberships) in sound {
            match profiles.load(user, NOW) {
                Ok(found) if is_new => assert!(found.is_empty(), "{case}: a new store is not empty"),
                Ok(found) => assert_eq!(&found, memberships, "{case}: {user:?} in pass {pass}"),
                Err(error) => {
                    check_message(&error, case);
                    refused = true;
                }
            }
        }
        if let Err(error) = profiles.warm_up(&AtomicBool::new(false)) {
            check_message(&error, case);
            refused = true;
        }
    }
    if !refused && !is_new {
        goes_on(profiles, folder, case);
    }
    match (is_new, refused) {
        (true, false) => Outcome::BeginsAnew,
        (_, true) => Outcome::RefusedAtRead,
        (false, false) => Outcome::Harmless,
    }
}

/// Later writes are read after a start.
fn goes_on(profiles: PackedProfiles, folder: &Path, case: &str) {
    let all = (1..=USERS).map(|id| (user(id), vec![add(3, 77, Expiry::Never)]));
    profiles.apply(POSITION + 1, &ingest(95, all)).unwrap();
    profiles.checkpoint().unwrap();
    drop(profiles);
    let profiles = PackedProfiles::open(folder, SMALL).unwrap();
    assert_eq!(profiles.checkpointed_position(), POSITION + 1, "{case}");
    for id in 1..=USERS {
        let found = profiles.load(&user(id), NOW).unwrap();
        assert!(found.iter().any(|found| found.segment.0 == 3 && found.value == 77), "{case}: user {id}");
    }
}

/// The damage to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize, u8),
    Cut(usize),
    Zeros(usize),
    Emptied,
    Missing,
}

impl Damage {
    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Damage::Flip(at, bit) => bytes[at] ^= 1 << bit,
            Damage::Cut(length) => bytes.truncate(length),
            Damage::Zeros(from) => bytes[from..].fill(0),
            Damage::Emptied => bytes.clear(),
            Damage::Missing => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }

    /// Flips at every `step`-th byte, which is every byte of a small file and of the end of a table, cuts, and the rest.
    fn all(length: usize, step: usize) -> Vec<Damage> {
        let mut all = vec![Damage::Missing, Damage::Emptied];
        let tail = length.saturating_sub(260);
        let places = (0..length).filter(|at| at % step == 0 || *at >= tail || length < 600);
        all.extend(places.map(|at| Damage::Flip(at, (at % 8) as u8)));
        // The highest bits of the numbers at the end, which say how much memory to take.
        all.extend((tail..length).map(|at| Damage::Flip(at, 7)));
        let cuts = length.div_ceil(if step < 50 { 400 } else { 20 }).max(1);
        all.extend((0..length).step_by(cuts).flat_map(|at| [Damage::Cut(at), Damage::Zeros(at)]));
        all
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure of the run")]
fn a_damaged_store_never_gives_wrong_profiles() {
    let long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let dir = tempfile::tempdir().unwrap();
    let content = sound(dir.path());
    let store = dir.path().join("profiles");
    let files = all_files(&store);
    let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
    let mut cases = 0;
    for file in &files {
        let name = file.strip_prefix(&store).unwrap();
        let length = fs::metadata(file).unwrap().len() as usize;
        for damage in Damage::all(length, if long { 11 } else { 211 }) {
            let case = format!("{} {damage:?}", name.display());
            let place = in_memory();
            let folder = place.path().join("profiles");
            copy(&store, &folder);
            damage.apply(&folder.join(name));
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&folder, &content, &case)));
            let outcome = judged.unwrap_or_else(|_| panic!("{case}: a panic, or wrong profiles"));
            let is_marker_or_lock = name == Path::new("lock");
            assert!(outcome != Outcome::BeginsAnew || is_marker_or_lock, "{case}: begins anew");
            *outcomes.entry(outcome).or_default() += 1;
            cases += 1;
        }
    }
    let count = |outcome| outcomes.get(&outcome).copied().unwrap_or(0);
    let detected = count(Outcome::RefusedAtStart) + count(Outcome::RefusedAtRead);
    println!(
        "figure: damage-checkpoint: files={} cases={cases} detected={detected} at_start={} at_read={} harmless={} silent=0 peak_mib={}",
        files.len(),
        count(Outcome::RefusedAtStart),
        count(Outcome::RefusedAtRead),
        count(Outcome::Harmless),
        peak_memory_mib(),
    );
    assert!(peak_memory_mib() < 1024, "damage must not make it take memory");
}

/// The peak memory of this process.
fn peak_memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// In such a folder fjall would find nothing to recover, and would remove the files.
#[test]
fn a_refused_store_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    sound(dir.path());
    let store = dir.path().join("profiles");
    for gone in ["version", "keyspaces/0/current", "keyspaces/1/current", "keyspaces/0"] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("profiles");
        copy(&store, &folder);
        let path = folder.join(gone);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let before: Vec<_> = all_files(&folder).iter().map(|file| fs::read(file).unwrap()).collect();
        let error = PackedProfiles::open(&folder, SMALL).err().expect("a refusal");
        assert!(message(&error).contains(gone), "{}", message(&error));
        let after: Vec<_> = all_files(&folder).iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(before == after, "{gone}: nothing was touched");
    }
}

#[test]
fn inspecting_the_checkpoint_names_the_damaged_file() {
    let dir = tempfile::tempdir().unwrap();
    sound(dir.path());
    let store = dir.path().join("profiles");
    assert_eq!(inspect::checkpoint(&store).unwrap().unwrap().position, POSITION);
    let tables = all_files(&store.join("keyspaces/1/tables"));
    assert!(tables.len() > 1, "{tables:?}");
    for table in tables {
        let bytes = fs::read(&table).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&table, damaged).unwrap();
            let text = message(&inspect::checkpoint(&store).unwrap_err());
            assert!(text.contains(table.to_str().unwrap()), "{text}");
            fs::write(&table, &bytes).unwrap();
        }
    }
}
