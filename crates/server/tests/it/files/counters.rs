//! What is counted of a file, and the lines of its logs.

use super::*;
use ia_testkit::{Kit, START_MS};
use serde_json::json;

/// A member whose files have all fields.
async fn kit_with_fields(fields: &str) -> Kit {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let set_up = json!({"batch_segment_config": {"segment_fields": fields}}).to_string();
    admin.send(Method::PUT, "/batch-segment-config?member_id=958", &[], set_up.into()).await.ok();
    kit
}

#[tokio::test]
async fn every_kind_of_refusal_has_its_counter() {
    let now = START_MS / 1000;
    let kit = kit_with_fields("[SEG_ID,EXPIRATION,VALUE,TIMESTAMP]").await;
    let provider = kit.login("provider").await;
    let past = now - 7200;
    let ms = now * 1000;
    // In order: the line, the counter (in the log, too, with the reason), and how much is counted.
    let cases: Vec<(String, &str, &str, u64)> = vec![
        ("x:12,0,0,0".to_owned(), "num_invalid_user", "", 1),
        ("0:12,0,0,0".to_owned(), "num_invalid_user", "", 1),
        ("5:12,0,0,0^6".to_owned(), "num_invalid_user", "", 1),
        ("5:12,0,0,0^idfa".to_owned(), "num_invalid_user", "", 1),
        ("5:12,0,0".to_owned(), "num_invalid_format", " failed with an illegal number of fields", 1),
        ("5:12,0,0,0,0".to_owned(), "num_invalid_format", " failed with an illegal number of fields", 1),
        ("5:".to_owned(), "num_invalid_format", " failed with no segment", 1),
        ("5".to_owned(), "num_invalid_format", " failed with no segment", 1),
        ("5:x,0,0,0".to_owned(), "num_invalid_format", " failed with an illegal segment id", 1),
        // Different segments, not occurrences.
        ("5:4711,0,0,0;4711,0,0,0;4712,0,0,0".to_owned(), "num_invalid_segment", "", 2),
        ("5:777,0,0,0;777,60,0,0".to_owned(), "num_unauth_segment", "", 1),
        ("5:10009,0,0,0;10009,0,0,0".to_owned(), "num_inactive_segment", "", 1),
        (format!("5:12,60,0,{past};10001,60,0,{past};12,60,0,{past}"), "num_past_expiration", "", 2),
        (format!("5:12,0,0,{ms}"), "num_invalid_timestamp", "", 1),
        ("5:12,0,0,-5;10001,0,0,-5".to_owned(), "num_invalid_timestamp", "", 2),
        ("5:12,-7,0,0".to_owned(), "num_other_error", " failed with a number out of its range", 1),
        (
            "5:12,0,-1,0;10001,0,99999999999,0".to_owned(),
            "num_other_error",
            " failed with a number out of its range",
            2,
        ),
    ];
    for (line, counter, reason, count) in &cases {
        let job = load_well(&provider, format!("{line}\n")).await;
        let counts: Vec<_> =
            counted(&job).into_iter().filter(|(name, _)| *name != "num_valid_user").collect();
        assert_eq!(counts, [(*counter, *count)], "{line}: {job}");
        let is_user = !matches!(*counter, "num_invalid_user" | "num_invalid_format");
        assert_eq!(job["num_valid_user"], u64::from(is_user), "{line}");
        assert_eq!(job["error_log_lines"], json!(format!("{counter}-{line}{reason}")), "{line}");
        assert_eq!(job["segment_log_lines"], "", "{line}");
    }
    assert_eq!(provider.segments_of("5").await, [] as [u64; 0]);

    // All of them in one file, each twice, with others between.
    let mut file = String::new();
    for (index, (line, ..)) in cases.iter().enumerate() {
        file += &format!("{line}\n{}:12,0,0,0\n{}\n", 1000 + index, line.replacen(['x', '5'], "y", 1));
    }
    let job = load_well(&provider, file).await;
    for (name, count) in [
        ("num_invalid_segment", 2),
        ("num_unauth_segment", 1),
        ("num_inactive_segment", 1),
        ("num_past_expiration", 2),
    ] {
        assert_eq!(job[name], count, "{name} of {job}");
    }
    assert_eq!(job["num_valid"], cases.len());
    assert_eq!(job["segment_log_lines"], json!(format!("12:{}", cases.len())));
}

#[tokio::test]
async fn segments_by_code_are_told_apart_as_codes() {
    let kit = kit_with_fields("[SEG_CODE,MEMBER_ID]").await;
    let provider = kit.login("provider").await;
    let file = "1:cars,0;CARS,958;travel,;gone,0;GONE,958;away,0\n2:off,0;secret,77;abcd,1661\n3:gone,0\n";
    let job = load_well(&provider, file).await;
    let expected = [
        ("num_valid", 4),
        ("num_valid_user", 3),
        ("num_invalid_segment", 2),
        ("num_unauth_segment", 1),
        ("num_inactive_segment", 1),
    ];
    assert_eq!(counted(&job), expected, "{job}");
    assert_eq!(provider.segments_of("1").await, [10001, 10002]);
}

