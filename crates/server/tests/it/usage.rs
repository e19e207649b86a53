//! The usage report: its counts and their members, and that each request counts once.

use ia_testkit::{Client, Kit};
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

/// The aggregated report, which must include every answered POST.
async fn report_of(client: &Client, valid_users: u64) -> Value {
    let report = client.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    assert_eq!(report["num_valid_users"], valid_users);
    report
}

async fn hourly(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("/rt-segment-processed{query}")).await.ok();
    assert_eq!(answer.as_object().unwrap().len(), 2, "status and report, nothing else");
    answer["report"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_kind_of_outcome_is_counted_once_a_request() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let user = |id: &str, blocks: Value| json!({"user_id": id, "seg_block": blocks});
    let request = json!({"rt_segment": [
        user("1", json!([{"seg_id": 12}, {"seg_id": 12}, {"seg_id": 10001, "expiration": -1}, {"seg_id": 777}, {"seg_id": 777}])),
        user("1", json!([{"seg_id": 10009}, {"seg_code": "OFF", "member_id": 958}])),
        user("2", json!([{"seg_code": "gone", "member_id": 958}, {"seg_id": 31}])),
        user("bad", json!([{"seg_id": 12}])),
        user("bad", json!([{"seg_id": 12}])),
        user("3", json!([{"seg_id": "x"}])),
    ]});
    provider.post("/rt-segment", &request).await.ok();
    let sum = report_of(&provider, 2).await;
    assert_eq!(
        sum,
        json!({
            "member_id": 958, "processed_hour": "2026-01-31 13:00:00",
            "num_valid_users": 2, "num_invalid_users": 1, "num_valid_adds": 1, "num_valid_removes": 1,
            "num_unauth_segments": 1, "num_inactive_segments": 1, "num_invalid_segments": 2, "num_other_errors": 0,
            "match_rate": 66.67, "error_log_lines": null, "segment_log_lines": null,
        })
    );
    let hours = hourly(&provider, "").await;
    assert_eq!(hours.len(), 1);
    let columns = "(id, code, segment owner member id)";
    let errors = format!(
        "Invalid users: bad\n\
         Inactive segments {columns}: (10009, 'off', 958)\n\
         Invalid segments {columns}: (0, 'gone', 958), (31, '', 0)\n\
         Unauthorized segments {columns}: (777, '', 0)"
    );
    assert_eq!(hours[0]["error_log_lines"], errors);
    let valid = format!(
        "Valid users: 1, 2\n\
         Valid segments {columns}: (12, '', 958), (10001, 'cars', 958)\n\
         Valid additions (user id, segment id, expiration): (1, 12, 0)\n\
         Valid removals (user id, segment id, expiration): (1, 10001, -1)"
    );
    assert_eq!(hours[0]["segment_log_lines"], valid);
    // The same request again: users and pairs count in each request.
    provider.post("/rt-segment", &request).await.ok();
    assert_eq!(report_of(&provider, 4).await["num_invalid_segments"], 4);
}

#[tokio::test]
async fn hours_are_apart_and_ranges_choose_among_them() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for _ in 0..3 {
        provider.add("1", None, json!([{"seg_id": 12}])).await;
        kit.clock.advance(HOUR_MS);
    }
    report_of(&provider, 3).await;
    let hours: Vec<Value> =
        hourly(&provider, "").await.iter().map(|hour| hour["processed_hour"].clone()).collect();
    assert_eq!(hours, ["2026-01-31 13:00:00", "2026-01-31 14:00:00", "2026-01-31 15:00:00"]);
    assert_eq!(hourly(&provider, "?start=2026-01-31+14:30:00").await.len(), 2);
    assert_eq!(hourly(&provider, "?start=2026-01-31T13:00:00&end=2026-01-31%2014:00:00").await.len(), 2);
    assert_eq!(hourly(&provider, "?end=2026-01-31").await.len(), 0);
    let empty = provider.get("/rt-segment-processed?agg=true&end=2026-01-30").await.ok()["report"].clone();
    assert_eq!((&empty["match_rate"], &empty["num_valid_users"]), (&json!(0.0), &json!(0)));
    kit.clock.advance(15 * 24 * HOUR_MS);
    let later = kit.login("provider").await;
    assert_eq!(hourly(&later, "").await.len(), 0, "two weeks where nothing is asked");
    assert_eq!(hourly(&later, "?start=2026-01-01").await.len(), 3);
}

#[tokio::test]
async fn a_members_report_is_its_own() {
    let kit = Kit::start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    provider.add("1", None, json!([{"seg_id": 12}])).await;
    report_of(&provider, 1).await;
    let foreign = stranger.get("/rt-segment-processed?member_id=958").await;
    assert_eq!(foreign.outcome(), (403, Some("UNAUTH".to_owned())));
    let absent = stranger.get("/rt-segment-processed?member_id=4711").await;
    assert_eq!(absent.response()["error"], foreign.response()["error"], "foreign and absent answer alike");
    assert_eq!(hourly(&stranger, "?member_id=77").await.len(), 0);
    assert_eq!(hourly(&kit.login("admin").await, "?member_id=958").await.len(), 1);
}

#[tokio::test]
async fn an_hour_keeps_the_200_newest_lines() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for user in 1..=150u64 {
        provider.add(&user.to_string(), None, json!([{"seg_id": 12, "expiration": -1}])).await;
    }
    report_of(&provider, 150).await;
    let hours = hourly(&provider, "").await;
    let lines: Vec<&str> = hours[0]["segment_log_lines"].as_str().unwrap().lines().collect();
    assert_eq!(lines.len(), 200);
    assert_eq!(lines[199], "Valid removals (user id, segment id, expiration): (150, 12, -1)");
}

#[tokio::test]
async fn what_is_not_written_yet_is_in_the_report_once() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    // Long enough for several flushes between requests.
    let mut users = 0;
    while kit.metric("instant_audience_usage_position").await < 20.0 {
        users += 1;
        provider.add(&users.to_string(), None, json!([{"seg_id": 12}])).await;
        report_of(&provider, users).await;
        let hours = hourly(&provider, "").await;
        assert_eq!(hours[0]["num_valid_users"], users);
    }
}

#[tokio::test]
async fn counts_survive_a_restart_and_are_not_doubled() {
    let mut kit = Kit::start().await;
    let provider = kit.login("provider").await;
    for user in 1..=5u64 {
        provider.add(&user.to_string(), None, json!([{"seg_id": 12}])).await;
    }
    kit.restart().await;
    let provider = kit.login("provider").await;
    assert_eq!(report_of(&provider, 5).await["num_valid_adds"], 5);
    provider.add("6", None, json!([{"seg_id": 12}])).await;
    report_of(&provider, 6).await;
}
