//! The workloads: what is asked of a server, prepared before the clock starts.

use crate::calls::{self, MAX_USERS};
use crate::client::Call;
use crate::population::{KNOWN, Population, Random, UNKNOWN, WRITTEN};
use bytes::Bytes;
use hyper::{Method, Uri};
use std::collections::HashSet;
use std::sync::Arc;

/// Beyond this many, more calls would only cost time to prepare.
const MAX_POOL_CALLS: u64 = 200_000;

/// Users that reads find are in this many segments.
pub(crate) const KNOWN_SEGMENTS: u32 = 10;

/// Bodies of a thousand users keep a server busy over few connections; over more they only wait longer.
const BULK_CONNECTIONS: usize = 8;

/// What one call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `POST /rt-segment` of that many users with that many segments each.
    Write {
        /// Users of a body.
        users: u64,
        /// Segments of a user.
        segments: u32,
    },
    /// `GET /user-segment` of a user.
    Read {
        /// Whether every other user, by chance, is one that nobody wrote. Most bid requests ask for such.
        half_unknown: bool,
    },
    /// `POST /user-segment` of that many users.
    ReadMany {
        /// Users of a body.
        users: u64,
    },
}

/// Which memberships writes are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Other segments with every body, of users that nothing else writes.
    NewSegments,
    /// Those that a load of the known users left: the same profiles stay as large as they are.
    Known,
}

/// A kind of call over a number of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    /// What it is called on the command line and in reports.
    pub name: &'static str,
    /// What a call does.
    pub kind: Kind,
    /// How many connections are kept busy.
    pub connections: usize,
}

/// The prepared calls of a workload.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Taken in turn, again from the front after the last.
    pub calls: Arc<[Prepared]>,
    /// How many memberships, or users, one call is about.
    pub items_per_call: u64,
}

/// A call, and what its answer must show beside OK.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What is sent.
    pub call: Call,
    /// Bytes that the beginning of a right answer holds.
    pub mark: &'static str,
}

impl Workload {
    /// All workloads, in the order in which they run: those that write come first.
    pub(crate) fn all(connections: usize) -> Vec<Workload> {
        let bulk = connections.min(BULK_CONNECTIONS);
        let write = |users, segments| Kind::Write { users, segments };
        [
            ("bulk10", write(MAX_USERS, 10), bulk),
            ("bulk1", write(MAX_USERS, 1), bulk),
            ("small", write(1, 2), connections),
            ("read", Kind::Read { half_unknown: false }, connections),
            ("read-unknown", Kind::Read { half_unknown: true }, connections),
            ("readmany", Kind::ReadMany { users: MAX_USERS }, bulk),
        ]
        .map(|(name, kind, connections)| Workload { name, kind, connections })
        .into()
    }

    /// Whether it needs users that are known already.
    pub(crate) fn reads(&self) -> bool {
        !matches!(self.kind, Kind::Write { .. })
    }

    /// What its items are.
    pub(crate) fn unit(&self) -> &'static str {
        if self.reads() { "users read" } else { "memberships" }
    }

    /// Prepares its calls, about `pool_bytes` of bodies. Users are drawn uniformly from `users`, the same ones
    /// in every run. When the pool is used up it starts over, and what it writes is no longer new.
    pub(crate) fn prepare(&self, users: u64, pool_bytes: u64) -> Pool {
        self.prepare_for(Written::NewSegments, users, pool_bytes)
    }

    /// [`Workload::prepare`], with a choice of what a write writes.
    pub(crate) fn prepare_for(&self, written: Written, users: u64, pool_bytes: u64) -> Pool {
        let stream =
            self.name.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let mut random = Random::new(stream);
        match self.kind {
            Kind::Write { users: per_call, segments } => {
                let per_call = per_call.min(users);
                let calls = pool_calls(pool_bytes, per_call * (46 + 44 * u64::from(segments)));
                writes(&mut random, written, users, (per_call, segments), calls)
            }
            Kind::Read { half_unknown } => reads(&mut random, users, half_unknown),
            Kind::ReadMany { users: per_call } => {
                let per_call = per_call.min(users);
                // A few are enough: what a server does for them depends on the profiles alone.
                let calls = pool_calls(pool_bytes / 16, per_call * 34);
                read_many(&mut random, Population::new(KNOWN, users), per_call, calls)
            }
        }
    }
}

