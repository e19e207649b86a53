//! The budget changes no answer: profiles without room, profiles with room for all, and the reference live the same
//! random life.

use crate::lives::Change;
use crate::records::*;
use ia_model::{ErasedSegments, Minute, Record, SegmentId, UserKey};
use ia_profiles::{
    Applied, MemoryProfiles, PackedProfiles, ProfileOptions, Profiles, Stage, get_joined, inspect,
    load_joined, load_joined_later,
};
use proptest::collection::vec;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

mod steps;

use steps::*;

fn key(id: u64) -> UserKey {
    match id {
        1..=3 | 12 => user(id),
        4..=7 => external(&format!("x{id}")),
        _ => device(id as u32),
    }
}

/// Profiles under test, in a folder of which there are several after kills.
struct Store {
    dir: tempfile::TempDir,
    folder: PathBuf,
    folders: usize,
    options: ProfileOptions,
    open: Option<PackedProfiles>,
    /// What it said of its changes.
    applied: Cell<Applied>,
    evictions: u64,
    read_throughs: u64,
}

impl Store {
    fn new(options: ProfileOptions) -> Store {
        // The power stays on here, so flushing would only take time.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let folder = dir.path().join("0");
        let open = Some(PackedProfiles::open_still(&folder, options).unwrap());
        let applied = Cell::default();
        Store { dir, folder, folders: 1, options, open, applied, evictions: 0, read_throughs: 0 }
    }

    fn profiles(&self) -> &PackedProfiles {
        self.open.as_ref().unwrap()
    }

    fn count(&self, applied: Applied) {
        let mut sum = self.applied.get();
        sum += applied;
        self.applied.set(sum);
    }

    fn apply(&self, position: u64, record: &Record) {
        self.count(self.profiles().apply(position, record).unwrap());
    }

    /// Returns whether anything is left to settle, as far as one call tells.
    fn settle(&self) -> bool {
        let settled = self.profiles().settle().unwrap();
        self.count(settled.unwrap_or_default());
        settled.is_some()
    }

    fn settle_all(&self) {
        while self.settle() {}
    }

    /// Opens the folder again, and applies what of the log it does not have.
    fn reopen(&mut self, log: &[Record]) {
        let stats = self.profiles().stats();
        self.evictions += stats.evictions;
        self.read_throughs += stats.read_throughs;
        self.open = None;
        self.open = Some(PackedProfiles::open_still(&self.folder, self.options).unwrap());
        replay(self.profiles(), log);
        assert_eq!(self.profiles().applied_position(), log.len() as u64);
    }

    /// Applies the records that come until this stage and are not applied yet.
    fn apply_until(&self, during: &[(Stage, u64, Record)], stage: Stage) {
        let applied = self.profiles().applied_position();
        for (_, position, record) in during.iter().filter(|(at, ..)| order(*at) <= order(stage)) {
            if *position > applied {
                self.apply(*position, record);
            }
        }
    }

    /// Writes a checkpoint, with records between its stages. Returns whether it failed.
    fn checkpoint(&mut self, during: &[(Stage, u64, Record)], end: End) -> bool {
        let (tables, aside) = (self.folder.join("keyspaces/1/tables"), self.dir.path().join("aside"));
        let killed = self.dir.path().join(self.folders.to_string());
        self.folders += 1;
        let result = self.profiles().run_checkpoint(|stage| {
            match end {
                End::Failure if stage == Stage::Collected => fs::rename(&tables, &aside).unwrap(),
                End::Failure if stage == Stage::Written => fs::rename(&aside, &tables).unwrap(),
                End::Kill(at) if stage == at => copy(&self.folder, &killed),
                _ => {}
            }
            // While the tables are away, nobody else can read them either.
            if !aside.exists() {
                self.apply_until(during, stage);
            }
        });
        if aside.exists() {
            fs::rename(&aside, &tables).unwrap();
        }
        assert!(result.is_ok() || matches!(end, End::Failure), "{result:?}");
        self.apply_until(during, Stage::Rewritten);
        if let End::Kill(_) = end {
            self.folder = killed;
        }
        result.is_err()
    }
}

fn order(stage: Stage) -> usize {
    STAGES.iter().position(|of| *of == stage).unwrap()
}

/// Copies the store as a kill at this moment would leave it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if path.metadata().unwrap().blocks() == 0 {
            // fjall's journal is 64 MiB without a block.
            let copy = fs::File::create(to.join(name)).unwrap();
            copy.set_len(path.metadata().unwrap().len()).unwrap();
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

struct Life {
    stores: [Store; 2],
    reference: MemoryProfiles,
    expected: Applied,
    clock: Clock,
    log: Vec<Record>,
    minute: u32,
    failures: usize,
    kills: usize,
}

