//! The same memberships in the words of Redis: a hash a user, a field a segment.

use super::resp;
use crate::calls::Bodies;
use crate::population::Membership;
use crate::script::Script;
use crate::workload::Kind;
use std::sync::Arc;

/// Commands that are sent at once, and what their replies must be.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(super) frame: Vec<u8>,
    pub(super) expected: Vec<Expected>,
}

/// What a right reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// To HSET: how many fields were new.
    NewFieldsUpTo(u32),
    /// To HGETALL: that many fields, each with its value.
    Fields(u32),
}

impl Batch {
    fn new() -> Batch {
        Batch { frame: Vec::new(), expected: Vec::new() }
    }

    fn write(&mut self, user: u64, memberships: impl IntoIterator<Item = Membership>) {
        let memberships: Vec<Membership> = memberships.into_iter().collect();
        resp::array(&mut self.frame, 2 + 2 * memberships.len());
        resp::bulk(&mut self.frame, b"HSET");
        resp::bulk(&mut self.frame, &user.to_be_bytes());
        for membership in &memberships {
            resp::bulk(&mut self.frame, &field(membership));
            resp::bulk(&mut self.frame, &value(membership));
        }
        self.expected.push(Expected::NewFieldsUpTo(memberships.len() as u32));
    }

    fn read(&mut self, user: u64, fields: u32) {
        resp::command(&mut self.frame, &[b"HGETALL", &user.to_be_bytes()]);
        self.expected.push(Expected::Fields(fields));
    }
}

/// The field of a membership: the segment, four bytes.
pub(super) fn field(membership: &Membership) -> [u8; 4] {
    membership.segment.to_be_bytes()
}

/// What is stored in it: the value and the expiration, eight bytes.
pub(super) fn value(membership: &Membership) -> [u8; 8] {
    (u64::from(membership.value) << 32 | u64::from(membership.expiration)).to_be_bytes()
}

/// A script in the words of Redis: a batch a call, a command a user.
pub(crate) fn pool(script: &Script) -> Arc<[Batch]> {
    let batches = script.calls().map(|(number, users)| {
        let mut batch = Batch::new();
        for &user in users {
            match script.kind() {
                Kind::Write { .. } => batch.write(script.id(user), script.written(number, user)),
                Kind::Read { .. } | Kind::ReadMany { .. } => {
                    batch.read(script.id(user), script.known_segments(user));
                }
            }
        }
        batch.frame.shrink_to_fit();
        batch
    });
    batches.collect()
}

/// A body of a load as a batch.
pub(crate) fn load(bodies: &Bodies, body: usize) -> Batch {
    let mut batch = Batch::new();
    for user in bodies.users(body) {
        batch.write(bodies.population.id(user), bodies.memberships(user));
    }
    batch
}

/// Users with their memberships as commands for `redis-cli --pipe`: one for each user.
pub(crate) fn hashes<M: Iterator<Item = Membership>>(users: impl Iterator<Item = (u64, M)>) -> Vec<u8> {
    let mut batch = Batch::new();
    users.for_each(|(id, memberships)| batch.write(id, memberships));
    batch.frame
}

#[cfg(test)]
mod tests {
    use super::super::resp::{Reply, parse, strings};
    use super::*;
    use crate::distribution::Distribution;
    use crate::workload::{Workload, Written};
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn commands(batch: &Batch) -> Vec<Vec<&[u8]>> {
        let mut bytes = &batch.frame[..];
        let mut commands = Vec::new();
        while let Some((Reply::Array(_, words), length)) = parse(bytes).unwrap() {
            commands.push(strings(words).unwrap());
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty());
        commands
    }

    fn number(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    fn script(name: &str) -> Script {
        let workload = Workload::named(name, 64);
        Script::new(&workload, Written::NewSegments, 5000, Distribution::Uniform, 8 << 20)
    }

    #[test]
    fn redis_is_told_what_the_server_is_told() {
        for name in ["bulk10", "bulk1", "small"] {
            let script = script(name);
            let (http, redis) = (script.http(), pool(&script));
            assert_eq!(http.calls.len(), redis.len());
            for number_of_call in [0, 5, redis.len() - 1] {
                let body: Value = serde_json::from_slice(&http.calls[number_of_call].call.body).unwrap();
                let told: Vec<(u64, BTreeMap<u64, u64>)> = body["rt_segment"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|user| {
                        let blocks = user["seg_block"].as_array().unwrap().iter().map(|block| {
                            let get = |name: &str| block[name].as_u64().unwrap();
                            (get("seg_id"), get("value") << 32 | get("expiration"))
                        });
                        (user["user_id"].as_str().unwrap().parse().unwrap(), blocks.collect())
                    })
                    .collect();
                let batch = &redis[number_of_call];
                let commanded: Vec<(u64, BTreeMap<u64, u64>)> = commands(batch)
                    .into_iter()
                    .map(|words| {
                        assert_eq!((words[0], words[1].len()), (&b"HSET"[..], 8));
                        let fields = words[2..].chunks(2).map(|pair| (number(pair[0]), number(pair[1])));
                        (number(words[1]), fields.collect())
                    })
                    .collect();
                assert_eq!(told, commanded, "{name}");
                assert_eq!(batch.expected.len(), told.len());
            }
        }
    }

    #[test]
    fn redis_is_asked_for_whom_the_server_is_asked() {
        for name in ["read", "read-unknown"] {
            let script = script(name);
            let (http, redis) = (script.http(), pool(&script));
            for (prepared, batch) in http.calls.iter().zip(redis.iter()).take(200) {
                let id: u64 = prepared.call.uri.query().unwrap()["user_id=".len()..].parse().unwrap();
                assert_eq!(commands(batch), [vec![&b"HGETALL"[..], &id.to_be_bytes()]]);
                let fields = if prepared.mark.ends_with('{') { 10 } else { 0 };
                assert_eq!(batch.expected, [Expected::Fields(fields)]);
            }
        }
        let script = script("readmany");
        assert_eq!(commands(&pool(&script)[0]).len(), 1000);
    }
}
