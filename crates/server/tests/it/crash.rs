//! The real binary, killed and stopped: afterwards every change that was answered OK is there.

use ia_testkit::{Client, ServerProcess, eventually};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_instant-audience"))
}

const UNLIMITED: [(&str, &str); 4] = [
    ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__GETS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__LOGINS_PER_FIVE_MINUTES", "0"),
    // Often, so that kills overlap with checkpoints.
    ("INSTANT_AUDIENCE__PROFILES__CHECKPOINT_INTERVAL_SECONDS", "1"),
];

/// A writer's knowledge of its users: the last acknowledged and the last sent value of each.
#[derive(Default)]
struct Journal {
    acknowledged: HashMap<u64, u64>,
    in_doubt: HashMap<u64, u64>,
    posts: u64,
}

/// Posts until the server ends. Each POST gives ten users one value in both segments.
async fn write(client: Client, writer: u64, first_value: u64, journal: Arc<Mutex<Journal>>) {
    for value in first_value.. {
        let users: Vec<u64> = (0..10).map(|n| 1 + writer * 1000 + (value * 7 + n) % 100).collect();
        let body: Vec<Value> = users
            .iter()
            .map(|user| json!({"user_id": user, "seg_block": [{"seg_id": 12, "value": value}, {"seg_id": 13, "value": value}]}))
            .collect();
        journal.lock().unwrap().in_doubt = users.iter().map(|&user| (user, value)).collect();
        let Ok(answer) = client.try_post("/rt-segment", &json!({"rt_segment": body})).await else { return };
        answer.ok();
        let mut journal = journal.lock().unwrap();
        let Journal { acknowledged, in_doubt, posts } = &mut *journal;
        acknowledged.extend(in_doubt.drain());
        *posts += 1;
    }
}

/// Checks a journal against the server. An unanswered POST is there wholly or not at all; returns whether it is.
async fn check(client: &Client, journal: &Journal) -> bool {
    let mut users: Vec<u64> = journal.acknowledged.keys().chain(journal.in_doubt.keys()).copied().collect();
    users.sort_unstable();
    users.dedup();
    let asked: Vec<Value> = users.iter().map(|user| json!({"user_id": user})).collect();
    let answer = client.post("/user-segment", &json!({"users": asked})).await.ok();
    let mut doubt_present = Vec::new();
    for (user, shown) in users.iter().zip(answer["user_segments"].as_array().unwrap()) {
        let values: Vec<u64> =
            shown["segments"].as_array().unwrap().iter().map(|s| s["value"].as_u64().unwrap()).collect();
        let expected = journal.acknowledged.get(user).map_or(vec![], |&value| vec![value; 2]);
        match journal.in_doubt.get(user) {
            Some(&value) if values == [value; 2] => doubt_present.push(true),
            Some(_) => {
                assert_eq!(values, expected, "user {user}: neither before nor after the POST in doubt");
                doubt_present.push(false);
            }
            None => assert_eq!(values, expected, "user {user} lost what was acknowledged"),
        }
    }
    assert!(
        doubt_present.windows(2).all(|pair| pair[0] == pair[1]),
        "a POST is there in part: {doubt_present:?}"
    );
    doubt_present.first().copied().unwrap_or(false)
}

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill_under_load() {
    const WRITERS: u64 = 4;
    let (_dir, data_dir) = ia_testkit::prepare_data_dir(binary());
    let journals: Vec<Arc<Mutex<Journal>>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let (mut posts, mut value) = (0, 1);
    for cycle in 1..=4u64 {
        let server = ServerProcess::serve(binary(), &data_dir, &UNLIMITED).await;
        let client = server.login("provider").await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                tokio::spawn(write(client.clone(), writer, value, Arc::clone(&journals[writer as usize])))
            })
            .collect();
        let target = cycle * 150;
        let count = || journals.iter().map(|journal| journal.lock().unwrap().posts).sum::<u64>();
        eventually("some load", async || (count() >= target).then_some(())).await;
        server.kill().await;
        for writer in writers {
            writer.await.unwrap();
        }
        // Higher than every sent value, so that a value tells its cycle.
        value += 1000;

        let server = ServerProcess::serve(binary(), &data_dir, &UNLIMITED).await;
        let client = server.login("provider").await;
        posts = 0;
        for slot in &journals {
            let mut journal = std::mem::take(&mut *slot.lock().unwrap());
            let is_present = check(&client, &journal).await;
            let in_doubt = std::mem::take(&mut journal.in_doubt);
            if is_present {
                journal.posts += 1;
                journal.acknowledged.extend(in_doubt);
            }
            posts += journal.posts;
            *slot.lock().unwrap() = journal;
        }
        server.kill().await;
    }
    // Each POST of ten users counts exactly once, despite all kills.
    let server = ServerProcess::serve(binary(), &data_dir, &UNLIMITED).await;
    let client = server.login("provider").await;
    let report = client.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!(report["num_valid_users"], posts * 10);
    assert_eq!(report["num_valid_adds"], posts * 20);
    server.kill().await;
}

#[tokio::test]
async fn sigterm_and_sigint_stop_in_order() {
    let (_dir, data_dir) = ia_testkit::prepare_data_dir(binary());
    for signal in ["-TERM", "-INT"] {
        let server = ServerProcess::serve(binary(), &data_dir, &UNLIMITED).await;
        let client = server.login("provider").await;
        client.add("7", None, json!([{"seg_id": 12}])).await;
        assert!(Command::new("kill").args([signal, &server.id().to_string()]).status().unwrap().success());
        assert_eq!(server.wait().await.code(), Some(0), "{signal}");
    }
    let checkpoint =
        Command::new(binary()).args(["inspect", "checkpoint", "--data-dir"]).arg(&data_dir).output().unwrap();
    let summary: Value = serde_json::from_slice(&checkpoint.stdout).unwrap();
    assert_eq!((&summary["checkpoint"], &summary["profiles"]), (&json!(2), &json!(1)));
}
