//! The real binary, killed between deletions and opt-outs: each that was answered OK stays done.

use super::traces::{occurrences, spellings};
use ia_testkit::{Answer, Client, NoAnswer, ServerProcess, eventually};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

const SETTINGS: [(&str, &str); 4] = [
    ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__LOGINS_PER_FIVE_MINUTES", "0"),
    ("INSTANT_AUDIENCE__LOG__SEGMENT_BYTES", "64KiB"),
    // Often, so that kills overlap with checkpoints.
    ("INSTANT_AUDIENCE__PROFILES__CHECKPOINT_LOG_BYTES", "1KiB"),
];
const WRITERS: u64 = 4;
const USERS_PER_WRITER: u64 = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Delete,
    OptOut,
    OptIn,
}

/// The known state of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Person {
    is_held: bool,
    opted_out: bool,
}

impl Person {
    fn after(self, op: Op) -> Person {
        match op {
            Op::Add => Person { is_held: !self.opted_out, ..self },
            Op::Delete => Person { is_held: false, ..self },
            Op::OptOut => Person { is_held: false, opted_out: true },
            Op::OptIn => Person { opted_out: false, ..self },
        }
    }
}

#[derive(Default)]
struct Journal {
    people: HashMap<u64, Person>,
    in_doubt: Option<(u64, Op)>,
    acknowledged: u64,
}

fn id(user: u64) -> String {
    (7_301_234_567_890_123_457 + user * 1_000_003).to_string()
}

async fn send(client: &Client, user: u64, op: Op) -> Result<Answer, NoAnswer> {
    let request_type = match op {
        Op::Add => {
            let block = json!([{"seg_id": 12}, {"seg_id": 13}]);
            let body = json!({"rt_segment": [{"user_id": id(user), "seg_block": block}]});
            return client.try_post("/rt-segment", &body).await;
        }
        Op::Delete => "delete",
        Op::OptOut => "opt_out",
        Op::OptIn => "opt_in",
    };
    client.try_post(super::ROUTE, &super::request("uuid2", &id(user), request_type)).await
}

/// Sends one request after another until the server ends.
async fn write(client: Client, writer: u64, mut dice: u64, journal: Arc<Mutex<Journal>>) {
    loop {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let user = writer * USERS_PER_WRITER + (dice >> 33) % USERS_PER_WRITER;
        let op = [Op::Add, Op::Add, Op::Delete, Op::OptOut, Op::OptIn][((dice >> 50) % 5) as usize];
        journal.lock().unwrap().in_doubt = Some((user, op));
        let Ok(answer) = send(&client, user, op).await else { return };
        answer.ok();
        let mut journal = journal.lock().unwrap();
        let person = journal.people.entry(user).or_default();
        *person = person.after(op);
        journal.in_doubt = None;
        journal.acknowledged += 1;
    }
}

async fn seen(client: &Client, user: u64) -> Person {
    let shown = super::done(client, "uuid2", &id(user), "access").await;
    let users = shown["users"].as_array().unwrap();
    let segments = users.first().map_or(0, |user| user["segments"].as_array().unwrap().len());
    assert!(segments == 0 || segments == 2, "a user is there in part: {shown}");
    Person { is_held: segments == 2, opted_out: shown["opted_out"].as_bool().unwrap() }
}

#[tokio::test]
async fn deletions_and_opt_outs_survive_sigkill() {
    let binary = Path::new(env!("CARGO_BIN_EXE_instant-audience"));
    let (_dir, data_dir) = ia_testkit::prepare_data_dir(binary);
    let journals: Vec<Arc<Mutex<Journal>>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let count = || journals.iter().map(|journal| journal.lock().unwrap().acknowledged).sum::<u64>();
    for cycle in 1..=5u64 {
        let server = ServerProcess::serve(binary, &data_dir, &SETTINGS).await;
        let client = server.login("provider").await;
        let start = |writer: u64| {
            let journal = Arc::clone(&journals[writer as usize]);
            tokio::spawn(write(client.clone(), writer, cycle * 100 + writer, journal))
        };
        let writers: Vec<_> = (0..WRITERS).map(start).collect();
        let target = count() + 60 + 20 * cycle;
        eventually("some load", async || (count() >= target).then_some(())).await;
        server.kill().await;
        for writer in writers {
            writer.await.unwrap();
        }

        let server = ServerProcess::serve(binary, &data_dir, &SETTINGS).await;
        let client = server.login("provider").await;
        for journal in &journals {
            let (people, in_doubt) = {
                let mut journal = journal.lock().unwrap();
                (journal.people.clone(), journal.in_doubt.take())
            };
            if let Some((user, op)) = in_doubt {
                let before = people.get(&user).copied().unwrap_or_default();
                let found = seen(&client, user).await;
                assert!(found == before || found == before.after(op), "{before:?} {op:?} {found:?}");
                // A client without an answer sends the request again.
                send(&client, user, op).await.unwrap().ok();
                journal.lock().unwrap().people.insert(user, before.after(op));
            }
            let people = journal.lock().unwrap().people.clone();
            for (user, person) in people {
                assert_eq!(seen(&client, user).await, person, "user {user} in cycle {cycle}");
            }
        }
        server.kill().await;
    }
    let server = ServerProcess::serve(binary, &data_dir, &SETTINGS).await;
    let client = server.login("provider").await;
    let all: Vec<u64> = (0..WRITERS * USERS_PER_WRITER).collect();
    for &user in &all {
        send(&client, user, Op::Delete).await.unwrap().ok();
    }
    server.terminate();
    assert_eq!(server.wait().await.code(), Some(0));
    let needles: Vec<Vec<u8>> = all.iter().flat_map(|&user| spellings(&id(user))).collect();
    assert_eq!(occurrences(&data_dir, &needles), [""; 0]);
}
