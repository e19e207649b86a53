//! What writers do while a backup is taken: adds, removes and deletions, of which each leaves something else behind. So
//! what a copy holds tells how many operations of each writer are in it.

use ia_testkit::{Client, PASSWORD};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) const WRITERS: u64 = 4;
pub(super) const GROUPS: u64 = 10;
/// The last groups of a writer are single people, who are deleted by the member or by an admin.
const PEOPLE: u64 = 2;
const USERS_PER_POST: u64 = 100;
const SEGMENTS: [u64; 2] = [12, 13];

/// Whether a group is one person.
fn is_person(group: u64) -> bool {
    group % GROUPS >= GROUPS - PEOPLE
}

/// The users that one operation changes. No other writer writes to them.
fn users_of(group: u64) -> impl Iterator<Item = u64> {
    let users = if is_person(group) { 1 } else { USERS_PER_POST };
    (1..=users).map(move |n| group * 1000 + n)
}

/// What is done to a group.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    Set(u64),
    Remove,
    DeleteByMember,
    DeleteByAdmin,
}

/// The `n`-th operation of a writer, from 0. Each changes what its group holds, so that what is found tells how many
/// there were.
fn op(writer: u64, n: u64) -> (u64, Op) {
    let (group, round) = (writer * GROUPS + n % GROUPS, n / GROUPS);
    let op = match n % GROUPS {
        index if !is_person(index) && round % 4 == 3 => Op::Remove,
        index if is_person(index) && round % 2 == 1 && index % 2 == 0 => Op::DeleteByMember,
        index if is_person(index) && round % 2 == 1 => Op::DeleteByAdmin,
        _ => Op::Set(n + 1),
    };
    (group, op)
}

/// The value of each group that has one.
pub(super) type Values = BTreeMap<u64, u64>;

/// The sums of the usage report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) users: u64,
    pub(super) adds: u64,
    pub(super) removes: u64,
}

impl Sums {
    pub(super) fn count(&mut self, group: u64, op: Op) {
        let users = users_of(group).count() as u64;
        let pairs = users * SEGMENTS.len() as u64;
        match op {
            Op::Set(_) => *self = Sums { users: self.users + users, adds: self.adds + pairs, ..*self },
            Op::Remove => *self = Sums { users: self.users + users, removes: self.removes + pairs, ..*self },
            Op::DeleteByMember | Op::DeleteByAdmin => {}
        }
    }
}

/// What the first `count` operations of a writer leave behind.
pub(super) fn after(writer: u64, count: u64) -> (Values, Sums) {
    let (mut values, mut sums) = (Values::new(), Sums::default());
    for (group, op) in (0..count).map(|n| op(writer, n)) {
        sums.count(group, op);
        match op {
            Op::Set(value) => drop(values.insert(group, value)),
            Op::Remove | Op::DeleteByMember | Op::DeleteByAdmin => drop(values.remove(&group)),
        }
    }
    (values, sums)
}

#[derive(Default)]
pub(super) struct Load {
    /// Operations of each writer: those that were begun, and those that were answered.
    pub(super) begun: [AtomicU64; WRITERS as usize],
    pub(super) answered: [AtomicU64; WRITERS as usize],
    pub(super) ends: AtomicBool,
}

impl Load {
    pub(super) async fn write(self: Arc<Load>, client: Client, admin: Client, writer: u64) {
        for n in 0.. {
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
            let (group, op) = op(writer, n);
            self.begun[writer as usize].fetch_add(1, Ordering::SeqCst);
            match op {
                Op::Set(value) => post(&client, group, value).await,
                Op::Remove => post_blocks(&client, group, &json!({"expiration": -1})).await,
                Op::DeleteByMember => delete(&client, group).await,
                Op::DeleteByAdmin => delete(&admin, group).await,
            }
            self.answered[writer as usize].fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn counts(of: &[AtomicU64; WRITERS as usize]) -> [u64; WRITERS as usize] {
        std::array::from_fn(|writer| of[writer].load(Ordering::SeqCst))
    }

    pub(super) fn total(&self) -> u64 {
        Load::counts(&self.answered).iter().sum()
    }
}

pub(super) async fn post(client: &Client, group: u64, value: u64) {
    post_blocks(client, group, &json!({"value": value})).await;
}

async fn post_blocks(client: &Client, group: u64, block: &Value) {
    let block = |segment: &u64| {
        let mut block = block.clone();
        block["seg_id"] = json!(segment);
        block
    };
    let blocks: Vec<Value> = SEGMENTS.iter().map(block).collect();
    let users: Vec<Value> =
        users_of(group).map(|user| json!({"user_id": user, "seg_block": blocks})).collect();
    client.post("/rt-segment", &json!({"rt_segment": users})).await.ok();
}

async fn delete(client: &Client, group: u64) {
    for user in users_of(group) {
        let body = json!({"identifier": user, "identifier_type": "uuid2", "request_type": "delete"});
        client.post("/privacy/consumer-request", &body).await.ok();
    }
}

/// The value of each group that has one. Panics if an operation is there only in part.
pub(super) async fn values(client: &Client) -> Values {
    let mut values = BTreeMap::new();
    for group in 0..WRITERS * GROUPS {
        let asked: Vec<Value> = users_of(group).map(|user| json!({"user_id": user})).collect();
        let answer = client.post("/user-segment", &json!({"users": asked})).await.ok();
        let mut found: Vec<Vec<u64>> = Vec::new();
        for user in answer["user_segments"].as_array().unwrap() {
            let segments = user["segments"].as_array().unwrap();
            found.push(segments.iter().map(|segment| segment["value"].as_u64().unwrap()).collect());
        }
        let first = found[0].first().copied();
        let whole = first.map_or(Vec::new(), |value| vec![value; SEGMENTS.len()]);
        assert!(found.iter().all(|values| *values == whole), "group {group} is there in part: {found:?}");
        values.extend(first.map(|value| (group, value)));
    }
    values
}

/// How many operations of the writer a copy has, and their sums. Panics unless it has exactly the first of them: all
/// that were answered before the backup, and none that was begun after it.
pub(super) fn found_of(writer: u64, found: &Values, answered: u64, begun: u64) -> (u64, Sums) {
    let own: Values =
        found.range(writer * GROUPS..(writer + 1) * GROUPS).map(|(&of, &value)| (of, value)).collect();
    let fitting: Vec<u64> = (answered..=begun).filter(|&count| after(writer, count).0 == own).collect();
    match fitting[..] {
        [count] => (count, after(writer, count).1),
        _ => panic!("writer {writer}, {answered} to {begun}: {fitting:?} leave {own:?}"),
    }
}

pub(super) async fn check_statistics(client: &Client, expected: Sums) {
    let report = client.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    let number = |name: &str| report[name].as_u64().unwrap();
    let counted = Sums {
        users: number("num_valid_users"),
        adds: number("num_valid_adds"),
        removes: number("num_valid_removes"),
    };
    assert_eq!(counted, expected, "{report}");
}

/// The sums of POSTs to whole groups.
pub(super) fn sums_of_posts(posts: u64) -> Sums {
    let users = posts * USERS_PER_POST;
    Sums { users, adds: users * SEGMENTS.len() as u64, removes: 0 }
}

pub(super) fn catalog() -> Value {
    let login = |username: &str, user_type: &str| json!({"username": username, "password": PASSWORD, "member_id": 958, "user_type": user_type});
    json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [login("provider", "member"), login("admin", "admin")],
        "segments": SEGMENTS.map(|id| json!({"id": id, "member_id": 958})),
    })
}
