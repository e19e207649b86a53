//! The cost of reading a user with linked ids of members.
//!
//! `cargo run --release -p ia-profiles --example links [USERS]`: the time of a read in memory, users at random,
//! each in ten segments: before any user was linked, of users without links beside others with links, and of users
//! with 1 and with 20 links, each id in ten segments of its own.

use ia_model::record::Usage;
use ia_model::{
    Batch, Change, Expiry, Ingest, Link, MemberId, Minute, Operation, Record, SegmentId, UserKey,
};
use ia_profiles::{PackedProfiles, ProfileOptions, Profiles, get_joined};
use std::io::Write;
use std::time::{Duration, Instant};

const NOW: Minute = Minute(29_000_000);
const SEGMENTS: u32 = 10;
const READS: u64 = 200_000;
/// Rounds that take turns, because a machine's speed varies.
const ROUNDS: usize = 5;

fn platform(id: u64) -> UserKey {
    UserKey::platform(id).expect("not 0")
}

fn external(user: u64, number: u64) -> UserKey {
    UserKey::external(MemberId(958), &format!("customer-{user}-{number}")).expect("a plain id")
}

/// Puts users into segments.
fn put(profiles: &PackedProfiles, users: impl Iterator<Item = UserKey>, first_segment: u32) {
    let mut batch = Batch::default();
    for user in users {
        let change = Change::Add { expires: Expiry::Never, value: 1 };
        let segments = (first_segment..first_segment + SEGMENTS).map(SegmentId);
        batch.push(user, segments.map(|segment| Operation { segment, change }));
    }
    apply(
        profiles,
        Record::Ingest(Box::new(Ingest {
            accepted_at_ms: NOW.unix_ms(),
            member: MemberId(958),
            request_id: String::new(),
            batch,
            usage: Usage::default(),
            file: None,
        })),
    );
}

fn link(profiles: &PackedProfiles, user: u64, links: u64) {
    let links = (0..links).map(|number| (external(user, number), Minute(NOW.0 + 25_920))).collect();
    let (accepted_at_ms, member) = (NOW.unix_ms(), MemberId(958));
    apply(profiles, Record::Link(Link { accepted_at_ms, member, user: platform(user), links }));
}

fn apply(profiles: &PackedProfiles, record: Record) {
    profiles.apply(profiles.applied_position() + 1, &record).expect("memory suffices");
}

/// `users` users from `first` on, each in ten segments, with `links` links to ids in ten segments.
fn fill(profiles: &PackedProfiles, first: u64, users: u64, links: u64) {
    put(profiles, (first..first + users).map(platform), 1);
    for number in 0..links {
        put(
            profiles,
            (first..first + users).map(|user| external(user, number)),
            1 + number as u32 * SEGMENTS,
        );
    }
    if links > 0 {
        (first..first + users).for_each(|user| link(profiles, user, links));
    }
}

/// One read of each of many users in the range.
fn read(profiles: &PackedProfiles, first: u64, users: u64, memberships: usize) -> Duration {
    let keys: Vec<UserKey> = (0..READS).map(|n| platform(first + n * 7_919 % users)).collect();
    let start = Instant::now();
    for key in &keys {
        assert_eq!(get_joined(profiles, key, NOW).map(|live| live.len()), Some(memberships));
    }
    start.elapsed() / READS as u32
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn main() {
    let users: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let open = |name: &str| {
        PackedProfiles::open(&dir.path().join(name), ProfileOptions::default()).expect("a new store")
    };
    let (unlinked, linked) = (open("unlinked"), open("linked"));
    fill(&unlinked, 1, users, 0);
    for (group, links) in [(0, 0), (1, 1), (2, 20)] {
        fill(&linked, 1 + group * users, users, links);
    }
    let mut rounds: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(read(&unlinked, 1, users, 10));
        rounds[1].push(read(&linked, 1, users, 10));
        rounds[2].push(read(&linked, 1 + users, users, 10));
        rounds[3].push(read(&linked, 1 + 2 * users, users, 200));
    }
    let names = ["nobody is linked", "this user is not", "1 link", "20 links, 200 segments"];
    for (name, rounds) in names.iter().zip(rounds) {
        let _ = writeln!(std::io::stdout().lock(), "{name}: {:?} a read", median(rounds));
    }
}
