//! Measures what profiles cost: memory for each membership, and how fast records are applied.
//!
//! `cargo run --release -p ia-profiles --example memory [users] [segments of each] [mixed]`

use ia_model::{
    Batch, Change, Erase, ErasedSegments, Expiry, Ingest, MemberId, Minute, Operation, Record, SegmentId,
    UserKey,
};
use ia_profiles::{PackedProfiles, ProfileOptions, Profiles};
use std::fs;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const USERS_PER_RECORD: u64 = 1000;
const SEGMENT_IDS: u64 = 100_000;
/// A prime, so that it takes every user once.
const STRIDE: u64 = 9973;
const READS: u32 = 1_000_000;
const START_MS: u64 = 1_790_000_000_000;

/// The next number of a xorshift sequence: the same in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Memory of the process that is in RAM, in bytes, of which files do not count.
fn private_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux has /proc/self/statm");
    let pages: Vec<u64> = statm.split_whitespace().map(|number| number.parse().unwrap_or(0)).collect();
    (pages[1] - pages[2]) * 4096
}

/// Ids of the platform are spread over the whole range.
fn key(user: u64) -> UserKey {
    UserKey::platform((user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).expect("never 0")
}

/// The same segments for a user in every round.
fn record(users: impl Iterator<Item = u64>, segments: u64, is_mixed: bool, accepted_at_ms: u64) -> Record {
    let expires = Expiry::At(Minute(Minute::containing(accepted_at_ms).0 + 1440));
    let mut batch = Batch::with_capacity(1000, 10_000);
    for user in users {
        let mut random = (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut ids: Vec<u64> = (0..segments).map(|_| next(&mut random) % SEGMENT_IDS + 1).collect();
        ids.sort_unstable();
        ids.dedup();
        batch.push(
            key(user),
            ids.into_iter().map(|id| {
                let never = is_mixed && next(&mut random) & 1 == 0;
                let expires = if never { Expiry::Never } else { expires };
                Operation { segment: SegmentId(id as u32), change: Change::Add { expires, value: 1 } }
            }),
        );
    }
    let usage = Default::default();
    let request_id = String::new();
    Record::Ingest(Box::new(Ingest { accepted_at_ms, member: MemberId(1), request_id, batch, usage }))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (users, segments): (u64, u64) = (number(1_000_000), number(10));
    let is_mixed = arguments.next().is_some_and(|word| word == "mixed");
    let mut out = std::io::stdout().lock();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = ProfileOptions { memory_budget_bytes: 8 << 30, ..ProfileOptions::default() };
    let profiles = PackedProfiles::open(&dir.path().join("profiles"), options).expect("a new store");
    let mut position = 0;
    let before = private_bytes();
    // In the last round the users of a record did not come in one after the other.
    let rounds = [("new", 1), ("again", 1), ("again, scattered", STRIDE)];
    for ((round, stride), hour) in rounds.into_iter().zip(0..) {
        let (mut memberships, mut spent) = (0, Duration::ZERO);
        for first in (0..users).step_by(USERS_PER_RECORD as usize) {
            let at = START_MS + hour * 3_600_000;
            let of_record = (first..first + USERS_PER_RECORD).map(|user| user * stride % users);
            let record = record(of_record, segments, is_mixed, at);
            position += 1;
            let start = Instant::now();
            let applied = profiles.apply(position, &record).expect("memory suffices");
            spent += start.elapsed();
            memberships += applied.added + applied.refreshed;
        }
        let rate = memberships as f64 / spent.as_secs_f64() / 1e6;
        writeln!(out, "{round}: {memberships} memberships, {rate:.2} M/s").expect("standard output");
        let stats = profiles.stats();
        let counted = (stats.resident_bytes) as f64 / memberships as f64;
        writeln!(out, "  counted {counted:.2} bytes a membership (dirty lists included)")
            .expect("standard output");
        let report = profiles.checkpoint().expect("the store can be written");
        writeln!(out, "  checkpoint: {report:?}").expect("standard output");
        let clean = profiles.stats().resident_bytes as f64 / memberships as f64;
        let process = (private_bytes() - before) as f64 / memberships as f64;
        writeln!(out, "  clean: counted {clean:.2}, process {process:.2} bytes a membership")
            .expect("standard output");
    }
    let mut say = |what: &str, spent: Duration, count: u32| {
        writeln!(out, "{what}: {:?} each, {spent:?} in all", spent / count).expect("standard output");
    };
    let (known, now) = (key(0), Minute::containing(START_MS));
    let start = Instant::now();
    for _ in 0..READS {
        assert!(profiles.get(&known, now).is_some());
    }
    say("get", start.elapsed(), READS);
    let erase = Erase { accepted_at_ms: START_MS, user: key(1), segments: ErasedSegments::All };
    profiles.apply(position + 1, &Record::Erase(erase)).expect("memory suffices");
    say("checkpoint after an erase", profiles.checkpoint().expect("the store can be written").duration, 1);
    drop(profiles);

    let start = Instant::now();
    let profiles =
        PackedProfiles::open(&dir.path().join("profiles"), options).expect("the store from before");
    say("open", start.elapsed(), 1);
    let start = Instant::now();
    for user in 0..READS {
        let unknown = key(users + u64::from(user));
        assert!(profiles.load(&unknown, now).expect("the store can be read").is_empty());
    }
    say("load of an unknown user, memory cold", start.elapsed(), READS);
    let start = Instant::now();
    for user in 2..2 + READS / 10 {
        profiles.load(&key(u64::from(user) * STRIDE % users), now).expect("the store can be read");
    }
    say("load of a known user, memory cold", start.elapsed(), READS / 10);
    let start = Instant::now();
    profiles.warm_up(&AtomicBool::new(false)).expect("the store can be read");
    say("warm-up", start.elapsed(), 1);
    assert!(profiles.stats().complete);
}
