//! The engines as [`crate::open`] builds them, but without the background threads.

use super::steps::{Crash, LINKS_PER_USER, OWN_IDS, TestbedChoice};
use crate::alarm::Alarm;
use crate::ingest::resolve::{Context, ExpirationRules};
use crate::ingest::structure::StructureLimits;
use crate::ingest::{self, Prepared};
use crate::linking::{LinkRules, link_record};
use crate::metrics::AppliedMetrics;
use crate::nobody::Nobody;
use crate::opt_outs::InForce;
use crate::reading::{ReadScope, View};
use crate::sync::thread::JoinHandle;
use crate::threads::Turns;
use crate::usage::UsageFollower;
use crate::usage::in_memory::CountersInMemory;
use crate::write::commit::{CommitError, Committer, Encoded, Followers};
use crate::write::replay::replay;
use futures_util::FutureExt;
use ia_catalog::usage::{Counters, UsageStore};
use ia_catalog::{CatalogFile, KnownUsers, Snapshot, SqliteUsage};
use ia_log::faults::simulated::{Dice, SimulatedDisk};
use ia_log::faults::{Call, FaultyDisk};
use ia_log::{DiskLog, Log, LogOptions};
use ia_model::{Erase, MemberId, Minute, Record, UserKey};
use ia_profiles::{PackedProfiles, ProfileOptions, Profiles, get_joined, load_joined};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// The time at which lives begin: 2026-01-31 13:00:00 UTC.
const START_MS: u64 = 1_769_864_400_000;

/// Member 1 owns segments 10 to 13 (12 is inactive, 13 expires after five minutes) and 400 more, and may write to
/// member 2's segment 20. Member 4 has its own user ids, and may write to segments of members 1 and 2. Only member 3
/// may write to its segment 30.
static CATALOG: LazyLock<Snapshot> = LazyLock::new(|| {
    let segment = |id: u32, member: u32| json!({"id": id, "member_id": member, "code": format!("c{id}")});
    let mut segments = vec![segment(10, 1), segment(11, 1), segment(20, 2), segment(30, 3)];
    segments.push(json!({"id": 12, "member_id": 1, "code": "c12", "state": "inactive"}));
    segments.push(json!({"id": 13, "member_id": 1, "code": "c13", "expire_minutes": 5}));
    segments.extend((1000..1400).map(|id| segment(id, 1)));
    let catalog = json!({
        "members": [
            {"id": 1, "name": "a", "segment_access": [2]}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"},
            {"id": 4, "name": "d", "segment_access": [1, 2], "use_external_uids": true},
        ],
        "segments": segments,
    });
    Snapshot::of(&CatalogFile::parse(catalog.to_string().as_bytes()).unwrap()).unwrap()
});

/// The parts that survive a crash.
pub(super) struct Testbed {
    pub(super) disk: SimulatedDisk,
    pub(super) now_ms: u64,
    gate: FaultyDisk,
    dice: Dice,
    choice: TestbedChoice,
    dir: TempDir,
    /// Where the choice is for statistics in memory: they are as durable as SQLite's, and quick to open.
    memory_usage: Arc<CountersInMemory>,
}

impl Testbed {
    pub(super) fn new(choice: TestbedChoice) -> Testbed {
        let disk = SimulatedDisk::default();
        // This folder does not lose power, so flushes to a real disk would only take time.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Testbed {
            gate: FaultyDisk::new(disk.clone()),
            disk,
            now_ms: START_MS,
            dice: Dice::new(choice.seed),
            choice,
            dir: dir.unwrap(),
            memory_usage: Arc::default(),
        }
    }

    /// Removes what a crash loses of the log: nothing written after a kill, unflushed parts after a power cut.
    pub(super) fn lose(&mut self, how: Crash) {
        match how {
            Crash::Kill => self.disk.resume(),
            Crash::PowerCut => self.disk.restart(&mut self.dice),
        }
    }
}

pub(super) struct Engines {
    log: Arc<DiskLog>,
    profiles: Arc<PackedProfiles>,
    pub(super) usage: Arc<UsageFollower>,
    committer: Committer,
    applier: JoinHandle<()>,
}

impl Engines {
    pub(super) async fn open(testbed: &Testbed) -> Engines {
        let store: Arc<dyn UsageStore> = if testbed.choice.has_sqlite {
            Arc::new(SqliteUsage::open(&testbed.dir.path().join("usage.sqlite")).await.unwrap())
        } else {
            Arc::clone(&testbed.memory_usage) as _
        };
        let usage = Arc::new(UsageFollower::open(store).await.unwrap());
        let options = LogOptions { segment_bytes: testbed.choice.segment_bytes, ..LogOptions::default() };
        let (log, _) = DiskLog::open("/data/log", options, testbed.gate.as_disk(), Arc::new(())).unwrap();
        let options = ProfileOptions {
            memory_budget_bytes: testbed.choice.memory_budget_bytes,
            shards: 2,
            store_cache_bytes: 1 << 20,
            links_per_user: LINKS_PER_USER,
        };
        let profiles = Arc::new(PackedProfiles::open(&testbed.dir.path().join("profiles"), options).unwrap());
        replay(&log, &*profiles, &usage, &AtomicBool::new(false)).unwrap();
        let log = Arc::new(log);
        let followers = Followers {
            profiles: Arc::clone(&profiles) as _,
            usage: Arc::clone(&usage),
            metrics: AppliedMetrics::default(),
        };
        let (committer, applier) =
            Committer::start(Arc::clone(&log) as _, followers, 64 << 20, Alarm::default()).unwrap();
        Engines { log, profiles, usage, committer, applier }
    }

