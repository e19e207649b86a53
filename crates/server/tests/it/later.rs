//! Memberships that begin later. Files bring them; here a part of a file is put into the log.

use ia_log::{DiskLog, Log, LogOptions, RealDisk};
use ia_model::record::{FileChunk, Ingest};
use ia_model::{Batch, Change, Expiry, MemberId, Minute, Operation, Record, SegmentId, UserKey};
use ia_testkit::{Client, Kit, START_MS};
use serde_json::{Value, json};
use std::sync::{Arc, mpsc};

const MINUTE_MS: u64 = 60_000;

/// Stops the server, puts a part of a file of member 958 into the log, and starts the server again. Each membership is of
/// a user and a segment, begins an hour after the start of the test, and ends another hour later, if it ends.
async fn put_later(kit: &mut Kit, memberships: &[(u64, u32, bool)]) {
    let begins = Minute::containing(START_MS).0 + 60;
    let mut batch = Batch::default();
    for of_user in memberships.chunk_by(|(one, ..), (other, ..)| one == other) {
        let operations = of_user.iter().map(|&(_, segment, ends)| {
            let expires = if ends { Expiry::At(Minute(begins + 60)) } else { Expiry::Never };
            let change = Change::AddLater { begins: Minute(begins), expires, value: 9 };
            Operation { segment: SegmentId(segment), change }
        });
        batch.push(UserKey::platform(of_user[0].0).unwrap(), operations);
    }
    let record = Record::Ingest(Box::new(Ingest {
        accepted_at_ms: START_MS,
        member: MemberId(958),
        request_id: String::new(),
        batch,
        usage: Default::default(),
        file: Some(Box::new(FileChunk::default())),
    }));
    kit.stop().await.unwrap();
    let (log, _) =
        DiskLog::open(kit.data_dir().join("log"), LogOptions::default(), Arc::new(RealDisk), Arc::new(()))
            .unwrap();
    let (durable, is_durable) = mpsc::channel();
    log.append(record.encode(), Box::new(move |written| durable.send(written).unwrap())).unwrap();
    is_durable.recv().unwrap().unwrap();
    log.close();
    drop(log);
    kit.start_again().await;
}

async fn read(client: &Client, user: u64) -> Value {
    let answer = client.get(&format!("/user-segment?user_id={user}")).await.ok();
    answer["user_segment"]["segments"].clone()
}

async fn ask(client: &Client, user: u64, request_type: &str) -> Value {
    let request =
        json!({"identifier": user.to_string(), "identifier_type": "uuid2", "request_type": request_type});
    client.post("/privacy/consumer-request", &request).await.ok()["consumer_request"].clone()
}

/// Segments with when they begin and end.
fn times(segments: &Value) -> Vec<(u64, String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(|text| text["2026-01-31 ".len()..].to_owned());
    let segment = |one: &Value| {
        (one["id"].as_u64().unwrap(), text(&one["added_on"]).unwrap(), text(&one["expires_on"]))
    };
    segments.as_array().unwrap().iter().map(segment).collect()
}

fn time(id: u64, begins: &str, ends: Option<&str>) -> (u64, String, Option<String>) {
    (id, begins.to_owned(), ends.map(str::to_owned))
}

#[tokio::test]
async fn it_is_hidden_until_it_begins_and_appears_by_itself() {
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    provider.add("7", None, json!([{"seg_id": 12, "value": 1, "expiration": 30}])).await;
    put_later(&mut kit, &[(7, 12, true), (7, 10001, false), (8, 12, true)]).await;
    let provider = kit.login("provider").await;
    // What was there goes on until its own end.
    assert_eq!(times(&read(&provider, 7).await), [time(12, "13:00:00", Some("13:30:00"))]);
    assert_eq!(read(&provider, 8).await, json!([]));
    // A stop writes a checkpoint; from now on the log has nothing to say about them.
    kit.restart().await;
    let provider = kit.login("provider").await;
    assert_eq!(times(&read(&provider, 7).await), [time(12, "13:00:00", Some("13:30:00"))]);
    for advance in [30, 29] {
        kit.clock.advance(advance * MINUTE_MS);
        assert_eq!((read(&provider, 7).await, read(&provider, 8).await), (json!([]), json!([])));
        assert_eq!(provider.get("/user-segment?user_id=7&format=codes").await.text(), "\n");
    }
    kit.clock.advance(MINUTE_MS);
    let begun = json!({"id": 12, "code": null, "member_id": 958, "value": 9, "added_on": "2026-01-31 14:00:00",
        "expires_on": "2026-01-31 15:00:00", "last_seen_min": 60});
    assert_eq!(read(&provider, 8).await, json!([begun]));
    let both = [time(12, "14:00:00", Some("15:00:00")), time(10001, "14:00:00", None)];
    assert_eq!(times(&read(&provider, 7).await), both);
    kit.restart().await;
    let provider = kit.login("provider").await;
    assert_eq!(times(&read(&provider, 7).await), both);
    kit.clock.advance(60 * MINUTE_MS);
    assert_eq!(times(&read(&provider, 7).await), both[1..]);
}

#[tokio::test]
async fn a_person_is_shown_what_begins_later_and_it_can_be_deleted() {
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    provider.add("7", None, json!([{"seg_id": 12, "value": 1, "expiration": 30}])).await;
    put_later(&mut kit, &[(7, 12, true), (7, 10001, false), (8, 12, true), (8, 777, true)]).await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let admin = kit.login("admin").await;
    let shown = ask(&provider, 7, "access").await;
    let all = [
        time(12, "13:00:00", Some("13:30:00")),
        time(12, "14:00:00", Some("15:00:00")),
        time(10001, "14:00:00", None),
    ];
    assert_eq!(times(&shown["users"][0]["segments"]), all);
    let of_8 =
        |owner: &Value| times(&owner["users"][0]["segments"]).iter().map(|one| one.0).collect::<Vec<_>>();
    assert_eq!(of_8(&ask(&admin, 8, "access").await), [12, 777]);
    assert_eq!(of_8(&ask(&stranger, 8, "access").await), [777]);
    // The deletion of a member takes its own, also what is hidden.
    for user in [7, 8] {
        ask(&provider, user, "delete").await;
        assert_eq!(ask(&provider, user, "access").await["users"], json!([]));
    }
    assert_eq!(of_8(&ask(&admin, 8, "access").await), [777]);
    kit.restart().await;
    kit.clock.advance(60 * MINUTE_MS);
    let admin = kit.login("admin").await;
    assert_eq!(read(&admin, 7).await, json!([]));
    assert_eq!(times(&read(&admin, 8).await), [time(777, "14:00:00", Some("15:00:00"))]);
}