#[tokio::test]
async fn the_segment_log_has_most_users_first_and_removals_behind() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let mut file = String::new();
    for user in 1..=5000 {
        file += &format!("{user}:10001,0,0");
        file += if user % 2 == 0 { ";12,0,0" } else { "" };
        file += match user {
            _ if user % 100 == 0 => "#10002;23784\n",
            _ if user % 5 == 0 => "#10002\n",
            _ => "\n",
        };
    }
    let job = load_well(&provider, file).await;
    let expected = "10001:5000\n12:2500\nremoved:10002:1000\nremoved:23784:50";
    assert_eq!(job["segment_log_lines"], expected);
    assert_eq!(counted(&job), [("num_valid", 8550), ("num_valid_user", 5000)]);
    assert_eq!(job["error_log_lines"], "");
}

#[tokio::test]
async fn a_membership_begins_when_its_line_says() {
    let kit = kit_with_fields("[SEG_ID,EXPIRATION,TIMESTAMP]").await;
    let provider = kit.login("provider").await;
    let now = START_MS / 1000;
    let file = format!("1:12,60,{};10001,90,{}\n2:12,0,0;10001,120,{}\n", now + 600, now - 3600, now);
    let job = load_well(&provider, file).await;
    assert_eq!(counted(&job), [("num_valid", 4), ("num_valid_user", 2)], "{job}");
    let mut kit = kit;
    for (minutes, one, two) in [
        (0, &[10001][..], &[12, 10001][..]),
        (11, &[12, 10001], &[12, 10001]),
        (20, &[12], &[12, 10001]),
        (40, &[], &[12, 10001]),
        (51, &[], &[12]),
    ] {
        kit.clock.advance(minutes * 60_000);
        kit.restart().await;
        let provider = kit.login("provider").await;
        assert_eq!(provider.segments_of("1").await, one, "{minutes} minutes later");
        assert_eq!(provider.segments_of("2").await, two, "{minutes} minutes later");
    }
}

#[tokio::test]
async fn of_people_who_have_opted_out_nothing_is_written_down() {
    // Erased ids leave the logs with a checkpoint.
    let kit = Kit::builder().config(|config| config.profiles.checkpoint_interval_seconds = 1).start().await;
    let provider = kit.login("provider").await;
    let out = json!({"identifier": "7777777777", "identifier_type": "uuid2", "request_type": "opt_out"});
    provider.post("/privacy/consumer-request", &out).await.ok();
    let job = load_well(&provider, "7777777777:12,0,0\n1:12,0,0\n").await;
    assert_eq!(counted(&job), [("num_valid", 1), ("num_valid_user", 1), ("num_invalid_user", 1)]);
    assert!(!job.to_string().contains("7777777777"), "{job}");
    assert_eq!(provider.segments_of("7777777777").await, [] as [u64; 0]);
    // A deletion takes the lines of a person out of the logs of earlier jobs.
    let job = load_well(&provider, "8888888888:4711,0,0\n9999999999:4711,0,0\n").await;
    assert_eq!(job["error_log_lines"].as_str().unwrap().lines().count(), 2);
    let delete = json!({"identifier": "8888888888", "identifier_type": "uuid2", "request_type": "delete"});
    provider.post("/privacy/consumer-request", &delete).await.ok();
    let id = job["job_id"].as_str().unwrap();
    let left = eventually("the line to be gone", async || {
        let shown = super::job(&provider, id).await;
        (!shown.to_string().contains("8888888888")).then_some(shown)
    })
    .await;
    assert_eq!(left["error_log_lines"], "num_invalid_segment-9999999999:4711,0,0");
}

#[tokio::test]
async fn statistics_count_a_file_as_posts() {
    let kit = Kit::start().await;
    let (provider, other) = (kit.login("provider").await, kit.login("stranger").await);
    let file = "1:12,0,0;10001,-1,0;777,0,0;4711,0,0;10009,0,0\nbad:12,0,0\n2:12,0,0\n5:12\n";
    load_well(&provider, file).await;
    let report = provider.get("/rt-segment-processed?agg=true").await.ok()["report"].clone();
    for (name, count) in [
        ("num_valid_users", 2),
        ("num_invalid_users", 1),
        ("num_valid_adds", 2),
        ("num_valid_removes", 1),
        ("num_unauth_segments", 1),
        ("num_inactive_segments", 1),
        ("num_invalid_segments", 1),
    ] {
        assert_eq!(report[name], count, "{name} of {report}");
    }
    assert_eq!(other.get("/rt-segment-processed?agg=true").await.ok()["report"]["num_valid_users"], 0);
}
