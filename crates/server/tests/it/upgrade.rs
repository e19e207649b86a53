//! A data directory that an older program made, with a checkpoint and a log after it: this one opens it, answers what
//! that one answered, and goes on with it. `fixtures/upgrade/make.py` made it.

use ia_testkit::{Client, Kit, START_MS, ServerProcess};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/upgrade/data.tar.gz");
const BINARY: &str = env!("CARGO_BIN_EXE_instant-audience");
/// Users of more than 300 memberships.
const WIDE: [&str; 2] = ["1001", "1002"];

/// Unpacks the data directory to `to`, and returns what the older program answered at two moments.
fn unpack(to: &Path) -> Vec<Value> {
    let scratch = tempfile::tempdir_in(to.parent().unwrap()).unwrap();
    let unpacked = Command::new("tar").arg("-xzf").arg(FIXTURE).arg("-C").arg(scratch.path()).status();
    assert!(unpacked.expect("tar runs").success());
    fs::rename(scratch.path().join("data"), to).unwrap();
    let answers = fs::read(scratch.path().join("answers.json")).unwrap();
    let answers: Vec<Value> = serde_json::from_slice(&answers).unwrap();
    assert_eq!(answers.len(), 2);
    answers
}

/// Asks again what is in these answers, and compares.
async fn compare(clients: &BTreeMap<&str, Client>, answers: &Value, when: &str) {
    let mut memberships = 0;
    for read in answers["reads"].as_array().unwrap() {
        let client = &clients[read["login"].as_str().unwrap()];
        if let Some(request) = read.get("person") {
            let found = client.post("/privacy/consumer-request", request).await.ok();
            assert_eq!(found["consumer_request"], read["consumer_request"], "{when}: {request}");
            continue;
        }
        let found = client.post("/user-segment", &json!({"users": read["users"]})).await.ok();
        let (found, expected) = (&found["user_segments"], &read["user_segments"]);
        for (found, expected) in found.as_array().unwrap().iter().zip(expected.as_array().unwrap()) {
            assert_eq!(found, expected, "{when}");
            memberships += expected["segments"].as_array().unwrap().len();
        }
        assert_eq!(found.as_array().map(Vec::len), expected.as_array().map(Vec::len));
    }
    assert!(memberships > 700, "{memberships} memberships are compared");
}

/// Writes to wide users: one membership of hundreds changes, and one goes.
async fn write_on(provider: &Client) {
    for user in WIDE {
        let blocks = json!([{"seg_id": 20001, "value": 5}, {"seg_id": 20004, "expiration": -1}]);
        provider.add(user, None, blocks).await;
    }
}

/// Changes answers accordingly, so many minutes after the write.
fn expect_written(answers: &mut Value, minutes: u64) {
    match answers {
        Value::Array(all) => all.iter_mut().for_each(|value| expect_written(value, minutes)),
        Value::Object(fields) => {
            let is_wide = fields.get("user_id").and_then(Value::as_str).is_some_and(|id| WIDE.contains(&id));
            if let Some(Value::Array(segments)) = fields.get_mut("segments").filter(|_| is_wide) {
                let before = segments.len();
                segments.retain(|segment| segment["id"] != 20004);
                assert_eq!(segments.len(), before - 1);
                let of = segments.iter_mut().find(|segment| segment["id"] == 20001).unwrap();
                (of["value"], of["expires_on"], of["last_seen_min"]) =
                    (json!(5), Value::Null, json!(minutes));
            } else {
                fields.values_mut().for_each(|value| expect_written(value, minutes));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_directory_of_an_older_program_gives_the_same_answers() {
    let mut kit = Kit::start().await;
    kit.stop().await.unwrap();
    fs::remove_dir_all(kit.data_dir()).unwrap();
    let answers = unpack(kit.data_dir());
    let at_ms = |of: usize| answers[of]["at_ms"].as_u64().unwrap();
    kit.clock.advance(at_ms(0) - START_MS);
    kit.start_again().await;
    let clients = async |kit: &Kit| {
        let mut clients = BTreeMap::new();
        for name in ["provider", "bidder", "retailer", "admin"] {
            clients.insert(name, kit.login(name).await);
        }
        clients
    };
    compare(&clients(&kit).await, &answers[0], "at the first start").await;
    // A stop writes a checkpoint of this program's own.
    kit.restart().await;
    compare(&clients(&kit).await, &answers[0], "from a new checkpoint").await;
    write_on(&kit.login("provider").await).await;
    let (mut now, mut later) = (answers[0]["reads"].clone(), answers[1]["reads"].clone());
    expect_written(&mut now, 0);
    // The two moments are in different minutes, and as far apart as their minutes are.
    expect_written(&mut later, at_ms(1) / 60_000 - at_ms(0) / 60_000);
    let (now, later) = (json!({"reads": now}), json!({"reads": later}));
    compare(&clients(&kit).await, &now, "after a write").await;
    kit.restart().await;
    compare(&clients(&kit).await, &now, "after a write and a checkpoint").await;
    // Some have begun and some have ended since.
    kit.clock.advance(at_ms(1) - at_ms(0));
    compare(&clients(&kit).await, &later, "some minutes later").await;
    kit.restart().await;
    compare(&clients(&kit).await, &later, "some minutes later, from a checkpoint").await;
}

/// What of an answer does not depend on the time: what never ends, by user and segment.
fn for_ever(user_segments: &Value) -> BTreeMap<(String, u64), (Value, Value)> {
    let mut all = BTreeMap::new();
    for user in user_segments.as_array().unwrap() {
        for of in user["segments"].as_array().unwrap().iter().filter(|of| of["expires_on"].is_null()) {
            let key = (user["user_id"].to_string(), of["id"].as_u64().unwrap());
            all.insert(key, (of["value"].clone(), of["added_on"].clone()));
        }
    }
    all
}

/// The same with the real binary and the clock of this machine, which is another one than that of the directory; with
/// room for few profiles, and killed.
#[tokio::test]
async fn the_binary_goes_on_with_a_directory_of_an_older_program() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let answers = unpack(&data_dir);
    let settings = [("INSTANT_AUDIENCE__PROFILES__MEMORY_BUDGET", "1MiB")];
    let asked = &answers[0]["reads"][0];
    let mut expected = for_ever(&asked["user_segments"]);
    assert!(expected.len() > 300);
    let mut server = ServerProcess::serve(Path::new(BINARY), &data_dir, &settings).await;
    for round in 0..3 {
        let bidder = server.login("bidder").await;
        let answer = bidder.post("/user-segment", &json!({"users": asked["users"]})).await.ok();
        let found = for_ever(&answer["user_segments"]);
        for (key, value) in &expected {
            assert_eq!(found.get(key), Some(value), "{key:?} in round {round}");
        }
        let gone = answer["user_segments"].as_array().unwrap().iter().find(|user| user["user_id"] == "1003");
        assert_eq!(gone.unwrap()["segments"], json!([]), "the person was deleted");
        if round == 0 {
            write_on(&server.login("provider").await).await;
            for user in WIDE.map(|user| format!("{user:?}")) {
                expected.get_mut(&(user, 20001)).unwrap().0 = json!(5);
            }
        }
        if round == 1 {
            // In order, with a checkpoint.
            server.terminate();
            assert_eq!(server.wait().await.code(), Some(0));
        } else {
            server.kill().await;
        }
        server = ServerProcess::serve(Path::new(BINARY), &data_dir, &settings).await;
    }
    server.kill().await;
}
