//! A user whose bytes on disk are damaged, and who is written to before anybody reads it: nothing of other users is
//! lost, and no error says who it is.

use crate::records::*;
use ia_model::{ErasedSegments, Expiry, Minute, Record, UserKey};
use ia_profiles::{ErrorKind, PackedProfiles, ProfileOptions, Profiles, ProfilesError};
use std::error::Error;
use std::fs;
use std::path::Path;

const NOW: Minute = Minute(100);
/// The id of the damaged user, which is found in no message by chance.
const DAMAGED: u64 = 123_456_789_012_345;
const OTHERS: std::ops::RangeInclusive<u64> = 1..=300;

/// What of the user is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Profile,
    Links,
}

impl Part {
    /// The key in the store, as docs/FORMAT.md has it.
    fn key(self) -> Vec<u8> {
        match self {
            Part::Profile => user(DAMAGED).as_bytes().to_vec(),
            Part::Links => [&[255][..], &DAMAGED.to_be_bytes()].concat(),
        }
    }

    /// Changes that need what is damaged.
    fn changes(self) -> Record {
        match self {
            Part::Profile => ingest(
                100,
                [
                    (user(DAMAGED), vec![add(9, 9, Expiry::Never), remove(3)]),
                    (user(5), vec![add(9, 9, Expiry::Never)]),
                ],
            ),
            Part::Links => link(100, user(DAMAGED), [(external("new"), 5000)]),
        }
    }

    fn read(self, profiles: &PackedProfiles) -> Result<usize, ProfilesError> {
        let user = user(DAMAGED);
        match self {
            Part::Profile => {
                profiles.load_later(&user, NOW).and_then(|_| Ok(profiles.load(&user, NOW)?.len()))
            }
            Part::Links => Ok(profiles.load_links(&user, NOW)?.len()),
        }
    }

    /// What memory alone says.
    fn peek(self, profiles: &PackedProfiles) -> Option<usize> {
        match self {
            Part::Profile => Some(profiles.get(&user(DAMAGED), NOW)?.len()),
            Part::Links => Some(profiles.links(&user(DAMAGED), NOW)?.len()),
        }
    }
}

/// A store in which this is damaged and all else is sound.
fn damaged(dir: &Path, part: Part) {
    let profiles = open(dir, SMALL);
    let all = OTHERS.chain([DAMAGED]).map(|id| (user(id), vec![add(3, 1, Expiry::Never)]));
    profiles.apply(1, &ingest(90, all)).unwrap();
    profiles.apply(2, &link(90, user(DAMAGED), [(external("old"), 5000)])).unwrap();
    profiles.checkpoint().unwrap();
    drop(profiles);
    let store = fjall::Database::builder(dir.join("profiles")).worker_threads_unchecked(0).open().unwrap();
    let profiles = store.keyspace("profiles", Default::default).unwrap();
    assert!(profiles.get(part.key()).unwrap().is_some(), "it is the user's key");
    let mut ingestion = profiles.start_ingestion().unwrap();
    ingestion.write(part.key(), [1, 7, 7]).unwrap();
    ingestion.finish().unwrap();
}

/// An error of damage that does not say whose.
fn check_error(error: &ProfilesError, user: &UserKey, case: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{case}: {error}");
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    // The id in hex, as most ids are written, and as a list of bytes.
    let id = &user.as_bytes()[1..];
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{id:?}");
    for id in [DAMAGED.to_string(), hex, list[1..list.len() - 1].to_owned()] {
        assert!(!text.contains(&id), "{case}: {text}");
    }
}

/// The log of what was accepted, and the profiles.
struct Life<'a> {
    dir: &'a Path,
    options: ProfileOptions,
    profiles: Option<PackedProfiles>,
    log: Vec<Record>,
    case: String,
}

impl Life<'_> {
    fn profiles(&self) -> &PackedProfiles {
        self.profiles.as_ref().unwrap()
    }

    /// Applies a record. One that is refused has changed nothing.
    fn try_apply(&mut self, record: Record) -> bool {
        let position = self.log.len() as u64 + 1;
        match self.profiles().apply(position, &record) {
            Ok(_) => self.log.push(record),
            Err(error) => {
                check_error(&error, &user(DAMAGED), &self.case);
                assert_eq!(self.profiles().applied_position(), position - 1, "{}", self.case);
                return false;
            }
        }
        true
    }

    fn apply(&mut self, record: Record) {
        assert!(self.try_apply(record), "{}: it has to do with others alone, or takes all", self.case);
    }

    /// A checkpoint, which may say that something is damaged.
    fn try_checkpoint(&self) {
        if let Err(error) = self.profiles().checkpoint() {
            check_error(&error, &user(DAMAGED), &self.case);
        }
    }

    /// As after a crash.
    fn reopen(&mut self) {
        self.profiles = None;
        let profiles = open(self.dir, self.options);
        replay(&profiles, &self.log);
        self.profiles = Some(profiles);
    }

    /// Everybody else has what was written.
    fn check_others(&self, with: &[u32]) {
        for id in OTHERS {
            let found = self.profiles().load(&user(id), NOW).unwrap();
            let mut expected = with.to_vec();
            expected.extend((id == 5 && with.len() > 1).then_some(9));
            expected.sort_unstable();
            assert!(found.iter().map(|of| of.segment.0).eq(expected), "{}: {id} has {found:?}", self.case);
        }
    }

    fn check_damaged(&self, part: Part) {
        assert_eq!(part.peek(self.profiles()), None, "{}: memory alone cannot know", self.case);
        check_error(&part.read(self.profiles()).unwrap_err(), &user(DAMAGED), &self.case);
    }
}

