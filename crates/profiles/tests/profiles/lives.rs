//! The packed profiles compared with the reference, over random lives.

use crate::records::*;
use ia_model::{Domain, ErasedSegments, Expiry, Minute, Operation, Record, SegmentId, UserKey};
use ia_profiles::{
    Applied, MemoryProfiles, PackedProfiles, ProfileOptions, Profiles, get_joined, load_joined,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::AtomicBool;

const USERS: u64 = 18;
/// The last users are ids of a member or of another source, and the first ones are linked to these.
const LINKED: std::ops::RangeInclusive<u64> = 15..=USERS;
const PLATFORM: std::ops::RangeInclusive<u64> = 1..=3;

/// Users of all domains; three of the platform's own, with the largest id among them.
fn key(user: u64) -> UserKey {
    let named = |name| Domain::from_name(name).unwrap();
    match user {
        1 => UserKey::platform(u64::MAX).unwrap(),
        2..=3 => UserKey::platform(user).unwrap(),
        4 => UserKey::parse(named("sha1udid"), &"ab".repeat(20)).unwrap(),
        5 => UserKey::parse(named("openudid"), &"ab".repeat(20)).unwrap(),
        6 => UserKey::parse(named("md5udid"), &"ab".repeat(16)).unwrap(),
        15 => external("x"),
        16 => external(&"y".repeat(255)),
        17 => UserKey::extended("id5-sync.com", "x").unwrap(),
        18.. => UserKey::extended(&"s".repeat(255), &"y".repeat(255)).unwrap(),
        _ => {
            let names = ["idfa", "aaid", "windowsadid", "rida", "tifa", "vida", "lgudid"];
            UserKey::parse(named(names[user as usize % names.len()]), &format!("{user:032x}")).unwrap()
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ingest { minutes_later: i32, users: Vec<(u64, Vec<Change>)> },
    Erase(u64, Option<Vec<u32>>),
    Link { minutes_later: i32, user: u64, links: Vec<(u64, u32)> },
    Replace { minutes_later: i32, segment: u32, users: Vec<u64> },
    Settle,
    Load(u64),
    Checkpoint,
    WarmUp,
    Reopen,
    Crash,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Add {
        segment: u32,
        value: u32,
        minutes: Option<u32>,
    },
    /// Begins so many minutes later. The minutes until it expires count from there.
    AddLater {
        segment: u32,
        begins: u32,
        value: u32,
        minutes: Option<u32>,
    },
    Remove(u32),
}

impl Change {
    pub(crate) fn operation(self, minute: u32) -> Operation {
        match self {
            Change::Add { segment, value, minutes } => {
                add(segment, value, minutes.map_or(Expiry::Never, |minutes| until(minute + minutes)))
            }
            Change::AddLater { segment, begins, value, minutes } => {
                let begins = minute + begins;
                let expires = minutes.map_or(Expiry::Never, |minutes| until(begins + minutes));
                add_later(segment, begins, value, expires)
            }
            Change::Remove(segment) => remove(segment),
        }
    }
}

pub(crate) fn any_segment() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1u32..8, 1 => Just(u32::MAX), 1 => Just(100_000)]
}

pub(crate) fn any_change() -> impl Strategy<Value = Change> {
    let value = prop_oneof![0u32..3, Just(u32::MAX >> 1)];
    let value = value.boxed();
    let minutes = prop_oneof![Just(None), (0u32..12).prop_map(Some), Just(Some(1440))].boxed();
    prop_oneof![
        3 => (any_segment(), value.clone(), minutes.clone())
            .prop_map(|(segment, value, minutes)| Change::Add { segment, value, minutes }),
        2 => (any_segment(), 0u32..15, value, minutes).prop_map(|(segment, begins, value, minutes)| {
            Change::AddLater { segment, begins, value, minutes }
        }),
        1 => any_segment().prop_map(Change::Remove),
    ]
}

/// More changes than fit a page.
pub(crate) fn many_changes() -> impl Strategy<Value = Vec<Change>> {
    (1u32..50, 100u32..600, any::<u32>()).prop_map(|(first, count, seed)| {
        let facts = |segment: u32| segment.wrapping_mul(seed) >> 8;
        let segments = first..first + count;
        segments
            .map(|segment| match facts(segment) % 20 {
                0 => Change::Remove(segment),
                1..5 => Change::Add { segment, value: 1, minutes: None },
                5 => Change::AddLater { segment, begins: facts(segment) % 20, value: 2, minutes: Some(9) },
                _ => Change::Add { segment, value: facts(segment), minutes: Some(facts(segment) % 100) },
            })
            .collect()
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let changes = prop_oneof![30 => vec(any_change(), 0..6).boxed(), 1 => many_changes().boxed()];
    let users = vec((1..=USERS, changes), 1..6);
    // Forward, far forward, and back.
    let minutes = prop_oneof![10 => 0i32..5, 1 => 0i32..3000, 1 => -30i32..0];
    let users = users.prop_map(|mut users| {
        users.sort_by_key(|(user, _)| *user);
        users.dedup_by_key(|(user, _)| *user);
        users
    });
    prop_oneof![
        8 => (minutes, users).prop_map(|(minutes_later, users)| Step::Ingest { minutes_later, users }),
        2 => (1..=USERS, proptest::option::of(vec(any_segment(), 0..4)))
            .prop_map(|(user, segments)| Step::Erase(user, segments)),
        // Many of one minute, and for the same time: then the order counts.
        3 => (prop_oneof![-5i32..5, Just(0)], PLATFORM, vec((LINKED, prop_oneof![0u32..40, Just(30)]), 0..4))
            .prop_map(|(minutes_later, user, links)| Step::Link { minutes_later, user, links }),
        2 => (0i32..5, any_segment(), subsequence((1..=USERS).collect::<Vec<_>>(), 0..=USERS as usize))
            .prop_map(|(minutes_later, segment, users)| Step::Replace { minutes_later, segment, users }),
        1 => Just(Step::Settle),
        1 => (1..=USERS).prop_map(Step::Load),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::WarmUp),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
    ]
}

fn any_options() -> impl Strategy<Value = ProfileOptions> {
    prop_oneof![Just(SMALL), Just(NO_ROOM), Just(ProfileOptions { memory_budget_bytes: 12_000, ..SMALL })]
}

fn is_replacement(record: &Record) -> bool {
    matches!(record, Record::Ingest(ingest) if ingest.file.is_some())
}

/// One life: the profiles under test, the reference, and the log of both.
struct Life {
    dir: tempfile::TempDir,
    options: ProfileOptions,
    packed: Option<PackedProfiles>,
    reference: MemoryProfiles,
    log: Vec<Record>,
    /// The minute of each record.
    minutes: Vec<u32>,
    minute: u32,
    /// A replacement may not be settled.
    is_waiting: bool,
    /// What the records have changed by the reference, and what was reported. `None` after a crash, which reports some of
    /// it again, and after an erase of all that is on disk.
    counts: Option<(Applied, Applied)>,
    /// It was never opened again.
    is_first: bool,
}

/// The number of steps over all sequences.
#[derive(Debug, Default)]
struct Done {
    sequences: usize,
    steps: usize,
    crashes: usize,
    checkpoints: usize,
}

impl Life {
    fn new(options: ProfileOptions) -> Life {
        // The power stays on here, so flushing would only take time.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.unwrap();
        let packed = Some(open(dir.path(), options));
        Life {
            dir,
            options,
            packed,
            reference: MemoryProfiles::new(SMALL.links_per_user),
            log: Vec::new(),
            minutes: Vec::new(),
            minute: 1000,
            is_waiting: false,
            counts: Some(Default::default()),
            is_first: true,
        }
    }

    fn packed(&self) -> &PackedProfiles {
        self.packed.as_ref().unwrap()
    }

    fn apply(&mut self, record: Record) {
        let position = self.log.len() as u64 + 1;
        let expected = self.reference.apply(position, &record).unwrap();
        let is_complete = self.packed().stats().complete;
        let found = self.packed().apply(position, &record).unwrap();
        // Then all are in memory, and each change is known at once.
        let is_known = self.is_first && self.options == SMALL;
        if is_replacement(&record) {
            self.is_waiting = true;
            assert!(!is_known || found == Applied::default(), "it is counted when it is settled: {found:?}");
        } else if is_known {
            assert_eq!(found, expected);
        }
        let is_erased =
            matches!(&record, Record::Erase(erase) if erase.segments == ErasedSegments::All && !is_complete);
        self.counts = self.counts.filter(|_| !is_erased);
        self.count(expected, found);
        self.log.push(record);
        self.minutes.push(self.minute);
    }

    fn count(&mut self, expected: Applied, found: Applied) {
        if let Some((all_expected, all_found)) = &mut self.counts {
            *all_expected += expected;
            *all_found += found;
        }
    }

    fn settle(&mut self) {
        let settled = settle_all(self.packed());
        self.count(Applied::default(), settled);
        self.is_waiting = false;
    }

    /// All that was put off is counted once it is merged.
    fn compare_counts(&mut self) {
        self.settle_if_the_clock_went_back();
        let merged = merge_all(self.packed());
        self.count(Applied::default(), merged);
        self.is_waiting = false;
        if let Some((expected, found)) = self.counts {
            assert_eq!(found, expected);
        }
    }

    /// A checkpoint that is ahead of its position may change the first add of a membership where the clock was set back
    /// (see `checkpoint.rs`). While nothing is applied meanwhile, it is ahead only of what is not settled.
    fn settle_if_the_clock_went_back(&mut self) {
        let covered = self.packed().checkpointed_position() as usize;
        if !self.minutes[covered..].is_sorted() {
            self.settle();
        }
    }

    /// Stops without a checkpoint, opens again, and replays the records after the checkpoint.
    fn crash(&mut self) {
        self.is_first = false;
        self.packed = None;
        self.packed = Some(open(self.dir.path(), self.options));
        let covered = self.packed().checkpointed_position();
        assert_eq!(self.packed().applied_position(), covered);
        replay(self.packed(), &self.log);
        assert_eq!(self.packed().applied_position(), self.log.len() as u64);
        self.is_waiting = self.log[covered as usize..].iter().any(is_replacement);
        self.counts = None;
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Ingest { minutes_later, users } => {
                self.minute = self.minute.saturating_add_signed(minutes_later);
                let minute = self.minute;
                let users = users.into_iter().map(|(id, changes)| {
                    (key(id), changes.into_iter().map(|change| change.operation(minute)).collect())
                });
                self.apply(ingest(minute, users));
            }
            Step::Erase(id, segments) => {
                let segments = segments.map_or(ErasedSegments::All, |segments| {
                    ErasedSegments::Only(segments.into_iter().map(SegmentId).collect())
                });
                self.apply(erase(self.minute, key(id), segments));
            }
            Step::Link { minutes_later, user, links } => {
                self.minute = self.minute.saturating_add_signed(minutes_later);
                let links = links.into_iter().map(|(id, minutes)| (key(id), self.minute + minutes));
                self.apply(link(self.minute, key(user), links.collect::<Vec<_>>()));
            }
            Step::Replace { minutes_later, segment, users } => {
                self.minute = self.minute.saturating_add_signed(minutes_later);
                self.apply(replace(self.minute, segment, users.into_iter().map(key)));
            }
            Step::Settle => self.settle(),
            Step::Load(id) => drop(self.packed().load(&key(id), Minute(self.minute)).unwrap()),
            Step::Checkpoint => {
                self.settle_if_the_clock_went_back();
                let position = self.packed().checkpoint().unwrap().position;
                if self.is_waiting {
                    assert!(self.log[position as usize..].iter().any(is_replacement), "{position}");
                } else {
                    assert_eq!(position, self.log.len() as u64);
                }
                assert_eq!(self.packed().dirty_bytes(), 0);
            }
            Step::WarmUp => {
                self.packed().warm_up(&AtomicBool::new(false)).unwrap();
                if self.options == SMALL {
                    assert!(self.packed().stats().complete, "all fits");
                }
            }
            Step::Reopen => {
                self.settle_if_the_clock_went_back();
                self.packed().checkpoint().unwrap();
                self.crash();
            }
            Step::Crash => self.crash(),
        }
    }

    /// Compares now and later, when some have expired. `get` first: it must be right without `load`.
    fn compare(&self) {
        for segment in [1, self.minute % 8] {
            let expected = members(&self.reference, segment, self.minute);
            assert_eq!(members(self.packed(), segment, self.minute), expected, "members of {segment}");
        }
        for id in 1..=USERS + 1 {
            for now in [Minute(self.minute), Minute(self.minute + 6)] {
                let expected = self.reference.get(&key(id), now).unwrap();
                match self.packed().get(&key(id), now) {
                    Some(found) => assert_eq!(found, expected, "get of user {id} at {now:?}"),
                    None => assert!(!self.packed().stats().complete),
                }
                if now.0.is_multiple_of(2) {
                    let found = self.packed().load(&key(id), now).unwrap();
                    assert_eq!(found, expected, "load of user {id} at {now:?}");
                }
                let (later, expected) =
                    (self.packed().load_later(&key(id), now), self.reference.load_later(&key(id), now));
                assert_eq!(later.unwrap(), expected.unwrap(), "what begins later, of user {id} at {now:?}");
                if PLATFORM.contains(&id) {
                    self.compare_linked(&key(id), now);
                }
            }
        }
    }

    fn compare_linked(&self, user: &UserKey, now: Minute) {
        let expected = self.reference.links(user, now).unwrap();
        match self.packed().links(user, now) {
            Some(found) => assert_eq!(found, expected, "links at {now:?}"),
            None => assert!(!self.packed().stats().complete),
        }
        let joined = get_joined(&self.reference, user, now).unwrap();
        if let Some(found) = get_joined(self.packed(), user, now) {
            assert_eq!(found, joined, "joined at {now:?}");
        }
        if now.0.is_multiple_of(2) {
            assert_eq!(self.packed().load_links(user, now).unwrap(), expected, "links at {now:?}");
            assert_eq!(load_joined(self.packed(), user, now).unwrap(), joined, "joined at {now:?}");
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure of this test")]
fn packed_profiles_say_what_the_reference_says() {
    let is_long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let cases = if is_long { 10_000 } else { 20 };
    let config = ProptestConfig { cases, max_shrink_iters: 400, ..ProptestConfig::with_source_file(file!()) };
    let done = RefCell::new(Done::default());
    let lives = (any_options(), vec(any_step(), 1..50));
    let result = TestRunner::new(config).run(&lives, |(options, steps)| {
        let mut life = Life::new(options);
        done.borrow_mut().sequences += 1;
        for step in steps {
            let mut done = done.borrow_mut();
            done.steps += 1;
            done.checkpoints += usize::from(matches!(step, Step::Checkpoint | Step::Reopen));
            done.crashes += usize::from(matches!(step, Step::Crash));
            drop(done);
            life.take(step);
            life.compare();
        }
        life.compare_counts();
        life.compare();
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let Done { sequences, steps, crashes, checkpoints } = done.into_inner();
    println!(
        "figure: lives-profiles: sequences={sequences} steps={steps} crashes={crashes} \
         checkpoints={checkpoints} differences=0"
    );
}