impl Life {
    /// Begins with everybody on disk and nobody in memory.
    fn new(clock: Clock) -> Life {
        let mut life = Life {
            stores: [NO_ROOM, SMALL].map(Store::new),
            reference: MemoryProfiles::new(SMALL.links_per_user),
            expected: Applied::default(),
            clock,
            log: Vec::new(),
            minute: 1000,
            failures: 0,
            kills: 0,
        };
        let hundreds = |user: u64| {
            (1..300 + user as u32).map(|segment| Change::Add {
                segment,
                value: segment % 3,
                minutes: (segment % 2 == 0).then_some(segment),
            })
        };
        let wide: Vec<_> = WIDE.map(|user| (user, hundreds(user).collect())).collect();
        life.take(Step::Write { minutes_later: 0, users: wide });
        let one = Change::Add { segment: 3, value: 1, minutes: None };
        life.take(Step::Write { minutes_later: 1, users: (1..=9).map(|user| (user, vec![one])).collect() });
        life.take(Step::Link { minutes_later: 0, user: 1, links: vec![(4, 30), (5, 3000)] });
        life.take(Step::Reopen);
        life
    }

    fn apply(&mut self, record: Record) {
        let position = self.log.len() as u64 + 1;
        self.expected += self.reference.apply(position, &record).unwrap();
        self.stores.iter().for_each(|store| store.apply(position, &record));
        self.log.push(record);
    }

    fn write(&mut self, users: Vec<(u64, Vec<Change>)>) {
        let record = self.record(users);
        self.apply(record);
    }

    fn record(&self, users: Vec<(u64, Vec<Change>)>) -> Record {
        let minute = self.minute;
        let operations =
            |changes: Vec<Change>| changes.into_iter().map(move |change| change.operation(minute));
        ingest(minute, users.into_iter().map(|(id, changes)| (key(id), operations(changes).collect())))
    }

    fn pass(&mut self, minutes: i32) {
        self.minute = self.minute.saturating_add_signed(minutes);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write { minutes_later, users } => {
                self.pass(minutes_later);
                self.write(users);
            }
            Step::Again { minutes_later, user, records } => {
                self.pass(minutes_later);
                records.into_iter().for_each(|changes| self.write(vec![(user, changes)]));
            }
            Step::Erase(id, segments) => {
                let segments = segments.map_or(ErasedSegments::All, |segments| {
                    ErasedSegments::Only(segments.into_iter().map(SegmentId).collect())
                });
                self.apply(erase(self.minute, key(id), segments));
            }
            Step::Link { minutes_later, user, links } => {
                self.pass(minutes_later);
                let links: Vec<_> =
                    links.into_iter().map(|(id, minutes)| (key(id), self.minute + minutes)).collect();
                self.apply(link(self.minute, key(user), links));
            }
            Step::Replace { segment, users } => {
                self.apply(replace(self.minute, segment, users.into_iter().map(key)));
            }
            Step::Settle { all: true } => self.stores.iter().for_each(Store::settle_all),
            Step::Settle { all: false } => {
                for store in &self.stores {
                    store.settle();
                }
            }
            Step::Read(id, reading) => self.compare(id, reading),
            Step::Members(segment) => self.compare_members(segment),
            Step::Checkpoint { during, end } => self.checkpoint(during, end),
            Step::WarmUp => {
                for store in &self.stores {
                    store.profiles().warm_up(&AtomicBool::new(false)).unwrap();
                }
                assert!(self.stores[1].profiles().stats().complete, "there is room for all");
            }
            Step::Cool => {
                self.checkpoint(Vec::new(), End::Success);
                for _ in 0..2 {
                    self.write(PASSERS_BY.map(|id| (id, vec![Change::Remove(1)])).collect());
                }
            }
            Step::Reopen => {
                if self.clock == Clock::IsSetBack {
                    self.stores.iter().for_each(Store::settle_all);
                }
                self.checkpoint(Vec::new(), End::Success);
                self.stores.iter().for_each(Store::settle_all);
                self.stores.iter_mut().for_each(|store| store.reopen(&self.log));
            }
        }
    }

    fn checkpoint(&mut self, during: Vec<(Stage, u64, Vec<Change>)>, end: End) {
        let mut records = Vec::new();
        let mut during = during;
        during.sort_by_key(|(stage, ..)| order(*stage));
        for (stage, user, changes) in during {
            let record = self.record(vec![(user, changes)]);
            let position = self.log.len() as u64 + 1;
            self.expected += self.reference.apply(position, &record).unwrap();
            self.log.push(record.clone());
            records.push((stage, position, record));
        }
        for store in &mut self.stores {
            self.failures += usize::from(store.checkpoint(&records, end));
        }
        if let End::Kill(_) = end {
            self.kills += 1;
            self.stores.iter_mut().for_each(|store| store.reopen(&self.log));
        }
    }

    /// Now, and later, when some have begun and some have ended.
    fn minutes(&self) -> [Minute; 3] {
        [0, 6, 20].map(|later| Minute(self.minute + later))
    }

    fn compare(&self, id: u64, reading: Reading) {
        let (user, expected) = (key(id), &self.reference);
        for now in self.minutes() {
            for store in &self.stores {
                let found = store.profiles();
                let case = format!("user {id} at {now:?}, {} bytes", store.options.memory_budget_bytes);
                match reading {
                    Reading::FromMemory => {
                        let live = found.get(&user, now);
                        assert!(live.is_some() || !found.stats().complete, "{case}");
                        assert!(live.is_none() || live == expected.get(&user, now), "{case}: {live:?}");
                        let links = found.links(&user, now);
                        assert!(links.is_none() || links == expected.links(&user, now), "{case}: {links:?}");
                        let joined = get_joined(found, &user, now);
                        assert!(joined.is_none() || joined == get_joined(expected, &user, now), "{case}");
                    }
                    Reading::Live => {
                        assert_eq!(
                            found.load(&user, now).unwrap(),
                            expected.load(&user, now).unwrap(),
                            "{case}"
                        );
                    }
                    Reading::Later => {
                        let later = found.load_later(&user, now).unwrap();
                        assert_eq!(later, expected.load_later(&user, now).unwrap(), "{case}");
                    }
                    Reading::Joined => {
                        let links = found.load_links(&user, now).unwrap();
                        assert_eq!(links, expected.load_links(&user, now).unwrap(), "{case}");
                        let joined = load_joined(found, &user, now).unwrap();
                        assert_eq!(joined, load_joined(expected, &user, now).unwrap(), "{case}");
                        let later = load_joined_later(found, &user, now).unwrap();
                        assert_eq!(later, load_joined_later(expected, &user, now).unwrap(), "{case}");
                    }
                }
            }
        }
    }

    fn compare_members(&self, segment: u32) {
        let expected = members(&self.reference, segment, self.minute);
        for store in &self.stores {
            let found = members(store.profiles(), segment, self.minute);
            assert_eq!(found, expected, "members of {segment}, {} bytes", store.options.memory_budget_bytes);
        }
    }

    /// Everything: from memory as far as it goes, in passing over all users, and one by one.
    fn compare_all(&self) {
        for reading in READINGS {
            USERS.chain([USERS.end() + 1]).for_each(|id| self.compare(id, reading));
            [1, 3, 7, 310].into_iter().for_each(|segment| self.compare_members(segment));
        }
    }

    fn end(&mut self) {
        self.compare_all();
        self.stores.iter().for_each(Store::settle_all);
        self.checkpoint(Vec::new(), End::Success);
        self.stores.iter().for_each(Store::settle_all);
        if self.clock == Clock::IsSetBack {
            // Without a kill every change is made once, and so is counted once. Of a user that is on disk, an erase of all
            // does not count what was there.
            let erases_all = |record: &Record| matches!(record, Record::Erase(erase) if erase.segments == ErasedSegments::All);
            if !self.log.iter().any(erases_all) {
                for store in &self.stores {
                    let budget = store.options.memory_budget_bytes;
                    assert_eq!(store.applied.get(), self.expected, "counted with {budget} bytes");
                }
            }
            let summary = |store: &Store| {
                let summary = inspect::checkpoint(&store.folder).unwrap().unwrap();
                (summary.position, summary.profiles, summary.linked_users, summary.blob_bytes)
            };
            assert_eq!(summary(&self.stores[0]), summary(&self.stores[1]), "what is on disk");
        }
        self.stores.iter_mut().for_each(|store| store.reopen(&self.log));
        self.compare_all();
    }
}

