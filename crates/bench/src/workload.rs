//! The workloads: what is asked of a server, prepared before the clock starts.

use crate::body::Form;
use crate::calls::MAX_USERS;
use crate::client::Call;
use crate::law::Law;
use crate::script::Script;
use std::borrow::Cow;
use std::sync::Arc;

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
    /// How a write is written.
    pub form: Form,
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

impl Pool {
    /// The same calls for the ceiling, which knows no users: what it answers to reads is fixed.
    pub(crate) fn for_ceiling(&self) -> Pool {
        let calls = self.calls.iter().map(|Prepared { call, mark }| {
            let mark = if call.uri.path() == "/user-segment" { "".into() } else { mark.clone() };
            Prepared { call: call.clone(), mark }
        });
        Pool { calls: calls.collect(), items_per_call: self.items_per_call }
    }
}

/// A call, and what its answer must show beside OK.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What is sent.
    pub call: Call,
    /// Bytes that the beginning of a right answer holds.
    pub mark: Cow<'static, str>,
}

impl Workload {
    /// All workloads, in the order in which they run: those that write come first.
    pub(crate) fn all(connections: usize) -> Vec<Workload> {
        let bulk = connections.min(BULK_CONNECTIONS);
        let write = |users, segments| Kind::Write { users, segments };
        [
            ("bulk10", write(MAX_USERS, 10), bulk),
            ("compact", write(MAX_USERS, 10), bulk),
            ("bulk1", write(MAX_USERS, 1), bulk),
            ("small", write(1, 2), connections),
            ("read", Kind::Read { half_unknown: false }, connections),
            ("read-unknown", Kind::Read { half_unknown: true }, connections),
            ("readmany", Kind::ReadMany { users: MAX_USERS }, bulk),
        ]
        .map(|(name, kind, connections)| {
            let form = if name == "compact" { Form::Compact } else { Form::Documented };
            Workload { name, kind, form, connections }
        })
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
        Script::new(self, Written::NewSegments, users, Law::Uniform, pool_bytes).http()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{KNOWN, Membership, Population};
    use serde_json::Value;
    use std::collections::{HashMap, HashSet};

    fn workload(name: &str) -> Workload {
        Workload::all(64).into_iter().find(|workload| workload.name == name).unwrap()
    }

    #[test]
    fn a_write_holds_what_it_is_counted_for() {
        for (name, users, segments) in [("bulk1", 1000, 1), ("small", 1, 2)] {
            let pool = workload(name).prepare(5000, 64 << 20);
            assert_eq!(pool.items_per_call, users * segments);
            assert!(pool.calls.len() > 400);
            let body: Value = serde_json::from_slice(&pool.calls[7].call.body).unwrap();
            let sent = body["rt_segment"].as_array().unwrap();
            let ids: HashSet<&str> = sent.iter().map(|user| user["user_id"].as_str().unwrap()).collect();
            assert_eq!(ids.len() as u64, users);
            assert!(sent.iter().all(|user| user["seg_block"].as_array().unwrap().len() as u64 == segments));
        }
    }

    #[test]
    fn a_pool_takes_the_memory_it_may() {
        for name in ["bulk10", "compact", "bulk1"] {
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
    fn known_users_are_written_what_a_load_left() {
        for (name, segments) in [("bulk10", 10), ("small", 2)] {
            let script = Script::new(&workload(name), Written::Known, 1000, Law::Uniform, 1 << 20);
            let population = Population::new(KNOWN, 1000);
            let loaded: HashMap<u64, Vec<Membership>> = (0..1000)
                .map(|user| (population.id(user), population.memberships(user, 0, KNOWN_SEGMENTS).collect()))
                .collect();
            for (call, users) in script.calls() {
                for &user in users {
                    let written: Vec<Membership> = script.written(call, user).collect();
                    assert_eq!(written, loaded[&script.id(user)][..segments], "{name}");
                }
            }
        }
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
}
