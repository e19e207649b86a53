//! Measures the replacement of a segment's members: the time until it is in force and until it is settled, and how long
//! reads and other records wait meanwhile.
//!
//! `cargo run --release -p ia-profiles --example replace [users] [members]`
//!
//! Every user is in three segments, and every so many in the replaced one. One thread applies a record each
//! millisecond, and settles when it has nothing else to do, as the applier does. Another reads users at random.

use ia_model::record::{FileChunk, Usage};
use ia_model::{Batch, Change, Expiry, Ingest, MemberId, Minute, Operation, Record, SegmentId, UserKey};
use ia_profiles::{PackedProfiles, ProfileOptions, Profiles, read_at_once};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

const REPLACED: SegmentId = SegmentId(4);
const START_MS: u64 = 1_790_000_000_000;
const RECORD_PERIOD: Duration = Duration::from_millis(1);
const READ_PERIOD: Duration = Duration::from_micros(50);
const QUIET: Duration = Duration::from_secs(3);
/// What the reader counts its reads for.
const QUIETLY: u8 = 0;
const MEANWHILE: u8 = 1;
const ENDED: u8 = 2;

fn user(id: u64) -> UserKey {
    UserKey::platform(id).expect("ids begin at 1")
}

fn record(batch: Batch, replaced: Option<SegmentId>) -> Record {
    let file =
        replaced.map(|segment| Box::new(FileChunk { replaced: Some(segment), ..FileChunk::default() }));
    Record::Ingest(Box::new(Ingest {
        accepted_at_ms: START_MS,
        member: MemberId(1),
        request_id: String::new(),
        batch,
        usage: Usage::default(),
        file,
    }))
}

fn add(segment: SegmentId) -> Operation {
    Operation { segment, change: Change::Add { expires: Expiry::Never, value: 1 } }
}

struct Applier<'a> {
    profiles: &'a PackedProfiles,
    position: u64,
    waits: Vec<Duration>,
}

impl Applier<'_> {
    fn apply(&mut self, record: &Record) {
        self.position += 1;
        self.profiles.apply(self.position, record).expect("memory has no errors");
    }

    /// Applies a record each millisecond until `end`, or until all is settled.
    fn run(&mut self, from: Instant, end: Option<Instant>) {
        self.waits.clear();
        let mut due = from;
        let mut number = 0;
        loop {
            let now = Instant::now();
            if now >= due {
                number += 1;
                let mut batch = Batch::default();
                batch.push(user(number * 7919 % 1_000_000 + 1), [add(SegmentId(3))]);
                self.apply(&record(batch, None));
                self.waits.push(due.elapsed());
                due += RECORD_PERIOD;
            } else if self.profiles.settle().expect("memory has no errors").is_none() {
                if end.is_none_or(|end| now >= end) {
                    return;
                }
                std::thread::sleep(due - now);
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures")]
fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: n={} p50={:?} p99={:?} max={:?}", times.len(), at(0.5), at(0.99), at(1.0));
}

#[expect(clippy::print_stdout, reason = "the figures")]
fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let users = arguments.next().unwrap_or(3_000_000);
    let members = arguments.next().unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a folder");
    let profiles =
        PackedProfiles::open(&dir.path().join("profiles"), ProfileOptions::default()).expect("a new store");
    let mut applier = Applier { profiles: &profiles, position: 0, waits: Vec::new() };
    let is_member = |id: &u64| id.is_multiple_of(users / members);
    for first in (1..=users).step_by(1000) {
        let mut batch = Batch::default();
        for id in first..(first + 1000).min(users + 1) {
            let segments = (1..=3).map(SegmentId).chain(is_member(&id).then_some(REPLACED));
            batch.push(user(id), segments.map(add));
        }
        applier.apply(&record(batch, None));
    }
    let started = Instant::now();
    let mut found = Batch::with_capacity(members as usize, members as usize);
    let mut visit = |user| {
        found.push(user, [Operation { segment: REPLACED, change: Change::Remove }]);
        ControlFlow::Continue(())
    };
    profiles.visit_members(REPLACED, Minute::containing(START_MS), &mut visit).expect("memory has no errors");
    println!("members: {} found in {:?}", found.users(), started.elapsed());
    let replacement = record(found, Some(REPLACED));
    println!("record: {} bytes", replacement.encode().len());

    let state = AtomicU8::new(QUIETLY);
    let mut reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut times = [Vec::new(), Vec::new()];
            let mut id = 1;
            loop {
                let of = state.load(Ordering::SeqCst);
                if of == ENDED {
                    return times;
                }
                id = id * 48_271 % 2_147_483_647;
                let key = user(id % users + 1);
                let started = Instant::now();
                let found = read_at_once(&profiles, || profiles.load(&key, Minute::containing(START_MS)));
                times[usize::from(of)].push(started.elapsed());
                assert!(found.is_ok_and(|found| found.len() >= 3), "everybody is in three segments");
                std::thread::sleep(READ_PERIOD);
            }
        });
        applier.run(Instant::now(), Some(Instant::now() + QUIET));
        print("records, quiet", &mut applier.waits);
        state.store(MEANWHILE, Ordering::SeqCst);
        let started = Instant::now();
        applier.apply(&replacement);
        let in_force = started.elapsed();
        let bytes = profiles.stats().resident_bytes;
        applier.run(started, None);
        let settled = started.elapsed();
        state.store(ENDED, Ordering::SeqCst);
        println!("in force after {in_force:?}, settled after {settled:?}");
        println!("memory: {} bytes", bytes - profiles.stats().resident_bytes);
        print("records, meanwhile", &mut applier.waits);
        reader.join().expect("no read fails")
    });
    print("reads, quiet", &mut reads[0]);
    print("reads, meanwhile", &mut reads[1]);
}
