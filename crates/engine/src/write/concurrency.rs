//! Tests of the commit under a scheduler that tries interleavings of callers, log, applier and wake-ups:
//!
//! ```text
//! cargo test -p ia-engine --features shuttle --lib concurrency
//! ```
//!
//! A record that is answered OK is durable, applied and in order. No caller waits for ever, which the scheduler would
//! report as a deadlock. A failure prints its schedule, which `shuttle::replay` runs again.

use super::commit::{CommitError, Committer, Encoded, Followers};
use crate::alarm::Alarm;
use crate::budget::ByteBudget;
use crate::metrics::AppliedMetrics;
use crate::usage::UsageFollower;
use crate::usage::in_memory::CountersInMemory;
use futures_util::FutureExt;
use ia_log::faults::simulated::SimulatedDisk;
use ia_log::{AppendError, DiskLog, LogOptions};
use ia_model::record::{Ingest, Usage};
use ia_model::{Batch, Change, Expiry, MemberId, Minute, Operation, Record, SegmentId, UserKey};
use ia_profiles::{
    Applied, CheckpointReport, Membership, MemoryProfiles, ProfileStats, Profiles, ProfilesError,
};
use shuttle::future::block_on;
use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// How many times the second scheduler changes priorities.
const PRIORITY_CHANGES: usize = 3;

/// Runs a scenario under many schedules.
#[expect(clippy::print_stdout, reason = "the figure of these tests")]
fn explore(name: &str, scenario: fn()) {
    let is_long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let (schedules, patience) =
        if is_long { (50_000, Duration::from_secs(90)) } else { (250, Duration::from_secs(20)) };
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.stack_size = 1 << 20;
        config.max_time = Some(patience);
        config.silence_warnings = true;
        Runner::new(scheduler, config).run(scenario)
    };
    let ran = run(Box::new(RandomScheduler::new(schedules)))
        + run(Box::new(PctScheduler::new(PRIORITY_CHANGES, schedules)));
    println!("figure: concurrency: scenario={name} schedules={ran} violations=0");
}

/// Profiles that fail to apply the record at one position, as if a blob on disk is damaged.
struct Failing {
    profiles: MemoryProfiles,
    fails_at: u64,
}

impl Profiles for Failing {
    fn apply(&self, position: u64, record: &Record) -> Result<Applied, ProfilesError> {
        assert_eq!(position, self.applied_position() + 1, "in the order of the log, and not past a failure");
        if position == self.fails_at {
            return Err(ProfilesError::DamagedStore { part: "blob" });
        }
        self.profiles.apply(position, record)
    }

    fn get(&self, key: &UserKey, now: Minute) -> Option<Vec<Membership>> {
        self.profiles.get(key, now)
    }

    fn load(&self, key: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        self.profiles.load(key, now)
    }

    fn load_many(&self, users: &[&UserKey], now: Minute) -> Vec<Result<Vec<Membership>, ProfilesError>> {
        self.profiles.load_many(users, now)
    }

    fn load_later(&self, key: &UserKey, now: Minute) -> Result<Vec<Membership>, ProfilesError> {
        self.profiles.load_later(key, now)
    }

    fn has_links(&self) -> bool {
        self.profiles.has_links()
    }

    fn links(&self, user: &UserKey, now: Minute) -> Option<Vec<UserKey>> {
        self.profiles.links(user, now)
    }

    fn load_links(&self, user: &UserKey, now: Minute) -> Result<Vec<UserKey>, ProfilesError> {
        self.profiles.load_links(user, now)
    }

    fn visit_members(
        &self,
        segment: SegmentId,
        now: Minute,
        visit: &mut dyn FnMut(UserKey) -> ControlFlow<()>,
    ) -> Result<(), ProfilesError> {
        self.profiles.visit_members(segment, now, visit)
    }

    fn replacements(&self) -> u64 {
        self.profiles.replacements()
    }

    fn settle(&self) -> Result<Option<Applied>, ProfilesError> {
        self.profiles.settle()
    }

    fn applied_position(&self) -> u64 {
        self.profiles.applied_position()
    }

    fn checkpointed_position(&self) -> u64 {
        self.profiles.checkpointed_position()
    }

    fn checkpoint(&self) -> Result<CheckpointReport, ProfilesError> {
        self.profiles.checkpoint()
    }