    /// Stops in order, as [`crate::OpenEngine::close`] does.
    pub(super) async fn close(self) {
        self.log.close();
        self.committer.stop();
        self.applier.join().unwrap();
        self.usage.flush().await.unwrap();
        self.profiles.checkpoint().unwrap();
    }

    /// Ends without another write.
    pub(super) fn die(self, disk: &SimulatedDisk) {
        disk.cut_power_after(0);
        self.log.close();
        self.committer.stop();
        self.applier.join().unwrap();
    }

    /// Commits requests of members that arrive together; returns for each whether it was logged. The others arrive
    /// while the first is being flushed, so that a life is the same each time it runs.
    pub(super) async fn post_at_once(
        &self,
        testbed: &Testbed,
        requests: &[(u32, String)],
        power_goes_after: Option<u64>,
    ) -> Vec<Result<bool, CommitError>> {
        let flushes = testbed.gate.calls(Call::Flush);
        if let Some(calls) = power_goes_after {
            testbed.disk.cut_power_after(calls);
        }
        if requests.len() > 1 {
            testbed.gate.hold(Call::Flush);
        }
        let mut waiting = Vec::new();
        for (index, (member, text)) in requests.iter().enumerate() {
            let mut commit = Box::pin(self.post(testbed, *member, text));
            let mut result = commit.as_mut().now_or_never();
            while index == 0 && requests.len() > 1 && result.is_none() {
                if testbed.gate.calls(Call::Flush) > flushes {
                    break;
                }
                std::thread::yield_now();
                result = commit.as_mut().now_or_never();
            }
            waiting.push((commit, result));
        }
        testbed.gate.release();
        let mut results = Vec::new();
        for (commit, result) in waiting {
            results.push(match result {
                Some(result) => result,
                None => commit.await,
            });
        }
        results
    }

    async fn post(&self, testbed: &Testbed, member: u32, text: &str) -> Result<bool, CommitError> {
        let request = ingest::Request {
            context: Context {
                snapshot: &CATALOG,
                member: MemberId(member),
                now_ms: testbed.now_ms,
                expiration: ExpirationRules { default_minutes: 60, max_minutes: None },
                opt_outs: InForce::of_nobody(),
                known: &KnownUsers::everybody(),
                nobody: &Nobody::default(),
            },
            request_id: "r",
            limits: StructureLimits { users_per_request: 0, segments_per_user: 0 },
            turns: Turns::never(),
            verbose: false,
        };
        let room = self.committer.reserve(text.len())?;
        let Prepared { ingest, .. } = ingest::prepare(text.as_bytes(), &request).unwrap();
        let Some(ingest) = ingest else { return Ok(false) };
        self.committer.commit(Encoded::new(Record::Ingest(ingest)), room).await.map(|_| true)
    }

    pub(super) async fn commit_erase(&self, erase: Erase) {
        let room = self.committer.reserve(100).unwrap();
        self.committer.commit(Encoded::new(Record::Erase(erase)), room).await.unwrap();
    }

    pub(super) async fn link(&self, now_ms: u64, user: UserKey, ids: &[String], ttl_minutes: u32) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let rules = LinkRules { ttl_minutes };
        let link =
            link_record(&CATALOG, rules, &Nobody::default(), now_ms, MemberId(OWN_IDS), user, &ids).unwrap();
        let room = self.committer.reserve(100).unwrap();
        self.committer.commit(Encoded::new(Record::Link(link)), room).await.unwrap();
    }

    /// Writes a checkpoint as the checkpoint thread does.
    pub(super) fn checkpoint(&self) {
        self.profiles.checkpoint().unwrap();
        let covered = self.profiles.checkpointed_position().min(self.usage.covered_position());
        self.log.trim_before(covered + 1).unwrap();
    }

    pub(super) fn warm_up(&self) {
        self.profiles.warm_up(&AtomicBool::new(false)).unwrap();
    }

    pub(super) fn load(&self, user: &UserKey, now_ms: u64) {
        load_joined(&*self.profiles, user, Minute::containing(now_ms)).unwrap();
    }

    pub(super) fn last_position(&self) -> u64 {
        self.log.next_position() - 1
    }

    /// The answer to an admin's read of a user.
    pub(super) fn read(&self, user: &UserKey, now_ms: u64) -> Value {
        let now = Minute::containing(now_ms);
        let profiles = &*self.profiles;
        let memberships =
            get_joined(profiles, user, now).unwrap_or_else(|| load_joined(profiles, user, now).unwrap());
        let scope = ReadScope { viewer: None, owner: None, with_inactive: false, namespace: None };
        let mut json = Vec::new();
        View { scope, snapshot: &CATALOG, now }.write(&mut json, user, &memberships);
        serde_json::from_slice(&json).unwrap()
    }

    /// The hourly counters of a member.
    pub(super) async fn hours(&self, member: u32) -> Vec<(u64, Counters)> {
        let rows = self.usage.hours(MemberId(member), 0..i64::MAX.unsigned_abs()).await.unwrap();
        rows.into_iter().map(|row| (row.hour_start_ms, row.counters)).collect()
    }
}
