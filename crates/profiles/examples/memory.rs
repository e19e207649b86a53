//! Measures the cost of profiles: memory for each membership, and the speed of applying records, by the
//! thread's processor time.
//!
//! `cargo run --release -p ia-profiles --example memory [users] [segments of each] [rounds of bulk1]`
//!
//! A record holds 1,000 users. Segments, values and expiries are drawn as in the bench: ids of 10,000,
//! values of 0 to 99, half of them for ever and half for 1,440 minutes.

use ia_model::{
    Batch, Change, Erase, ErasedSegments, Expiry, Ingest, MemberId, Minute, Operation, Record, SegmentId,
    UserKey,
};
use ia_profiles::{CheckpointReport, PackedProfiles, ProfileOptions, Profiles};
use std::fs;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const USERS_PER_RECORD: u64 = 1000;
const SEGMENT_IDS: u64 = 10_000;
/// A prime, so that it takes every user once.
const STRIDE: u64 = 9973;
const READS: u32 = 1_000_000;
const START_MS: u64 = 1_790_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;

/// The next number of a xorshift sequence: the same in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The resident memory of the process, in bytes, without files.
fn private_bytes() -> u64 {
    status_bytes("RssAnon:")
}

fn status_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc/self/status");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field is there");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number of kB") * 1024
}

/// The peak memory of the process while `work` ran, in bytes, without files.
fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, u64) {
    // 5 resets the high-water mark to the memory in use.
    fs::write("/proc/self/clear_refs", "5").expect("one may reset one's own high-water mark");
    let result = work();
    (result, status_bytes("VmHWM:") - status_bytes("RssFile:") - status_bytes("RssShmem:"))
}