/// What happened in all lives together.
#[derive(Debug, Default)]
struct Done {
    lives: usize,
    steps: usize,
    failures: usize,
    kills: usize,
    evictions: [u64; 2],
    read_throughs: u64,
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure of this test")]
fn a_small_budget_says_what_a_large_one_says() {
    let is_long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let done = RefCell::new(Done::default());
    for clock in [Clock::OnlyRises, Clock::IsSetBack] {
        for (lives, steps) in if is_long { [(4000, 60), (200, 600)] } else { [(9, 40), (1, 150)] } {
            let config = Config { cases: lives, max_shrink_iters: 400, ..Config::with_source_file(file!()) };
            let result = TestRunner::new(config).run(&vec(any_step(clock), steps / 2..steps), |steps| {
                let mut life = Life::new(clock);
                let mut done = done.borrow_mut();
                done.lives += 1;
                done.steps += steps.len();
                steps.into_iter().for_each(|step| life.take(step));
                life.end();
                done.failures += life.failures;
                done.kills += life.kills;
                for (sum, store) in done.evictions.iter_mut().zip(&life.stores) {
                    *sum += store.evictions;
                }
                done.read_throughs += life.stores[0].read_throughs;
                Ok(())
            });
            result.unwrap_or_else(|failure| panic!("{failure}"));
        }
    }
    let Done { lives, steps, failures, kills, evictions: [without_room, with_room], read_throughs } =
        done.into_inner();
    println!(
        "figure: lives-budgets: lives={lives} steps={steps} failed_checkpoints={failures} kills={kills} \
         evictions={without_room} read_throughs={read_throughs} differences=0"
    );
    assert_eq!(with_room, 0, "there was room for all");
    assert!(
        without_room > 0 && read_throughs > lives as u64 && failures > 0 && kills > 0,
        "too little happened"
    );
}
