//! Limits of files, from the server's settings and from a member's set-up.

use super::*;
use ia_testkit::Kit;
use serde_json::json;

const HOUR_MS: u64 = 3_600_000;

/// A limit of the server's settings, and the field of a member's set-up that goes before it.
type Limit = (fn(&mut instant_audience::config::Config, u64), &'static str);

/// A file of that many lines, of ten bytes each.
fn lines(count: usize) -> String {
    // A repeated line is none.
    assert!(count < 90, "ten bytes each");
    (10..10 + count).map(|user| format!("{user}:12,0,0\n")).collect()
}

fn check_refusal(answer: &Answer, retry_after: u64) {
    assert_eq!(answer.outcome(), (429, Some("LIMIT".to_owned())), "{}", answer.text());
    assert_eq!(answer.response()["error_code"], "RATE_LIMIT_EXCEEDED");
    assert_eq!(answer.header("retry-after"), Some(retry_after.to_string().as_str()), "{}", answer.text());
}

/// A server on which that limit holds for the provider, once by the settings and once by the member's set-up alone.
async fn limited((set, field): Limit, most: u64, by_settings: bool) -> Kit {
    let kit = Kit::builder().config(|config| {
        // A member's own limit goes before a smaller one.
        set(config, if by_settings { most } else { 1 });
    });
    let kit = kit.start().await;
    if !by_settings {
        let set_up = json!({"batch_segment_config": {field: most}});
        let admin = kit.login("admin").await;
        let body = Bytes::from(set_up.to_string());
        admin.send(Method::PUT, "/batch-segment-config?member_id=958", &[], body).await.ok();
    }
    kit
}

#[tokio::test]
async fn bytes_and_lines_of_an_hour_and_of_a_day_are_limited() {
    let limits: [(Limit, u64, u64); 4] = [
        ((|config, most| config.files.bytes_per_hour.0 = most, "hourly_byte_limit"), 100, HOUR_MS),
        ((|config, most| config.files.bytes_per_day.0 = most, "daily_byte_limit"), 100, 24 * HOUR_MS),
        ((|config, most| config.files.lines_per_hour = most, "hourly_num_lines_limit"), 10, HOUR_MS),
        ((|config, most| config.files.lines_per_day = most, "daily_num_lines_limit"), 10, 24 * HOUR_MS),
    ];
    for (limit, most, window_ms) in limits {
        for by_settings in [true, false] {
            let kit = limited(limit, most, by_settings).await;
            let provider = kit.login("provider").await;
            load(&provider, lines(6)).await;
            kit.clock.advance(60_000);
            load(&provider, lines(4)).await;
            kit.clock.advance(60_000);
            let over = NewJob::make(&provider).await;
            check_refusal(&over.upload(kit.api(), lines(1)).await, window_ms / 1000 - 120);
            assert_eq!(job(&provider, &over.id).await["phase"], "starting", "it may come later");
            if by_settings {
                // Others have limits of their own.
                let stranger = kit.login("stranger").await;
                assert_eq!(load(&stranger, "7:777,0,0\n").await["num_valid"], 1);
            }
            kit.clock.advance(window_ms - 119_000);
            let provider = kit.login("provider").await;
            // The first file no longer counts.
            load_well(&provider, lines(6)).await;
            let over = NewJob::make(&provider).await;
            check_refusal(&over.upload(kit.api(), lines(1)).await, 59);
        }
    }
}

#[tokio::test]
async fn a_file_that_goes_over_the_bytes_of_an_hour_while_it_comes_is_given_up() {
    let kit = Kit::builder().config(|config| config.files.bytes_per_hour.0 = 100).start().await;
    let provider = kit.login("provider").await;
    let new = NewJob::make(&provider).await;
    let mut raw = Raw::open(kit.api()).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", new.path);
    raw.send(head + &format!("6e\r\n{}\r\n0\r\n\r\n", lines(11))).await;
    let (status, response) = raw.answer().await.expect("an answer");
    assert_eq!((status, &response["error_code"]), (429, &json!("RATE_LIMIT_EXCEEDED")));
    let job = end_of(&provider, &new.id).await;
    assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("RATE_LIMIT_EXCEEDED")));
    assert_eq!(counted(&job), []);
}

#[tokio::test]
async fn lines_of_a_file_that_is_not_over_are_known_to_the_next() {
    let kit = Kit::builder().config(|config| config.files.lines_per_hour = 10).start().await;
    let provider = kit.login("provider").await;
    for _ in 0..20 {
        load_well(&provider, lines(10)).await;
        let over = NewJob::make(&provider).await;
        check_refusal(&over.upload(kit.api(), lines(1)).await, 3600);
        kit.clock.advance(HOUR_MS + 1);
    }
}

