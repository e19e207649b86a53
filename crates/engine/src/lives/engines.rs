//! The engines as [`crate::open`] builds them, but without the background threads.

use super::steps::{Crash, LINKS_PER_USER, OWN_IDS, Stop, TestbedChoice, User};
use crate::alarm::Alarm;
use crate::data_dir::DataDir;
use crate::erasures::Erasures;
use crate::ingest::resolve::{Context, ExpirationRules};
use crate::ingest::structure::StructureLimits;
use crate::ingest::{self, Prepared};
use crate::linking::{IdsToLink, LinkRules, link_record};
use crate::metrics::{AppliedMetrics, Metrics};
use crate::nobody::Nobody;
use crate::opt_outs::InForce;
use crate::reading::{ReadScope, View};
use crate::sync::thread::JoinHandle;
use crate::threads::Turns;
use crate::upkeep::{self, CheckpointRules, Checkpoints};
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
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
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
    data_dir: DataDir,
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
        let dir = dir.unwrap();
        Testbed {
            gate: FaultyDisk::new(disk.clone()),
            disk,
            now_ms: START_MS,
            data_dir: DataDir::existing(dir.path()).unwrap(),
            dice: Dice::new(choice.seed),
            choice,
            dir,
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

    /// Replaces the profiles, which nobody has open.
    pub(super) fn put_profiles(&self, from: TempDir) {
        std::fs::remove_dir_all(self.data_dir.profiles()).unwrap();
        std::fs::rename(from.keep(), self.data_dir.profiles()).unwrap();
    }

    /// Whether any file holds the id of a user.
    pub(super) fn has_traces(&self, user: User) -> bool {
        let on_disk = files_in(self.dir.path()).into_iter().map(|path| std::fs::read(path).unwrap());
        let mut contents = on_disk.chain(self.disk.contents().into_values());
        let traces = user.traces();
        contents.any(|content| {
            traces.iter().any(|trace| content.windows(trace.len()).any(|part| part == trace.as_slice()))
        })
    }
}

fn checkpoints(
    data_dir: &DataDir,
    log: &Arc<DiskLog>,
    profiles: &Arc<PackedProfiles>,
    usage: &Arc<UsageFollower>,
) -> Checkpoints {
    let metrics = Metrics::new(&mut Registry::default());
    let (log, profiles) = (Arc::clone(log) as Arc<dyn Log>, Arc::clone(profiles) as Arc<dyn Profiles>);
    Checkpoints {
        erasures: Erasures::new(Arc::clone(&log), Arc::clone(&profiles), Arc::clone(usage), Alarm::default()),
        profiles,
        log,
        usage: Arc::clone(usage),
        data_dir: data_dir.clone(),
        metrics: metrics.checkpoints,
        log_metrics: metrics.log,
        // The steps of a life say when one is due.
        rules: CheckpointRules {
            interval: Duration::MAX,
            log_bytes: u64::MAX,
            memory_budget_bytes: u64::MAX,
        },
    }
}

/// Copies a folder as a kill at this moment would leave it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if path.metadata().unwrap().blocks() == 0 {
            // A file of 64 MiB without a block.
            let copy = std::fs::File::create(to.join(name)).unwrap();
            copy.set_len(path.metadata().unwrap().len()).unwrap();
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// The files in a folder that hold anything.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] });
    files.filter(|path| path.metadata().is_ok_and(|metadata| metadata.blocks() > 0)).collect()
}

pub(super) struct Engines {
    log: Arc<DiskLog>,
    profiles: Arc<PackedProfiles>,
    pub(super) usage: Arc<UsageFollower>,
    checkpoints: Arc<Checkpoints>,
    committer: Committer,
    applier: JoinHandle<()>,
}

impl Engines {
    pub(super) async fn open(testbed: &Testbed) -> Engines {
        let store: Arc<dyn UsageStore> = if testbed.choice.has_sqlite {
            Arc::new(SqliteUsage::open(&testbed.data_dir.usage()).await.unwrap())
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
        let open = if testbed.choice.has_worker { PackedProfiles::open } else { PackedProfiles::open_still };
        let profiles = Arc::new(open(&testbed.data_dir.profiles(), options).unwrap());
        replay(&log, &*profiles, &usage, &AtomicBool::new(false)).unwrap();
        let log = Arc::new(log);
        let followers = Followers {
            profiles: Arc::clone(&profiles) as _,
            usage: Arc::clone(&usage),
            metrics: AppliedMetrics::default(),
        };
        let (committer, applier) =
            Committer::start(Arc::clone(&log) as _, followers, 64 << 20, Alarm::default()).unwrap();
        let checkpoints = Arc::new(checkpoints(&testbed.data_dir, &log, &profiles, &usage));
        Engines { log, profiles, usage, checkpoints, committer, applier }
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

    pub(super) async fn link(&self, now_ms: u64, user: UserKey, ids: &[UserKey], ttl_minutes: u32) {
        let is_own = |id: &&UserKey| id.namespace().is_some();
        let own: Vec<String> = ids.iter().filter(is_own).map(UserKey::id).collect();
        let extended: Vec<UserKey> = ids.iter().filter(|id| !is_own(id)).cloned().collect();
        let ids = IdsToLink { own: &own, extended: &extended };
        let rules = LinkRules { ttl_minutes };
        let link =
            link_record(&CATALOG, rules, &Nobody::default(), now_ms, MemberId(OWN_IDS), user, ids).unwrap();
        let room = self.committer.reserve(100).unwrap();
        self.committer.commit(Encoded::new(Record::Link(link)), room).await.unwrap();
    }

    /// Writes a checkpoint as the checkpoint thread does, up to a step.
    pub(super) async fn checkpoint_until(&self, last: upkeep::Step) {
        let checkpoints = Arc::clone(&self.checkpoints);
        tokio::task::spawn_blocking(move || checkpoints.write_until(last)).await.unwrap().unwrap();
    }

    /// Writes a checkpoint up to a moment. If that is in the middle of the profiles, returns what they are then.
    pub(super) async fn checkpoint_to(&self, testbed: &Testbed, stop: Stop) -> Option<TempDir> {
        let stage = match stop {
            Stop::In(stage) if !testbed.choice.has_worker => stage,
            // While a thread changes its files, a copy would be none of one moment.
            Stop::In(_) => {
                self.checkpoint_until(upkeep::Step::Written).await;
                return None;
            }
            Stop::After(step) => {
                self.checkpoint_until(step).await;
                return None;
            }
        };
        self.checkpoint_until(upkeep::Step::Sealed).await;
        let copied = tempfile::tempdir_in(testbed.dir.path().parent().unwrap()).unwrap();
        let copy_at = |reached| {
            if reached == stage {
                copy(&testbed.data_dir.profiles(), copied.path());
            }
        };
        self.profiles.run_checkpoint(copy_at).unwrap();
        Some(copied)
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
        View { scope, snapshot: &CATALOG, now }.write(&mut json, &user.clone().into(), &memberships);
        serde_json::from_slice(&json).unwrap()
    }

    /// The hourly counters of a member.
    pub(super) async fn hours(&self, member: u32) -> Vec<(u64, Counters)> {
        let rows = self.usage.hours(MemberId(member), 0..i64::MAX.unsigned_abs()).await.unwrap();
        rows.into_iter().map(|row| (row.hour_start_ms, row.counters)).collect()
    }
}