fn all_add(segment: u32) -> Record {
    ingest(100, OTHERS.map(|id| (user(id), vec![add(segment, 1, Expiry::Never)])))
}

#[test]
fn a_write_to_a_damaged_user_harms_nobody_else() {
    for (part, options) in
        [Part::Profile, Part::Links].into_iter().flat_map(|of| [(of, NO_ROOM), (of, SMALL)])
    {
        let dir = tempfile::tempdir().unwrap();
        damaged(dir.path(), part);
        let case = format!("{part:?} with {} bytes", options.memory_budget_bytes);
        let log = vec![ingest(90, []), ingest(90, [])];
        let profiles = Some(open(dir.path(), options));
        let mut life = Life { dir: dir.path(), options, profiles, log, case };
        life.apply(all_add(4));
        if !life.try_apply(part.changes()) {
            // All of the record is refused; what it says of the others comes again.
            assert_eq!(life.profiles().load(&user(5), NOW).unwrap().len(), 2);
        }
        life.apply(ingest(100, [(user(5), vec![add(9, 9, Expiry::Never)])]));
        life.check_damaged(part);
        life.check_others(&[3, 4]);
        life.try_checkpoint();
        life.apply(all_add(5));
        life.try_checkpoint();
        life.check_damaged(part);
        life.check_others(&[3, 4, 5]);
        life.reopen();
        life.check_damaged(part);
        life.check_others(&[3, 4, 5]);

        life.apply(erase(100, user(DAMAGED), ErasedSegments::All));
        assert_eq!(part.read(life.profiles()).unwrap(), 0, "{}", life.case);
        life.profiles().checkpoint().unwrap();
        for _ in 0..2 {
            assert_eq!(part.read(life.profiles()).unwrap(), 0, "{}", life.case);
            life.check_others(&[3, 4, 5]);
            life.reopen();
        }
        assert_eq!(life.profiles().checkpointed_position(), life.log.len() as u64, "{}", life.case);
        life.apply(part.changes());
        assert_eq!(part.read(life.profiles()).unwrap(), 1, "{}", life.case);
    }
}

/// All users of a block of a table.
#[test]
fn writes_to_users_of_a_damaged_block_harm_nobody_else() {
    for options in [NO_ROOM, SMALL] {
        let dir = tempfile::tempdir().unwrap();
        let profiles = open(dir.path(), options);
        // Ids of which nothing is in a message by chance.
        let all: Vec<UserKey> = (0..3000).map(device).collect();
        let add_all = |users: &[UserKey], segment| {
            ingest(100, users.iter().map(|user| (user.clone(), vec![add(segment, 1, Expiry::Never)])))
        };
        profiles.apply(1, &add_all(&all, 3)).unwrap();
        profiles.checkpoint().unwrap();
        drop(profiles);
        let tables = fs::read_dir(dir.path().join("profiles/keyspaces/1/tables")).unwrap();
        let tables = tables.map(|table| table.unwrap().path());
        let table = tables.max_by_key(|table| fs::metadata(table).unwrap().len()).unwrap();
        let mut bytes = fs::read(&table).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        fs::write(&table, bytes).unwrap();

        let sound_of = |profiles: &PackedProfiles| -> (Vec<UserKey>, Vec<UserKey>) {
            all.iter().cloned().partition(|user| profiles.load(user, NOW).is_ok())
        };
        let (sound, broken) = sound_of(&open(dir.path(), options));
        assert!(!broken.is_empty() && sound.len() > broken.len(), "{} are broken", broken.len());
        let case = format!("a block, {} bytes", options.memory_budget_bytes);
        let (log, profiles) = (vec![ingest(90, [])], Some(open(dir.path(), options)));
        let mut life = Life { dir: dir.path(), options, profiles, log, case };
        life.apply(add_all(&sound, 4));
        for users in [&broken[..], &broken[..1], &all[..]] {
            life.try_apply(add_all(users, 5));
        }
        life.apply(add_all(&sound, 5));
        life.try_checkpoint();
        life.apply(add_all(&sound, 6));
        for _ in 0..2 {
            for user in &sound {
                let found = life.profiles().load(user, NOW).unwrap();
                assert!(found.iter().map(|of| of.segment.0).eq([3, 4, 5, 6]), "{}: {found:?}", life.case);
            }
            for user in &broken {
                assert_eq!(life.profiles().get(user, NOW), None, "{}", life.case);
                let error = life.profiles().load(user, NOW).unwrap_err();
                check_error(&error, user, &life.case);
            }
            life.reopen();
        }
    }
}