#[tokio::test]
async fn uploads_at_once_are_limited() {
    let limit: Limit =
        (|config, most| config.files.uploads_at_once_per_member = most, "max_concurrent_uploads");
    for by_settings in [true, false] {
        let kit = limited(limit, 2, by_settings).await;
        let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
        let file = lines(5);
        let mut running = Vec::new();
        for _ in 0..2 {
            let new = NewJob::make(&provider).await;
            let raw = begin(kit.api(), &new, file.len(), b"1").await;
            wait_for(&provider, &new.id, "uploading").await;
            running.push((new, raw));
        }
        let third = NewJob::make(&provider).await;
        check_refusal(&third.upload(kit.api(), file.clone()).await, 5);
        assert_eq!(load(&stranger, "7:777,0,0\n").await["num_valid"], 1);
        let (first, mut raw) = running.remove(0);
        assert!(raw.send(&file.as_bytes()[1..]).await);
        assert_eq!(raw.answer().await.expect("an answer").0, 200);
        third.upload(kit.api(), file.clone()).await.ok();
        for new in [first, third] {
            assert_eq!(end_of(&provider, &new.id).await["num_valid"], 5);
        }
    }
}

#[tokio::test]
async fn jobs_that_wait_are_limited() {
    let mut kit = Kit::start().await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    let mut jobs = Vec::new();
    for _ in 0..200 {
        jobs.push(NewJob::make(&provider).await);
    }
    let refused = provider.post_bytes("/batch-segment", &[], "").await;
    check_refusal(&refused, 60);
    assert!(refused.response()["error"].as_str().unwrap().contains("200 jobs"));
    NewJob::make(&stranger).await;
    // One that has ended waits no more.
    jobs[77].upload(kit.api(), lines(1)).await.ok();
    end_of(&provider, &jobs[77].id).await;
    NewJob::make(&provider).await;
    check_refusal(&provider.post_bytes("/batch-segment", &[], "").await, 60);
    // Those that no file comes for end when their time is over.
    kit.clock.advance(5 * 60_000 + 1);
    // Housekeeping comes with the start.
    kit.restart().await;
    let provider = kit.login("provider").await;
    eventually("room for another job", async || {
        (provider.post_bytes("/batch-segment", &[], "").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_error_log_has_as_many_lines_as_are_asked_for() {
    let limit: Limit = (|config, most| config.files.error_log_lines = most, "num_error_log_lines");
    let file: String = (0..5000).map(|n| format!("bad{n}:12,0,0\n")).collect();
    for (most, by_settings) in [(999, true), (3, true), (0, true), (3, false), (999, false), (0, false)] {
        let kit = limited(limit, most, by_settings).await;
        let provider = kit.login("provider").await;
        let job = load_well(&provider, file.clone()).await;
        assert_eq!(counted(&job), [("num_invalid_user", 5000)]);
        let log: Vec<&str> = job["error_log_lines"].as_str().unwrap().lines().collect();
        assert_eq!(log.len() as u64, most);
        // The newest, in their order.
        let expected: Vec<String> =
            (5000 - most..5000).map(|n| format!("num_invalid_user-bad{n}:12,0,0")).collect();
        assert_eq!(log, expected);
    }
    let kit = Kit::start().await;
    let job = load_well(&kit.login("provider").await, file).await;
    assert_eq!(job["error_log_lines"].as_str().unwrap().lines().count(), 200);
}

#[tokio::test]
async fn a_file_with_too_many_refused_lines_is_given_up() {
    let kit = Kit::start().await;
    let (provider, admin) = (kit.login("provider").await, kit.login("admin").await);
    let set = async |most: u64| {
        let body = json!({"batch_segment_config": {"num_invalid_before_error": most}}).to_string();
        admin.send(Method::PUT, "/batch-segment-config?member_id=958", &[], body.into()).await.ok();
    };
    let file = |bad: usize| -> String {
        let bad = (0..bad).map(|n| if n % 2 == 0 { format!("x{n}:12,0,0\n") } else { format!("{n}:12\n") });
        let good = |from: usize| (from..from + 3000).map(|user| format!("{user}:12,0,0\n"));
        good(10_000).chain(bad).chain(good(20_000)).collect()
    };
    set(10).await;
    assert_eq!(load_well(&provider, file(9)).await["num_valid_user"], 6000);
    // 0 is what clients send for what they were not given.
    set(0).await;
    assert_eq!(load_well(&provider, file(50)).await["num_valid_user"], 6000);
    set(10).await;
    let job = load(&provider, file(10).replace(":12,", ":10001,")).await;
    assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("too-many-invalid-lines")));
    assert_eq!((&job["num_invalid_user"], &job["num_invalid_format"]), (&json!(5), &json!(5)));
    assert!(job["percent_complete"].as_u64() < Some(100), "{job}");
    // Nothing behind the line that was one too many.
    assert_eq!(job["num_valid_user"], 3000);
    assert_eq!(provider.segments_of("20000").await, [12]);
    assert_eq!(provider.segments_of("12999").await, [12, 10001]);
}

#[tokio::test]
async fn a_file_with_more_lines_than_are_left_is_given_up_before_any_is_applied() {
    let kit = Kit::builder().config(|config| config.files.lines_per_hour = 10).start().await;
    let provider = kit.login("provider").await;
    for file in [lines(11).into_bytes(), gzip(lines(11))] {
        let job = load(&provider, file).await;
        assert_eq!((&job["phase"], &job["error_code"]), (&json!("error"), &json!("RATE_LIMIT_EXCEEDED")));
        assert_eq!(counted(&job), []);
    }
    assert_eq!(provider.segments_of("10").await, [] as [u64; 0]);
    // None of these lines was used up.
    load_well(&provider, lines(10)).await;
}