/// The processor time of this thread, so that others on the machine do not count.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Ids of the platform are spread over the whole range.
fn key(user: u64) -> UserKey {
    UserKey::platform((user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).expect("never 0")
}

fn operation(random: &mut u64, until: Minute) -> Operation {
    let segment = SegmentId((next(random) % SEGMENT_IDS + 1) as u32);
    let expires = if next(random) & 1 == 0 { Expiry::Never } else { Expiry::At(until) };
    Operation { segment, change: Change::Add { expires, value: (next(random) % 100) as u32 } }
}

/// Puts users into segments, always the same for a user and a `variant`.
fn record(users: impl Iterator<Item = u64>, variant: u64, segments: u64, accepted_at_ms: u64) -> Record {
    let until = Minute(Minute::containing(accepted_at_ms).0 + 1440);
    let mut batch = Batch::with_capacity(1000, 1000 * segments as usize);
    for user in users {
        let mut random = (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (variant << 20);
        let mut operations: Vec<_> = (0..segments).map(|_| operation(&mut random, until)).collect();
        operations.sort_unstable_by_key(|operation| operation.segment);
        operations.dedup_by_key(|operation| operation.segment);
        batch.push(key(user), operations);
    }
    let usage = Default::default();
    let request_id = String::new();
    Record::Ingest(Box::new(Ingest {
        accepted_at_ms,
        member: MemberId(1),
        request_id,
        batch,
        usage,
        file: None,
    }))
}

/// Applies records, and measures only that time.
struct Applier {
    profiles: PackedProfiles,
    /// The memory of the process before the profiles, in bytes.
    before: u64,
    position: u64,
    /// Memberships that were added and not replaced.
    memberships: u64,
}

impl Applier {
    fn new(options: ProfileOptions, dir: &std::path::Path) -> Applier {
        let before = private_bytes();
        let profiles = PackedProfiles::open(dir, options).expect("a new store");
        Applier { profiles, before, position: 0, memberships: 0 }
    }

    fn run(&mut self, what: &str, records: impl Iterator<Item = Record>) {
        let (mut operations, mut users, mut spent) = (0, 0, Duration::ZERO);
        for record in records {
            self.position += 1;
            let start = cpu_time();
            let applied = self.profiles.apply(self.position, &record).expect("memory suffices");
            spent += cpu_time() - start;
            self.memberships += applied.added;
            operations += applied.added + applied.refreshed;
            if let Record::Ingest(ingest) = &record {
                users += ingest.batch.users();
            }
        }
        let rate = |count: f64| count / spent.as_secs_f64() / 1e6;
        say(&format!(
            "{what}: {:.2} M memberships/s, {:.2} M users/s",
            rate(operations as f64),
            rate(users as f64)
        ));
    }

    fn each(&self, bytes: u64) -> f64 {
        bytes as f64 / self.memberships as f64
    }

    /// Bytes for each membership before, during and after a checkpoint.
    fn checkpoint(&self) -> CheckpointReport {
        let counted = || self.each(self.profiles.stats().resident_bytes);
        let process = |bytes: u64| self.each(bytes.saturating_sub(self.before));
        say(&format!(
            "  dirty: counted {:.2}, process {:.2} bytes a membership",
            counted(),
            process(private_bytes())
        ));
        let (report, peak) = peak_bytes(|| self.profiles.checkpoint().expect("the store can be written"));
        say(&format!("  checkpoint: process {:.2} at the most; {:?}", process(peak), report.duration));
        say(&format!("  clean: counted {:.2}, process {:.2}", counted(), process(private_bytes())));
        report
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("standard output");
}

fn say_each(what: &str, spent: Duration, count: u32) {
    say(&format!("{what}: {:?} each, {spent:?} in all", spent / count));
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (users, segments, bulk1_rounds): (u64, u64, u64) = (number(1_000_000), number(10), number(2));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = ProfileOptions { memory_budget_bytes: 8 << 30, ..ProfileOptions::default() };

    let mut applier = Applier::new(options, &dir.path().join("profiles"));
    // In the last round the users of a record were not added one after the other.
    for (what, stride, hour) in [("new", 1, 0), ("again", 1, 1), ("again, scattered", STRIDE, 2)] {
        let records = (0..users).step_by(USERS_PER_RECORD as usize).map(|first| {
            let of_record = (first..first + USERS_PER_RECORD).map(|user| user * stride % users);
            record(of_record, 0, segments, START_MS + hour * HOUR_MS)
        });
        applier.run(&format!("{what}, 1,000 x {segments}"), records);
        applier.checkpoint();
    }
    scattered(&mut applier, "bulk1 over these, scattered, 1,000 x 1", users, bulk1_rounds);
    read(applier, dir.path(), users, options);

    let mut applier = Applier::new(options, &dir.path().join("bulk1"));
    scattered(&mut applier, "bulk1 from nothing, scattered, 1,000 x 1", users, 4 * bulk1_rounds);
}

/// Users at random, one more segment for each. A round takes five minutes and `users` users.
fn scattered(applier: &mut Applier, what: &str, users: u64, rounds: u64) {
    let mut random = 1;
    for round in 0..rounds {
        let records = (0..users / USERS_PER_RECORD).map(|index| {
            let of_record: Vec<u64> = (0..USERS_PER_RECORD).map(|_| next(&mut random) % users).collect();
            let at = START_MS + 3 * HOUR_MS + (round * 5 + 5 * index * 1000 / users) * MINUTE_MS;
            record(of_record.into_iter(), round + 1, 1, at)
        });
        applier.run(what, records);
    }
    if rounds > 0 {
        applier.checkpoint();
    }
}

fn read(applier: Applier, dir: &std::path::Path, users: u64, options: ProfileOptions) {
    let Applier { profiles, position, .. } = applier;
    let (known, now) = (key(0), Minute::containing(START_MS));
    let start = cpu_time();
    for _ in 0..READS {
        assert!(profiles.get(&known, now).is_some());
    }
    say_each("get, the same", cpu_time() - start, READS);
    let keys: Vec<UserKey> = (0..u64::from(READS)).map(|user| key(user * STRIDE % users)).collect();
    let start = cpu_time();
    for user in &keys {
        assert!(profiles.get(user, now).is_some());
    }
    say_each("get, scattered", cpu_time() - start, READS);
    let erase = Erase { accepted_at_ms: START_MS, user: key(1), segments: ErasedSegments::All, member: None };
    profiles.apply(position + 1, &Record::Erase(erase)).expect("memory suffices");
    let report = profiles.checkpoint().expect("the store can be written");
    say(&format!("checkpoint after an erase: {:?}", report.duration));
    drop(profiles);

    let start = Instant::now();
    let profiles = PackedProfiles::open(&dir.join("profiles"), options).expect("the store from before");
    say(&format!("open: {:?}", start.elapsed()));
    let start = Instant::now();
    for user in 0..READS {
        let unknown = key(users + u64::from(user));
        assert!(profiles.load(&unknown, now).expect("the store can be read").is_empty());
    }
    say_each("load of an unknown user, memory cold", start.elapsed(), READS);
    let start = Instant::now();
    for user in 2..2 + READS / 10 {
        profiles.load(&key(u64::from(user) * STRIDE % users), now).expect("the store can be read");
    }
    say_each("load of a known user, memory cold", start.elapsed(), READS / 10);
    let start = Instant::now();
    profiles.warm_up(&AtomicBool::new(false)).expect("the store can be read");
    say(&format!("warm-up: {:?}", start.elapsed()));
    assert!(profiles.stats().complete);
}