    fn dirty_bytes(&self) -> u64 {
        0
    }

    fn stats(&self) -> ProfileStats {
        self.profiles.stats()
    }
}

/// No record has this position.
const NEVER: u64 = 0;

/// A committer over a log on a simulated disk.
#[derive(Clone)]
struct Testbed {
    disk: SimulatedDisk,
    log: Arc<DiskLog>,
    profiles: Arc<Failing>,
    usage: Arc<UsageFollower>,
    committer: Arc<Committer>,
    alarm: Alarm,
}

impl Testbed {
    fn new(fails_at: u64, max_backlog_bytes: usize) -> (Testbed, thread::JoinHandle<()>) {
        let disk = SimulatedDisk::default();
        let options = LogOptions { segment_bytes: 300, ..LogOptions::default() };
        let (log, _) = DiskLog::open("/data/log", options, Arc::new(disk.clone()), Arc::new(())).unwrap();
        let log = Arc::new(log);
        let profiles = Arc::new(Failing { profiles: MemoryProfiles::new(100), fails_at });
        let store = Arc::new(CountersInMemory::default());
        let usage = Arc::new(UsageFollower::open(store).now_or_never().unwrap().unwrap());
        let followers = Followers {
            profiles: Arc::clone(&profiles) as _,
            usage: Arc::clone(&usage),
            metrics: AppliedMetrics::default(),
        };
        let alarm = Alarm::default();
        let (committer, applier) =
            Committer::start(Arc::clone(&log) as _, followers, max_backlog_bytes, alarm.clone()).unwrap();
        (Testbed { disk, log, profiles, usage, committer: Arc::new(committer), alarm }, applier)
    }

    /// Commits one add. If the answer is OK, checks that the record is visible and durable.
    fn commit(&self, user: u64, segment: u32) -> Result<u64, CommitError> {
        let key = UserKey::platform(user).unwrap();
        let mut batch = Batch::default();
        let change = Change::Add { expires: Expiry::Never, value: segment };
        batch.push(key.clone(), [Operation { segment: SegmentId(segment), change }]);
        let ingest = Ingest {
            accepted_at_ms: 60_000,
            member: MemberId(1),
            request_id: format!("request {user} {segment}"),
            batch,
            usage: Usage::default(),
            file: None,
        };
        let record = Encoded::new(Record::Ingest(Box::new(ingest)));
        let room = self.committer.reserve(80)?;
        let position = block_on(self.committer.commit(record, room))?;
        let live = self.profiles.get(&key, Minute(1)).unwrap();
        assert!(live.iter().any(|membership| membership.segment.0 == segment), "OK and not visible");
        assert!(self.profiles.applied_position() >= position);
        let request_id = format!("request {user} {segment}").into_bytes();
        let is_durable = self
            .disk
            .durable_contents()
            .values()
            .any(|file| file.windows(request_id.len()).any(|window| window == request_id));
        assert!(is_durable, "OK and not on stable storage");
        Ok(position)
    }

    /// Starts callers that each commit adds for their own user and a shared one. Each returns how many were OK.
    fn callers(&self, callers: u64, commits: u32) -> Vec<thread::JoinHandle<u64>> {
        let spawn = |user: u64| {
            let testbed = self.clone();
            thread::spawn(move || {
                let mut last = 0;
                let mut accepted = 0;
                for number in 1..=commits {
                    let user = if number % 2 == 0 { 100 } else { user };
                    if let Ok(position) = testbed.commit(user, number * 10) {
                        assert!(position > last, "a later record has a later position");
                        last = position;
                        accepted += 1;
                    }
                }
                accepted
            })
        };
        (1..=callers).map(spawn).collect()
    }

    /// Stops in order and checks that no room stays reserved.
    fn stop(&self, applier: thread::JoinHandle<()>) {
        self.log.close();
        self.committer.stop();
        applier.join().unwrap();
        assert_eq!(self.committer.backlog_bytes(), 0, "all room is given back");
    }
}

fn join(callers: Vec<thread::JoinHandle<u64>>) -> u64 {
    callers.into_iter().map(|caller| caller.join().unwrap()).sum()
}