fn writes(
    random: &mut Random,
    written: Written,
    all_users: u64,
    (users, segments): (u64, u32),
    calls: u64,
) -> Pool {
    let range = match written {
        Written::NewSegments => WRITTEN,
        Written::Known => KNOWN,
    };
    let population = Population::new(range, all_users);
    let calls = (0..calls).map(|number| {
        let variant = match written {
            // A user that is drawn again gets other segments, not a refresh of the same.
            Written::NewSegments => number + 1,
            Written::Known => 0,
        };
        let drawn = draw(random, population.users, users);
        let bodies = drawn
            .into_iter()
            .map(|user| (population.id(user), population.memberships(user, variant, segments)));
        let call = post("/rt-segment", calls::adds(bodies));
        Prepared { call, mark: r#""warnings":[]"# }
    });
    Pool { calls: calls.collect(), items_per_call: users * u64::from(segments) }
}

fn reads(random: &mut Random, users: u64, half_unknown: bool) -> Pool {
    let (known, unknown) = (Population::new(KNOWN, users), Population::new(UNKNOWN, users));
    let calls = (0..MAX_POOL_CALLS).map(|_| {
        let user = random.below(users);
        let (id, mark) = if half_unknown && random.below(2) == 1 {
            (unknown.id(user), r#""segments":[]"#)
        } else {
            (known.id(user), r#""segments":[{"#)
        };
        let uri = Uri::try_from(format!("/user-segment?user_id={id}")).expect("digits need no escapes");
        Prepared { call: Call { method: Method::GET, uri, body: Bytes::new() }, mark }
    });
    Pool { calls: calls.collect(), items_per_call: 1 }
}

fn read_many(random: &mut Random, population: Population, users: u64, calls: u64) -> Pool {
    let calls = (0..calls).map(|_| {
        let ids = draw(random, population.users, users).into_iter().map(|user| population.id(user));
        Prepared { call: post("/user-segment", calls::ask(ids)), mark: r#""segments":[{"# }
    });
    Pool { calls: calls.collect(), items_per_call: users }
}

/// How many calls make a pool, from the bytes of one body.
fn pool_calls(pool_bytes: u64, body_bytes: u64) -> u64 {
    (pool_bytes / body_bytes).clamp(16, MAX_POOL_CALLS)
}

/// Different users: a server may count a user that is twice in a body once.
fn draw(random: &mut Random, users: u64, count: u64) -> Vec<u64> {
    assert!(count <= users, "there are not so many different users");
    let mut seen = HashSet::new();
    let mut drawn = Vec::new();
    while (drawn.len() as u64) < count {
        let user = random.below(users);
        if seen.insert(user) {
            drawn.push(user);
        }
    }
    drawn
}

fn post(path: &'static str, body: Bytes) -> Call {
    Call { method: Method::POST, uri: Uri::from_static(path), body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn workload(name: &str) -> Workload {
        Workload::all(64).into_iter().find(|workload| workload.name == name).unwrap()
    }

    #[test]
    fn a_write_holds_what_it_is_counted_for() {
        for (name, users, segments) in [("bulk1", 1000, 1), ("small", 1, 2)] {
            let pool = workload(name).prepare(5000, 64 << 20);
            assert_eq!(pool.items_per_call, users * segments);
            assert!(pool.calls.len() > 500);
            let body: Value = serde_json::from_slice(&pool.calls[7].call.body).unwrap();
            let sent = body["rt_segment"].as_array().unwrap();
            let ids: HashSet<&str> = sent.iter().map(|user| user["user_id"].as_str().unwrap()).collect();
            assert_eq!(ids.len() as u64, users);
            assert!(sent.iter().all(|user| user["seg_block"].as_array().unwrap().len() as u64 == segments));
        }
    }

    #[test]
    fn a_pool_takes_the_memory_it_may() {
        for name in ["bulk10", "bulk1"] {
            let pool = workload(name).prepare(1_000_000, 16 << 20);
            let bytes: usize = pool.calls.iter().map(|prepared| prepared.call.body.len()).sum();
            assert!((14 << 20..18 << 20).contains(&bytes), "{name}: {bytes}");
        }
    }

    #[test]
    fn a_few_users_are_enough() {
        let pool = workload("bulk1").prepare(3, 1 << 20);
        assert_eq!(pool.items_per_call, 3);
        assert_eq!(workload("readmany").prepare(3, 1 << 20).items_per_call, 3);
    }

    #[test]
    fn half_of_the_ids_are_unknown_where_the_name_says_so() {
        let known: HashSet<String> = {
            let population = Population::new(KNOWN, 100);
            (0..100).map(|user| population.id(user).to_string()).collect()
        };
        for (name, expected) in [("read", 1.0), ("read-unknown", 0.5)] {
            let pool = workload(name).prepare(100, 1 << 20);
            let asked = |prepared: &Prepared| {
                let is_known =
                    known.contains(prepared.call.uri.query().unwrap().trim_start_matches("user_id="));
                assert_eq!(prepared.mark.ends_with('{'), is_known);
                is_known
            };
            let share =
                pool.calls.iter().filter(|prepared| asked(prepared)).count() as f64 / pool.calls.len() as f64;
            assert!((share - expected).abs() < 0.02, "{name}: {share}");
        }
    }

    #[test]
    fn users_are_drawn_without_repeats_from_all() {
        let mut drawn = draw(&mut Random::new(1), 1000, 1000);
        drawn.sort_unstable();
        assert_eq!(drawn, (0..1000).collect::<Vec<_>>());
    }
}
