//! `replace`: who was in a segment before the job and is not in the file goes out, all at one moment.

use super::durability::Site;
use super::*;
use ia_testkit::Kit;
use serde_json::json;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SEGMENT: u64 = 12;

fn lines(users: Range<u64>) -> String {
    users.fold(String::new(), |mut file, user| {
        writeln!(file, "{user}:{SEGMENT},0,0").unwrap();
        file
    })
}

/// How many of these users are in the segment, by one request.
async fn present(client: &Client, users: Range<u64>) -> usize {
    let users: Vec<_> = users.map(|user| json!({"user_id": user})).collect();
    let answer = client.post("/user-segment", &json!({"users": users})).await.ok();
    let is_in =
        |user: &&Value| user["segments"].as_array().unwrap().iter().any(|segment| segment["id"] == SEGMENT);
    answer["user_segments"].as_array().unwrap().iter().filter(is_in).count()
}

/// Makes a job that replaces the segment, and uploads its file.
async fn replace(client: &Client, file: impl Into<Bytes>) -> String {
    let new = NewJob::make_at(client, &format!("/batch-segment?replace={SEGMENT}")).await;
    new.upload(client.address, file).await.ok();
    new.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_sees_half_of_a_replacement() {
    let lift = |config: &mut instant_audience::config::Config| {
        config.limits.gets_per_second = 0;
        config.limits.api_reads_per_minute = 0;
    };
    let mut kit = Kit::builder().config(lift).start().await;
    let client = kit.login("provider").await;
    load_well(&client, lines(1..5001)).await;
    client.add("7", None, json!([{"seg_id": 10001}])).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let (client, is_over) = (client.clone(), Arc::clone(&is_over));
        async move {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                seen.push(present(&client, 1..801).await);
            }
            seen
        }
    });
    // The first thousand are not in it, nobody after 4000 is, and some are new.
    let id = replace(&client, lines(1001..4001) + &lines(9001..9101)).await;
    let ended = end_of(&client, &id).await;
    assert_eq!((&ended["phase"], &ended["num_valid"]), (&"completed".into(), &3100.into()), "{ended}");
    assert_eq!(ended["segment_log_lines"], "12:3100\nremoved:12:2000");
    assert_eq!(ended["replace"], SEGMENT);
    is_over.store(true, Ordering::SeqCst);
    let seen = reading.await.unwrap();
    assert!(seen.iter().all(|&users| users == 0 || users == 800), "{seen:?}");
    for _ in 0..2 {
        let client = kit.login("provider").await;
        for (users, expected) in
            [(1..901, 0), (1001..1901, 900), (3501..4401, 500), (9001..9101, 100), (4101..5001, 0)]
        {
            assert_eq!(present(&client, users.clone()).await, expected, "{users:?}");
        }
        assert_eq!(client.segments_of("7").await, [10001], "another segment");
        kit.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_goes_on_after_kills_and_keeps_those_who_came_in_meanwhile() {
    let mut site = Site::new().await;
    load_well(&site.client(), lines(1..10_001)).await;
    for percent in [41, 70, 99] {
        let client = site.client();
        let id = replace(&client, lines(5_001..20_001)).await;
        loop {
            let job = job(&client, &id).await;
            if job["percent_complete"].as_u64().unwrap() >= percent || job["phase"] == "completed" {
                break;
            }
        }
        // After the beginning of the job: was not in before.
        let late = 100_000 + percent;
        client.add(&late.to_string(), None, json!([{"seg_id": SEGMENT}])).await;
        site.kill().await;
        let client = site.client();
        let ended = end_of(&client, &id).await;
        assert_eq!((&ended["phase"], &ended["num_valid"]), (&"completed".into(), &15_000.into()), "{ended}");
        assert_eq!(present(&client, 1..1_001).await + present(&client, 4_001..5_001).await, 0);
        assert_eq!(present(&client, 5_001..6_001).await, 1_000);
        assert_eq!(present(&client, 19_001..20_001).await, 1_000);
        assert_eq!(present(&client, late..late + 1).await, 1, "at {percent} %");
        // For the next round.
        load_well(&client, lines(1..5_001)).await;
    }
    site.no_file_is_left().await;
}