#[test]
fn concurrency_of_commits() {
    explore("commits", || {
        let (testbed, applier) = Testbed::new(NEVER, 64 << 20);
        let accepted = join(testbed.callers(3, 3));
        assert_eq!(accepted, 9);
        let totals = testbed.usage.totals(MemberId(1), 0..u64::MAX).now_or_never().unwrap().unwrap();
        assert_eq!(totals.valid_adds, 9, "each counts once");
        testbed.stop(applier);
    });
}

#[test]
fn concurrency_of_commits_and_a_failing_disk() {
    explore("commits-latch", || {
        let (testbed, applier) = Testbed::new(NEVER, 64 << 20);
        testbed.disk.cut_power_after(shuttle::rand::thread_rng().gen_range(0..12));
        let accepted = join(testbed.callers(3, 2));
        assert_eq!(testbed.profiles.applied_position(), accepted, "what is refused is not visible");
        testbed.stop(applier);
    });
}

#[test]
fn concurrency_of_commits_and_a_profile_that_cannot_be_read() {
    explore("commits-broken", || {
        let fails_at = shuttle::rand::thread_rng().gen_range(1..5);
        let (testbed, applier) = Testbed::new(fails_at, 64 << 20);
        let accepted = join(testbed.callers(3, 2));
        assert_eq!(accepted, fails_at - 1, "nothing after it succeeds");
        assert_eq!(testbed.profiles.applied_position(), fails_at - 1);
        assert!(testbed.alarm.reason().is_some());
        assert!(matches!(testbed.commit(7, 7), Err(CommitError::Broken)));
        testbed.stop(applier);
    });
}

#[test]
fn concurrency_of_commits_and_a_stop() {
    explore("commits-stop", || {
        let (testbed, applier) = Testbed::new(NEVER, 64 << 20);
        let callers = testbed.callers(2, 3);
        testbed.log.close();
        testbed.committer.stop();
        applier.join().unwrap();
        // Every record in the log is answered, although the applier has ended.
        let accepted = join(callers);
        assert_eq!(testbed.profiles.applied_position(), accepted);
        assert!(matches!(testbed.commit(7, 7), Err(CommitError::Log(AppendError::Closed))));
        assert_eq!(testbed.committer.backlog_bytes(), 0);
    });
}

#[test]
fn concurrency_of_a_backlog_that_is_full() {
    explore("commits-backlog", || {
        // Room for one record, or two.
        let (testbed, applier) = Testbed::new(NEVER, 120);
        let accepted = join(testbed.callers(3, 2));
        assert!(accepted >= 1, "a single record is always accepted");
        assert_eq!(testbed.profiles.applied_position(), accepted);
        assert!(testbed.commit(7, 7).is_ok(), "the room is back");
        testbed.stop(applier);
    });
}

#[test]
fn concurrency_of_a_budget() {
    explore("budget", || {
        const MAX_BYTES: usize = 100;
        let budget = ByteBudget::new(MAX_BYTES);
        let held = Arc::new(std::sync::Mutex::new(Vec::<(u64, usize)>::new()));
        let takers = (1..=3u64).map(|taker| {
            let (budget, held) = (Arc::clone(&budget), Arc::clone(&held));
            thread::spawn(move || {
                for bytes in [30, 60, 500] {
                    let mut reservation = budget.share();
                    for wanted in [bytes, bytes + 20, bytes / 2] {
                        let ok = if wanted == bytes {
                            reservation.grow(bytes)
                        } else {
                            reservation.resize(wanted)
                        };
                        let mut held = held.lock().unwrap();
                        if ok {
                            held.retain(|(of, _)| *of != taker);
                            held.push((taker, wanted));
                        }
                        let sum: usize = held.iter().map(|(_, bytes)| bytes).sum();
                        let largest = held.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
                        // A reservation that was alone may be over the limit; then no other was accepted.
                        assert!(sum <= MAX_BYTES.max(largest) + MAX_BYTES, "{held:?}");
                    }
                    held.lock().unwrap().retain(|(of, _)| *of != taker);
                    drop(reservation);
                }
            })
        });
        takers.collect::<Vec<_>>().into_iter().for_each(|taker| taker.join().unwrap());
        assert_eq!(budget.held_bytes(), 0);
        assert!(budget.share().grow(10 * MAX_BYTES));
    });
}
